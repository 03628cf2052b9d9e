"""What an operator sets, from environment variables named MARSAD_*."""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import get_args

from serving.defaults import DEFAULT_MODEL, MAX_CHARACTERS
from serving.devices import DEVICES, Device, Precision
from serving.errors import SettingsError

logger = logging.getLogger(__name__)

_PREFIX = "MARSAD_"
WORKERS = "MARSAD_WORKERS"


@dataclass(frozen=True)
class Settings:
    """Each field is read from MARSAD_ and its name in capitals. `threads` 0 takes all cores of the process. `thresholds` are
    those of event types, as `serving.thresholds` reads them. `max_waiting` bounds the requests of one process that are being
    answered or wait for it: one more is sent away and may come again. `deadline` is in seconds. `tokens` are parted by
    commas, `tokens_file` has one a line; with neither everybody may ask."""

    model: Path = DEFAULT_MODEL
    device: Device = "cpu"
    threads: int = 0
    precision: Precision = "auto"
    thresholds: str = ""
    max_characters: int = MAX_CHARACTERS
    max_documents: int = 256
    max_body_bytes: int = 8 * 1024 * 1024
    max_waiting: int = 64
    deadline: float = 30.0
    tokens: str = field(default="", repr=False)
    tokens_file: Path | None = None
    access_log: bool = True

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """SettingsError names the variable whose value cannot be used."""
        values: dict[str, object] = {}
        for variable, name in _variables().items():
            if name.startswith("tokens") and variable in environment and not environment[variable].strip():
                # An empty one is no answer to who may ask: most often it is a variable that came out so.
                raise SettingsError(f"{variable}: is set and empty; give tokens, or do not set it and let everybody ask")
            if given := environment.get(variable, "").strip():
                values[name] = _read(name, variable, given)
        return cls(**values)  # type: ignore[arg-type]


def _read(name: str, variable: str, given: str) -> object:
    if name in {"model", "tokens_file"}:
        return Path(given)
    if name in {"thresholds", "tokens"}:
        return given
    if name == "device":
        return _one_of(variable, given, {each: each for each in DEVICES})
    if name == "precision":
        return _one_of(variable, given, {each: each for each in get_args(Precision)})
    if name == "access_log":
        return _one_of(variable, given, {"on": True, "off": False})
    if name == "deadline":
        return _seconds(variable, given)
    return _number(variable, given, least=0 if name == "threads" else 1)


def warn_of_unknown(environment: Mapping[str, str]) -> None:
    """Log each MARSAD_ variable that nothing reads: a slip of the pen would else be a default in silence."""
    known = [*_variables(), WORKERS]
    for name in sorted(environment):
        if name.startswith(_PREFIX) and name not in known:
            logger.warning("%s is set, but there is no such setting; known: %s", name, ", ".join(known))


def workers_from_environment(environment: Mapping[str, str]) -> int:
    """Processes of the service; each holds a copy of the model."""
    return _number(WORKERS, environment.get(WORKERS, "").strip() or "1", least=1)


def _variables() -> dict[str, str]:
    return {_PREFIX + field.name.upper(): field.name for field in fields(Settings)}


def _one_of(variable: str, given: str, known: Mapping[str, object]) -> object:
    if given not in known:
        raise SettingsError(f"{variable}: expected one of {', '.join(known)}, found {given!r}")
    return known[given]


def _seconds(variable: str, given: str) -> float:
    try:
        value = float(given)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise SettingsError(f"{variable}: expected a number of seconds above 0, found {given!r}")
    return value


def _number(variable: str, given: str, least: int) -> int:
    if not (given.isascii() and given.isdigit()) or int(given) < least:
        raise SettingsError(f"{variable}: expected a whole number, {least} or more, found {given!r}")
    return int(given)
