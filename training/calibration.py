"""What setting rules on a dev split has in common: the best temperature, the best cut."""

import numpy as np
import numpy.typing as npt

TEMPERATURES = np.round(np.geomspace(0.3, 4.0, 60), 4)
SHRINKAGE = 20.0
"""Positives at which a label's own best threshold and the common one weigh the same: dev holds 8 to 90 of a type, and
the best threshold of 8 is mostly noise."""


def best_temperature(logits: npt.NDArray[np.floating], truth: npt.NDArray[np.bool_]) -> float:
    """The divisor of `logits` under which `truth` is likeliest."""

    def loss(temperature: float) -> float:
        return float(np.logaddexp(0.0, np.where(truth, -logits, logits) / temperature).mean())

    return min(map(float, TEMPERATURES), key=loss) if logits.size else 1.0


def best_cut(grid: npt.NDArray[np.float64], f1: npt.NDArray[np.float64], near: float) -> float:
    """The cut of the highest F1; of several, the one nearest to `near`."""
    best = np.flatnonzero(f1 == f1.max())
    return float(grid[best[np.abs(grid[best] - near).argmin()]])
