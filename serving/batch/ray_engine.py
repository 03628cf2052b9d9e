"""The engine for many machines: the shards of a folder on Ray Data, an existing engine. Each shard is a job of its own with a
ledger of its own on a file system that all machines share, so that what a lost machine leaves behind goes on elsewhere.

Ray is imported when a job begins, and only here."""

import json
import logging
import os
import queue
import secrets
import signal
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from labels.folder import ModelFolder
from serving.batch.job import Request
from serving.batch.ledger import open_ledger, parts_folder
from serving.batch.outputs import summary_of
from serving.batch.progress import Progress
from serving.batch.ray_worker import Work, Worker, outcome_of, shard_row
from serving.batch.run import Asked, Outcome
from serving.batch.summary import Summary
from serving.errors import ClusterError, FileError, SettingsError
from serving.settings import Settings
from serving.thresholds import parse_thresholds

logger = logging.getLogger(__name__)

_LOOK = 0.2  # seconds between looks at whether to stop


@dataclass(frozen=True)
class Cluster:
    """Where, and how wide. `address` None is a cluster in this process, which takes the cores of this machine; `workers` None
    is as many as fit. A worker has so many `threads`, a core each, and that part of a GPU."""

    address: str | None = None
    workers: int | None = None
    threads: int = 1
    gpus: float = 0.0


def score_on_ray(
    requests: Sequence[Request], environment: Mapping[str, str], cluster: Cluster, asked: Asked
) -> Iterator[tuple[Request, Outcome]]:
    """Each shard with what became of it, in the order in which they end; one that failed has an outcome with an error, and the
    others go on. Ends early when `asked`: shards under way keep their finished parts. FileError and SettingsError before it
    begins, ClusterError where the cluster gives up."""
    ray = _import_ray()
    work = _work_of(requests[0], environment, cluster)
    _begin_again(requests)
    with _connected(ray, cluster.address):
        ended: queue.SimpleQueue[dict[str, Any] | BaseException | None] = queue.SimpleQueue()
        dataset = _dataset(ray, requests, work, cluster)
        threading.Thread(target=_gather, args=(dataset, ended), name="marsad-ray", daemon=True).start()
        yield from _told(requests, _until(ended, asked))


def _told(requests: Sequence[Request], rows: Iterator[dict[str, Any] | None]) -> Iterator[tuple[Request, Outcome]]:
    """Rows as outcomes, with progress between them; at the end those of which there is no row. A row of None says that it was
    stopped."""
    left = dict(enumerate(requests))
    before, here, began, progress = Summary(), Summary(), time.monotonic(), Progress()
    for row in rows:
        if row is None:
            progress.clear()
            return
        if row["unfit"]:
            raise ClusterError(row["unfit"])  # else it would go through all shards in no time
        request, outcome = left.pop(row["number"]), outcome_of(json.loads(row["outcome"]))
        old = outcome.summary.documents if outcome.already else outcome.resumed
        before.documents += old
        here.documents += outcome.summary.documents - old
        here.errors += outcome.summary.errors
        here.seconds = time.monotonic() - began
        progress.clear()
        yield request, outcome
        progress(before, here, 1 - len(left) / len(requests))
    progress.clear()
    for request in left.values():
        error = f"{request.output}: Ray gave it up; its log says why"
        yield request, Outcome("failed", Summary(), error=error)


def _until(ended: "queue.SimpleQueue[dict[str, Any] | BaseException | None]", asked: Asked) -> Iterator[dict[str, Any] | None]:
    """What comes until all has come; None, and no more, when `asked`."""
    while True:
        if asked():
            yield None
            return
        try:
            row = ended.get(timeout=_LOOK)
        except queue.Empty:
            continue
        if row is None:
            return
        if isinstance(row, BaseException):
            reason = str(row).strip().rpartition("\n")[2]
            raise ClusterError(f"Ray gave the job up: {type(row).__name__}: {reason}") from row
        yield row


def _gather(dataset: Any, ended: "queue.SimpleQueue[dict[str, Any] | BaseException | None]") -> None:
    """On a thread, so that a signal is heard while none ends."""
    try:
        for batch in dataset.iter_batches(batch_size=1, batch_format="pyarrow", prefetch_batches=0):
            for row in batch.to_pylist():
                ended.put(row)
        ended.put(None)
    except BaseException as error:
        ended.put(error)


def _dataset(ray: Any, requests: Sequence[Request], work: Work, cluster: Cluster) -> Any:
    """A block for each shard, mapped by a pool of workers that hold the model. A worker whose machine dies is started again
    elsewhere and given the same shard: Ray Data does so of its own accord, for ever; `Worker` knows when it is enough."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.autoscaling_config.actor_pool_util_upscaling_threshold = 1.0  # machines that join while all are at work are used
    context.max_errored_blocks = -1  # a shard that is given up is told by name, and the others go on
    rows = [shard_row(number, request) for number, request in enumerate(requests)]
    most = min(len(requests), cluster.workers or len(requests))
    pool = ray.data.ActorPoolStrategy(
        min_size=1,  # what has nothing to do is ended, so that a worker whose machine died finds room
        max_size=most,
        initial_size=max(1, min(most, room(ray, cluster))),
        max_tasks_in_flight_per_actor=1,  # a shard waits for whoever is free first
    )
    return ray.data.from_items(rows, override_num_blocks=len(rows)).map(
        Worker,
        fn_constructor_args=(work,),
        compute=pool,
        num_cpus=cluster.threads,
        num_gpus=cluster.gpus or None,
    )


def room(ray: Any, cluster: Cluster) -> int:
    """Workers that the machines have room for just now. SettingsError if there is none and no machine can join."""
    room = 0
    for node in ray.nodes():
        if node["Alive"]:
            fits = node["Resources"].get("CPU", 0) // cluster.threads
            room += int(min(fits, node["Resources"].get("GPU", 0) // cluster.gpus) if cluster.gpus else fits)
    if not room:
        gpus = f" and {cluster.gpus} of a GPU" if cluster.gpus else ""
        needed = f"a worker of {cluster.threads} cores{gpus}"
        if cluster.address is None:
            raise SettingsError(f"--engine ray: this machine has no room for {needed}")
        logger.warning("no machine of the cluster has room for %s; waiting for one that has", needed)
    return room


def _work_of(request: Request, environment: Mapping[str, str], cluster: Cluster) -> Work:
    """What the workers are told. The model is looked at here too, so that what is wrong with it is told at once."""
    given = {name: value for name, value in environment.items() if name.startswith("MARSAD_")}
    settings = Settings.from_environment(given)
    folder = ModelFolder.open(settings.model)
    parse_thresholds(settings.thresholds, folder.schema.event_types, "thresholds")
    given["MARSAD_THREADS"] = str(cluster.threads)
    common = replace(request, files=(), sinks=(), restart=False)
    return Work(common, given, folder.id, Path.cwd(), run=secrets.token_hex(8))


def _begin_again(requests: Sequence[Request]) -> None:
    """What `restart` means is done here and once: a worker that takes over from one that died must go on from its parts."""
    if not requests[0].restart:
        return
    for request in requests:
        if request.output.exists() and not request.force:
            raise FileError(f"{request.output}: exists already; choose another name, or give --force to replace it")
    for request in requests:
        summary_of(request.output).unlink(missing_ok=True)
        if parts_folder(request.output).exists():
            with open_ledger(request.output, {}, restart=True) as ledger:
                ledger.remove()


def _import_ray() -> Any:
    """Ray and Ray Data, which is not to send anything to its makers."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        import ray
        import ray.data
    except ModuleNotFoundError as error:
        raise SettingsError(f"--engine ray needs the package {error.name!r}: pip install 'marsad[ray]'") from error
    return ray


def _check_address(address: str | None) -> None:
    """SettingsError if nothing listens there: Ray itself would try for minutes."""
    host, _, port = (address or "").rpartition(":")
    if not (host and port.isdigit()) or "/" in host:
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except OSError as error:
        raise SettingsError(f"--address {address}: no Ray cluster answers there: {error.strerror or error}") from error


@contextmanager
def _connected(ray: Any, address: str | None) -> Iterator[None]:
    """Connected until the end, and our way with signals kept, which Ray has one of its own for."""
    ours = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    _check_address(address)
    try:
        ray.init(address=address or "local", logging_level=logging.ERROR, **({} if address else {"include_dashboard": False}))
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise SettingsError(f"--address {address}: {error}") from error
    for number, handler in ours.items():
        signal.signal(number, handler)
    for name, level in (("ray.data", logging.WARNING), ("ray.data._internal.progress", logging.ERROR)):
        logging.getLogger(name).setLevel(level)
    try:
        yield
    finally:
        ray.shutdown()
