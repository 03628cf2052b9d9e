"""The graph run by OpenVINO on the CPU, on one stream or several."""

from typing import Any, Literal

import numpy as np

from labels.decode import Scores
from labels.folder import GRAPH, INPUT_IDS, INPUT_MASK, ModelFolder
from labels.openvino import core
from serving.devices import Precision
from serving.errors import EngineError
from serving.graph import KNOWN_OUTPUTS, Ids

# Kernels of the shapes that were met last, a few passes' worth. By default those of thousands are kept, which took 70 MB after
# 130 shapes and showed no gain.
_KEPT_KERNELS = 200


class OpenVinoGraph:
    """`graph.xml` of a model folder. Each stream has a request of its own, and its share of the threads."""

    def __init__(
        self, folder: ModelFolder, *, threads: int | None = None, precision: Precision = "auto", streams: int = 1
    ) -> None:
        """`threads`, of all streams together, None for all cores. `precision` auto is bf16 where the processor has it, else
        f32. EngineError if the graph does not load."""
        if streams < 1 or (threads is not None and threads < streams):
            raise EngineError(f"expected a thread or more for each stream, found {threads} threads for {streams} streams")
        self.precision = _choose_precision(precision)
        self.streams = streams
        self._compiled = _compile(folder, threads, self.precision, streams)
        self._names = [_name(names, i) for i, names in enumerate(o.get_names() for o in self._compiled.outputs)]
        self.outputs = {name: _last_size(o) for name, o in zip(self._names, self._compiled.outputs, strict=True)}
        self._requests = [self._compiled.create_infer_request() for _ in range(streams)]

    def run(self, ids: Ids, mask: Ids, stream: int = 0) -> dict[str, Scores]:
        request = self._requests[stream]
        request.infer({INPUT_IDS: ids, INPUT_MASK: mask})
        # Copied before the caller has them: the stream's next run writes into the same memory.
        return {name: np.array(request.get_output_tensor(i).data, dtype=np.float32) for i, name in enumerate(self._names)}


def _name(names: set[str], place: int) -> str:
    """One name for an output that may have several or none: the one that is known, if any is."""
    return min(names & KNOWN_OUTPUTS or names, default=f"output {place}")


def _last_size(output: Any) -> int | None:
    shape = output.get_partial_shape()
    last = shape[len(shape) - 1]
    return int(last.get_length()) if last.is_static else None


def _choose_precision(wanted: Precision) -> Literal["f32", "bf16"]:
    able = "BF16" in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if wanted == "bf16" and not able:
        raise EngineError("this processor does not compute in bf16; take precision f32 or auto")
    return "bf16" if able and wanted != "f32" else "f32"


def _compile(folder: ModelFolder, threads: int | None, precision: str, streams: int) -> Any:
    config: dict[str, Any] = {
        # Batches are made by the caller: one stream takes all threads for a run, several divide them. Two passes on a core
        # each end sooner than two that share both cores, one after the other.
        "PERFORMANCE_HINT": "LATENCY" if streams == 1 else "THROUGHPUT",
        "EXECUTION_MODE_HINT": "PERFORMANCE",
        "INFERENCE_PRECISION_HINT": precision,
        "NUM_STREAMS": str(streams),
        "ENABLE_CPU_PINNING": False,  # several processes would be pinned to the same cores
        "CPU_RUNTIME_CACHE_CAPACITY": _KEPT_KERNELS,
        "CACHE_DIR": "",
    }
    if threads is not None:
        config["INFERENCE_NUM_THREADS"] = threads
    try:
        return core().compile_model(core().read_model(folder.path / GRAPH), "CPU", config)
    except RuntimeError as error:
        raise EngineError(f"{folder.path}: {GRAPH} cannot be loaded: {error}") from error
