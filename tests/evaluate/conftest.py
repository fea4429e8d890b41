from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

# The tests are imported by file name, so a helper beside them has to be made known by its own.
_PATH = Path(__file__).with_name("report_data.py")
_SPEC = importlib.util.spec_from_file_location("report_data", _PATH)
assert _SPEC is not None
assert _SPEC.loader is not None
_MODULE = importlib.util.module_from_spec(_SPEC)
sys.modules["report_data"] = _MODULE
_SPEC.loader.exec_module(_MODULE)
