"""A traced model as ONNX, and ONNX Runtime to compare it by. Needs the packages `onnx` and `onnxruntime`."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import nn

from labels.errors import ConfigError
from labels.folder import EVENT_SCORES, INPUT_IDS, INPUT_MASK

OPSET = 17
"""Read by every ONNX Runtime since 1.13, and new enough for layer normalisation to be one operation."""


def save_onnx(served: nn.Module, names: Sequence[str], file: Path) -> None:
    """Write `served`, which gives the outputs `names` in order, with free row and piece counts; ConfigError if a package is
    not there."""
    _need("onnx")
    ids = torch.randint(5, 20, (2, 7))
    mask = torch.ones_like(ids)
    mask[1, 4:] = 0
    free = {name: {0: "rows", 1: "pieces"} for name in (INPUT_IDS, INPUT_MASK, *names)}
    if EVENT_SCORES in free:
        free[EVENT_SCORES] = {0: "rows"}
    with torch.inference_mode(), warnings.catch_warnings():
        # Traced, as for OpenVINO, which torch calls deprecated: its other way takes thirty times as long, needs one package
        # more, and gives a graph that is no faster. That the trace holds for other shapes is checked after.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            served,
            (ids, mask),
            str(file),
            input_names=[INPUT_IDS, INPUT_MASK],
            output_names=list(names),
            dynamic_axes=free,
            opset_version=OPSET,
            dynamo=False,
        )


def run_onnx(graph: Path) -> Callable[[Mapping[str, Any]], Mapping[str, Any]]:
    """A saved graph to call with inputs by name, on the CPU in 32 bits; outputs by name come back."""
    _need("onnxruntime")
    from labels.onnxruntime import ort

    session = ort.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda inputs: dict(zip(names, session.run(None, dict(inputs)), strict=True))


def _need(package: str) -> None:
    if find_spec(package) is None:
        raise ConfigError(f"a graph for ONNX Runtime needs the package {package}; install both: pip install onnx onnxruntime")
