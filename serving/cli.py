"""The verbs `marsad serve` and `marsad tag`."""

import json
import sys
from collections.abc import Iterable
from pathlib import Path

import click

from labels.folder import ModelFolder
from labels.records import failure_record, prediction_record
from labels.types import Document, Failure
from serving.batch.inputs import find_inputs, known_format
from serving.batch.source import Source
from serving.errors import Code
from serving.launch import launch
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
from serving.settings import Settings
from serving.terminal import show
from serving.thresholds import parse_thresholds
from serving.tokens import Tokens


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 for all.")
@click.option("--port", type=click.IntRange(1, 65535), default=3000, show_default=True)
@click.option("--workers", type=click.IntRange(min=1), envvar="MARSAD_WORKERS", default=1, show_default=True, help="Processes.")
@model_option
@device_option
@threads_option
@precision_option
@threshold_option
def serve(
    *,
    host: str,
    port: int,
    workers: int,
    model: Path | None,
    device: str | None,
    threads: int | None,
    precision: str | None,
    threshold: tuple[str, ...],
) -> None:
    """Answer over HTTP: POST /analyze, GET /model; the description is at /docs.json."""
    environment = environment_of(model, device, threads, precision, threshold)
    with refusing():  # here, where it is said once: BentoML starts a failing worker again and again
        settings = Settings.from_environment(environment)
        parse_thresholds(settings.thresholds, ModelFolder.open(settings.model).schema.event_types, "thresholds")
        Tokens.read(settings.tokens, settings.tokens_file)
    environment |= {"MARSAD_WORKERS": str(workers), "BENTOML_DO_NOT_TRACK": "True"}
    launch(host, port, environment)


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
