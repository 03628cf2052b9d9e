"""What an operator sets, from environment variables named MARSAD_*."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import get_args

from serving.analyzer import MAX_CHARACTERS
from serving.engine import Precision
from serving.errors import SettingsError

logger = logging.getLogger(__name__)

DEFAULT_MODEL = Path(__file__).resolve().parent.parent / "models" / "marsad-mini"

_PREFIX = "MARSAD_"
WORKERS = "MARSAD_WORKERS"


@dataclass(frozen=True)
class Settings:
    """Each field is read from MARSAD_ and its name in capitals. `threads` 0 takes all cores of the machine. `thresholds` are
    those of event types, as `serving.thresholds` reads them. `max_waiting` bounds the requests that are being answered or
    wait for it: one more gets 503 and may come again."""

    model: Path = DEFAULT_MODEL
    threads: int = 0
    precision: Precision = "auto"
    thresholds: str = ""
    max_characters: int = MAX_CHARACTERS
    max_documents: int = 256
    max_body_bytes: int = 64 * 1024 * 1024
    max_waiting: int = 64

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """SettingsError names the variable whose value cannot be used."""
        values: dict[str, object] = {}
        for variable, name in _variables().items():
            given = environment.get(variable, "").strip()
            if not given:
                continue
            if name == "model":
                values[name] = Path(given)
            elif name == "thresholds":
                values[name] = given
            elif name == "precision":
                if given not in get_args(Precision):
                    raise SettingsError(f"{variable}: expected one of {', '.join(get_args(Precision))}, found {given!r}")
                values[name] = given
            else:
                values[name] = _number(variable, given, least=0 if name == "threads" else 1)
        return cls(**values)  # type: ignore[arg-type]


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


def _number(variable: str, given: str, least: int) -> int:
    if not (given.isascii() and given.isdigit()) or int(given) < least:
        raise SettingsError(f"{variable}: expected a whole number, {least} or more, found {given!r}")
    return int(given)
