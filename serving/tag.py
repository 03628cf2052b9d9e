"""The verb `marsad tag`."""

import json
import sys
from collections.abc import Iterable
from pathlib import Path

import click

from labels.records import failure_record, prediction_record
from labels.types import Document, Failure
from serving.batch.inputs import find_inputs, known_format
from serving.batch.source import Source
from serving.errors import Code
from serving.options import (
    device_option,
    environment_of,
    model_option,
    open_analyzer,
    precision_option,
    refusing,
    threads_option,
    threshold_option,
)
from serving.terminal import show


@click.command()
@click.argument("file", required=False)
@click.option("--text", help="Read this text instead of a file.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a document, as /analyze gives it.")
@model_option
@device_option
@threads_option
@precision_option
@threshold_option
def tag(
    *,
    file: str | None,
    text: str | None,
    as_json: bool,
    model: Path | None,
    device: str | None,
    threads: int | None,
    precision: str | None,
    threshold: tuple[str, ...],
) -> None:
    """Show the names and events in FILE, or in what comes on standard input where FILE is - or absent.

    A file is one document of plain text, unless its name says JSONL, CSV or Parquet.
    """
    if text is not None and file is not None:
        raise click.UsageError("give FILE or --text, not both")
    if text is None and file is None and sys.stdin.isatty():
        raise click.UsageError("give FILE, or --text, or text on standard input")
    failed = False
    with refusing():
        rows = [Document("text", text)] if text is not None else _rows(file)
        analyzer = open_analyzer(environment_of(model, device, threads, precision, threshold))
        for row in rows:
            [answer] = [row] if isinstance(row, Failure) else analyzer.analyze([row])
            failed |= isinstance(answer, Failure)
            if as_json:
                record = failure_record(answer) if isinstance(answer, Failure) else prediction_record(answer)
                click.echo(json.dumps(record, ensure_ascii=False))
            elif isinstance(answer, Failure):
                click.echo(f"{answer.id}: {answer.message}", err=True)
            else:
                show(answer, analyzer.engine.folder.schema)
    if failed:
        raise click.exceptions.Exit(2)


def _rows(file: str | None) -> Iterable[Document | Failure]:
    if file is not None and file != "-":
        path = Path(file)
        files = find_inputs([path], None if path.is_dir() else known_format(path) or "txt")
        return (row.item for row in Source(files))
    try:
        return [Document("stdin", sys.stdin.buffer.read().decode("utf-8-sig"))]
    except UnicodeDecodeError as error:
        return [Failure("stdin", Code.UNREADABLE, f"not UTF-8: {error.reason} at byte {error.start}")]
