"""`marsad labels`: check annotated files, count what they hold, convert between their forms."""

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import click

from labels.checker import check_corpus
from labels.convert import Format, convert_file, read_file
from labels.errors import MarsadError, RecordError
from labels.findings import Finding, Severity
from labels.schema import DEFAULT_SCHEMA, load_schema
from labels.stats import count_corpus, stats_record, stats_table

EXIT_FINDINGS = 1
EXIT_BAD_INPUT = 2

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FORMAT = click.Choice([form.value for form in Format])
_schema_option = click.option(
    "--schema", "schema_file", type=_FILE, default=DEFAULT_SCHEMA, help="Label schema (TOML). Default: the one that ships."
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
@click.argument("files", nargs=-1, required=True, type=_FILE)
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
@click.argument("files", nargs=-1, required=True, type=_FILE)
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
@click.argument("source", metavar="IN", type=_FILE)
@click.argument("target", metavar="OUT", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--from", "source_form", type=_FORMAT, help="Form of IN. Default: what its name tells.")
@click.option("--to", "target_form", type=_FORMAT, help="Form of OUT. Default: what its name tells.")
@_schema_option
def convert(source: Path, target: Path, source_form: str | None, target_form: str | None, schema_file: Path) -> None:
    """Write the annotations of IN to OUT in another form. What OUT cannot hold is told on standard error."""
    conversion = convert_file(
        source,
        target,
        load_schema(schema_file),
        source_form=Format(source_form) if source_form else None,
        target_form=Format(target_form) if target_form else None,
    )
    _tell(target, conversion.notes)
    click.echo(f"{target}: {conversion.sentences} sentences", err=True)


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
