import dataclasses
import json
import logging
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import AutoModel, AutoTokenizer, BertConfig, BertForMaskedLM

from labels.errors import ConfigError, FolderError, TrainingError
from tests.tiny import gold
from training.config import load_config
from training.encoders import build_encoder
from training.export_encoder import export_encoder
from training.initialization import position_width, start_from_neighbours
from training.objectives import mask_pieces
from training.pretrain import pretrain
from training.pretrain_config import PretrainConfig
from training.pretrain_data import TextSource, iter_paragraphs
from training.pretrain_loop import PretrainingLoop
from training.processes import Processes

CONFIG = """
output = "{output}"
pieces = {pieces}
row_length = 16
long_row_length = 32
long_share = 0.25
shift_share = 0.5
batch_rows = 4
warmup_steps = 5
optimizer = "muon"
checkpoint_steps = 10
precision = "{precision}"
seed = 3

[encoder]
vocab_size = 300
layers = 2
width = 32
heads = 4
max_pieces = 32

[[texts]]
file = "a.jsonl"
"""


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    folder = tmp_path / "texts"
    folder.mkdir()
    with (folder / "a.jsonl").open("w", encoding="utf-8") as handle:
        for i in range(40):
            text = "\n".join(f"{a.text} {i} {j}" for j, a in enumerate(gold()))
            handle.write(json.dumps({"id": f"d{i}", "text": text}, ensure_ascii=False) + "\n")
    return folder


def losses(output: Path) -> dict[int, float]:
    lines = (output / "work" / "loss.jsonl").read_text().splitlines()
    return {entry["step"]: entry["loss"] for entry in map(json.loads, lines)}


def write_config(path: Path, output: Path, steps: int, precision: str = "auto") -> PretrainConfig:
    path.write_text(CONFIG.format(output=output, pieces=steps * 64, precision=precision))
    return load_config(PretrainConfig, path)


def test_killed_run_resumes_on_the_same_curve(tmp_path: Path, texts: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = write_config(tmp_path / "whole.toml", tmp_path / "whole", 100)
    killed = write_config(tmp_path / "killed.toml", tmp_path / "killed", 100)
    pretrain(whole, texts)
    shutil.copytree(whole.output / "work", killed.output / "work", ignore=shutil.ignore_patterns("checkpoint*", "loss*"))
    command = [sys.executable, "-m", "marsad", "pretrain", "--config", str(tmp_path / "killed.toml"), "--texts", str(texts)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 200
    while not list((killed.output / "work").glob("checkpoint-[1-9]*")):
        assert time.monotonic() < deadline, "no checkpoint was written"
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (killed.output / "model.safetensors").exists()
    with caplog.at_level(logging.INFO):
        pretrain(killed, texts)
    assert "resumed at step" in caplog.text
    expected, found = (load_file(run.output / "model.safetensors") for run in (whole, killed))
    for name, weight in expected.items():
        torch.testing.assert_close(found[name], weight, msg=name)
    assert load_file(killed.output / "model.safetensors")["bert.embeddings.word_embeddings.weight"].isfinite().all()
    model, tokenizer = AutoModel.from_pretrained(killed.output), AutoTokenizer.from_pretrained(killed.output)
    with torch.no_grad():
        assert model(**tokenizer("داعش في الموصل", return_tensors="pt")).last_hidden_state.shape[-1] == 32


def test_two_processes_learn_what_one_does(tmp_path: Path, texts: Path) -> None:
    one = write_config(tmp_path / "one.toml", tmp_path / "one", 8, "float32")
    two = write_config(tmp_path / "two.toml", tmp_path / "two", 8, "float32")
    pretrain(one, texts)
    # The trainer of the tokenizer breaks ties by chance, so both start from one.
    shutil.copytree(one.output / "work", two.output / "work", ignore=shutil.ignore_patterns("checkpoint*", "loss*"))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "marsad"]
    command += ["pretrain", "--config", str(tmp_path / "two.toml"), "--texts", str(texts)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "on 2 x cpu" in done.stderr
    assert losses(two.output)[8] == pytest.approx(losses(one.output)[8], abs=1e-3)
    expected, found = (load_file(run.output / "model.safetensors") for run in (one, two))
    for name, weight in expected.items():
        # Where a gradient is near nothing, AdamW goes a whole step to one side or the other on a rounding error.
        assert float((found[name] - weight).abs().mean()) < 5e-4, name


def test_rows_that_cannot_be_shared_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, texts: Path) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(ConfigError, match="4 rows cannot be shared among 3 processes"):
        pretrain(write_config(tmp_path / "c.toml", tmp_path / "run", 2), texts)


def test_long_rows_that_cannot_be_shared_are_refused(tmp_path: Path, texts: Path) -> None:
    short = write_config(tmp_path / "c.toml", tmp_path / "run", 4)
    config = dataclasses.replace(short, long_row_length=24, long_share=0.5)
    pretrain(config, texts, prepare_only=True)
    model = build_encoder(config.encoder, Tokenizer.from_file(str(config.output / "work" / "tokenizer.json")))
    tokenizer = AutoTokenizer.from_pretrained(config.output / "work")
    with pytest.raises(ConfigError, match=r"2 rows of 24 pieces \(long_row_length\) cannot be shared among 4 processes"):
        PretrainingLoop(config, model, tokenizer, config.output / "work", Processes(0, 4, torch.device("cpu")))


def test_a_tokenizer_that_was_saved_cutting_and_padding_does_neither(tmp_path: Path, texts: Path) -> None:
    first = write_config(tmp_path / "first.toml", tmp_path / "first", 2)
    pretrain(first, texts)
    base = Tokenizer.from_file(str(first.output / "tokenizer.json"))
    base.enable_truncation(3)
    base.enable_padding(length=50)
    base.save(str(first.output / "tokenizer.json"))
    path = tmp_path / "second.toml"
    write_config(path, tmp_path / "second", 2)
    path.write_text(f'base = "{first.output}"\n' + path.read_text())
    work = pretrain(load_config(PretrainConfig, path), texts, prepare_only=True)
    assert (work / "pieces.bin").read_bytes() == (first.output / "work" / "pieces.bin").read_bytes()


def test_prepared_work_needs_no_texts(tmp_path: Path, texts: Path) -> None:
    config = write_config(tmp_path / "c.toml", tmp_path / "run", 2)
    with pytest.raises(ConfigError, match="--texts FOLDER"):
        pretrain(config, None)
    assert pretrain(config, texts, prepare_only=True) == config.output / "work"
    assert not (config.output / "model.safetensors").exists()
    pretrain(config, None)
    assert (config.output / "model.safetensors").exists()
    assert json.loads((config.output / "provenance.json").read_text())[0]["file"] == "texts/a.jsonl"


@pytest.mark.parametrize("architecture", ["bert", "megatron-bert", "electra", "modernbert"])
@pytest.mark.parametrize("objective", ["masked-lm", "replaced-pieces"])
def test_every_architecture_learns_and_loads(tmp_path: Path, texts: Path, architecture: str, objective: str) -> None:
    config = write_config(tmp_path / "c.toml", tmp_path / "run", 30)
    extra = {"embedding_width": 16} if architecture == "electra" else {}
    shape = dataclasses.replace(config.encoder, architecture=architecture, **extra)
    folder = pretrain(dataclasses.replace(config, encoder=shape, objective=objective, neighbour_start=False), texts)
    entries = [json.loads(line) for line in (folder / "work" / "loss.jsonl").read_text().splitlines()]
    key = "loss" if objective == "masked-lm" else "generator_loss"
    assert entries[-1][key] < entries[0][key]
    model, info = AutoModel.from_pretrained(folder, output_loading_info=True)
    assert not [name for name in info["missing_keys"] if "pooler" not in name]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert model(**tokenizer("داعش في الموصل", return_tensors="pt")).last_hidden_state.shape[-1] == 32


def test_training_goes_on_from_a_base(tmp_path: Path, texts: Path) -> None:
    first = write_config(tmp_path / "first.toml", tmp_path / "first", 4)
    pretrain(first, texts)
    with pytest.raises(ConfigError, match=r"rows of 64 pieces are too long for base .* at most 32"):
        pretrain(dataclasses.replace(first, base=str(first.output), output=tmp_path / "long", row_length=64), texts)
    second = dataclasses.replace(
        first, base=str(first.output), output=tmp_path / "second", learning_rate=0.0, muon_learning_rate=0.0
    )
    pretrain(second, texts)
    before, after = (load_file(run.output / "model.safetensors") for run in (first, second))
    assert torch.equal(before["bert.embeddings.word_embeddings.weight"], after["bert.embeddings.word_embeddings.weight"])
    assert (second.output / "tokenizer.json").read_text() == (first.output / "tokenizer.json").read_text()


def test_a_run_becomes_a_plain_encoder_in_16_bits(tmp_path: Path, texts: Path) -> None:
    run = pretrain(write_config(tmp_path / "c.toml", tmp_path / "run", 4), texts)
    folder = export_encoder(run, tmp_path / "out", name="tiny-encoder")
    expected, found = AutoModel.from_pretrained(run), AutoModel.from_pretrained(folder)
    assert found.dtype == torch.float32
    for (name, weight), other in zip(expected.named_parameters(), found.parameters(), strict=True):
        if "pooler" not in name:
            torch.testing.assert_close(other, weight, atol=1e-3, rtol=1e-3, msg=name)
    assert (folder / "model.safetensors").stat().st_size < 0.6 * (run / "model.safetensors").stat().st_size
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "# tiny-encoder" in card
    assert "texts/a.jsonl" in card
    assert str(tmp_path) not in card
    with pytest.raises(FolderError, match="--force"):
        export_encoder(run, folder, name="x")
    with pytest.raises(ConfigError, match="marsad pretrain"):
        export_encoder(folder, tmp_path / "other", name="x")


def test_a_run_that_diverges_ends_and_keeps_what_was_whole(tmp_path: Path, texts: Path) -> None:
    config = write_config(tmp_path / "c.toml", tmp_path / "run", 20)
    pretrain(dataclasses.replace(config, pieces=10 * 64, decay_share=0.0), texts)
    with pytest.raises(TrainingError, match=r"not a number any more at step 20: lower .*checkpoint-10"):
        pretrain(dataclasses.replace(config, learning_rate=1e30, decay_share=0.0), texts)
    assert (config.output / "work" / "checkpoint-10").is_dir()


def test_held_out_texts_are_measured(tmp_path: Path, texts: Path) -> None:
    with (texts / "a.jsonl").open("a", encoding="utf-8") as handle:
        for i in range(900):
            handle.write(
                json.dumps({"id": f"h{i}", "text": f"{gold()[0].text} {i} {gold()[1].text}"}, ensure_ascii=False) + "\n"
            )
    folder = pretrain(write_config(tmp_path / "c.toml", tmp_path / "run", 10), texts)
    entries = [json.loads(line) for line in (folder / "work" / "loss.jsonl").read_text().splitlines()]
    assert 0 < entries[-1]["held_out_loss"] < 7


def test_another_configuration_may_not_go_on(tmp_path: Path, texts: Path) -> None:
    config = write_config(tmp_path / "c.toml", tmp_path / "run", 2)
    pretrain(config, texts)
    with pytest.raises(ConfigError, match="another configuration"):
        pretrain(dataclasses.replace(config, seed=4), texts)
    longer = pretrain(dataclasses.replace(config, pieces=5 * 64), texts)
    assert max(losses(longer)) == 5


def test_masking_hides_the_asked_share_of_each_row_and_never_special_pieces() -> None:
    rows = torch.arange(0, 4 * 16).reshape(4, 16) % 20
    ordinary = torch.arange(20) >= 5
    batch = mask_pieces(rows, share=0.25, ordinary=ordinary, mask=4, seed=(1, 2))
    assert torch.bincount(batch.positions // 16).tolist() == [4, 4, 4, 4]
    assert bool((batch.targets >= 5).all())
    untouched = torch.ones(64, dtype=torch.bool)
    untouched[batch.positions] = False
    assert torch.equal(batch.ids.flatten()[untouched], rows.flatten()[untouched])
    again = mask_pieces(rows, share=0.25, ordinary=ordinary, mask=4, seed=(1, 2))
    other = mask_pieces(rows, share=0.25, ordinary=ordinary, mask=4, seed=(1, 3))
    assert torch.equal(batch.ids, again.ids)
    assert not torch.equal(batch.positions, other.positions)


def test_a_row_with_too_few_ordinary_pieces_asks_for_those_it_has() -> None:
    rows = torch.tensor([[2, 7, 3, 0, 0, 0, 0, 3], [2, 7, 8, 9, 10, 11, 12, 3]])
    batch = mask_pieces(rows, share=0.5, ordinary=torch.arange(20) >= 5, mask=4, seed=(1, 2))
    assert (batch.targets[:4] >= 0).sum() == 1
    assert (batch.targets[4:] >= 0).sum() == 4


def test_parts_of_a_batch_are_its_rows() -> None:
    rows = torch.randint(5, 20, (6, 8))
    whole = mask_pieces(rows, share=0.3, ordinary=torch.arange(20) >= 5, mask=4, seed=(1, 2))
    parts = [whole.part(rank, 3) for rank in range(3)]
    assert torch.equal(torch.cat([part.ids for part in parts]), whole.ids)
    assert torch.equal(torch.cat([part.targets for part in parts]), whole.targets)
    for part in parts:
        assert bool((part.ids == 4).any())
        assert int(part.positions.max()) < part.ids.numel()


def test_shifted_rows_begin_anywhere_and_stay_whole() -> None:
    rows = torch.randint(5, 20, (40, 8), generator=torch.Generator().manual_seed(1))
    batch = mask_pieces(rows, share=0.3, ordinary=torch.arange(20) >= 5, mask=4, seed=(1, 2))
    all_of_them = batch.shifted(share=1.0, limit=32, first=0, seed=(1, 2)).places
    assert all_of_them is not None
    assert (all_of_them.diff(dim=1) == 1).all()
    assert all_of_them.min() >= 0
    assert all_of_them.max() < 32
    assert len(set(all_of_them[:, 0].tolist())) > 10
    half = batch.shifted(share=0.5, limit=32, first=0, seed=(1, 2))
    assert half.places is not None
    assert 8 <= int((half.places[:, 0] == 0).sum()) <= 32
    assert torch.equal(half.part(1, 2).places, half.places[20:])  # type: ignore[arg-type]
    assert batch.shifted(share=1.0, limit=8, first=0, seed=(1, 2)).places.max() == 7  # type: ignore[union-attr]
    assert torch.equal(half.places, batch.shifted(share=0.5, limit=32, first=0, seed=(1, 2)).places)  # type: ignore[arg-type]


def test_rows_that_are_not_shifted_begin_where_the_encoder_counts_from() -> None:
    rows = torch.randint(5, 20, (40, 8), generator=torch.Generator().manual_seed(1))
    batch = mask_pieces(rows, share=0.3, ordinary=torch.arange(20) >= 5, mask=4, seed=(1, 2))
    places = batch.shifted(share=0.5, limit=32, first=2, seed=(1, 2)).places
    assert places is not None
    assert places.min() == 2
    assert places.max() < 34


def test_first_layer_starts_by_looking_at_its_neighbours() -> None:
    config = BertConfig(vocab_size=50, hidden_size=64, num_hidden_layers=1, num_attention_heads=4, intermediate_size=64)
    config._attn_implementation = "eager"
    model = BertForMaskedLM(config).eval()
    start_from_neighbours(model, np.random.default_rng(0).normal(size=(50, 64 - position_width(64))).astype(np.float32), seed=1)
    with torch.no_grad():
        attention = model.bert(torch.randint(5, 50, (2, 30)), output_attentions=True).attentions[0].mean(0)  # (heads, 30, 30)
    for head, offset in enumerate((-1, 1, -2, 2)):
        strength = {d: float(attention[head].diagonal(d).mean()) for d in range(-4, 5)}
        assert max(strength, key=strength.__getitem__) == offset


def test_repeated_paragraphs_and_unwanted_categories_are_left_out(tmp_path: Path) -> None:
    long = "هذه فقرة طويلة بما يكفي لكي تبقى في النص بعد التصفية"
    records = [
        {"id": "1", "text": f"{long}\nقصير", "category": "keep"},
        {"id": "2", "text": long, "category": "keep"},
        {"id": "3", "text": long + " أخرى", "category": "drop"},
    ]
    (tmp_path / "t.jsonl").write_text("\n".join(json.dumps(r, ensure_ascii=False) for r in records), encoding="utf-8")
    found = list(iter_paragraphs(tmp_path, (TextSource("t.jsonl", categories={"drop": 0.0}),)))
    assert found == [[long]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("seed = 3", "sead = 3"), "unknown key sead"),
        (("seed = 3", 'seed = "x"'), "seed must be int"),
        (("layers = 2", "layerz = 2"), "unknown key encoder.layerz"),
        (("max_pieces = 32", "max_pieces = 8"), "exceed encoder.max_pieces 8"),
        (('file = "a.jsonl"', 'file = "a.jsonl"\nweight = 2.0'), "weight must be in"),
        (('output = "{output}"', ""), "key output is missing"),
        (("seed = 3", "seed = = 3"), "not TOML"),
    ],
    ids=["unknown", "mistyped", "nested", "cross-field", "range", "missing", "syntax"],
)
def test_configuration_errors_name_file_and_key(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    path = tmp_path / "c.toml"
    path.write_text(CONFIG.replace(*change).format(output="x", pieces=1, precision="auto"))
    with pytest.raises(ConfigError, match=message) as error:
        load_config(PretrainConfig, path)
    assert str(path) in str(error.value)
