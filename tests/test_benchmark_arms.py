"""The arms that others' tools are measured by: they read the same documents as ours, and nearly the same in them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from benchmarks.arms import MarsadArm, TorchArm
from benchmarks.pipeline_arm import LARGE_BATCH, PipelineArm, plain_models
from labels.errors import ConfigError
from labels.folder import CHECKPOINT, EVENT_SCORES, TAG_SCORES, ModelFolder
from labels.types import Document
from serving.engine import Engine
from tests.tiny import gold, tiny_config
from training.export import export_run
from training.finetune import train
from training.model import load_joint

WINDOW = 60


@pytest.fixture(autouse=True)
def threads_as_they_were() -> Iterator[None]:
    """An arm sets torch's threads for the whole process; tests of other files compare runs bit by bit."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    """Hardly trained, so that its scores are of all sizes; it has all heads."""
    root = tmp_path_factory.mktemp("arms")
    config = tiny_config(root, epochs=8, patience=8, window=WINDOW)
    train(config)
    return export_run(root / "run", root / "model", name="tiny")


@pytest.fixture(scope="module")
def documents() -> list[Document]:
    texts = [annotation.text for annotation in gold()]
    return [Document("d0", texts[0]), Document("d1", ""), Document("d2", "\n".join(texts[1:]))]


def test_onnx_runtime_reads_what_torch_reads(folder: ModelFolder, documents: list[Document]) -> None:
    pytest.importorskip("onnx", reason="the packages for training are not installed")
    pytest.importorskip("labels.onnxruntime", reason="the extra `onnx` is not installed")
    from benchmarks.onnx_arm import OnnxArm

    torch_arm = TorchArm(folder, "torch", batch_rows=64, threads=None)
    expected = torch_arm.readings(torch_arm.run(documents))
    arm = OnnxArm(folder, "ONNX Runtime", threads=1)
    assert arm.name == "ONNX Runtime"
    assert arm.readings(arm.run(documents)) == expected
    assert arm.run([]) == []
    assert len(expected) > len(documents)
    assert any(names for names, _ in expected.values())


def test_plain_models_score_as_the_joint_one(folder: ModelFolder) -> None:
    schema = folder.schema
    joint = load_joint(folder.path, n_tags=len(schema.tags), n_types=len(schema.event_types))
    tagger, classifier = (model.eval() for model in plain_models(folder))
    ids = torch.randint(5, 60, (3, 12), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    ids[1, 7:], mask[1, 7:] = 0, 0
    with torch.inference_mode():
        expected = joint(ids, mask)
        tags, events = tagger(ids, attention_mask=mask).logits, classifier(ids, mask).logits
    torch.testing.assert_close(tags[mask.bool()], expected[TAG_SCORES][mask.bool()], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(events * folder.rules.temperature, expected[EVENT_SCORES], atol=1e-4, rtol=1e-4)
    assert list(tagger.config.id2label.values()) == list(schema.tags)
    assert tagger.bert is not classifier.bert


@pytest.mark.parametrize("batch_size", [1, LARGE_BATCH])
def test_pipelines_read_the_same_sentences(folder: ModelFolder, documents: list[Document], batch_size: int) -> None:
    ours = MarsadArm(Engine(folder, threads=1, precision="f32"), "ours")
    expected = ours.readings(ours.run(documents))
    arm = PipelineArm(folder, "pipelines", batch_size=batch_size)
    found = arm.readings(arm.run(documents))
    assert found.keys() == expected.keys()
    # Types come from the same scores and thresholds. Names are joined by another rule, so those may differ.
    assert {at: types for at, (_, types) in found.items()} == {at: types for at, (_, types) in expected.items()}
    for (document, start, end), (names, _) in found.items():
        assert all(label in folder.schema.entity_labels for label, _, _ in names)
        assert all(start <= first < last <= end <= len(documents[document].text) for _, first, last in names)
    assert arm.run([]) == []


def test_pipelines_in_16_bits(folder: ModelFolder, documents: list[Document]) -> None:
    arm = PipelineArm(folder, "pipelines", precision="bf16", threads=1)
    assert next(arm.tagger.model.parameters()).dtype == torch.bfloat16
    assert next(arm.classifier.model.parameters()).dtype == torch.bfloat16
    assert len(arm.readings(arm.run(documents))) == 1 + len(gold()) - 1


def test_a_sentence_longer_than_the_window_is_cut_off(folder: ModelFolder) -> None:
    long = Document("long", "في تونس " * (2 * WINDOW))
    arm = PipelineArm(folder, "pipelines", batch_size=LARGE_BATCH)
    assert len(arm.readings(arm.run([long]))) >= 1


def test_pipelines_take_no_other_encoder(folder: ModelFolder, tmp_path: Path) -> None:
    (tmp_path / CHECKPOINT).mkdir()
    (tmp_path / CHECKPOINT / "config.json").write_text('{"model_type": "modernbert"}', encoding="utf-8")
    (tmp_path / "schema.toml").write_bytes((folder.path / "schema.toml").read_bytes())
    with pytest.raises(ConfigError, match="a plain BERT with entities and events, this is 'modernbert'"):
        plain_models(ModelFolder(tmp_path, folder.manifest))
