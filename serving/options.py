"""What the verbs of serving have in common: options, the environment they stand for, and refusals."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from labels.errors import MarsadError
from labels.folder import ModelFolder
from serving.analyzer import Analyzer
from serving.devices import DEVICES
from serving.engine import Engine
from serving.settings import Settings, warn_of_unknown
from serving.thresholds import parse_thresholds
from serving.watch import Watch


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


def environment_of(
    model: Path | None, device: str | None, threads: int | None, precision: str | None, threshold: tuple[str, ...]
) -> dict[str, str]:
    """The environment with what the options say in place of its own, and paths that hold from every folder, as workers have
    another. A link to a model stays one: it may point elsewhere when the model is reloaded."""
    given: dict[str, object] = {
        "MARSAD_MODEL": model and model.absolute(),
        "MARSAD_DEVICE": device,
        "MARSAD_THREADS": threads,
        "MARSAD_PRECISION": precision,
    }
    given["MARSAD_THRESHOLDS"] = ",".join(threshold) or None
    if file := os.environ.get("MARSAD_TOKENS_FILE", "").strip():
        given["MARSAD_TOKENS_FILE"] = Path(file).absolute()
    return dict(os.environ) | {name: str(value) for name, value in given.items() if value is not None}


def open_analyzer(environment: dict[str, str], watch: Watch | None = None) -> Analyzer:
    logging.basicConfig(format="%(levelname)s %(message)s")  # to standard error
    warn_of_unknown(environment)
    settings = Settings.from_environment(environment)
    folder = ModelFolder.open(settings.model)
    engine = Engine(folder, device=settings.device, threads=settings.threads or None, precision=settings.precision)
    chosen = parse_thresholds(settings.thresholds, folder.schema.event_types, "thresholds")
    return Analyzer(engine, max_characters=settings.max_characters, thresholds=chosen, watch=watch)
