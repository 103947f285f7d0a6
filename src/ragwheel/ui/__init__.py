"""Sources and feedback in Python UIs: the modules ``streamlit``, ``gradio`` and ``chainlit``.

Each module needs its framework and nothing else: ``pip install 'ragwheel[streamlit]'`` and so on.
"""

from __future__ import annotations

__all__: list[str] = []
