"""The same model as ONNX Runtime runs it in 32 bits: tokenizer, windows and decoding of the torch baseline, and a session in
place of the module. Needs torch, onnx and onnxruntime."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.arms import Readings
from benchmarks.baseline import PlainTorch
from labels.folder import INPUT_IDS, INPUT_MASK, ONNX_GRAPH, ModelFolder
from labels.types import Document, Prediction, Span
from training.export import to_onnx

BATCH_ROWS = 64


class OnnxModule(nn.Module):
    """A session where a joint model is expected; what is not copied between the two costs nothing."""

    def __init__(self, graph: Path, threads: int | None) -> None:
        super().__init__()
        from labels.onnxruntime import ort

        options = ort.SessionOptions()
        if threads is not None:
            options.intra_op_num_threads = threads
        self.session = ort.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
        self.names = [output.name for output in self.session.get_outputs()]
        self.device = nn.Parameter(torch.empty(0))  # whoever scores asks a parameter where the model is

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> dict[str, Tensor]:
        found = self.session.run(None, {INPUT_IDS: input_ids.numpy(), INPUT_MASK: attention_mask.numpy()})
        return {name: torch.from_numpy(scores) for name, scores in zip(self.names, found, strict=True)}


class OnnxArm:
    """The graph of the folder, or one made from its weights where it has none."""

    def __init__(self, folder: ModelFolder, name: str, *, batch_rows: int = BATCH_ROWS, threads: int | None = None) -> None:
        self.name = name
        self.plain: Any = PlainTorch(folder, batch_rows=batch_rows, threads=threads)
        with tempfile.TemporaryDirectory() as place:
            graph = folder.path / ONNX_GRAPH
            if not graph.is_file():
                graph = Path(place) / ONNX_GRAPH
                to_onnx(self.plain.model, graph)
            self.plain.model = OnnxModule(graph, threads)

    def run(self, documents: Sequence[Document]) -> list[tuple[int, Span, Prediction]]:
        answer: list[tuple[int, Span, Prediction]] = self.plain.run(documents)
        return answer

    def readings(self, answer: list[tuple[int, Span, Prediction]]) -> "Readings":
        return {
            (i, at.start, at.end): (
                frozenset((e.label, e.span.start + at.start, e.span.end + at.start) for e in prediction.entities),
                frozenset(prediction.event_types),
            )
            for i, at, prediction in answer
        }
