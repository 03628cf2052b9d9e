"""One interface, two runtimes: the same folder gives the same scores, and what a device lacks is said."""

import builtins
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from labels.errors import ConfigError, FolderError
from labels.folder import (
    EVENT_SCORES,
    GRAPH,
    GRAPH_WEIGHTS,
    INPUT_IDS,
    INPUT_MASK,
    ONNX_GRAPH,
    ROLE_KEYS,
    ROLE_QUERIES,
    SCHEMA,
    TAG_SCORES,
    TOKENIZER,
    TRIGGER_SCORES,
    Manifest,
    ModelFolder,
    write_manifest,
)
from labels.openvino import ov
from labels.schema import parse_schema
from serving.devices import DEVICES, load_graph
from serving.errors import EngineError
from serving.graph import check_outputs
from serving.onnx_graph import OnnxGraph
from serving.openvino_graph import OpenVinoGraph
from tests.folders import SCHEMA_TEXT, make_folder, make_tokenizer

pytest.importorskip("onnx", reason="the extra `onnx` and the packages for training are not installed")
pytest.importorskip("labels.onnxruntime", reason="the extra `onnx` is not installed")

LONGEST = 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    """A 2-layer BERT of random weights with all heads but the borders', as both kinds of graph."""
    import torch

    from labels.decode import DecodingRules
    from labels.folder import write_rules
    from tests.tiny import tiny_encoder
    from training.export import to_onnx, to_openvino
    from training.model import JointModel, load_encoder

    path = tmp_path_factory.mktemp("both")
    schema = parse_schema(SCHEMA_TEXT)
    torch.manual_seed(3)
    sizes = {"n_tags": len(schema.tags), "n_types": len(schema.event_types), "n_roles": len(schema.roles)}
    model = JointModel(load_encoder(str(tiny_encoder(path / "encoder"))), triggers=True, **sizes).eval()
    ov.save_model(to_openvino(model), path / GRAPH, compress_to_fp16=True)
    to_onnx(model, path / ONNX_GRAPH)
    (path / SCHEMA).write_text(SCHEMA_TEXT, encoding="utf-8")
    make_tokenizer().save(str(path / TOKENIZER))
    write_rules(path, DecodingRules(dict.fromkeys(schema.event_types, 0.5)))
    write_manifest(path, Manifest("both", schema.fingerprint, LONGEST, 10, base="none"))
    return ModelFolder.open(path)


def batch(rows: int, pieces: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Random ids; all rows but the first are filled up at the end."""
    draw = np.random.default_rng(seed)
    ids = draw.integers(5, 60, (rows, pieces))
    mask = np.ones_like(ids)
    for i in range(1, rows):
        kept = int(draw.integers(1, pieces + 1))
        ids[i, kept:], mask[i, kept:] = 0, 0
    return ids, mask


def test_both_runtimes_give_the_same_scores(folder: ModelFolder) -> None:
    graphs = [load_graph(folder, device="cpu", precision="f32", threads=1), load_graph(folder, device="onnx-cpu", threads=1)]
    assert [graph.precision for graph in graphs] == ["f32", "f32"]
    assert graphs[0].outputs == graphs[1].outputs
    for rows, pieces in ((1, 3), (4, 17), (2, LONGEST)):
        ids, mask = batch(rows, pieces)
        ours, theirs = (graph.run(ids, mask) for graph in graphs)
        assert ours.keys() == theirs.keys() == graphs[0].outputs.keys()
        for name, scores in ours.items():
            assert scores.dtype == theirs[name].dtype == np.float32
            shown = slice(None) if name == EVENT_SCORES else mask.astype(bool)
            np.testing.assert_allclose(scores[shown], theirs[name][shown], atol=2e-4, err_msg=name)


def test_outputs_are_those_of_the_heads(folder: ModelFolder) -> None:
    graph = load_graph(folder, device="onnx-cpu")
    assert graph.outputs == {TAG_SCORES: 5, EVENT_SCORES: 2, TRIGGER_SCORES: 2, ROLE_QUERIES: 64, ROLE_KEYS: 64}
    assert set(check_outputs(folder, graph.outputs)) == set(graph.outputs)


@pytest.mark.parametrize("device", ["cpu", "onnx-cpu"])
def test_streams_run_at_the_same_time_and_keep_apart(folder: ModelFolder, device: str) -> None:
    graph = load_graph(folder, device=device, threads=2, streams=2)
    assert graph.streams == 2
    batches = [batch(2, 9, seed) for seed in range(2)]
    expected = [load_graph(folder, device=device, threads=1).run(*each) for each in batches]
    wrong = []

    def work(stream: int) -> None:
        for _ in range(20):
            found = graph.run(*batches[stream], stream=stream)
            wrong.extend(n for n, s in found.items() if not np.allclose(s, expected[stream][n], atol=0.05))

    threads = [threading.Thread(target=work, args=(stream,)) for stream in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert not np.allclose(expected[0][EVENT_SCORES], expected[1][EVENT_SCORES], atol=0.05)


@pytest.mark.parametrize("device", ["cpu", "onnx-cpu"])
def test_scores_are_the_callers_own(folder: ModelFolder, device: str) -> None:
    graph = load_graph(folder, device=device, threads=1)
    first = graph.run(*batch(2, 9, 0))
    kept = {name: scores.copy() for name, scores in first.items()}
    graph.run(*batch(2, 9, 1))
    for name, scores in first.items():
        np.testing.assert_array_equal(scores, kept[name])


def test_fewer_threads_than_streams_are_refused(folder: ModelFolder) -> None:
    with pytest.raises(EngineError, match="1 threads for 2 streams"):
        OpenVinoGraph(folder, threads=1, streams=2)
    with pytest.raises(EngineError, match="0 streams"):
        OpenVinoGraph(folder, streams=0)


def test_an_unknown_device_is_refused(folder: ModelFolder) -> None:
    with pytest.raises(EngineError, match=f"no device 'tpu'; expected {', '.join(DEVICES)}"):
        load_graph(folder, device="tpu")  # type: ignore[arg-type]


def test_a_folder_without_the_graph_says_how_to_make_one(tmp_path: Path) -> None:
    made = make_folder(tmp_path)
    assert load_graph(made, device="cpu", threads=1).outputs == {TAG_SCORES: 5, EVENT_SCORES: 2}
    with pytest.raises(EngineError, match=r"no graph\.onnx, which cuda needs.*marsad export RUN -o FOLDER --onnx"):
        load_graph(made, device="cuda")


def test_a_missing_package_is_named(folder: ModelFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *rest: object, **more: object) -> object:
        if name in ("labels.onnxruntime", "onnxruntime"):
            raise ModuleNotFoundError(f"No module named {name!r}")
        return real(name, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(EngineError, match=r"onnx-cpu needs ONNX Runtime.*pip install onnxruntime$"):
        OnnxGraph(folder, device="onnx-cpu")
    with pytest.raises(EngineError, match=r"pip install onnxruntime-gpu$"):
        OnnxGraph(folder, device="cuda")


def test_a_runtime_without_cuda_is_said(folder: ModelFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    from labels.onnxruntime import ort

    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(EngineError, match=r"without CUDA \(it has CPUExecutionProvider\).*onnxruntime-gpu"):
        OnnxGraph(folder, device="cuda")


def test_cuda_that_does_not_start_is_said(folder: ModelFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library would go on with the CPU by itself."""
    from labels.onnxruntime import ort

    real, asked = ort.InferenceSession, []

    def fall_back(file: str, options: object, providers: list[object]) -> object:
        asked.extend(providers)
        return real(file, options, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    monkeypatch.setattr(ort, "preload_dlls", lambda: None, raising=False)
    monkeypatch.setattr(ort, "InferenceSession", fall_back)
    with pytest.raises(EngineError, match="cannot start it here"):
        OnnxGraph(folder, device="cuda", precision="f32")
    assert asked == [("CUDAExecutionProvider", {"use_tf32": "0"}), "CPUExecutionProvider"]


def test_precisions_that_a_device_does_not_have_are_refused(folder: ModelFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EngineError, match="take precision f32 or auto, not bf16"):
        OnnxGraph(folder, precision="bf16")
    monkeypatch.setattr("openvino.Core.get_property", lambda *_: ["FP32"])
    assert OpenVinoGraph(folder, threads=1).precision == "f32"
    with pytest.raises(EngineError, match="take precision f32 or auto"):
        OpenVinoGraph(folder, threads=1, precision="bf16")


@pytest.mark.parametrize(("device", "name"), [("cpu", GRAPH), ("onnx-cpu", ONNX_GRAPH)])
def test_a_broken_graph_is_named(folder: ModelFolder, tmp_path: Path, device: str, name: str) -> None:
    for file in (SCHEMA, TOKENIZER, GRAPH, GRAPH_WEIGHTS, ONNX_GRAPH, "decoding.json"):
        (tmp_path / file).write_bytes((folder.path / file).read_bytes())
    (tmp_path / name).write_text("not what it was", encoding="utf-8")
    write_manifest(tmp_path, folder.manifest)
    with pytest.raises(EngineError, match=f"{name} cannot be loaded"):
        load_graph(ModelFolder.open(tmp_path), device=device)  # type: ignore[arg-type]


def test_the_graph_is_optional_but_must_be_the_manifests(folder: ModelFolder, tmp_path: Path) -> None:
    for file in (SCHEMA, TOKENIZER, GRAPH, GRAPH_WEIGHTS, ONNX_GRAPH, "decoding.json"):
        (tmp_path / file).write_bytes((folder.path / file).read_bytes())
    write_manifest(tmp_path, folder.manifest)
    assert ONNX_GRAPH in ModelFolder.open(tmp_path).manifest.files
    with (tmp_path / ONNX_GRAPH).open("ab") as handle:
        handle.write(b" ")
    with pytest.raises(FolderError, match=r"graph\.onnx is not the file the manifest was written for"):
        ModelFolder.open(tmp_path)
    (tmp_path / ONNX_GRAPH).unlink()
    assert ModelFolder.open(tmp_path).manifest.name == "both"


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({TAG_SCORES: 5, EVENT_SCORES: 2, "mood_scores": 3}, r"unknown output \['mood_scores'\]"),
        ({TAG_SCORES: 5}, "no output 'event_scores'"),
        ({TAG_SCORES: 7, EVENT_SCORES: 2}, "'tag_scores' ends in 7, the schema needs 5"),
        ({TAG_SCORES: 5, EVENT_SCORES: 2, TRIGGER_SCORES: 3}, "'trigger_scores' ends in 3, the schema needs 2"),
        ({TAG_SCORES: 5, EVENT_SCORES: 2, "border_scores": 5}, "'border_scores' ends in 5, expected 2 to 4"),
        ({TAG_SCORES: 5, EVENT_SCORES: 2, ROLE_QUERIES: 64, ROLE_KEYS: 64}, "found role_queries 64, role_keys 64"),
        ({TAG_SCORES: 5, EVENT_SCORES: 2, TRIGGER_SCORES: 2, ROLE_KEYS: 64}, "found role_keys 64"),
        (
            {TAG_SCORES: 5, EVENT_SCORES: 2, TRIGGER_SCORES: 2, ROLE_QUERIES: 63, ROLE_KEYS: 63},
            "multiple of the schema's 2 roles",
        ),
    ],
)
def test_outputs_for_another_schema_are_refused(folder: ModelFolder, outputs: dict[str, int | None], message: str) -> None:
    with pytest.raises(EngineError, match=message):
        check_outputs(folder, outputs)


def test_sizes_that_are_not_fixed_are_let_through(folder: ModelFolder) -> None:
    outputs = dict.fromkeys((TAG_SCORES, EVENT_SCORES, TRIGGER_SCORES, ROLE_QUERIES, ROLE_KEYS))
    assert check_outputs(folder, outputs) == list(outputs)


def test_a_served_folder_gets_the_graph_added(folder: ModelFolder, tmp_path: Path) -> None:
    """From the weights of the other graph, so a folder whose run is gone can have one."""
    from training.export import add_onnx

    copy = tmp_path / "copy"
    (copy / "checkpoint").mkdir(parents=True)
    for file in (SCHEMA, TOKENIZER, GRAPH, GRAPH_WEIGHTS, "decoding.json"):
        (copy / file).write_bytes((folder.path / file).read_bytes())
    for file in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (copy / "checkpoint" / file).write_bytes((folder.path / "encoder" / file).read_bytes())
    write_manifest(copy, folder.manifest)
    bare = ModelFolder.open(copy)
    before = bare.id
    with pytest.raises(FolderError, match="--force"):
        add_onnx(bare, copy)
    made = add_onnx(bare, copy, force=True)
    assert made.id != before
    assert ONNX_GRAPH in made.manifest.files
    ids, mask = batch(3, 11)
    ours, theirs = (load_graph(made, device=d, precision="f32").run(ids, mask) for d in ("cpu", "onnx-cpu"))
    np.testing.assert_allclose(ours[EVENT_SCORES], theirs[EVENT_SCORES], atol=2e-4)


def test_export_names_the_missing_package(folder: ModelFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch import nn

    from training.export_onnx import save_onnx

    monkeypatch.setattr("training.export_onnx.find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"needs the package onnx; .*pip install onnx onnxruntime"):
        save_onnx(nn.Identity(), [TAG_SCORES], tmp_path / ONNX_GRAPH)


REPORTS = f"""
import sys
import serving.devices, serving.onnx_graph
assert "onnxruntime" not in sys.modules, "imported before it is asked for"
from labels.onnxruntime import ort
import numpy as np
session = ort.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
ones = np.ones((1, 3), dtype=np.int64)
session.run(None, {{"{INPUT_IDS}": ones, "{INPUT_MASK}": ones}})
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="strays are looked for where the Linux wheels keep them")
def test_nothing_is_kept_to_be_reported(folder: ModelFolder, tmp_path: Path) -> None:
    """The library keeps a machine's id and a queue of reports in the home folder, unless it is told not to in time."""
    taken = {"CI", "GITHUB_ACTIONS", "ORT_DISABLE_TELEMETRY", "ORT_RUNNING_UNIT_TESTS", "XDG_CACHE_HOME"}
    environment = {name: value for name, value in os.environ.items() if name not in taken}
    environment |= {"HOME": str(tmp_path), "HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
    script = [sys.executable, "-c", REPORTS, str(folder.path / ONNX_GRAPH)]
    subprocess.run(script, env=environment, check=True, timeout=120)
    assert list(tmp_path.rglob("*")) == []
