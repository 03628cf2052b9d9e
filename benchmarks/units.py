"""Fine-tunings, one for each seed and fold, that outlive a kill; and what several seeds say together."""

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, median, stdev
from types import ModuleType
from typing import Any

from benchmarks.table import Spread, write_json
from training.counts import Interval

logger = logging.getLogger(__name__)

# A seed or fold under this share of the median of its like did not learn what the others did.
COLLAPSE = 0.5


@dataclass(frozen=True)
class Outcome:
    """What a fine-tuning predicts for the items it was measured on, by their ids; the seconds it took, measuring not
    counted; and what is to be told of it."""

    predicted: Mapping[str, Any]
    seconds: float
    notes: Mapping[str, Any]


@dataclass(frozen=True)
class Unit:
    """The outcome of one seed on one fold (0 where a test file is measured). `code` tells the program that made it,
    `busy` whether the machine had other work when that began."""

    seed: int
    fold: int
    code: str
    busy: bool
    outcome: Outcome


class UnitStore:
    """Finished units in `folder`, each a file under a key of `settings`: everything that decides the figures, such as the
    hashes of data and base. A unit of other settings is not found; one of other code is, and the report tells."""

    def __init__(self, folder: Path, settings: Mapping[str, Any], *, code: Sequence[ModuleType], busy: bool) -> None:
        self.folder, self.settings, self.busy = folder, settings, busy
        self.key = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()[:12]
        self.code = hash_code(code)

    def obtain(self, seed: int, fold: int, fine_tune: Callable[[Path], Outcome]) -> Unit:
        """The finished unit, or that which `fine_tune` makes in the empty folder it is given, which is removed after."""
        name = f"seed{seed}-fold{fold}-{self.key}"
        file, scratch = self.folder / f"{name}.json", self.folder / f"{name}.partial"
        if (known := self._load(file)) is not None:
            logger.info("seed %d, fold %d: finished before, taken from %s", seed, fold, file)
            return known
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        logger.info("seed %d, fold %d: fine-tuning", seed, fold)
        unit = Unit(seed, fold, self.code, self.busy, fine_tune(scratch))
        partial = scratch / file.name
        write_json(partial, asdict(unit) | {"settings": self.settings})
        partial.replace(file)  # whole or not at all
        shutil.rmtree(scratch)
        return unit

    def _load(self, file: Path) -> Unit | None:
        if not file.is_file():
            return None
        try:
            record = json.loads(file.read_text(encoding="utf-8"))
            record.pop("settings")
            return Unit(**record | {"outcome": Outcome(**record["outcome"])})
        except (ValueError, KeyError, TypeError) as error:  # edited, or of another version
            logger.warning("%s is no finished unit, made anew: %s", file, error)
            return None

    def warnings(self, units: Sequence[Unit]) -> list[str]:
        """What makes units of different runs unequal."""
        other = sum(unit.code != self.code for unit in units)
        if not other:
            return []
        return [f"{other} of {len(units)} fine-tunings were kept from another version of the code; another --work has none"]


def hash_code(modules: Sequence[ModuleType]) -> str:
    """Changes with any line of the modules' files."""
    digest = hashlib.sha256()
    for module in modules:
        digest.update(Path(str(module.__file__)).read_bytes())
    return digest.hexdigest()[:16]


def collapsed(what: str, values: Mapping[str, float]) -> list[str]:
    """One line for each name whose value is under COLLAPSE of the median of all, or zero. Nothing is said of one alone."""
    if len(values) < 2:
        return []
    middle = median(values.values())
    return [
        f"{name} collapsed: {what} {100 * value:.1f}, the median of {len(values)} is {100 * middle:.1f}"
        for name, value in values.items()
        if value < COLLAPSE * middle or value == 0
    ]


def mean_and_spread(values: Sequence[float]) -> str:
    """Per cent, mean ± standard deviation of a sample (n - 1); the mean alone of one."""
    spread = f" ± {100 * stdev(values):.1f}" if len(values) > 1 else ""
    return f"{100 * mean(values):.1f}{spread}"


def measure_row(name: str, values: Sequence[Interval | float]) -> list[str]:
    """A table row: the measure, its mean over the seeds with the spread, and each seed's value with its interval."""
    cells = [
        f"{100 * value.value:.1f} ({100 * value.low:.1f} to {100 * value.high:.1f})"
        if isinstance(value, Interval)
        else f"{100 * value:.1f}"
        for value in values
    ]
    return [name, mean_and_spread([value.value if isinstance(value, Interval) else value for value in values]), *cells]


def time_line(units: Sequence[Unit]) -> str:
    """Seconds of a fine-tuning, and whether they hold."""
    busy = sum(unit.busy for unit in units)
    doubt = f"; {busy} of {len(units)} began on a busy machine, so that the time does not hold" if busy else ""
    return f"Seconds of a fine-tuning: {Spread.of([unit.outcome.seconds for unit in units]).show()}{doubt}"
