"""Files of annotations from one form to another: JSONL, the hand-written inline form, two-column CoNLL, and those of
annotation tools: brat, Label Studio, doccano. What the target cannot hold is told, with its number."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from labels.brat import read_brat, write_brat
from labels.conll import read_conll, write_conll
from labels.doccano import doccano_records, read_doccano
from labels.errors import RecordError
from labels.inline import canonical, format_inline, read_inline_file, renumber, story_of, write_inline_file
from labels.label_studio import label_studio_tasks, labeling_config, read_label_studio
from labels.records import annotation_record, read_annotations, write_jsonl
from labels.schema import LabelSchema
from labels.types import Annotation


class Format(StrEnum):
    """A form that annotations are kept in."""

    JSONL = "jsonl"
    INLINE = "inline"
    CONLL = "conll"
    BRAT = "brat"
    LABEL_STUDIO = "label-studio"
    DOCCANO = "doccano"


_SUFFIXES = {
    ".jsonl": Format.JSONL,
    ".txt": Format.INLINE,
    ".inline": Format.INLINE,
    ".conll": Format.CONLL,
    ".iob": Format.CONLL,
    ".iob2": Format.CONLL,
    ".bio": Format.CONLL,
    ".tsv": Format.CONLL,
}


@dataclass(frozen=True, slots=True)
class Conversion:
    """How many sentences were written, and a line on each thing that was mended or lost on the way."""

    sentences: int
    notes: tuple[str, ...]


def guess_format(path: Path) -> Format:
    """The form that a file's name tells; a folder is brat's."""
    found = Format.BRAT if path.is_dir() else _SUFFIXES.get(path.suffix.lower())
    if found is None:
        expected = ", ".join(_SUFFIXES)
        raise RecordError(str(path), f"expected a name that ends in {expected}; rename it or name the form")
    return found


def read_file(path: Path, schema: LabelSchema, form: Format | None = None) -> tuple[list[Annotation], list[str]]:
    """A file's sentences in any form, guessed from its name where none is given, and what was mended in reading."""
    form = form or guess_format(path)
    if form is Format.JSONL:
        return read_annotations(path), []
    if form is Format.INLINE:
        return read_inline_file(path, schema), []
    if form is Format.BRAT:
        return read_brat(path, schema), []
    if form is Format.LABEL_STUDIO:
        return read_label_studio(path, schema), []
    if form is Format.DOCCANO:
        return read_doccano(path, schema), []
    file = read_conll(path)
    notes = []
    if file.repaired:
        notes.append(f"{file.repaired} I- tags that continued nothing were read as B-")
    if file.unseen:
        notes.append(f"{file.unseen} words of invisible marks alone were left out")
    return list(file.annotations), notes


def convert_file(
    source: Path,
    target: Path,
    schema: LabelSchema,
    *,
    source_form: Format | None = None,
    target_form: Format | None = None,
    model: str = "",
) -> Conversion:
    """Read `source` and write `target`; forms are guessed from the names where none is given. With `model`, Label Studio gets
    the marks as a prediction of that name, to be corrected."""
    if source.resolve() == target.resolve():
        raise RecordError(str(target), "expected another file than the one that is read")
    target_form = target_form or guess_format(target)
    annotations, notes = read_file(source, schema, source_form)
    if target_form is Format.JSONL:
        write_jsonl(target, (annotation_record(canonical(each, schema)) for each in annotations))
    elif target_form is Format.INLINE:
        annotations = _with_inline_ids(annotations, schema, notes)
        notes += _lost_to_inline(annotations)
        write_inline_file(target, annotations, schema)
    elif target_form is Format.CONLL:
        lost = Counter(misfit for _, misfit in write_conll(target, annotations))
        notes += [f"{count} entities lost: {misfit}" for misfit, count in lost.items()]
        notes += _lost_to_conll(annotations)
    else:
        _write_for_tool(target, [canonical(each, schema) for each in annotations], schema, target_form, model)
        if bare := sum(event.trigger is None for each in annotations for event in each.events):
            notes.append(f"{bare} events without trigger lost: {target_form} has no place for them")
    return Conversion(len(annotations), tuple(notes))


def _write_for_tool(target: Path, annotations: Sequence[Annotation], schema: LabelSchema, form: Format, model: str) -> None:
    if form is Format.BRAT:
        write_brat(target, annotations, schema)
    elif form is Format.DOCCANO:
        write_jsonl(target, doccano_records(annotations))
    else:
        text = json.dumps(label_studio_tasks(annotations, model=model), ensure_ascii=False, indent=1)
        target.write_text(text + "\n", encoding="utf-8")
        target.with_name(f"{target.name}.config.xml").write_text(labeling_config(schema), encoding="utf-8")


def _with_inline_ids(annotations: Sequence[Annotation], schema: LabelSchema, notes: list[str]) -> list[Annotation]:
    """The annotations with entity ids that tell their labels, new ones where they do not."""
    mended = []
    count = 0
    for annotation in annotations:
        try:
            format_inline(annotation, schema)
        except RecordError:
            annotation = renumber(annotation, schema)  # noqa: PLW2901
            count += 1
        mended.append(annotation)
    if count:
        notes.append(f"{count} sentences with entity ids numbered anew")
    return mended


def _lost_to_inline(annotations: Sequence[Annotation]) -> list[str]:
    notes = []
    if sources := sum(annotation.source is not None for annotation in annotations):
        notes.append(f"{sources} `source` fields lost: the inline form has no place for them")
    ranks: Counter[str] = Counter()
    renamed = 0
    for annotation in annotations:
        doc = story_of(annotation)
        renamed += annotation.id != f"{doc}#{ranks[doc]}"
        ranks[doc] += 1
    if renamed:
        notes.append(f"{renamed} sentence ids lost: read back, a sentence is its document and number")
    return notes


def _lost_to_conll(annotations: Sequence[Annotation]) -> list[str]:
    losses = {
        "events": sum(len(annotation.events) for annotation in annotations),
        "sentence ids": sum(1 for annotation in annotations if annotation.id),
        "document names": len({annotation.doc for annotation in annotations if annotation.doc}),
        "`source` fields": sum(annotation.source is not None for annotation in annotations),
    }
    notes = [f"{count} {what} lost: CoNLL has no place for them" for what, count in losses.items() if count]
    if empty := sum(not annotation.text.strip() for annotation in annotations):
        notes.append(f"{empty} sentences without words lost")
    return notes
