"""Turn a finished run into the model folder that serving reads, and prove that both give the same scores."""

import copy
import json
import logging
import shutil
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from labels import __version__
from labels.errors import ConfigError, FolderError
from labels.folder import (
    CARD,
    CHECKPOINT,
    DECODING,
    EVENT_SCORES,
    GRAPH,
    INPUT_IDS,
    INPUT_MASK,
    ONNX_GRAPH,
    SCHEMA,
    TOKENIZER,
    Manifest,
    ModelFolder,
    write_manifest,
)
from labels.openvino import core, ov
from labels.schema import load_schema
from training.bases import SPECIAL_PIECES
from training.card import model_card
from training.data import load_tokenizer
from training.export_onnx import run_onnx, save_onnx
from training.finetune import RUN_RECORD
from training.model import HEADS, JointModel, load_joint
from training.provenance import PROVENANCE, read_provenance
from training.served import WEIGHTS, graph_weights, missing_weights

logger = logging.getLogger(__name__)

# Weights are stored in 16 bits and computed in 32: the largest difference seen on real rows stays well below this.
TOLERANCE = 0.05


class _Served(nn.Module):
    """What the graph gives: the scores serving decodes, in a fixed order."""

    def __init__(self, model: JointModel) -> None:
        super().__init__()
        self.model = model
        self.names = model.names

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, ...]:
        scores = self.model(input_ids, attention_mask)
        return tuple(scores[name] for name in self.names)


def export_run(
    run: Path,
    output: Path,
    *,
    name: str,
    reports: Mapping[str, Path] | None = None,
    force: bool = False,
    onnx: bool = False,
) -> ModelFolder:
    """Write `output` from the folder of a `marsad train` run; `reports` maps a split's name to a report.json; with `onnx`
    there is a graph for ONNX Runtime as well. The folder appears whole or not at all."""
    record_file = run / RUN_RECORD
    if not record_file.is_file():
        raise ConfigError(f"{run}: no {RUN_RECORD}; expected the output folder of `marsad train`")
    if output.exists() and not force:
        raise FolderError(f"{output} is there already; give --force to replace it")
    record = json.loads(record_file.read_text(encoding="utf-8"))
    schema = load_schema(run / SCHEMA)
    model = load_joint(run, n_tags=len(schema.tags), n_types=len(schema.event_types))
    partial = output.with_name(output.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    (partial / CHECKPOINT).mkdir(parents=True)
    for file in (SCHEMA, DECODING, TOKENIZER):
        shutil.copyfile(run / file, partial / file)
    graph = to_openvino(model)
    ov.save_model(graph, partial / GRAPH, compress_to_fp16=True)
    window, pad_id = record["config"]["window"], load_tokenizer(str(run)).pad_token_id
    _compare(model, partial / GRAPH, run, window, pad_id)
    if onnx:
        to_onnx(model, partial / ONNX_GRAPH)
        _compare(model, partial / ONNX_GRAPH, run, window, pad_id)
    _write_checkpoint(model, run, partial / CHECKPOINT)
    metrics: dict[str, Any] = {"dev": record["dev"]}
    metrics |= {split: json.loads(path.read_text(encoding="utf-8")) for split, path in (reports or {}).items()}
    manifest = Manifest(
        name=name,
        schema_fingerprint=schema.fingerprint,
        window=window,
        overlap=record["config"]["overlap"],
        base=Path(record["config"]["base"]).name if Path(record["config"]["base"]).exists() else record["config"]["base"],
        data=tuple(read_provenance(run)),
        metrics={split: _headline(report) for split, report in metrics.items()},
        marsad_version=__version__,
        pad_id=pad_id,
    )
    (partial / CARD).write_text(model_card(manifest, schema, metrics), encoding="utf-8")
    return _finish(partial, output, manifest)


def add_onnx(folder: ModelFolder, output: Path, *, force: bool = False) -> ModelFolder:
    """Write `output` as a copy of a served folder, its name and figures included, with a graph for ONNX Runtime beside the
    other. With `force` `output` may be the folder itself."""
    if output.exists() and not force:
        raise FolderError(f"{output} is there already; give --force to replace it")
    schema, manifest = folder.schema, folder.manifest
    model = load_joint(folder.path, n_tags=len(schema.tags), n_types=len(schema.event_types))
    partial = output.with_name(output.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(folder.path, partial)
    to_onnx(model, partial / ONNX_GRAPH)
    _compare(model, partial / ONNX_GRAPH, folder.path, manifest.window, manifest.pad_id)
    return _finish(partial, output, manifest)


def _finish(partial: Path, output: Path, manifest: Manifest) -> ModelFolder:
    write_manifest(partial, manifest)
    if output.exists():
        shutil.rmtree(output)
    partial.rename(output)
    return ModelFolder.open(output)


def to_onnx(model: JointModel, file: Path) -> None:
    """The served graph for ONNX Runtime, computed in 32 bits. Its weights are rounded to 16 first, as those of the other
    graph are stored: both are then of one model, and give one answer."""
    served = _traceable(model)
    with torch.no_grad():
        for weight in served.parameters():
            weight.copy_(weight.half())
    save_onnx(served, served.names, file)


def _traceable(model: JointModel) -> _Served:
    served = _Served(copy.deepcopy(model).float()).eval()
    if hasattr(served.model.encoder, "set_attn_implementation"):
        served.model.encoder.set_attn_implementation("eager")  # type: ignore[operator]
    return served


def to_openvino(model: JointModel) -> ov.Model:
    """The served graph with named inputs and outputs and free row and piece counts. The front end is called directly:
    the converter around it would report its use over the network."""
    served = _traceable(model)
    # Imported here, after labels.openvino: whoever imports openvino first decides whether it reports that.
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    ids = torch.randint(5, 20, (2, 7))
    mask = torch.ones_like(ids)
    mask[1, 4:] = 0
    with torch.inference_mode(), warnings.catch_warnings():
        # The front end traces, which torch calls deprecated; that the trace holds for other shapes is checked after.
        warnings.simplefilter("ignore")
        decoder = TorchScriptPythonDecoder(served, example_input={INPUT_IDS: ids, INPUT_MASK: mask})
        frontend = FrontEndManager().load_by_framework("pytorch")
        graph = frontend.convert(frontend.load(decoder))
    for node, name in zip(graph.inputs, (INPUT_IDS, INPUT_MASK), strict=True):
        node.get_tensor().set_names({name})
        node.get_node().set_friendly_name(name)
        node.get_node().set_partial_shape(ov.PartialShape([-1, -1]))
        node.get_node().set_element_type(ov.Type.i64)
    for output, name in zip(graph.outputs, served.names, strict=True):
        output.get_tensor().set_names({name})
    graph.validate_nodes_and_infer_types()
    return graph


def largest_difference(model: JointModel, graph: Path, *, longest: int, pad_id: int = 0) -> float:
    """The largest absolute difference of any score between the model and its saved graph, both computed in 32 bits: over
    rows of several lengths up to `longest`, with and without padding. The long ones are there for encoders that look at
    some layers only a part of the row, which a short row does not show."""
    compute = run_onnx(graph) if graph.name == ONNX_GRAPH else _run_openvino(graph)
    served = _Served(copy.deepcopy(model).float()).eval()
    vocab = int(model.encoder.config.vocab_size)  # type: ignore[union-attr, arg-type]
    draw = torch.Generator().manual_seed(0)
    worst = 0.0
    for rows, length in ((1, 3), (3, 17), (2, 60), (2, longest)):
        ids = torch.randint(0, vocab, (rows, min(length, longest)), generator=draw)
        mask = torch.ones_like(ids)
        padded = slice(max(2, ids.shape[1] // 2), None)
        ids[0, padded], mask[0, padded] = pad_id, 0
        with torch.inference_mode():
            expected = served(ids, mask)
        found = compute({INPUT_IDS: ids.numpy(), INPUT_MASK: mask.numpy()})
        for name, scores in zip(served.names, expected, strict=True):
            shown = np.ones(rows, dtype=bool) if name == EVENT_SCORES else mask.bool().numpy()
            worst = max(worst, float(np.abs(found[name] - scores.numpy())[shown].max()))
    return worst


def _run_openvino(graph: Path) -> Callable[[Mapping[str, Any]], Mapping[str, Any]]:
    return core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})  # type: ignore[no-any-return]


def _compare(model: JointModel, graph: Path, source: Path, window: int, pad_id: int) -> None:
    difference = largest_difference(model, graph, longest=window + SPECIAL_PIECES, pad_id=pad_id)
    if difference > TOLERANCE:
        raise FolderError(f"{source}: {graph.name} differs from the model by {difference:.3f}, more than {TOLERANCE}")
    logger.info("largest difference between %s and model: %.4f", graph.name, difference)


def _write_checkpoint(model: JointModel, run: Path, target: Path) -> None:
    """What makes the graph's weights a base to fine-tune from: the encoder's configuration and the tokenizer's files. Only
    where the graph does not hold all weights under their names do they come along, in 16 bits."""
    for file in ("config.json", "tokenizer.json", "tokenizer_config.json", PROVENANCE):
        shutil.copyfile(run / file, target / file)
    if missing := missing_weights(model, graph_weights(target.parent / GRAPH)):
        logger.info("the graph does not hold %d weights, such as %s: all are kept beside it", len(missing), missing[0])
        for file in (WEIGHTS, HEADS):
            tensors = {name: value.half().contiguous() for name, value in load_file(run / file).items()}
            save_file(tensors, target / file, {"format": "pt"})


def _headline(report: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of a report that a manifest carries: micro and macro F1 of each part, with intervals."""
    return {
        f"{part}_{mean}_f1": report[part][mean]["f1"]
        for part in ("entities", "events", "triggers", "roles")
        for mean in ("micro", "macro")
        if mean in report.get(part, {})
    } | ({"exact_set": report["exact_set"]} if report.get("exact_set") else {})
