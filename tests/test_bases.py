"""Any BERT in place of ours: each layout is trained on a few sentences, exported, loaded through serving, and gives the
gold spans, those of names that begin inside a word among them."""

import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import numpy.typing as npt
import pytest
import torch
from tokenizers import processors
from transformers import DistilBertConfig, DistilBertModel, PreTrainedTokenizerFast

from labels.decode import DecodingRules
from labels.errors import ConfigError
from labels.folder import BORDER_SCORES, GRAPH, INPUT_IDS, INPUT_MASK, TAG_SCORES, ModelFolder
from labels.openvino import ov
from labels.schema import load_schema
from labels.types import Document, Prediction
from serving.analyzer import Analyzer
from serving.engine import Engine
from tests.layouts import (
    GLUED,
    LAYOUTS,
    PARTED,
    POSITIONS,
    bert,
    byte_level,
    modern_bert,
    save,
    sentencepiece,
    wordpiece,
    xlm_roberta,
)
from tests.tiny import INLINE, gold, write_gold
from training.bases import check_encoder, check_tokenizer, first_position, longest_row
from training.config import load_config
from training.data import load_tokenizer
from training.export import export_run, largest_difference, to_openvino
from training.finetune import RUN_RECORD, train
from training.model import JointModel, load_encoder, load_joint
from training.predict import decode_sentence, score_sentences
from training.train_config import TrainConfig

SCHEMA = load_schema()
ANNOTATIONS = gold(inline=INLINE + GLUED)


@pytest.fixture(scope="module", params=LAYOUTS)
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, ModelFolder]:
    """The layout's name, the run's folder, and the model folder."""
    root = tmp_path_factory.mktemp("layout")
    base = LAYOUTS[request.param](root / "base")
    file = write_gold(root / "gold.jsonl", ANNOTATIONS)
    config = TrainConfig(
        base=str(base),
        output=root / "run",
        train=(str(file),),
        dev=(str(file),),
        epochs=45,
        patience=45,
        batch_rows=5,
        learning_rate=5e-3,
        head_learning_rate=1e-2,
        dropout=0.0,
        window=40,
        overlap=8,
    )
    result = train(config)
    assert not result.alignment.faults
    assert result.dev.entities["micro"].f1.value == 1.0
    return request.param, root / "run", export_run(root / "run", root / "model", name="tiny")


def test_gold_comes_back_from_serving(trained: tuple[str, Path, ModelFolder]) -> None:
    name, _, folder = trained
    analyzer = Analyzer(Engine(folder, threads=1, precision="f32"))
    for annotation, found in zip(ANNOTATIONS, answers(analyzer, [a.text for a in ANNOTATIONS]), strict=True):
        assert [(e.label, e.span) for e in found.entities] == [(e.label, e.span) for e in annotation.entities]
        assert found.event_types.keys() == annotation.event_types
    mends = BORDER_SCORES in analyzer.engine._graph.outputs
    assert mends == (name not in PARTED)


def test_without_border_scores_names_would_begin_too_early(trained: tuple[str, Path, ModelFolder]) -> None:
    name, run, _ = trained
    tokenizer, model = load_tokenizer(str(run)), load_joint(run, n_tags=len(SCHEMA.tags), n_types=len(SCHEMA.event_types))
    scores = score_sentences(model, tokenizer, [a.text for a in ANNOTATIONS], window=40, overlap=8)
    exact = early = 0
    for annotation, each in zip(ANNOTATIONS, scores, strict=True):
        bare = decode_sentence(annotation, replace(each, borders=None), SCHEMA, DecodingRules())
        for found, expected in zip(bare.entities, annotation.entities, strict=True):
            exact += found.span == expected.span
            early += found.span.start < expected.span.start
    assert exact + early == sum(len(a.entities) for a in ANNOTATIONS)
    assert early == (0 if name in PARTED else json.loads((run / RUN_RECORD).read_text())["alignment"]["mended"])
    assert early or name in PARTED


def test_rows_together_are_scored_as_alone(trained: tuple[str, Path, ModelFolder]) -> None:
    """Of every kind: with learnt positions, with positions that are counted by the padding id, with rotary ones."""
    name, run, folder = trained
    assert folder.manifest.pad_id == load_tokenizer(str(run)).pad_token_id == (1 if name == "xlm-r" else 0)
    engine = Engine(folder, threads=1, precision="f32")
    rows = [pieces.ids for pieces in engine.encode([a.text for a in ANNOTATIONS])]
    rows += [rows[0][:1], (rows[0] * 4)[:40]]
    for row, together in zip(rows, engine.forward(rows), strict=True):
        [alone] = engine.forward([row])
        np.testing.assert_allclose(together.tags, alone.tags, atol=2e-4)
        np.testing.assert_allclose(together.events, alone.events, atol=2e-4)
        if together.borders is not None:
            np.testing.assert_allclose(together.borders, alone.borders, atol=2e-4)


def test_the_folder_is_a_base_again(trained: tuple[str, Path, ModelFolder]) -> None:
    """With the heads, the border head among them, and within what storing in 16 bits costs."""
    name, run, folder = trained
    tokenizer, encoder = load_tokenizer(str(folder.path)), load_encoder(str(folder.path))
    check_encoder(encoder, tokenizer, name, 40)
    sizes = {"n_tags": len(SCHEMA.tags), "n_types": len(SCHEMA.event_types)}
    expected, found = load_joint(run, **sizes), load_joint(folder.path, **sizes)
    assert type(encoder) is type(expected.encoder)
    assert (found.border_head is None) == (name in PARTED)
    for (weight, value), other in zip(expected.named_parameters(), found.parameters(), strict=True):
        torch.testing.assert_close(other, value, atol=2e-3, rtol=2e-3, msg=weight)
    assert torch.equal(next(encoder.parameters()), next(found.encoder.parameters()))


SIGHTS = {
    "every layer sees all": {"global_attn_every_n_layers": 1},
    "one in three sees all": {"global_attn_every_n_layers": 3},
    "no layer sees all": {"layer_types": ["sliding_attention"] * 3},
}


@pytest.mark.parametrize("sight", SIGHTS)
def test_the_graph_of_a_modernbert_sees_what_the_model_sees(sight: str, tmp_path: Path) -> None:
    """Rows much longer than the part that a local layer looks at, with padding and without."""
    encoder = modern_bert(wordpiece(lower=True), num_hidden_layers=3, **SIGHTS[sight])
    for weight in encoder.parameters():  # far from the start, where attention is even and hides what it may not see
        weight.data = torch.randn_like(weight) * 0.3 if weight.ndim > 1 else weight.data
    model = JointModel(encoder, n_tags=5, n_types=0, n_borders=2).eval()
    ov.save_model(to_openvino(model), tmp_path / GRAPH, compress_to_fp16=False)
    assert largest_difference(model, tmp_path / GRAPH, longest=POSITIONS) < 1e-3

    graph = ov.Core().compile_model(tmp_path / GRAPH, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    ids = torch.randint(20, 100, (1, 60)).numpy()
    first, other = (graph({INPUT_IDS: row, INPUT_MASK: np.ones_like(row)})[TAG_SCORES] for row in (ids, changed_at_0(ids)))
    touched = np.abs(first - other).max(axis=(0, 2)) > 1e-4
    assert touched[:4].all()
    # Three layers of four pieces on each side carry the first piece twelve pieces far and no farther.
    assert touched[13:].any() == (sight != "no layer sees all")


def changed_at_0(ids: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    other = ids.copy()
    other[0, 0] = 5
    return other


def test_dropout_reaches_a_modernbert(tmp_path: Path) -> None:
    base = save(tmp_path / "base", wordpiece(lower=True), modern_bert)
    encoder = load_encoder(str(base), 0.3)
    config = encoder.config
    assert (config.attention_dropout, config.mlp_dropout, config.embedding_dropout) == (0.3, 0.3, 0.3)
    rates = {module.p for module in encoder.modules() if isinstance(module, torch.nn.Dropout)}
    assert rates == {0.3}
    ids = torch.randint(5, 100, (1, 9))
    encoder.train()
    first, second = (encoder(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state for _ in range(2))
    assert not torch.equal(first, second)


def test_the_longest_row_of_each_layout(tmp_path: Path) -> None:
    assert longest_row(bert(wordpiece(lower=True))) == POSITIONS
    assert longest_row(xlm_roberta(sentencepiece())) == POSITIONS  # of POSITIONS + 2
    assert longest_row(modern_bert(wordpiece(lower=True))) == POSITIONS
    distil = DistilBertModel(DistilBertConfig(vocab_size=9, dim=8, n_heads=2, n_layers=1, hidden_dim=8))
    assert longest_row(distil) == 512
    counted_from = [first_position(each) for each in (bert(wordpiece(lower=True)), xlm_roberta(sentencepiece()), distil)]
    assert counted_from == [0, 2, 0]


@pytest.mark.parametrize("layout", ["arabert", "xlm-r", "modernbert"])
def test_a_window_that_the_base_cannot_take_is_refused_before_training(layout: str, tmp_path: Path) -> None:
    base = LAYOUTS[layout](tmp_path / "base")
    file = write_gold(tmp_path / "gold.jsonl", ANNOTATIONS)
    config = TrainConfig(base=str(base), output=tmp_path / "run", train=(str(file),), dev=(str(file),), window=63)
    with pytest.raises(ConfigError, match=r"window 63 .* rows of 65 pieces, .* at most 64; set window to 62 or less"):
        train(config)
    assert not (tmp_path / "run").exists()


def test_padding_of_another_model_is_refused() -> None:
    tokenizer = sentencepiece()
    with pytest.raises(ConfigError, match="counts positions by padding id 1, and its tokenizer pads with 0"):
        check_encoder(xlm_roberta(tokenizer), wordpiece(lower=True), "mixed", 40)


@pytest.mark.parametrize("name", ["cls_token", "sep_token", "pad_token"])
def test_a_tokenizer_without_its_special_pieces_is_refused(name: str, tmp_path: Path) -> None:
    named = {"cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]", "unk_token": "[UNK]"}
    del named[name]
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=byte_level().backend_tokenizer, **named)
    modern = save(tmp_path / "base", byte_level(), modern_bert)
    tokenizer.save_pretrained(modern)
    with pytest.raises(ConfigError, match=f"without {name}"):
        load_tokenizer(str(modern))


def test_special_pieces_must_stand_around_a_text() -> None:
    tokenizer = byte_level()
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(single="$A", special_tokens=[])
    with pytest.raises(ConfigError, match=r"reads '1' as '1'; expected \[CLS\] and \[SEP\] around it"):
        check_tokenizer(tokenizer, "bare")


def test_a_slow_tokenizer_is_refused() -> None:
    with pytest.raises(ConfigError, match="keeps no offsets"):
        check_tokenizer(SimpleNamespace(is_fast=False), "slow")


def test_the_recipes_are_configurations(tmp_path: Path) -> None:
    """Those of the page on bases: each loads, and none names another base's folder."""
    page = (Path(__file__).parent.parent / "docs" / "bases.md").read_text(encoding="utf-8")
    recipes = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    configs = []
    for i, recipe in enumerate(recipes):
        (tmp_path / f"{i}.toml").write_text(recipe, encoding="utf-8")
        configs.append(load_config(TrainConfig, tmp_path / f"{i}.toml"))
    assert len({config.base for config in configs}) == len({config.output for config in configs}) == len(recipes) == 7
    assert all(config.learning_rate < 1e-4 and config.window + 2 <= 512 for config in configs)


def answers(analyzer: Analyzer, texts: list[str]) -> list[Prediction]:
    found = analyzer.analyze([Document(f"d{i}", text) for i, text in enumerate(texts)])
    assert all(isinstance(each, Prediction) for each in found)
    return [each for each in found if isinstance(each, Prediction)]
