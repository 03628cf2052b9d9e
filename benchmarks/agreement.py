"""How far two annotators of the same sentences agree: `python -m benchmarks.agreement FIRST.jsonl SECOND.jsonl`.

F1 of the second against the first (it is the same the other way round): entities with label and both borders, event types
of a sentence, triggers with type and both borders, role fillers with event type, role and both borders.
"""

import argparse
from collections.abc import Callable, Hashable, Iterator
from pathlib import Path

from labels.records import read_annotations
from labels.types import Annotation
from training.causes import fillings


def entities(a: Annotation) -> Iterator[Hashable]:
    return ((e.label, e.span) for e in a.entities)


def types(a: Annotation) -> Iterator[Hashable]:
    return iter(a.event_types)


def triggers(a: Annotation) -> Iterator[Hashable]:
    return ((e.type, e.trigger) for e in a.events)


def roles(a: Annotation) -> Iterator[Hashable]:
    return iter(fillings(a))


def agreement(first: list[Annotation], second: list[Annotation], view: Callable[[Annotation], Iterator[Hashable]]) -> float:
    texts = {a.text: a for a in first}
    shared = size = 0
    for b in second:
        if b.text not in texts:
            raise SystemExit(f"{b.id}: its text is not in the first file")
        mine, theirs = set(view(texts[b.text])), set(view(b))
        shared += len(mine & theirs)
        size += len(mine) + len(theirs)
    return 2 * shared / size if size else 1.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    arguments = parser.parse_args()
    first, second = read_annotations(arguments.first), read_annotations(arguments.second)
    print(f"| measure | F1 over {len(second)} sentences |\n| --- | --- |")
    for view in (entities, types, triggers, roles):
        print(f"| {view.__name__} | {agreement(first, second, view):.3f} |")


if __name__ == "__main__":
    main()
