"""`FolderLock`: one process per folder."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from quantum_trader.envs.errors import ConfigError

NAME = "lock"


class FolderLock:
    """Held until `release` or the end of the process, however that comes; the file itself stays.

    The system's own lock on an open file is used: it cannot be left behind by a process that was killed.

    Args:
        folder: must exist.

    Raises:
        ConfigError: another process holds it.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(self._handle)
        except OSError as error:
            holder = _read(self._path)
            os.close(self._handle)
            raise ConfigError(
                f"{folder}: another live session{holder} works in this folder; end it or give another."
            ) from error
        os.ftruncate(self._handle, 0)
        os.lseek(self._handle, 0, os.SEEK_SET)
        os.write(self._handle, f"{os.getpid()}\n".encode())

    def release(self) -> None:
        """Let another process have the folder; calling it again does nothing."""
        handle, self._handle = self._handle, -1
        if handle >= 0:
            os.close(handle)


def _read(path: Path) -> str:
    with contextlib.suppress(OSError):
        holder = path.read_text(encoding="utf-8").strip()
        if holder.isdigit():
            return f" (process {holder})"
    return ""


def _lock(handle: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        os.lseek(handle, 1 << 20, os.SEEK_SET)  # a byte nobody reads: Windows locks what it covers
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        os.lseek(handle, 0, os.SEEK_SET)
    else:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
