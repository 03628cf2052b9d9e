"""The verbs `marsad serve`, `marsad tag` and `marsad score`."""

import json
import logging
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from labels.errors import MarsadError
from labels.folder import ModelFolder
from labels.records import failure_record, prediction_record
from labels.types import Document, Failure
from serving.analyzer import Analyzer
from serving.batch.progress import Progress, describe
from serving.batch.readers import Columns, Row, Source, known_format
from serving.batch.score import score_rows
from serving.batch.writers import open_writer, output_format
from serving.devices import DEVICES
from serving.engine import Engine
from serving.errors import Code, FileError
from serving.launch import launch
from serving.settings import Settings, warn_of_unknown
from serving.terminal import show
from serving.thresholds import parse_thresholds
from serving.tokens import Tokens


class Refusal(click.ClickException):
    """Bad input, bad settings, a model folder that cannot be used."""

    exit_code = 2


@contextmanager
def refusing() -> Iterator[None]:
    """Our errors as one line and exit code 2, without a traceback."""
    try:
        yield
    except MarsadError as error:
        raise Refusal(str(error)) from error


model_option = click.option(
    "--model",
    type=click.Path(path_type=Path),
    envvar="MARSAD_MODEL",
    help="Model folder; the one that comes with Marsad if not given.",
)
device_option = click.option(
    "--device", type=click.Choice(DEVICES), envvar="MARSAD_DEVICE", help="cpu if not given; others need a graph.onnx."
)
threads_option = click.option("--threads", type=click.IntRange(min=0), envvar="MARSAD_THREADS", help="0: all cores.")
precision_option = click.option(
    "--precision", type=click.Choice(["auto", "f32", "bf16"]), envvar="MARSAD_PRECISION", help="auto: bf16 where it is fast."
)
threshold_option = click.option(
    "--threshold", multiple=True, metavar="[TYPE=]P", help="Show TYPE, or all types, from this score on; may be repeated."
)


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
    environment = _environment(model, device, threads, precision, threshold)
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
        analyzer = _analyzer(_environment(model, device, threads, precision, threshold))
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


@click.command()
@click.argument("inputs", metavar="IN...", nargs=-1, required=True)
@click.option("--output", "-o", metavar="OUT", required=True, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--input-format", type=click.Choice(["jsonl", "csv", "parquet", "txt"]), help="By the name if not given.")
@click.option("--output-format", type=click.Choice(["jsonl", "parquet", "csv"]), help="By the name if not given.")
@click.option("--id-column", default="id", show_default=True)
@click.option("--text-column", default="text", show_default=True)
@click.option("--published-column", default="published", show_default=True)
@click.option("--source-column", default="source", show_default=True)
@click.option("--delimiter", help="Of CSV; a comma if not given, a tab for .tsv.")
@click.option("--limit", type=click.IntRange(min=1), help="Stop after this many documents.")
@click.option("--max-characters", type=click.IntRange(min=1), envvar="MARSAD_MAX_CHARACTERS", help="A longer text is an error.")
@click.option("--force", is_flag=True, help="Replace OUT if it exists.")
@click.option("--strict", is_flag=True, help="End with exit code 1 if a document got no answer.")
@model_option
@device_option
@threads_option
@precision_option
@threshold_option
def score(*, inputs: tuple[str, ...], output: Path, force: bool, strict: bool, limit: int | None, **options: Any) -> None:
    """Read the documents of IN (files, folders of .txt, patterns) and write one answer each to OUT, in their order.

    What cannot be read gets an error record in its place. OUT appears when all is done, with OUT.summary.json beside it.
    """
    environment = _environment(
        options["model"], options["device"], options["threads"], options["precision"], options["threshold"]
    )
    if options["max_characters"] is not None:
        environment["MARSAD_MAX_CHARACTERS"] = str(options["max_characters"])
    columns = Columns(*(options[f"{name}_column"] for name in ("id", "text", "published", "source")))
    if (delimiter := options["delimiter"]) is not None and len(delimiter := delimiter.replace("\\t", "\t")) != 1:
        raise click.UsageError(f"--delimiter: expected one character, found {delimiter!r}")
    with refusing():
        source = Source(inputs, input_format=options["input_format"], columns=columns, delimiter=delimiter)
        if any(file.path.resolve() == output.resolve() for file in source.files):
            raise FileError(f"{output}: is one of the inputs; choose another name")
        kind = output_format(output, options["output_format"])
        analyzer = _analyzer(environment)
        progress = Progress(source)
        with open_writer(output, kind, analyzer.engine.folder.schema.role_names, force=force) as writer:
            summary = score_rows(source, analyzer, writer, limit=limit, progress=progress)
    summary.generated_ids = source.generated
    record = json.dumps(summary.record(), ensure_ascii=False, indent=1)
    output.with_name(f"{output.name}.summary.json").write_text(record + "\n", encoding="utf-8")
    progress.clear()
    click.echo(f"{output}: {describe(summary)}", err=True)
    click.echo(record, err=True)
    if strict and summary.errors:
        raise click.exceptions.Exit(1)


def _environment(
    model: Path | None, device: str | None, threads: int | None, precision: str | None, threshold: tuple[str, ...]
) -> dict[str, str]:
    """The environment with what the options say in place of its own. A link to a model stays one: it may point elsewhere when
    the model is reloaded."""
    given = {
        "MARSAD_MODEL": model and model.absolute(),
        "MARSAD_DEVICE": device,
        "MARSAD_THREADS": threads,
        "MARSAD_PRECISION": precision,
    }
    given["MARSAD_THRESHOLDS"] = ",".join(threshold) or None
    return dict(os.environ) | {name: str(value) for name, value in given.items() if value is not None}


def _analyzer(environment: dict[str, str]) -> Analyzer:
    logging.basicConfig(format="%(levelname)s %(message)s")  # to standard error
    warn_of_unknown(environment)
    settings = Settings.from_environment(environment)
    folder = ModelFolder.open(settings.model)
    engine = Engine(folder, device=settings.device, threads=settings.threads or None, precision=settings.precision)
    chosen = parse_thresholds(settings.thresholds, folder.schema.event_types, "thresholds")
    return Analyzer(engine, max_characters=settings.max_characters, thresholds=chosen)


def _rows(file: str | None) -> Iterable[Row]:
    if file is not None and file != "-":
        path = Path(file)
        return Source([path], input_format=None if path.is_dir() else known_format(path) or "txt")
    try:
        return [Document("stdin", sys.stdin.buffer.read().decode("utf-8-sig"))]
    except UnicodeDecodeError as error:
        return [Failure("stdin", Code.UNREADABLE, f"not UTF-8: {error.reason} at byte {error.start}")]
