"""What it costs to capture a retrieval, in microseconds, bytes and losses: ragwheel beside its peers.

``run.py`` is the command. ``driver`` goes round the peers, ``session`` runs one measured process,
``worker`` is that process, ``verify`` reads back what was stored, ``workload`` makes the retriever,
``summary`` turns results into tables. Each peer is a small class under ``peers`` and lives in a
virtual environment of its own (``install``).
"""
