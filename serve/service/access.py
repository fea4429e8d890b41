"""Who may ask: API keys, held as digests and compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path

from quantum_trader.envs.errors import ConfigError

KEY_VARIABLE = "QUANTUM_TRADER_API_KEY"
SHORTEST_KEY = 16

Headers = Iterable[tuple[bytes, bytes]]


class ApiKeys:
    """Any number of keys, none of them kept in the clear.

    Args:
        keys: as clients send them; empty lets everybody in.

    Raises:
        ConfigError: a key is too short or cannot be sent in a header.
    """

    def __init__(self, keys: Iterable[str] = ()) -> None:
        self._digests = tuple(_digest(_checked(key).encode("ascii")) for key in keys)

    def __bool__(self) -> bool:
        return bool(self._digests)

    def __repr__(self) -> str:
        return f"<{len(self._digests)} API keys>"

    def which(self, headers: Headers) -> int | None:
        """Number of the key that the request carries; None where it carries none that counts.

        Every digest is compared, so that the time taken says nothing about which one failed where.
        """
        sent = _sent(headers)
        if sent is None:
            return None
        digest, found = _digest(sent), None
        for number, known in enumerate(self._digests):
            if hmac.compare_digest(digest, known):
                found = number
        return found


def read_keys(key_file: str = "", environment: Mapping[str, str] = os.environ) -> ApiKeys:
    """Keys from a file, one a line, or from the environment. The command line would show them to everybody.

    Raises:
        ConfigError: both are given, the file cannot be read or is empty, or a key is too short.
    """
    from_environment = environment.get(KEY_VARIABLE, "")
    if not key_file:
        return ApiKeys([from_environment] if from_environment else [])
    if from_environment:
        raise ConfigError(f"API keys come from --api-key-file or from {KEY_VARIABLE}: give one, not both.")
    try:
        text = Path(key_file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise ConfigError(f"--api-key-file {key_file} cannot be read: {reason}.") from error
    keys = [line.strip() for line in text.splitlines() if line.strip()]
    if not keys:
        raise ConfigError(f"--api-key-file {key_file} holds no key: write one on a line of its own.")
    return ApiKeys(keys)


def is_loopback(host: str) -> bool:
    """Whether every address that `host` stands for can be reached from this machine only."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return False
    return all(ipaddress.ip_address(str(entry[4][0]).partition("%")[0]).is_loopback for entry in found)


def require_key_beyond_loopback(host: str, keys: ApiKeys) -> None:
    """Refuse to offer an open service to a network.

    Raises:
        ConfigError: no key is set and `host` is not loopback.
    """
    if not keys and not is_loopback(host):
        raise ConfigError(
            f"--host {host} can be reached from other machines: set an API key in {KEY_VARIABLE} or "
            "--api-key-file, or listen on 127.0.0.1."
        )


def _checked(key: str) -> str:
    if len(key) < SHORTEST_KEY or not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigError(
            f"An API key must have at least {SHORTEST_KEY} visible ASCII characters and no space: "
            'make one with `python -c "import secrets; print(secrets.token_urlsafe(32))"`.'
        )
    return key


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


def _sent(headers: Headers) -> bytes | None:
    """What X-API-Key or `Authorization: Bearer` carries."""
    found = None
    for name, value in headers:
        if name == b"x-api-key":
            return value.strip()
        if name == b"authorization":
            scheme, _, token = value.strip().partition(b" ")
            found = token.strip() if scheme.lower() == b"bearer" else found
    return found
