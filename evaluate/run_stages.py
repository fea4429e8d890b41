"""Which stages of a run are finished, and from what: the base of resuming one."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from quantum_trader.envs.errors import ModelFolderError
from quantum_trader.envs.files import json_sha256, write_json
from quantum_trader.train.launch import Launch

Result = TypeVar("Result")
Say = Callable[[str], None]


class Stages:
    """Runs each stage once per set of ingredients, and remembers its seconds.

    A stage is done again when its ingredients (config, data, the models it builds on) hash differently, or
    when what it wrote can no longer be loaded. Where torchrun started several processes, all of them go
    through the stages and the first one writes. Every stage has a file of its own, so that processes that
    fit different agents of one run do not overwrite each other's.
    """

    def __init__(self, folder: Path, say: Say) -> None:
        self._folder = folder / "stages"
        self.say = say

    @property
    def seconds(self) -> dict[str, float]:
        """Wall-clock seconds each finished stage took when it was done."""
        found = {path.stem: _read(path) for path in sorted(self._folder.glob("*.json"))}
        return {name: float(entry["seconds"]) for name, entry in found.items() if "seconds" in entry}

    def run(
        self,
        name: str,
        ingredients: Any,
        *,
        load: Callable[[], Result],
        make: Callable[[], Result],
        checkpoint: Path | None = None,
    ) -> Result:
        """The stage's result: loaded if it was made from these ingredients before, else made now.

        Args:
            name: of the stage.
            ingredients: plain JSON values that decide the result.
            load, make: the two ways to it.
            checkpoint: what `make` goes on from when it was cut off; removed once the stage is finished,
                since what is made next from other ingredients must not go on from it.
        """
        key = json_sha256(ingredients)
        path = self._folder / f"{name}.json"
        if _read(path).get("key") == key:
            try:
                result = load()
            except ModelFolderError as error:
                self.say(f"{name}: made again, because {error}")
            else:
                self.say(f"{name}: kept from before")
                return result
        self.say(f"{name}: fitting")
        started = time.perf_counter()
        result = make()
        seconds = time.perf_counter() - started
        if Launch.here().first:
            if checkpoint is not None:
                checkpoint.unlink(missing_ok=True)
            write_json(path, {"key": key, "seconds": seconds})
        self.say(f"{name}: done in {seconds:.0f} s")
        return result


def _read(path: Path) -> dict[str, Any]:
    """What an earlier run left; a damaged file costs the work, not the run."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError, UnicodeDecodeError):
        return {}
    return found if isinstance(found, dict) else {}
