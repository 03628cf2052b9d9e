"""Where a model can run, and the graph for each; a runtime is imported only when its device is chosen."""

from typing import Literal, get_args

from labels.folder import ModelFolder
from serving.errors import EngineError
from serving.graph import Graph

Device = Literal["cpu", "cuda", "onnx-cpu"]
Precision = Literal["auto", "f32", "bf16"]

DEVICES: tuple[Device, ...] = get_args(Device)


def load_graph(
    folder: ModelFolder,
    *,
    device: Device = "cpu",
    threads: int | None = None,
    precision: Precision = "auto",
    streams: int = 1,
) -> Graph:
    """`cpu` is OpenVINO, the others ONNX Runtime; EngineError says what a device lacks."""
    if precision not in get_args(Precision):
        raise EngineError(f"no precision {precision!r}; expected {', '.join(get_args(Precision))}")
    if device == "cpu":
        from serving.openvino_graph import OpenVinoGraph

        return OpenVinoGraph(folder, threads=threads, precision=precision, streams=streams)
    if device not in DEVICES:
        raise EngineError(f"no device {device!r}; expected {', '.join(DEVICES)}")
    from serving.onnx_graph import OnnxGraph

    return OnnxGraph(folder, device=device, threads=threads, precision=precision, streams=streams)
