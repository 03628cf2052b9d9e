"""The verb `marsad score`."""

import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from serving.analyzer import Analyzer
from serving.batch.atomic import write_atomic
from serving.batch.input_options import columns_of, delimiter_of, input_options
from serving.batch.inputs import find_inputs
from serving.batch.job import PART_ROWS, Request
from serving.batch.near_duplicates import NearDuplicates
from serving.batch.outputs import quarantine_of
from serving.batch.progress import Progress
from serving.batch.run import Asked, Outcome, State, run_job, stream_job
from serving.batch.shards import is_folder, shards_of
from serving.batch.sinks import STDOUT, Sink
from serving.batch.stages import StageTimes
from serving.batch.stop import Stop
from serving.batch.summary import Summary
from serving.errors import ClusterError, WriteError
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

DONE, FAILED, BAD_ROWS = 0, 1, 3
"""Exit codes; 2 is that of what is refused before it begins, 130 and 143 are those of a run stopped by SIGINT and SIGTERM."""

_CONTENTS = ("answers", "documents", "entities", "events")
_FORMATS = ("jsonl", "csv", "tsv", "parquet")


@click.command()
@click.argument("inputs", metavar="IN...", nargs=-1, required=True)
@click.option("--output", "-o", metavar="OUT", required=True, help="File, - for standard output, or folder/ (a file each).")
@click.option("--table", type=click.Choice(_CONTENTS), default="answers", show_default=True, help="What OUT holds.")
@click.option("--also", multiple=True, metavar="TABLE=FILE", help="Write another table in the same run; may be repeated.")
@input_options
@click.option("--output-format", type=click.Choice(_FORMATS), help="Of OUT; by the name if not given.")
@click.option("--dedup", is_flag=True, help="Mark documents that nearly repeat an earlier one.")
@click.option("--similarity", type=click.FloatRange(0.5, 1.0), default=0.8, show_default=True, help="From which --dedup marks.")
@click.option("--limit", type=click.IntRange(min=1), help="Stop after this many documents.")
@click.option("--max-characters", type=click.IntRange(min=1), envvar="MARSAD_MAX_CHARACTERS", help="A longer text is an error.")
@click.option("--max-errors", type=click.IntRange(min=0), help="Stop when more documents than that have no answer.")
@click.option(
    "--part-rows",
    type=click.IntRange(min=1),
    default=PART_ROWS,
    show_default=True,
    help="Documents that are kept at a time; a kill costs no more work than that.",
)
@click.option("--force", is_flag=True, help="Replace OUT if it exists.")
@click.option("--restart", is_flag=True, help="Drop what an unfinished run has done and begin again.")
@click.option("--engine", type=click.Choice(["local", "ray"]), default="local", show_default=True, help="ray: many machines.")
@click.option("--address", help="Of a Ray cluster; one on this machine if not given.")
@click.option("--workers", type=click.IntRange(min=1), help="On Ray, of --threads cores each (1); as many as fit if not given.")
@click.option("--gpus", type=click.FloatRange(0, 1, min_open=True), help="Part of a GPU for each worker on Ray (1, on cuda).")
@model_option
@device_option
@threads_option
@precision_option
@threshold_option
def score(**options: Any) -> None:
    """Read the documents of IN (files, folders, patterns, - for standard input) and write one answer each to OUT, in order.

    Killed at any point and started again with the same words, it goes on where it was; OUT appears when all is done, with
    OUT.summary.json beside it. Rows that got no answer stand in OUT.quarantine.jsonl, with the reason.

    Exit codes: 0 all answered, 3 some rows in quarantine, 1 failed or too many bad rows, 2 refused, 130 or 143 stopped.
    """
    environment = environment_of(
        options["model"], options["device"], options["threads"], options["precision"], options["threshold"]
    )
    if options["max_characters"] is not None:
        environment["MARSAD_MAX_CHARACTERS"] = str(options["max_characters"])
    stages = StageTimes()
    with refusing(), Stop() as stop:

        def asked() -> bool:
            return stop.signal is not None

        try:
            _check_engine(options)
            requests = requests_of(options)
            if options["engine"] == "ray":
                outcome = _to_files(_on_ray(requests, environment, options, asked), requests, asked, options["output"])
            else:
                analyzer = open_analyzer(environment, stages)
                if requests[0].output == STDOUT:
                    outcome = _to_stdout(requests[0], analyzer, asked)
                else:
                    outcome = _to_files(_here(requests, analyzer, stages, asked), requests, asked, options["output"])
        except WriteError as error:
            raise click.ClickException(f"{error}; what was finished is kept: make room and run the same again") from error
        except ClusterError as error:
            raise click.ClickException(f"{error}; what was finished is kept: run the same again") from error
    if outcome.state == "stopped":
        raise click.exceptions.Exit(128 + (stop.signal or 0))
    raise click.exceptions.Exit(FAILED if outcome.state == "failed" else BAD_ROWS if outcome.summary.failed else DONE)


def requests_of(options: Mapping[str, Any]) -> list[Request]:
    """One for the output file, or one for each input where the output is a folder. FileError, click.UsageError."""
    delimiter = delimiter_of(options)
    files = find_inputs(options["inputs"], options["input_format"])
    if options["dedup"]:
        NearDuplicates(options["similarity"])  # its package may not be there, which is said before anything is made
    request = Request(
        files,
        (),
        columns=columns_of(options),
        delimiter=delimiter,
        ids=options["ids"],
        limit=options["limit"],
        dedup=options["similarity"] if options["dedup"] else None,
        max_errors=options["max_errors"],
        part_rows=options["part_rows"],
        force=options["force"],
        restart=options["restart"],
    )
    output, table, form = Path(options["output"]), options["table"], options["output_format"]
    if is_folder(options["output"]):
        if options["also"]:
            raise click.UsageError("--also: OUT is a folder, which holds one table; run again for another")
        return shards_of(request, output, table, form or "jsonl")
    sinks = [Sink.at(output, table, form)]
    for given in options["also"]:
        name, _, path = given.partition("=")
        if name not in _CONTENTS or not path or output == STDOUT:
            known = ", ".join(_CONTENTS)
            raise click.UsageError(f"--also: expected TABLE=FILE with TABLE one of {known}, OUT no -; found {given!r}")
        sinks.append(Sink.at(Path(path), name))
    return [replace(request, sinks=tuple(sinks))]


def _check_engine(options: Mapping[str, Any]) -> None:
    """click.UsageError where options do not go together with the engine."""
    if options["engine"] == "local":
        if given := [name for name in ("address", "workers", "gpus") if options[name] is not None]:
            raise click.UsageError(f"--{given[0]}: expected --engine ray as well")
    elif not is_folder(options["output"]):
        raise click.UsageError("--engine ray: expected OUT to be a folder/, in which each input has a file of its own")
    if options["gpus"] is not None and options["device"] != "cuda":
        raise click.UsageError("--gpus: expected --device cuda as well")


def _here(
    requests: Sequence[Request], analyzer: Analyzer, stages: StageTimes, asked: Asked
) -> Iterator[tuple[Request, Outcome]]:
    """One after another, up to the first that does not come to its end."""
    for request in requests:
        progress = Progress()
        outcome = run_job(request, analyzer, stages, asked=asked, told=progress)
        progress.clear()
        yield request, outcome
        if outcome.state != "done":
            return


def _on_ray(
    requests: Sequence[Request], environment: Mapping[str, str], options: Mapping[str, Any], asked: Asked
) -> Iterator[tuple[Request, Outcome]]:
    from serving.batch.ray_engine import Cluster, score_on_ray

    gpus = (options["gpus"] or 1.0) if options["device"] == "cuda" else 0.0
    cluster = Cluster(options["address"], options["workers"], options["threads"] or 1, gpus)
    return score_on_ray(requests, environment, cluster, asked)


def _to_files(outcomes: Iterator[tuple[Request, Outcome]], requests: Sequence[Request], asked: Asked, output: str) -> Outcome:
    total, resumed, done = Summary(), 0, 0
    failed: list[Path] = []
    for request, outcome in outcomes:
        total += outcome.summary
        resumed += outcome.resumed
        done += outcome.state == "done"
        failed += [request.output] if outcome.state == "failed" else []
        click.echo(_told(request, outcome), err=True)
    state: State = "done" if done == len(requests) else "stopped" if asked() else "failed"
    if len(requests) > 1 and state != "done":
        names = f"; failed: {', '.join(map(str, failed))}" if failed else ""
        click.echo(f"{done:,} of {len(requests):,} outputs are finished{names}; run the same command again to go on", err=True)
    if len(requests) > 1 and state == "done":
        record = json.dumps(total.record(), ensure_ascii=False, indent=1)
        write_atomic(Path(output) / "summary.json", record.encode() + b"\n")
    if state == "done":
        click.echo(json.dumps(total.record(), ensure_ascii=False, indent=1), err=True)
    return Outcome(state, total, resumed)


def _told(request: Request, outcome: Outcome) -> str:
    """What became of one output, and what to do next."""
    summary, output = outcome.summary, request.output
    if outcome.error:
        return f"{outcome.error}; this output is not made"
    done = f"{summary.documents:,} documents"
    if outcome.already:
        return f"{output}: was finished before, {done}; --restart does it again"
    if outcome.resumed:
        done += f", {outcome.resumed:,} of them in an earlier run"
    bad = f"; {summary.failed:,} without an answer are in {quarantine_of(output)}" if summary.failed else ""
    if outcome.state == "done":
        return f"{output}: {done} in {summary.seconds:,.1f} s{bad}"
    reason = "stopped" if outcome.state == "stopped" else f"stopped at more than {request.max_errors} errors (--max-errors)"
    kept = "nothing is kept of standard input" if not request.resumable else "run the same command again to go on"
    return f"{output}: {reason} after {done}{bad}; {kept}"


def _to_stdout(request: Request, analyzer: Analyzer, asked: Asked) -> Outcome:
    """Each answer as it comes; who reads may stop."""
    if request.max_errors is not None or request.restart or request.force:
        raise click.UsageError("--max-errors, --restart and --force: OUT is -, nothing is kept there")
    out = sys.stdout.buffer

    def write(data: bytes) -> None:
        out.write(data)
        out.flush()

    progress = Progress()
    with tempfile.TemporaryDirectory(prefix="marsad-") as scratch:
        try:
            summary = stream_job(request, analyzer, write, Path(scratch), asked=asked, told=progress)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python flushes into the pipe at exit
            return Outcome("done", Summary())
    progress.clear()
    click.echo(json.dumps(summary.record(), ensure_ascii=False, indent=1), err=True)
    return Outcome("stopped" if asked() else "done", summary)
