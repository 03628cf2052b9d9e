"""A prediction for a person at a terminal: each sentence right to left with its names coloured, its events under it."""

import re
import unicodedata
from collections.abc import Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from labels.schema import EntityLabel, EventType, LabelSchema
from labels.types import Entity, Prediction, Span

_COLOURS = ("bold cyan", "bold green", "bold magenta", "bold yellow", "bold blue", "bold red")
_RIGHT_TO_LEFT, _FIRST_STRONG, _END = "\u2067", "\u2068", "\u2069"  # isolates: a line's order stays within it
_BIDI = re.compile("[\u202a-\u202e\u2066-\u2069]")


def show(prediction: Prediction, schema: LabelSchema, console: Console | None = None) -> None:
    """Write it to `console`, standard output if not given."""
    console = console or Console(highlight=False, soft_wrap=False)
    colours = {name: _COLOURS[i % len(_COLOURS)] for i, name in enumerate(schema.entity_labels)}
    events = {event.name: event for event in schema.events}
    for number, sentence in enumerate(prediction.sentences):
        inside = [entity for entity in prediction.entities if entity.sentence == number]
        console.print(paint(prediction.text, sentence, inside, colours), justify="right")
        found = [event for event in prediction.events if event.sentence == number]
        if found:
            line = Text("  ").join(
                Text.assemble((_named(events[e.type]), "reverse"), (f" {e.score:.2f}", "dim")) for e in found
            )
            console.print(line, justify="right")
        console.print()
    if prediction.entities:
        console.print(_table(prediction, schema, colours))
    for warning in prediction.warnings:
        console.print(f"{prediction.id}: {warning}", style="yellow", markup=False)


def paint(text: str, sentence: Span, entities: list[Entity], colours: dict[str, str]) -> Text:
    """A sentence with its names in their labels' colours, isolated from right to left."""
    painted = Text(_RIGHT_TO_LEFT)
    at = sentence.start
    for entity in entities:
        painted.append(plain(text[at : entity.span.start]))
        painted.append(plain(entity.span.of(text)), colours[entity.label])
        at = entity.span.end
    painted.append(plain(text[at : sentence.end]))
    return painted.append(_END)


def plain(text: str) -> str:
    """Text that cannot steer the terminal: control characters are shown as a sign, marks that turn the direction of
    what follows are left out."""
    return "".join("\ufffd" if unicodedata.category(c) == "Cc" else c for c in _BIDI.sub("", text))


def _table(prediction: Prediction, schema: LabelSchema, colours: dict[str, str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("id", "label", "score", "at"):
        table.add_column(name)
    table.add_column("name", justify="right")
    labels = {label.name: label for label in schema.entities}
    for entity in prediction.entities:
        name = _FIRST_STRONG + plain(entity.span.of(prediction.text)) + _END
        place = f"{entity.span.start}-{entity.span.end}"
        label = Text(_named(labels[entity.label]), colours[entity.label])
        table.add_row(entity.id, label, f"{entity.score:.2f}", place, Text(name, colours[entity.label]))
    return table


def _named(label: EntityLabel | EventType) -> str:
    """airstrike, غارة جوية"""
    return " ".join(_parts(label))


def _parts(label: EntityLabel | EventType) -> Iterator[str]:
    yield label.name
    if label.gloss_ar:
        yield f"{_RIGHT_TO_LEFT}{label.gloss_ar}{_END}"
