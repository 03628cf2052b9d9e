"""What was taken for what: gold labels against predicted ones."""

from collections.abc import Sequence

from labels.types import Annotation, Prediction

NOTHING = "(none)"


def event_confusion(pairs: Sequence[tuple[Annotation, Prediction]], types: Sequence[str]) -> dict[str, dict[str, int]]:
    """Gold type to predicted type. A type found is on the diagonal; a missed one is shared among the wrong ones that
    were given to the same record, or counted under `(none)`; a wrong one with nothing missed is in the row `(none)`."""
    table = {row: dict.fromkeys((*types, NOTHING), 0) for row in (*types, NOTHING)}
    for annotation, prediction in pairs:
        truth, guess = annotation.event_types, set(prediction.event_types)
        for name in truth & guess & table.keys():
            table[name][name] += 1
        missed, wrong = sorted(truth - guess), sorted(guess - truth)
        for name in missed:
            for other in wrong or [NOTHING]:
                if name in table and other in table[name]:
                    table[name][other] += 1
        for other in wrong if not missed else ():
            if other in table:
                table[NOTHING][other] += 1
    return table


def entity_confusion(pairs: Sequence[tuple[Annotation, Prediction]], labels: Sequence[str]) -> dict[str, dict[str, int]]:
    """Gold label to predicted label of the span with the same borders; other borders count as `(borders)` where spans
    overlap, else as `(none)`."""
    columns = (*labels, "(borders)", NOTHING)
    table = {row: dict.fromkeys(columns, 0) for row in (*labels, NOTHING)}
    for annotation, prediction in pairs:
        exact = {e.span: e.label for e in prediction.entities}
        for entity in annotation.entities:
            if entity.label not in table:
                continue
            if entity.span in exact:
                column = exact[entity.span]
            else:
                column = "(borders)" if any(entity.span.overlaps(e.span) for e in prediction.entities) else NOTHING
            if column in table[entity.label]:
                table[entity.label][column] += 1
        for found in prediction.entities:
            if found.label in labels and not any(found.span.overlaps(e.span) for e in annotation.entities):
                table[NOTHING][found.label] += 1
    return table
