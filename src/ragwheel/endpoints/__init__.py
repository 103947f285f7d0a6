"""The HTTP client for all model endpoints: judges, chat models and embedding models behind a URL.

Every request follows the same policy. The host name is resolved once and each of its addresses is checked;
plain ``http`` is allowed for this machine or a permitted private network only; redirects and proxies are not
followed; the key is sent to its own host only; metadata services are refused.
"""

from __future__ import annotations

from ragwheel.endpoints.chat import ChatClient, ChatFields, Completion, read_completion
from ragwheel.endpoints.connection import Connection, HttpReply
from ragwheel.endpoints.endpoint import Endpoint, PinnedAddress, Purpose
from ragwheel.endpoints.retry import RequestFailed, Retrying, RetryPolicy
from ragwheel.endpoints.running import run_sync

__all__ = [
    "ChatClient",
    "ChatFields",
    "Completion",
    "Connection",
    "Endpoint",
    "HttpReply",
    "PinnedAddress",
    "Purpose",
    "RequestFailed",
    "RetryPolicy",
    "Retrying",
    "read_completion",
    "run_sync",
]
