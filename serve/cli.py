"""`quantum-trader`: one table of commands, each a frozen dataclass whose fields are its options.

Only the module of the command asked for is imported, and those modules import heavy libraries when they
run, so that `--help` answers at once on every level.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, Protocol

from quantum_trader.envs.config import read_config
from quantum_trader.envs.errors import ConfigError, QuantumTraderError

PROGRAM = "quantum-trader"
BAD_INPUT = 2
INTERRUPTED = 130


class Command(Protocol):
    """A parsed command line."""

    def run(self) -> None:
        """Do what was asked."""
        ...


@dataclass(frozen=True, kw_only=True)
class Entry:
    """Where a command lives and what the overview says of it."""

    target: str
    """module:class below `quantum_trader.serve.commands`."""
    summary: str
    """One line for the overview."""


COMMANDS: dict[tuple[str, ...], Entry] = {
    ("run",): Entry(target="run:Run", summary="train every agent, judge them, write the report"),
    ("tune",): Entry(target="tune:Tune", summary="search for better options of one agent on validation rows"),
    ("train", "tft"): Entry(target="train:TrainTFT", summary="fit the Temporal Fusion Transformer"),
    ("train", "bilstm"): Entry(
        target="train:TrainBiLSTM", summary="fit the bidirectional LSTM with attention"
    ),
    ("train", "ppo"): Entry(target="train:TrainPPO", summary="fit PPO on the TFT's encoder"),
    ("train", "rl"): Entry(target="train:TrainRL", summary="fit PPO, A2C, DQN, SAC, ... and compare them"),
    ("train", "xgboost"): Entry(target="train:TrainXGBoost", summary="fit the gradient-boosted trees"),
    ("train", "ensemble"): Entry(
        target="train:TrainEnsemble", summary="fit the mean of XGBoost, LightGBM and CatBoost"
    ),
    ("export",): Entry(target="export:Export", summary="write a trained TFT or BiLSTM as an ONNX file"),
    ("benchmark",): Entry(
        target="benchmark:Benchmark", summary="compare agents, yours among them, by walk-forward"
    ),
    ("evaluate",): Entry(target="evaluate:Evaluate", summary="judge a run's agents, on its data or other"),
    ("explain",): Entry(target="explain:Explain", summary="what stands behind one prediction of a run"),
    ("serve",): Entry(target="serve:Serve", summary="answer decisions over HTTP, with a live page"),
    ("live",): Entry(target="live:Live", summary="decide on an exchange's closed bars, trade on paper"),
    ("live", "status"): Entry(
        target="live:LiveStatus", summary="what a live session's paper accounts have come to"
    ),
    ("live", "export"): Entry(
        target="live:LiveExport", summary="write its trades, fills or equity to a file"
    ),
    ("monitor",): Entry(target="monitor:Monitor", summary="how a journal's decisions have fared, and alerts"),
    ("journal", "info"): Entry(target="journal:Info", summary="what a journal holds"),
    ("journal", "export"): Entry(target="journal:Export", summary="write a journal as parquet"),
    ("journal", "prune"): Entry(target="journal:Prune", summary="delete what is older than so many days"),
    ("data", "fetch"): Entry(target="fetch:Fetch", summary="download bars and funding, resumable"),
    ("data", "inspect"): Entry(target="data:Inspect", summary="what a source holds: range, gaps, funding"),
    ("data", "validate"): Entry(target="data:Validate", summary="check files, say what is wrong with them"),
    ("data", "convert"): Entry(target="data:Convert", summary="read a source, write parquet or CSV"),
    ("data", "sample"): Entry(target="data:Sample", summary="write the embedded EURUSD series to a file"),
    ("data", "synthetic"): Entry(target="data:Synthetic", summary="write a synthetic series to a file"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0 done, 2 bad input, 130 interrupted."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s")
    try:
        name, rest = _split(words)
        _parse(name, rest).run()
    except QuantumTraderError as error:
        return _complain(str(error))
    except BrokenPipeError:
        # Whoever read our output has gone; Python must not try to flush to it again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BAD_INPUT
    except OSError as error:
        return _complain(f"{error.filename or 'a file'}: {error.strerror or error}.")
    except KeyboardInterrupt:
        _complain("interrupted; the same command goes on where this one stopped.")
        return INTERRUPTED
    return 0


def _split(words: Sequence[str]) -> tuple[tuple[str, ...], list[str]]:
    """The command's name and its options; prints an overview where no command is named."""
    for length in (2, 1):
        if tuple(words[:length]) in COMMANDS:
            return tuple(words[:length]), list(words[length:])
    leading = tuple(words[:1])
    group = [name for name in COMMANDS if name[:1] == leading]
    if not words or words[0] in ("-h", "--help"):
        _overview(list(COMMANDS))
    if words[0] == "--version":
        from importlib.metadata import version

        print(f"{PROGRAM} {version('quantum-trader')}")
        raise SystemExit(0)
    if group and (len(words) == 1 or words[1] in ("-h", "--help")):
        _overview(group)
    known = ", ".join(" ".join(name) for name in group or COMMANDS)
    raise ConfigError(f"unknown command {' '.join(words[:2])!r}: known commands are {known}.")


def _overview(names: Sequence[tuple[str, ...]]) -> NoReturn:
    width = max(len(" ".join(name)) for name in names)
    print(f"usage: {PROGRAM} COMMAND [options]   ({PROGRAM} COMMAND --help lists them)\n")
    for name in names:
        print(f"  {' '.join(name):<{width}}  {COMMANDS[name].summary}")
    raise SystemExit(0)


def _parse(name: tuple[str, ...], options: list[str]) -> Command:
    import tyro

    module, _, attribute = COMMANDS[name].target.partition(":")
    kind: type[Any] = getattr(importlib.import_module(f"quantum_trader.serve.commands.{module}"), attribute)
    default = _default_from_file(kind, options)
    program = f"{PROGRAM} {' '.join(name)}"
    command: Command = tyro.cli(kind, args=options, default=default, prog=program)
    return command


def _default_from_file(kind: type[Any], options: list[str]) -> Any:
    """`--config FILE` gives the defaults that other options override; it is taken out of `options`."""
    if "--config" not in options:
        return None
    at = options.index("--config")
    if at + 1 >= len(options):
        raise ConfigError("--config needs the path of a JSON file.")
    path = Path(options[at + 1])
    del options[at : at + 2]
    return read_config(kind, path)


def _complain(message: str) -> int:
    print(f"{PROGRAM}: {message}", file=sys.stderr)
    return BAD_INPUT


if __name__ == "__main__":
    raise SystemExit(main())
