"""Which addresses a model endpoint may have, where its key goes, and what the environment says."""

from __future__ import annotations

import socket

import pytest

from ragwheel.endpoints import Endpoint
from ragwheel.errors import ConfigurationError, EndpointError, ModelError
from ragwheel.fewshot import ChatEndpoint
from ragwheel.train.adapter import EmbeddingEndpoint

PURPOSES = ("judge", "llm", "embed")


@pytest.fixture
def names(monkeypatch):
    """Host names and the addresses that they resolve to, in place of DNS."""
    addresses: dict[str, list[str]] = {}

    def resolve(host, port, **_):
        family = socket.AF_INET6 if ":" in addresses[host][0] else socket.AF_INET
        return [(family, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses[host]]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return addresses


@pytest.mark.parametrize(
    "url",
    [
        "https://169.254.169.254/latest",
        "https://[fe80::1]/v1",
        "https://[::ffff:169.254.169.254]/v1",
        "https://[64:ff9b::a9fe:a9fe]/v1",
        "https://[64:ff9b:1::a9fe:a9fe]/v1",
        "https://[64:ff9b:1:fffe::5db8:d822]/v1",
        "https://[2002:a9fe:a9fe::1]/v1",
        "https://[::a9fe:a9fe]/v1",
        "https://[fd12::5efe:a9fe:a9fe]/v1",
        "https://100.100.100.200/v1",
        "https://168.63.129.16/v1",
        "https://[::ffff:168.63.129.16]/v1",
        "https://192.0.0.192/v1",
        "https://[fd00:ec2::254]/v1",
        "https://[fd20:ce::254]/v1",
        "https://metadata.google.internal/v1",
        "https://METADATA.google.internal./v1",
        "https://0.0.0.0/v1",
        "https://2852039166/v1",
        "https://[ff02::1]/v1",
    ],
)
def test_metadata_services_are_refused_even_where_private_addresses_are_allowed(url):
    with pytest.raises(ConfigurationError, match=r"metadata service|local NAT64"):
        Endpoint(url, "m", allow_private=True).pinned()
    with pytest.raises(ConfigurationError, match=r"metadata service|local NAT64"):
        EmbeddingEndpoint(url, "m", allow_private=True, retries=0)(["text"], "query")
    with pytest.raises(ConfigurationError, match=r"metadata service|local NAT64"):
        ChatEndpoint(url, "m", allow_private=True, retries=0)([])


@pytest.mark.parametrize("url", ["https://10.0.0.8/v1", "https://192.168.1.1/v1", "https://[fd00::1]/v1"])
@pytest.mark.parametrize("purpose", PURPOSES)
def test_a_private_network_needs_permission(url, purpose):
    variable = f"RAGWHEEL_{purpose.upper()}_ALLOW_PRIVATE=1"
    with pytest.raises(ConfigurationError, match=rf"is inside the network.*--allow-private, or {variable}"):
        Endpoint(url, "m", purpose=purpose).pinned()
    (pinned,) = Endpoint(url, "m", allow_private=True).pinned().urls
    assert pinned.startswith(url.removesuffix("/v1"))


def test_one_forbidden_address_of_a_name_refuses_the_name(names):
    names["judge.example"] = ["93.184.216.34", "127.0.0.1"]
    with pytest.raises(ConfigurationError, match=r"127\.0\.0\.1 is inside the network"):
        Endpoint("https://judge.example/v1", "m").pinned()


def test_a_public_name_is_pinned_to_its_addresses(names):
    names["judge.example"] = ["93.184.216.34", "93.184.216.35", "93.184.216.34"]
    pinned = Endpoint("https://judge.example/v1/", "m").pinned()
    assert pinned.urls == ("https://93.184.216.34/v1", "https://93.184.216.35/v1")
    assert (pinned.host_header, pinned.sni) == ("judge.example", "judge.example")


def test_plain_http_stays_on_this_machine_or_in_a_permitted_private_network(names):
    with pytest.raises(ConfigurationError, match="unencrypted, in the clear"):
        Endpoint("http://models.example/v1", "m")
    names["models.example"] = ["10.1.2.3"]
    assert Endpoint("http://models.example/v1", "m", allow_private=True).pinned().urls
    names["models.example"] = ["93.184.216.34"]
    with pytest.raises(ConfigurationError, match="is public, and plain http"):
        Endpoint("http://models.example/v1", "m", allow_private=True).pinned()
    names["localhost"] = ["::1", "127.0.0.1"]
    assert Endpoint("http://localhost:8000/v1", "m").pinned().urls == (
        "http://[::1]:8000/v1",
        "http://127.0.0.1:8000/v1",
    )


def test_localhost_that_resolves_elsewhere_is_refused(names):
    names["localhost"] = ["93.184.216.34"]
    with pytest.raises(ConfigurationError, match="is public"):
        Endpoint("http://localhost/v1", "m").pinned()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"base_url": "ftp://example.com"}, "no scheme http or https"),
        ({"base_url": "https://ada:pw@host/v1"}, "got https://host/v1, refused: it carries a user"),
        ({"base_url": "https://example.com/v1?key=x"}, "a key goes into RAGWHEEL_LLM_KEY"),
        ({"base_url": "http://exa mple:99999999/"}, "refused"),
        ({"model": " "}, "RAGWHEEL_LLM_MODEL"),
        ({"key": "sk-1\nHost: evil"}, "RAGWHEEL_LLM_KEY: expected printable ASCII"),
    ],
)
def test_an_endpoint_that_cannot_be_used_is_refused_before_anything_is_sent(wrong, message):
    with pytest.raises(ConfigurationError, match=message) as caught:
        Endpoint(**{"base_url": "https://example.com/v1", "model": "m", "purpose": "llm", **wrong})
    assert "pw" not in str(caught.value)


def test_a_name_without_an_address_is_an_error_of_the_model():
    with pytest.raises(EndpointError, match=r"no-such-host\.invalid has no address.*RAGWHEEL_EMBED_URL"):
        Endpoint("https://no-such-host.invalid/v1", "m", purpose="embed").pinned()
    assert issubclass(EndpointError, ModelError)


@pytest.mark.parametrize("purpose", PURPOSES)
def test_every_purpose_has_the_same_set_of_variables(purpose):
    prefix = f"RAGWHEEL_{purpose.upper()}"
    environ = {
        f"{prefix}_URL": "https://example.com/v1",
        f"{prefix}_MODEL": "m",
        f"{prefix}_KEY": "sk",
        f"{prefix}_ALLOW_PRIVATE": "1",
    }
    endpoint = Endpoint.from_environment(purpose, environ=environ)
    assert endpoint == Endpoint("https://example.com/v1", "m", "sk", True, purpose)
    assert "sk" not in repr(endpoint)
    assert Endpoint.from_environment(purpose, model="n", environ=environ).model == "n"
    with pytest.raises(ConfigurationError, match=rf"needs a URL.*{prefix}_URL and {prefix}_MODEL"):
        Endpoint.from_environment(purpose, environ={})


def test_a_judge_without_variables_of_its_own_uses_those_of_the_llm():
    environ = {"RAGWHEEL_LLM_URL": "https://a.example", "RAGWHEEL_LLM_MODEL": "m", "RAGWHEEL_LLM_KEY": "sk"}
    assert Endpoint.from_environment("judge", environ=environ).key == "sk"
    environ |= {"RAGWHEEL_JUDGE_URL": "https://b.example", "RAGWHEEL_JUDGE_MODEL": "n"}
    judge = Endpoint.from_environment("judge", environ=environ)
    assert (judge.host, judge.model, judge.key) == ("b.example", "n", None)


def test_a_key_is_not_sent_to_another_host_than_it_was_set_for():
    environ = {"RAGWHEEL_LLM_URL": "https://a.example/v1", "RAGWHEEL_LLM_KEY": "sk", "OPENAI_API_KEY": "sk-o"}

    def key(url, **given):
        return Endpoint.from_environment("llm", base_url=url, model="m", environ=environ, **given).key

    assert key("https://a.example/v2") == "sk"
    assert key("https://b.example/v1") is None
    assert key("https://a.example:8443/v1") is None
    assert key("https://b.example/v1", key_env="OPENAI_API_KEY") == "sk-o"
    del environ["RAGWHEEL_LLM_KEY"]
    assert key("https://a.example/v1") is None
    assert key("https://api.openai.com/v1") == "sk-o"
