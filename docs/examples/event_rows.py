"""A table of documents to a table of events, one row each: what the workers of `spark_map_in_pandas.py` and
`dask_map_partitions.py` import.

A module of its own, which each worker process imports once and keeps. What a script or a notebook defines travels to the
workers by value, and a function under `functools.cache` does not travel so.
"""

import json
import os
from collections.abc import Iterator
from functools import cache
from typing import Any

import pandas as pd

from serving import Analyzer, Document, Failure, Prediction

ROLES = ("agents", "targets", "locations")
TYPES = {"document": "string", "type": "string", "score": "float64", "trigger": "string"}
TYPES |= dict.fromkeys((*ROLES, "offsets", "error"), "string")
"""Columns of the rows. `offsets` is JSON: start and end, in code points of the document's text, of the trigger and of each
name. Names of one role are parted by ` | `. `error` says why a document was not read; the row then holds only its id."""


@cache
def worker_analyzer() -> Analyzer:
    """The one of this process, which ends with it. One thread: Spark and Dask have a process for each core already."""
    return Analyzer.open(os.environ.get("MARSAD_MODEL"), threads=1)


def event_rows(frame: pd.DataFrame, analyzer: Analyzer) -> pd.DataFrame:
    """`frame` has the columns `id` and `text`. A document without events has no row, one that cannot be read has one."""
    texts = frame["text"].astype(object).where(frame["text"].notna(), None)  # pandas has several kinds of nothing
    documents = (Document(str(name), text) for name, text in zip(frame["id"], texts, strict=True))
    rows = [row for answer in analyzer.stream(documents) for row in _rows(answer)]
    return pd.DataFrame(rows, columns=list(TYPES)).astype(TYPES)


def _rows(answer: Prediction | Failure) -> Iterator[dict[str, Any]]:
    if isinstance(answer, Failure):
        yield {"document": answer.id, "error": f"{answer.code}: {answer.message}"}
        return
    spans = {entity.id: entity.span for entity in answer.entities}
    for event in answer.events:
        found = {role: [spans[name] for name in event.roles.get(role, ())] for role in ROLES}
        offsets: dict[str, Any] = {"trigger": event.trigger and [event.trigger.start, event.trigger.end]}
        offsets |= {role: [[span.start, span.end] for span in filled] for role, filled in found.items()}
        yield {
            "document": answer.id,
            "type": event.type,
            "score": round(event.score, 4),
            "trigger": event.trigger and event.trigger.of(answer.text),
            **{role: " | ".join(span.of(answer.text) for span in filled) for role, filled in found.items()},
            "offsets": json.dumps(offsets),
        }
