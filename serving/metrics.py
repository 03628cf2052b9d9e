"""What an operator watches, as Prometheus metrics of all worker processes together.

BentoML sets PROMETHEUS_MULTIPROC_DIR for its workers, each of which writes its counts to files there; whichever of them is
asked adds them up. BentoML's own metrics know neither documents nor pieces and are switched off.
"""

import os
import re
from contextlib import suppress
from pathlib import Path

import psutil
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess

from serving.scheduler import Pass
from serving.watch import Watch

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_STAGE_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
CONTENT_TYPE = CONTENT_TYPE_LATEST


class Metrics(Watch):
    """One for each process. The names are part of what an operator builds on: docs/serving.md lists them."""

    def __init__(self) -> None:
        _forget_the_dead()
        # With files in the directory the registry is not read; without, as in tests, it is.
        self._registry = CollectorRegistry()
        kept = self._registry
        self.requests = Counter(
            "marsad_requests", "Answers by path, status and error code", ["path", "status", "code"], registry=kept
        )
        self.seconds = Histogram(
            "marsad_request_seconds", "From the first byte read to the last one sent", ["path"], buckets=_SECONDS, registry=kept
        )
        self.waiting = Gauge(
            "marsad_requests_waiting", "Analyses admitted and not yet answered", multiprocess_mode="livesum", registry=kept
        )
        self.documents = Counter(
            "marsad_documents", "Documents answered, by the code of their error, or ok", ["code"], registry=kept
        )
        self.gone = Counter("marsad_clients_gone", "Requests whose client went before the answer", registry=kept)
        self.reloads = Counter(
            "marsad_reloads", "Model folders read anew, by whether they were taken", ["taken"], registry=kept
        )
        self.model = Gauge(
            "marsad_model_info",
            "1 for the model that answers, 0 for those before it",
            ["model", "precision"],
            multiprocess_mode="livemax",
            registry=kept,
        )
        self._serving: tuple[str, str] | None = None
        self._stages = Histogram(
            "marsad_stage_seconds",
            "Of one thread, for one portion of a request",
            ["stage"],
            buckets=_STAGE_SECONDS,
            registry=kept,
        )
        self._rows = Histogram("marsad_pass_rows", "Rows of one pass of the graph", buckets=_ROWS, registry=kept)
        self._pieces = Counter("marsad_pieces", "Pieces read by the graph", registry=kept)
        self._padding = Counter("marsad_padding_pieces", "Places that were read besides and hold nothing", registry=kept)

    def stage(self, name: str, seconds: float) -> None:
        self._stages.labels(name).observe(seconds)

    def ran(self, done: Pass) -> None:
        self._stages.labels("forward").observe(done.seconds)
        self._rows.observe(done.rows)
        self._pieces.inc(done.pieces)
        self._padding.inc(done.places - done.pieces)

    def show(self) -> bytes:
        """The text that Prometheus reads."""
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)

    def serve_model(self, model: str, precision: str) -> None:
        """Say which model answers from now on."""
        if self._serving is not None:
            self.model.labels(*self._serving).set(0)
        self._serving = (model, precision)
        self.model.labels(model, precision).set(1)


def _forget_the_dead() -> None:
    """What workers that were killed had under way is nobody's any more."""
    for file in Path(os.environ.get("PROMETHEUS_MULTIPROC_DIR", os.devnull)).glob("gauge_live*.db"):
        process = int(re.findall(r"\d+", file.stem)[-1])
        if not psutil.pid_exists(process):
            with suppress(FileNotFoundError):  # of another worker that starts just now
                multiprocess.mark_process_dead(process)  # type: ignore[no-untyped-call]
