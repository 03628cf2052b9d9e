"""Thresholds set for a run in place of the model folder's: in Python a mapping; at the command line and in variables
`0.3`, `airstrike=0.6`, several parted by commas."""

import math
import numbers
from collections.abc import Mapping, Sequence

from serving.errors import SettingsError


def parse_thresholds(given: str, types: Sequence[str], where: str) -> dict[str, float]:
    """A number alone is for all types; what stands later holds. SettingsError names `where` it came from."""
    thresholds: dict[str, float] = {}
    for item in filter(None, map(str.strip, given.split(","))):
        name, _, number = item.rpartition("=")
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if not 0 < value < 1 or (name and name not in types):
            known = ", ".join(types) or "none"
            raise SettingsError(f"{where}: expected P or TYPE=P, P between 0 and 1, TYPE one of {known}; found {item!r}")
        thresholds |= dict.fromkeys([name] if name else types, value)
    return thresholds


def check_thresholds(given: Mapping[str, float], types: Sequence[str]) -> dict[str, float]:
    """The same thresholds. SettingsError for a type that the model does not have, or a value that is none."""
    for name, value in given.items():
        if name not in types:
            raise SettingsError(f"thresholds: expected types of {', '.join(types) or 'none'}; found {name!r}")
        if not isinstance(value, numbers.Real) or not 0 < value < 1:
            raise SettingsError(f"thresholds: expected a number between 0 and 1 for {name}, found {value!r}")
    return {name: float(value) for name, value in given.items()}
