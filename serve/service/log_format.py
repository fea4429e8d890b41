"""Log lines as `key=value` text on stderr: easy to read, to search and to parse."""

from __future__ import annotations

import logging
import sys
import time


class LogfmtFormatter(logging.Formatter):
    """time=... level=... logger=... and the message; an access line brings its own keys."""

    converter = staticmethod(time.gmtime)

    def format(self, record: logging.LogRecord) -> str:
        """One line; a traceback follows on lines of its own."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        words = record.getMessage()
        if not record.name.endswith("access_log"):
            words = 'msg="' + words.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
        name = record.name.removeprefix("quantum_trader.")
        line = (
            f"time={moment}.{int(record.msecs):03d}Z level={record.levelname.lower()} logger={name} {words}"
        )
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def log_to_stderr(level: str) -> None:
    """Send our own lines of at least `level` to stderr, and of other packages what is a warning at least."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LogfmtFormatter())
    logging.basicConfig(level=max(logging.WARNING, _number(level)), handlers=[handler], force=True)
    logging.getLogger("quantum_trader").setLevel(level.upper())


def _number(level: str) -> int:
    return logging.getLevelNamesMapping()[level.upper()]
