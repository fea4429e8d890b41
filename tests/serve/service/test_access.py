"""Who may ask: keys, hosts, origins, rates; and what must never be said or logged."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from quantum_trader.envs.errors import ConfigError
from quantum_trader.serve.service.access import (
    KEY_VARIABLE,
    ApiKeys,
    is_loopback,
    read_keys,
    require_key_beyond_loopback,
)
from quantum_trader.serve.service.rate import MOST_CLIENTS, RateLimit

from .services import KEY, ask, bar_json, code_of, service

CLOSED = (
    ("POST", "/v1/decisions"),
    ("POST", "/v1/warmup"),
    ("POST", "/v1/models/reload"),
    ("GET", "/v1/health"),
    ("GET", "/v1/version"),
    ("GET", "/v1/config"),
    ("GET", "/v1/monitor"),
    ("GET", "/v1/decisions/BTCUSDT"),
    ("GET", "/metrics"),
    ("GET", "/nothing"),
    ("GET", "/static/../v1/health"),
    ("GET", "/static/%2e%2e/v1/health"),
    ("GET", "/%2fv1/health"),
    ("GET", "/V1/health"),
    ("GET", "/health/"),
)
OPEN = ("/", "/docs", "/openapi.json", "/health", "/ready", "/static/app.js")


@pytest.mark.parametrize(("method", "path"), CLOSED)
def test_data_needs_the_key(method: str, path: str) -> None:
    """Without a key, with a wrong one, and with one in the wrong place: 401, and how to send it."""
    app = service(keys=[KEY])
    wrong = (
        {},
        {"x-api-key": "x" * 25},
        {"x-api-key": ""},
        {"authorization": f"Basic {KEY}"},
        {"cookie": KEY},
    )
    for headers in wrong:
        answer = ask(app, method, path, headers=headers)
        assert (answer.status_code, code_of(answer)) == (401, "unauthorized")
        assert answer.headers["www-authenticate"] == "Bearer"
    assert ask(app, method, f"{path}?api_key={KEY}").status_code == 401


@pytest.mark.parametrize(
    "headers", [{"X-API-Key": KEY}, {"Authorization": f"Bearer {KEY}"}, {"authorization": f"bearer  {KEY}"}]
)
def test_either_header_carries_the_key(headers: dict[str, str]) -> None:
    """X-API-Key, or Authorization: Bearer, whose scheme has no case."""
    assert ask(service(keys=[KEY]), "GET", "/v1/version", headers=headers).status_code == 200


@pytest.mark.parametrize("path", OPEN)
def test_pages_and_probes_are_open(path: str) -> None:
    """They hold no data."""
    assert ask(service(keys=[KEY]), "GET", path).status_code == 200


def test_any_of_several_keys_counts() -> None:
    """Keys can be changed over without a pause; each is another client."""
    keys = ApiKeys([KEY, "another-key-of-26-characters"])
    assert keys.which([(b"x-api-key", KEY.encode())]) == 0
    assert keys.which([(b"x-api-key", b"another-key-of-26-characters")]) == 1
    assert keys.which([(b"x-api-key", b"\xff\xfe")]) is None
    assert keys.which([]) is None
    assert KEY not in repr(keys)
    assert not any(KEY.encode() in digest for digest in keys._digests)


def test_every_digest_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison is hmac's own, for every known key, whether or not an earlier one fits."""
    import hmac

    compared: list[tuple[bytes, bytes]] = []
    original = hmac.compare_digest

    def noted(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return original(one, other)

    monkeypatch.setattr("quantum_trader.serve.service.access.hmac.compare_digest", noted)
    keys = ApiKeys([KEY, "another-key-of-26-characters"])
    keys.which([(b"x-api-key", KEY.encode())])
    assert len(compared) == 2
    assert {len(digest) for pair in compared for digest in pair} == {32}


def test_keys_come_from_a_file_or_the_environment(tmp_path: Path) -> None:
    """One a line; both at once, an empty file and a missing one are refused without showing a key."""
    file = tmp_path / "keys"
    file.write_text(f"{KEY}\n\nanother-key-of-26-characters\n")
    assert read_keys(str(file), {}).which([(b"x-api-key", KEY.encode())]) == 0
    assert read_keys("", {KEY_VARIABLE: KEY}).which([(b"x-api-key", KEY.encode())]) == 0
    assert not read_keys("", {})
    with pytest.raises(ConfigError, match="give one, not both"):
        read_keys(str(file), {KEY_VARIABLE: KEY})
    with pytest.raises(ConfigError, match="No such file"):
        read_keys(str(tmp_path / "missing"), {})
    file.write_text("\n")
    with pytest.raises(ConfigError, match="holds no key"):
        read_keys(str(file), {})
    file.write_text("short-secret")
    with pytest.raises(ConfigError, match="at least 16") as caught:
        read_keys(str(file), {})
    assert "short-secret" not in str(caught.value)


def test_beyond_loopback_a_key_is_needed() -> None:
    """0.0.0.0, :: and names that are not loopback are refused without one."""
    for host in ("0.0.0.0", "::", "192.0.2.1", "no.such.host.invalid"):
        with pytest.raises(ConfigError, match="set an API key"):
            require_key_beyond_loopback(host, ApiKeys())
        require_key_beyond_loopback(host, ApiKeys([KEY]))
    for host in ("127.0.0.1", "127.5.5.5", "::1", "localhost"):
        assert is_loopback(host)
        require_key_beyond_loopback(host, ApiKeys())


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "localhost.evil", ""]
)
def test_other_host_names_are_refused_without_a_key(host: str) -> None:
    """A page whose name was made to resolve to 127.0.0.1 gets nothing."""
    answer = ask(service(), "GET", "/v1/version", headers={"host": host})
    assert (answer.status_code, code_of(answer)) == (403, "host_not_allowed")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:80", "127.0.0.1:9", "[::1]:80", "bots.internal:8"])
def test_own_host_names_are_known(host: str) -> None:
    """Loopback by any of its names, and what --allowed-hosts adds."""
    app = service(allowed_hosts=("bots.internal",))
    assert ask(app, "GET", "/v1/version", headers={"host": host}).status_code == 200


def test_with_a_key_the_host_name_does_not_matter() -> None:
    """Other sites' pages do not know the key."""
    headers = {"host": "bots.example", "x-api-key": KEY}
    assert ask(service(keys=[KEY]), "GET", "/v1/version", headers=headers).status_code == 200


def test_other_sites_cannot_post_to_loopback() -> None:
    """A browser names the page's site in Origin; programs name none."""
    app, sent = service("A"), {"bars": {"A": bar_json(61)}}
    for origin in ("https://evil.example", "null", "http://127.0.0.1:9999", "http://[", "file://"):
        answer = ask(app, "POST", "/v1/decisions", json=sent, headers={"origin": origin})
        assert (answer.status_code, code_of(answer)) == (403, "origin_not_allowed")
    own = {"origin": "http://127.0.0.1:8000"}
    assert ask(service("A"), "POST", "/v1/decisions", json=sent, headers=own).status_code == 200


def test_answers_carry_no_cors_and_no_cookies() -> None:
    """Security headers and a request id on answers and errors alike."""
    for path in ("/v1/version", "/nothing", "/"):
        answer = ask(service(), "GET", path, headers={"origin": "https://evil.example"})
        names = {name.lower() for name in answer.headers}
        assert not {name for name in names if name.startswith("access-control")}
        assert "set-cookie" not in names
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert len(answer.headers["x-request-id"]) == 16
    assert ask(service(), "GET", "/v1/version").headers["cache-control"] == "no-store"


@pytest.mark.parametrize(("sent", "kept"), [("bot-7", True), ("a b", False), ("x" * 65, False), ("é", False)])
def test_a_harmless_request_id_is_kept(sent: str, kept: bool) -> None:
    """A client's own id comes back; one that could spoil a log does not."""
    answer = ask(service(), "GET", "/health", headers={"x-request-id": sent.encode("latin-1", "replace")})
    assert (answer.headers["x-request-id"] == sent) is kept


def test_secrets_never_reach_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Keys in headers, query, path or body, right or wrong: the log has none of them."""
    caplog.set_level(logging.DEBUG)
    app = service("A", keys=[KEY])
    wrong = "wrong-key-of-24-chars..."
    for secret in (KEY, wrong):
        ask(app, "GET", f"/v1/version?api_key={secret}", headers={"x-api-key": secret})
        ask(app, "GET", f"/v1/{secret}", headers={"x-api-key": secret})
        bearer = {"authorization": f"Bearer {secret}"}
        ask(app, "POST", "/v1/decisions", json={secret: secret}, headers=bearer)
        ask(app, "POST", "/v1/decisions", content=b"{" + secret.encode(), headers={"x-api-key": secret})
    ours = [record for record in caplog.records if record.name.startswith("quantum_trader")]
    lines = "\n".join(record.getMessage() for record in ours)
    assert lines.count("method=") == 8
    assert "method=GET path=/v1/version status=200" in lines
    assert KEY not in lines
    assert wrong not in lines


def test_log_lines_cannot_be_forged(caplog: pytest.LogCaptureFixture) -> None:
    """A path with a line break stays one line; an unknown path is not repeated at all."""
    caplog.set_level(logging.INFO)
    ask(service(), "GET", "/v1/decisions/A%0Atime=1%20status=200")
    ask(service(), "GET", "/x%0Aforged")
    lines = [record.getMessage() for record in caplog.records if "access_log" in record.name]
    assert len(lines) == 2
    assert not any("\n" in line or "forged" in line for line in lines)
    assert len(lines[0].split(" ")) == 6


def test_a_client_that_asks_too_often_has_to_wait() -> None:
    """429 with Retry-After once the burst is used up; another client is not held back."""
    import asyncio

    from .services import asking

    app = service(rate_limit=0.0001, rate_burst=3, keys=[KEY, "another-key-of-26-characters"])

    async def statuses() -> list[int]:
        async with asking(app) as client:
            own = [await client.get("/v1/version", headers={"x-api-key": KEY}) for _ in range(5)]
            other = await client.get("/v1/version", headers={"x-api-key": "another-key-of-26-characters"})
            assert 9_000 <= int(own[-1].headers["retry-after"]) <= 10_001
            assert code_of(own[-1]) == "rate_limited"
            return [answer.status_code for answer in (*own, other)]

    assert asyncio.run(statuses()) == [200, 200, 200, 429, 429, 200]


def test_tokens_come_back_with_time() -> None:
    """Two a second up to the burst, in clock seconds; 0 is no limit; memory is bounded."""
    now = [0.0]
    limit = RateLimit(2.0, 2, clock=lambda: now[0])
    assert [limit.wait_s("a") for _ in range(3)] == [0, 0, 1]
    now[0] = 0.5
    assert [limit.wait_s("a") for _ in range(2)] == [0, 1]
    now[0] = 100.0
    assert [limit.wait_s("a") for _ in range(3)] == [0, 0, 1]
    assert not any(RateLimit(0.0, 1).wait_s("a") for _ in range(100))
    for number in range(MOST_CLIENTS + 50):
        limit.wait_s(f"client {number}")
    assert len(limit._buckets) == MOST_CLIENTS
