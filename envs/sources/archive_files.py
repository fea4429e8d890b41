"""The public archive's files: fetched over HTTP, checked against their checksums, read."""

from __future__ import annotations

import csv
import hashlib
import http.client
import io
import ipaddress
import ssl
import urllib.error
import urllib.request
import zipfile
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from quantum_trader.envs.bars import Floats
from quantum_trader.envs.errors import ConfigError
from quantum_trader.envs.files import atomic_file
from quantum_trader.envs.sources.errors import SourceError, TurnedAway
from quantum_trader.envs.sources.replies import PLACE, turned_away, wait_of
from quantum_trader.envs.sources.retry import Retry, Transient

ARCHIVE_URL = "https://data.binance.vision"
"""Binance's public archive; free, without an account."""

_TIMEOUT_S = 60.0
_MICROSECONDS_FROM = 1e14
"""Times above this are microseconds: as milliseconds they would lie beyond the year 5000."""


class ArchiveFiles:
    """Downloads of one archive.

    Args:
        url: scheme, host and perhaps a path, before "/data/futures/um/...".
        retry: how to ask again.
        timeout_s: seconds to wait for the next bytes of an answer.

    Raises:
        ConfigError: `url` is none.
    """

    def __init__(
        self, url: str = ARCHIVE_URL, *, retry: Retry | None = None, timeout_s: float = _TIMEOUT_S
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ConfigError(f"expected an archive's URL such as {ARCHIVE_URL}, found {url!r}.")
        self.url = url.rstrip("/")
        self._retry = retry if retry is not None else Retry()
        self._timeout_s = timeout_s
        # The environment's proxy serves hosts elsewhere, never one on this machine.
        proxy = [urllib.request.ProxyHandler({})] if _is_loopback(parts.hostname or "") else []
        self._opener = urllib.request.build_opener(*proxy)

    def exists(self, path: str) -> bool:
        """Whether the archive has the file `path`, e.g. "/data/futures/um/....zip"."""
        return self._get(f"{path}.CHECKSUM") is not None

    def zip(self, path: str, folder: Path) -> bytes | None:
        """The file's bytes, as its checksum says they must be; None if the archive does not have it.

        Args:
            path: "/data/futures/um/....zip".
            folder: a file received before lies here and is not asked for again.

        Raises:
            SourceError: the archive does not answer, or what it sends never fits its checksum.
        """
        kept = folder / path.replace("/", "_").strip("_")
        if kept.is_file():
            return kept.read_bytes()
        content = self._retry.call(lambda: self._checked(path), who=self.url)
        if content is not None:
            with atomic_file(kept) as temporary:
                temporary.write_bytes(content)
        return content

    def _checked(self, path: str) -> bytes | None:
        name = path.rsplit("/", 1)[-1]
        checksum = self._once(f"{path}.CHECKSUM")
        if checksum is None:
            return None
        content = self._once(path)
        if content is None:
            raise Transient(f"{name} is missing beside its checksum")
        expected = checksum.decode("ascii", errors="replace").split()[:1]
        if [hashlib.sha256(content).hexdigest()] != [text.lower() for text in expected]:
            raise Transient(f"{name} does not fit its SHA-256 checksum")
        return content

    def _get(self, path: str) -> bytes | None:
        return self._retry.call(lambda: self._once(path), who=self.url)

    def _once(self, path: str) -> bytes | None:
        """One request: the body, or None where there is no such file."""
        request = urllib.request.Request(f"{self.url}{path}", headers={"User-Agent": "quantum-trader"})
        try:
            with self._opener.open(request, timeout=self._timeout_s) as answer:
                body: bytes = answer.read()
                return body
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            if error.code in PLACE:
                raise TurnedAway(turned_away(self.url, path, error.code)) from error
            if error.code < 500 and error.code not in (408, 418, 425, 429):
                raise SourceError(f"{self.url} refuses {path} (HTTP {error.code} {error.reason}).") from error
            raise Transient(f"HTTP {error.code}", retry_after_s=wait_of(error.headers.get)) from error
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, ssl.SSLCertVerificationError):
                raise SourceError(f"{self.url}: its certificate is not trusted ({reason}).") from error
            raise Transient(str(reason) or type(error).__name__) from error


def kline_rows(content: bytes, name: str, width: int) -> Floats:
    """Rows of a kline file.

    Args:
        content: the zip file.
        name: its name, for messages.
        width: columns from the open time on: 6 with volume, 5 without.

    Returns:
        float64 [n, width], the time in milliseconds.

    Raises:
        SourceError: the zip file holds something else.
    """
    return _table(content, name, tuple(range(width)))


def funding_rows(content: bytes, name: str) -> Floats:
    """Rows of a funding file (calc_time, funding_interval_hours, last_funding_rate): float64 [n, 2]."""
    return _table(content, name, (0, 2))


def _table(content: bytes, name: str, columns: tuple[int, ...]) -> Floats:
    """Columns of the one CSV file within; older files have no header line."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            member = next(entry for entry in archive.namelist() if entry.lower().endswith(".csv"))
            text = archive.read(member).decode("utf-8-sig")
        lines = [line for line in csv.reader(io.StringIO(text)) if line]
        if lines and not _is_number(lines[0][0]):
            del lines[0]
        rows = np.array([[float(line[column]) for column in columns] for line in lines], dtype=np.float64)
    except (zipfile.BadZipFile, StopIteration, UnicodeDecodeError, ValueError, IndexError) as error:
        raise SourceError(
            f"{name}: expected a zip file with one CSV of {max(columns) + 1} columns or more, "
            f"found something else ({error}); leave that time out or choose another source."
        ) from error
    rows = rows.reshape(-1, len(columns))
    finer = rows[:, 0] > _MICROSECONDS_FROM
    rows[finer, 0] = np.floor(rows[finer, 0] / 1000.0)
    return rows[np.argsort(rows[:, 0], kind="stable")]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
