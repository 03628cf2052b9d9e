"""The graph run by ONNX Runtime, which is how a model runs on CUDA. The package is an extra, and imported when a graph is
made and no earlier."""

from typing import Any, Literal

import numpy as np

from labels.decode import Scores
from labels.folder import INPUT_IDS, INPUT_MASK, ONNX_GRAPH, ModelFolder
from serving.errors import EngineError
from serving.graph import Ids

Device = Literal["cuda", "onnx-cpu"]

_CPU, _CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
_PACKAGES = {"cuda": "onnxruntime-gpu", "onnx-cpu": "onnxruntime"}


class OnnxGraph:
    """`graph.onnx` of a model folder. Its session may be run by several threads at a time, so streams need nothing of their
    own."""

    def __init__(
        self,
        folder: ModelFolder,
        *,
        device: Device = "onnx-cpu",
        threads: int | None = None,
        precision: str = "auto",
        streams: int = 1,
    ) -> None:
        """`threads` of the CPU, None for all cores. `precision` auto is f32 on the CPU, and on CUDA tf32: products of numbers
        rounded to 10 bits behind the point, which its matrix units take. EngineError says what is missing: the graph, the
        package, or CUDA."""
        if not (folder.path / ONNX_GRAPH).is_file():
            raise EngineError(
                f"{folder.path}: no {ONNX_GRAPH}, which {device} needs; write it with `marsad export RUN -o FOLDER --onnx`, "
                f"where RUN is the run that the model is of, or {folder.path} itself"
            )
        if precision not in ("auto", "f32"):
            raise EngineError(f"{device} computes in 32 bits; take precision f32 or auto, not {precision}")
        self.precision = "tf32" if device == "cuda" and precision == "auto" else "f32"
        self.streams = streams
        self._session = _open(folder, device, threads, exact=self.precision == "f32")
        self.outputs = {output.name: _last_size(output.shape) for output in self._session.get_outputs()}

    def run(self, ids: Ids, mask: Ids, stream: int = 0) -> dict[str, Scores]:  # noqa: ARG002
        found = self._session.run(None, {INPUT_IDS: ids, INPUT_MASK: mask})
        return {name: np.asarray(scores, dtype=np.float32) for name, scores in zip(self.outputs, found, strict=True)}


def _last_size(shape: list[int | str | None]) -> int | None:
    """A dimension that is not fixed has a name or None."""
    return shape[-1] if shape and isinstance(shape[-1], int) else None


def _open(folder: ModelFolder, device: Device, threads: int | None, *, exact: bool) -> Any:
    try:
        from labels.onnxruntime import ort
    except ImportError as error:
        raise EngineError(
            f"{device} needs ONNX Runtime, which is not here ({error}); install it: pip install {_PACKAGES[device]}"
        ) from error
    providers: list[Any] = [_CPU]
    if device == "cuda":
        able = ort.get_available_providers()
        if _CUDA not in able:
            raise EngineError(
                f"this onnxruntime was built without CUDA (it has {', '.join(able)}); put the other build in its place: "
                "pip uninstall onnxruntime, then pip install onnxruntime-gpu"
            )
        if hasattr(ort, "preload_dlls"):
            ort.preload_dlls()  # CUDA and cuDNN from wheels, where those are installed
        providers.insert(0, (_CUDA, {"use_tf32": "0" if exact else "1"}))
    options = ort.SessionOptions()
    options.log_severity_level = 3  # errors; below are notes on single nodes for whoever builds a runtime
    if threads is not None:
        options.intra_op_num_threads = threads
    try:
        session = ort.InferenceSession(str(folder.path / ONNX_GRAPH), options, providers=providers)
    except Exception as error:  # the library's own errors have no common class that it shows
        raise EngineError(f"{folder.path}: {ONNX_GRAPH} cannot be loaded: {error}") from error
    if device == "cuda" and _CUDA not in session.get_providers():
        # It goes on with the CPU by itself, and would be slow without a word.
        raise EngineError(
            "ONNX Runtime has CUDA but cannot start it here: is there a graphics card with a driver (nvidia-smi), and are the "
            "CUDA and cuDNN libraries of the version it was built for installed (pip install onnxruntime-gpu[cuda,cudnn])?"
        )
    return session
