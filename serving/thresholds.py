"""Thresholds set for a run in place of the model folder's: `0.3`, `airstrike=0.6`, several parted by commas."""

import math
from collections.abc import Sequence

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
