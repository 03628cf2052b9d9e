"""`marsad labels`: check annotated files, count what they hold, convert between their forms."""

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from labels.adopt import adopt_predictions
from labels.checker import check_corpus
from labels.convert import Format, convert_file, read_file
from labels.copies import Copies
from labels.errors import MarsadError, RecordError
from labels.findings import Finding, Severity
from labels.pool import PoolRules, pool_sentences
from labels.records import annotation_record, read_annotations, read_jsonl, write_jsonl
from labels.schema import DEFAULT_SCHEMA, LabelSchema, load_schema
from labels.selection import Selection, read_candidates
from labels.selection import select as choose
from labels.stand_off import join as join_records
from labels.stand_off import strip as strip_records
from labels.stats import count_corpus, stats_record, stats_table
from labels.vote import vote as count_votes

EXIT_FINDINGS = 1
EXIT_BAD_INPUT = 2

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FILE_OR_FOLDER = click.Path(exists=True, path_type=Path)
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_OUT = click.Path(dir_okay=False, path_type=Path)
_FORMAT = click.Choice([form.value for form in Format])
_schema_option = click.option(
    "--schema", "schema_file", type=_FILE, default=DEFAULT_SCHEMA, help="Label schema (TOML). Default: the one that ships."
)
_output_option = click.option("--output", "-o", required=True, type=_OUT)
_texts_option = click.option(
    "--texts", required=True, type=_FOLDER, help="Folder of SOURCE.jsonl or SOURCE.jsonl.xz, the documents."
)


class _Group(click.Group):
    """Bad input ends with its message and exit code 2, not with a traceback."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except MarsadError as error:
            click.echo(f"error: {error}", err=True)
            ctx.exit(EXIT_BAD_INPUT)


@click.group(cls=_Group)
def labels() -> None:
    """Check, count and convert annotated files: JSONL, inline (.txt), CoNLL."""


@labels.command()
@click.argument("files", nargs=-1, required=True, type=_FILE_OR_FOLDER)
@_schema_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object a finding, one a line.")
def check(files: tuple[Path, ...], schema_file: Path, as_json: bool) -> None:
    """Find what is wrong in FILES; each file is a split of its own. Exits with 1 if an error was found, warnings aside."""
    findings = check_corpus(_splits(files), load_schema(schema_file))
    for finding in findings:
        click.echo(json.dumps(asdict(finding), ensure_ascii=False) if as_json else _line(finding))
    counts = Counter(finding.severity for finding in findings)
    if not as_json:
        click.echo(f"{counts[Severity.ERROR]} errors, {counts[Severity.WARNING]} warnings in {len(files)} files", err=True)
    if counts[Severity.ERROR]:
        click.get_current_context().exit(EXIT_FINDINGS)


@labels.command()
@click.argument("files", nargs=-1, required=True, type=_FILE_OR_FOLDER)
@_schema_option
@click.option("--json", "as_json", is_flag=True, help="A JSON list, one object a split.")
def stats(files: tuple[Path, ...], schema_file: Path, as_json: bool) -> None:
    """Count what FILES hold; each file is a split of its own."""
    schema = load_schema(schema_file)
    splits = {}
    for split, (path,) in _splits(files).items():
        splits[split], notes = read_file(path, schema)
        _tell(path, notes)
    found = count_corpus(splits, schema)
    click.echo(
        json.dumps([stats_record(each) for each in found], ensure_ascii=False, indent=1) if as_json else stats_table(found)
    )


@labels.command()
@click.argument("source", metavar="IN", type=_FILE_OR_FOLDER)
@click.argument("target", metavar="OUT", type=click.Path(path_type=Path))
@click.option("--model", default="", help="For Label Studio: give the marks as a prediction of this name, to be corrected.")
@click.option("--from", "source_form", type=_FORMAT, help="Form of IN. Default: what its name tells.")
@click.option("--to", "target_form", type=_FORMAT, help="Form of OUT. Default: what its name tells.")
@_schema_option
def convert(
    *, source: Path, target: Path, model: str, source_form: str | None, target_form: str | None, schema_file: Path
) -> None:
    """Write the annotations of IN to OUT in another form. What OUT cannot hold is told on standard error. brat's form is a
    folder."""
    conversion = convert_file(
        source,
        target,
        load_schema(schema_file),
        source_form=Format(source_form) if source_form else None,
        target_form=Format(target_form) if target_form else None,
        model=model,
    )
    _tell(target, conversion.notes)
    click.echo(f"{target}: {conversion.sentences} sentences", err=True)


@labels.command()
@click.argument("documents", nargs=-1, required=True, type=_FILE)
@_output_option
@click.option("--lead", type=click.IntRange(min=0), default=3, show_default=True, help="First sentences of each document.")
@click.option("--others", type=click.IntRange(min=0), default=2, show_default=True, help="More of its sentences, at random.")
@click.option("--match", default="", help="Only documents in which this regular expression is found.")
@click.option("--min-matches", type=click.IntRange(min=1), default=1, show_default=True, help="How many times.")
@click.option("--share", type=click.FloatRange(0, 1), default=1.0, show_default=True, help="Of the documents.")
@click.option(
    "--exclude",
    multiple=True,
    type=_FILE,
    help="Annotated JSONL whose documents, and near copies of its sentences, are left out.",
)
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True)
def pool(documents: tuple[Path, ...], output: Path, exclude: tuple[Path, ...], **options: Any) -> None:
    """Split DOCUMENTS (JSONL, plain or .xz) into sentences that `select` can choose from."""
    known = [record for path in exclude for _, record in read_jsonl(path)]
    copies = Copies(str(record.get("text", "")) for record in known)
    rules = PoolRules(exclude=frozenset(str(record.get("doc")) for record in known), copies=copies, **options)
    written = write_jsonl(output, (record for path in documents for record in pool_sentences(path, rules)))
    click.echo(f"{output}: {written} sentences", err=True)


@labels.command()
@click.argument("pool_file", metavar="POOL", type=_FILE)
@click.option("--pred", required=True, type=_FILE, help="`marsad score POOL --threshold 0.02`: what a model says of each.")
@_output_option
@click.option("--count", type=click.IntRange(min=1), required=True, help="Sentences to choose.")
@click.option("--annotated", multiple=True, type=_FILE, help="Annotated JSONL to keep away from.")
@click.option("--quota", multiple=True, metavar="TYPE=N", help="Sentences that may hold this event type, chosen first.")
@click.option("--plain", type=click.IntRange(min=0), default=0, help="Sentences in which the model sees no event.")
@click.option("--random", type=click.IntRange(min=0), default=0, help="Sentences chosen blindly.")
@click.option("--per-document", type=click.IntRange(min=1), default=2, show_default=True, help="At most.")
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True)
@_schema_option
def select(
    *,
    pool_file: Path,
    pred: Path,
    output: Path,
    annotated: tuple[Path, ...],
    quota: tuple[str, ...],
    schema_file: Path,
    **options: Any,
) -> None:
    """Choose the sentences of POOL that are worth annotating next: doubtful to the model, and unlike each other."""
    selection = Selection(quotas=_quotas(quota, load_schema(schema_file)), **options)
    records = {str(record["id"]): record for _, record in read_jsonl(pool_file)}
    candidates = read_candidates(records, pred)
    known = [str(record.get("text", "")) for path in annotated for _, record in read_jsonl(path)]
    chosen = choose(candidates, known, selection)
    write_jsonl(output, (records[candidate.id] | {"reason": reason} for candidate, reason in chosen))
    reasons = Counter(reason for _, reason in chosen)
    shown = ", ".join(f"{reason} {number}" for reason, number in reasons.items())
    click.echo(f"{output}: {len(chosen)} of {len(candidates)} sentences: {shown}", err=True)


@labels.command()
@click.argument("documents", type=_FILE)
@click.option("--pred", required=True, type=_FILE, help="`marsad score DOCUMENTS`: what a model says of each.")
@_output_option
def adopt(documents: Path, pred: Path, output: Path) -> None:
    """Turn predictions into annotations to be corrected: one a sentence, with the text of DOCUMENTS (JSONL)."""
    written = write_jsonl(output, (annotation_record(each) for each in adopt_predictions(documents, pred)))
    click.echo(f"{output}: {written} sentences", err=True)


@labels.command()
@click.argument("files", nargs=-1, required=True, type=_FILE)
@_output_option
@click.option("--needed", type=click.IntRange(min=1), help="Voters that must mark the same. Default: more than half.")
def vote(files: tuple[Path, ...], output: Path, needed: int | None) -> None:
    """Write what most of FILES mark alike: several annotations of the same sentences, by people or (`adopt`) by models."""
    if len(files) < 2:
        raise click.UsageError("expected at least two FILES to vote, found one")
    try:
        result = count_votes([read_annotations(path) for path in files], needed or 0)
    except ValueError as error:
        raise click.UsageError(f"--needed: {error}") from error
    write_jsonl(output, (annotation_record(each) for each in result.annotations))
    click.echo(f"{output}: {len(result.annotations)} sentences, {result.absent} not in all files left out", err=True)


@labels.command()
@click.argument("files", nargs=-1, required=True, type=_FILE)
@_texts_option
@_output_option
def strip(files: tuple[Path, ...], texts: Path, output: Path) -> None:
    """Take the text out of annotated FILES: offsets, labels, document ids and hashes stay."""
    written = write_jsonl(output, strip_records((item for path in files for item in read_jsonl(path)), texts))
    click.echo(f"{output}: {written} sentences without text", err=True)


@labels.command()
@click.argument("files", nargs=-1, required=True, type=_FILE)
@_texts_option
@_output_option
def join(files: tuple[Path, ...], texts: Path, output: Path) -> None:
    """Put the text back into stand-off FILES from your copy of the sources. What your copy lacks is told, and the command
    then ends with 1; the rest is written."""
    made = join_records(files, texts)
    write_jsonl(output, made.records)
    for fault in made.faults:
        click.echo(fault, err=True)
    click.echo(f"{output}: {len(made.records)} sentences, {len(made.faults)} could not be joined", err=True)
    if made.faults:
        click.get_current_context().exit(EXIT_FINDINGS)


def _quotas(given: tuple[str, ...], schema: LabelSchema) -> dict[str, int]:
    quotas = {}
    for item in given:
        name, _, number = item.partition("=")
        if name not in schema.event_types or not number.isdecimal():
            known = ", ".join(schema.event_types)
            raise click.UsageError(f"--quota: expected TYPE=N, TYPE one of {known}; found {item!r}")
        quotas[name] = int(number)
    return quotas


def _splits(files: tuple[Path, ...]) -> dict[str, list[Path]]:
    """Each file as a split, called by its name, or by its path where two names are the same."""
    stems = Counter(path.stem for path in files)
    splits = {path.stem if stems[path.stem] == 1 else str(path): [path] for path in files}
    if len(splits) < len(files):
        raise RecordError("", "expected each file once, found one twice")
    return splits


def _tell(path: Path, notes: list[str] | tuple[str, ...]) -> None:
    for note in notes:
        click.echo(f"{path}: {note}", err=True)


def _line(finding: Finding) -> str:
    """`file:line: severity: id field: message (remedy)`"""
    place = " ".join(part for part in (finding.id, finding.field) if part)
    return f"{finding.where}: {finding.severity}: {f'{place}: ' if place else ''}{finding.message} ({finding.remedy})"
