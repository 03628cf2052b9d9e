"""The verb `marsad serve`. What other verbs read files with is not imported here: it would make the start longer and the
process that stands over the workers larger."""

from pathlib import Path

import click

from labels.folder import ModelFolder
from serving.launch import launch
from serving.options import (
    device_option,
    environment_of,
    model_option,
    precision_option,
    refusing,
    threads_option,
    threshold_option,
)
from serving.settings import Settings
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
    launch(host, port, environment, deadline=settings.deadline)
