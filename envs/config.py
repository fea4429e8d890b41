"""Strict JSON for frozen dataclass configs: what was written is what is read back, and a typo is an error."""

from __future__ import annotations

import dataclasses
import enum
import json
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from quantum_trader.envs.errors import ConfigError

Config = TypeVar("Config")


def to_plain(value: Any) -> Any:
    """A config (nested dataclasses, tuples, enums) as plain JSON values."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    return value


def from_plain(kind: type[Config], value: Any, *, where: str) -> Config:
    """Build the dataclass `kind` from plain JSON values, strictly.

    Args:
        kind: a dataclass annotated with plain types, Literals, enums, optionals, tuples, dataclasses.
        value: a mapping as `json.load` gives it.
        where: what the message calls the source, e.g. a file path.

    Raises:
        ConfigError: a key is unknown or missing, or a value has the wrong type.
    """
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where}: expected an object with the fields of {kind.__name__}, found {value!r}.")
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(value) - set(fields))
    if unknown:
        raise ConfigError(
            f"{where}: unknown key {unknown[0]!r} for {kind.__name__}; "
            f"known keys are {', '.join(sorted(fields))}."
        )
    hints = typing.get_type_hints(kind)
    arguments = {key: _convert(hints[key], item, where=f"{where}: {key}") for key, item in value.items()}
    try:
        return kind(**arguments)
    except TypeError as error:
        raise ConfigError(f"{where}: {kind.__name__} is incomplete: {error}.") from error


def read_config(kind: type[Config], path: Path) -> Config:
    """Read the dataclass `kind` from a JSON file, strictly.

    Raises:
        ConfigError: the file is missing, is no JSON, or does not hold what `kind` needs.
    """
    return from_plain(kind, read_json(path), where=str(path))


def read_json(path: Path) -> Any:
    """The plain values of a JSON file.

    Raises:
        ConfigError: the file is missing or is no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"{path} does not exist: give the path of a JSON file of options.") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not JSON ({error}): mend it or leave it out.") from error


def _convert(hint: Any, value: Any, *, where: str) -> Any:
    if hint is Any:
        return value
    origin = typing.get_origin(hint)
    if origin is typing.Annotated:
        return _convert(typing.get_args(hint)[0], value, where=where)
    if origin in (typing.Union, types.UnionType):
        return _convert_union(typing.get_args(hint), value, where=where)
    if origin is typing.Literal:
        return _expect(value in typing.get_args(hint), value, f"one of {typing.get_args(hint)}", where)
    if origin in (tuple, list):
        return _convert_sequence(hint, value, where=where)
    if origin in (dict, Mapping):
        return _convert_mapping(typing.get_args(hint), value, where=where)
    if dataclasses.is_dataclass(hint):
        return from_plain(typing.cast(type[Any], hint), value, where=where)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        _expect(value in {member.value for member in hint}, value, f"a value of {hint.__name__}", where)
        return hint(value)
    if hint is Path:
        return Path(_expect(isinstance(value, str), value, "a path", where))
    if hint is float:
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return float(_expect(number, value, "a number", where))
    if hint is int:
        return _expect(isinstance(value, int) and not isinstance(value, bool), value, "a whole number", where)
    if isinstance(hint, type):
        return _expect(isinstance(value, hint), value, f"a {hint.__name__}", where)
    return value


def _convert_union(options: tuple[Any, ...], value: Any, *, where: str) -> Any:
    if value is None and type(None) in options:
        return None
    failures = []
    for option in (item for item in options if item is not type(None)):
        try:
            return _convert(option, value, where=where)
        except ConfigError as error:
            failures.append(error)
    raise failures[0]


def _convert_sequence(hint: Any, value: Any, *, where: str) -> Any:
    _expect(isinstance(value, (list, tuple)), value, "a list", where)
    arguments = typing.get_args(hint)
    variadic = typing.get_origin(hint) is list or (len(arguments) == 2 and arguments[1] is Ellipsis)
    if variadic:
        items = [_convert(arguments[0], item, where=where) for item in value]
    else:
        _expect(len(value) == len(arguments), value, f"a list of {len(arguments)}", where)
        items = [_convert(kind, item, where=where) for kind, item in zip(arguments, value, strict=True)]
    return items if typing.get_origin(hint) is list else tuple(items)


def _convert_mapping(arguments: tuple[Any, ...], value: Any, *, where: str) -> Any:
    _expect(isinstance(value, Mapping), value, "an object", where)
    return {key: _convert(arguments[1], item, where=f"{where}: {key}") for key, item in value.items()}


def _expect(condition: bool, value: Any, expected: str, where: str) -> Any:
    if not condition:
        raise ConfigError(f"{where}: expected {expected}, found {value!r}.")
    return value
