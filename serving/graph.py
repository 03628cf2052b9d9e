"""A graph that is loaded and ready: ids and mask in, scores out, whichever runtime computes them."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import numpy.typing as npt

from labels.borders import MAX_PROCLITICS
from labels.decode import Scores
from labels.folder import (
    BORDER_SCORES,
    EVENT_SCORES,
    PIECE_OUTPUTS,
    ROLE_KEYS,
    ROLE_QUERIES,
    TAG_SCORES,
    TRIGGER_SCORES,
    ModelFolder,
)
from serving.errors import EngineError

Ids = npt.NDArray[np.int64]

KNOWN_OUTPUTS = frozenset({EVENT_SCORES, *PIECE_OUTPUTS.values()})


class Graph(Protocol):
    """One model's graph on one device."""

    @property
    def precision(self) -> str:
        """What products are computed in: `f32`, `bf16` or `tf32`."""

    @property
    def streams(self) -> int:
        """How many threads may call `run` at the same time, each with a stream of its own."""

    @property
    def outputs(self) -> Mapping[str, int | None]:
        """Each output's name and last dimension, None where that is not fixed."""

    def run(self, ids: Ids, mask: Ids, stream: int = 0) -> dict[str, Scores]:
        """All outputs for `(rows, pieces)` ids and mask, in memory of the caller's own. `stream` is below `streams`; two
        calls on one stream at the same time are an error of the caller."""


def check_outputs(folder: ModelFolder, outputs: Mapping[str, int | None]) -> list[str]:
    """The outputs that are read; EngineError where they are not those the schema asks for. Which there must be, and of what
    size, the schema says; scores of borders, triggers and roles are there or not, and an output of another name is not of
    this form."""
    schema = folder.schema
    if strange := sorted(outputs.keys() - KNOWN_OUTPUTS):
        raise EngineError(f"{folder.path}: the graph has an unknown output {strange[:1]}; export the model again")
    wanted = {TAG_SCORES: len(schema.tags), EVENT_SCORES: len(schema.event_types)}
    read = [name for name, size in wanted.items() if size]
    for name in read:
        if name not in outputs:
            raise EngineError(f"{folder.path}: the graph has no output {name!r}; export the model again")
    if TRIGGER_SCORES in outputs and schema.event_types:
        wanted[TRIGGER_SCORES] = len(schema.event_types)
        read.append(TRIGGER_SCORES)
    for name in read:
        if outputs[name] not in {wanted[name], None}:
            raise EngineError(
                f"{folder.path}: output {name!r} ends in {outputs[name]}, the schema needs {wanted[name]} at its end"
            )
    if BORDER_SCORES in outputs and schema.tags:
        most = MAX_PROCLITICS + 1
        if (last := outputs[BORDER_SCORES]) is not None and not 2 <= last <= most:
            raise EngineError(f"{folder.path}: output {BORDER_SCORES!r} ends in {last}, expected 2 to {most}")
        read.append(BORDER_SCORES)
    return read + _check_roles(folder, outputs)


def _check_roles(folder: ModelFolder, outputs: Mapping[str, int | None]) -> list[str]:
    """Queries and keys come together, after triggers, and hold as many numbers for each role."""
    names = [ROLE_QUERIES, ROLE_KEYS]
    given = [name for name in names if name in outputs]
    if not given:
        return []
    sizes = {outputs[name] for name in given}
    roles = len(folder.schema.roles)
    whole = len(given) == len(names) and TRIGGER_SCORES in outputs
    if not whole or not roles or len(sizes) != 1 or any(size and size % roles for size in sizes):
        found = ", ".join(f"{name} {outputs[name]}" for name in given)
        raise EngineError(
            f"{folder.path}: expected {TRIGGER_SCORES}, {' and '.join(names)} together, the last two of one size, a "
            f"multiple of the schema's {roles} roles; found {found}; export the model again"
        )
    return names
