"""A run is described by one TOML file; it becomes frozen dataclasses, and a key nobody reads is an error."""

import dataclasses
import tomllib
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

from labels.errors import ConfigError

T = TypeVar("T")


def load_config(cls: type[T], path: Path) -> T:
    """Read `path` into the dataclass `cls`; ConfigError names the file and the key that is unknown, absent or mistyped."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error
    return _build(cls, values, str(path), "")


def _build(cls: type[T], values: dict[str, Any], file: str, prefix: str) -> T:
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    hints = typing.get_type_hints(cls)
    unknown = sorted(values.keys() - fields.keys())
    if unknown:
        raise ConfigError(f"{file}: unknown key {prefix}{unknown[0]!s}; known here: {', '.join(sorted(fields))}")
    arguments = {key: _convert(hints[key], value, file, prefix + key) for key, value in values.items()}
    for name, field in fields.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and name not in arguments:
            raise ConfigError(f"{file}: key {prefix}{name} is missing")
    try:
        return cls(**arguments)
    except ValueError as error:
        raise ConfigError(f"{file}: {error}") from error


def _convert(hint: Any, value: Any, file: str, key: str) -> Any:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):  # only `X | None` is used, and TOML has no null
        hint = next(part for part in typing.get_args(hint) if part is not type(None))
    if dataclasses.is_dataclass(hint) and isinstance(value, dict):
        return _build(typing.cast("type", hint), value, file, key + ".")
    if typing.get_origin(hint) is tuple and isinstance(value, list):
        item = typing.get_args(hint)[0]
        return tuple(_convert(item, each, file, f"{key}[{i}]") for i, each in enumerate(value))
    if typing.get_origin(hint) is dict and isinstance(value, dict):
        item = typing.get_args(hint)[1]
        return {name: _convert(item, each, file, f"{key}.{name}") for name, each in value.items()}
    if hint is Path and isinstance(value, str):
        return Path(value)
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint:
        raise ConfigError(f"{file}: {key} must be {getattr(hint, '__name__', hint)}, found {value!r}")
    return value
