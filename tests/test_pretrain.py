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
from transformers import AutoModel, AutoTokenizer, BertConfig, BertForMaskedLM

from labels.errors import ConfigError
from tests.tiny import gold
from training.config import load_config
from training.initialization import position_width, start_from_neighbours
from training.pretrain import PretrainConfig, mask_pieces, pretrain
from training.pretrain_data import PieceRows, TextSource, iter_paragraphs

CONFIG = """
output = "{output}"
pieces = {pieces}
row_length = 16
long_row_length = 32
long_share = 0.25
batch_rows = 4
warmup_steps = 5
checkpoint_steps = 10
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


def write_config(path: Path, output: Path, steps: int) -> PretrainConfig:
    path.write_text(CONFIG.format(output=output, pieces=steps * 64))
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


def test_another_configuration_may_not_go_on(tmp_path: Path, texts: Path) -> None:
    config = write_config(tmp_path / "c.toml", tmp_path / "run", 2)
    pretrain(config, texts)
    with pytest.raises(ConfigError, match="another configuration"):
        pretrain(dataclasses.replace(config, seed=4), texts)
    longer = pretrain(dataclasses.replace(config, pieces=5 * 64), texts)
    assert max(losses(longer)) == 5


def test_masking_hides_the_asked_share_and_never_special_pieces() -> None:
    rows = torch.arange(0, 4 * 16).reshape(4, 16) % 20
    batch = mask_pieces(rows, share=0.25, special=5, mask=4, vocab_size=20, seed=(1, 2))
    assert len(batch.positions) == 16
    assert bool((batch.targets >= 5).all())
    untouched = torch.ones(64, dtype=torch.bool)
    untouched[batch.positions] = False
    assert torch.equal(batch.ids.flatten()[untouched], rows.flatten()[untouched])
    again = mask_pieces(rows, share=0.25, special=5, mask=4, vocab_size=20, seed=(1, 2))
    other = mask_pieces(rows, share=0.25, special=5, mask=4, vocab_size=20, seed=(1, 3))
    assert torch.equal(batch.ids, again.ids)
    assert not torch.equal(batch.positions, other.positions)


def test_rows_of_an_epoch_cover_every_piece_once() -> None:
    pieces = np.arange(100, dtype=np.uint16) + 10
    rows = PieceRows(pieces, length=12, cls=2, sep=3, seed=1)
    seen = np.concatenate([rows.batch(i, 2)[:, 1:-1].ravel() for i in range(5)])
    assert sorted(seen) == list(range(10, 110))
    assert rows.batch(3, 2).tolist() == PieceRows(pieces, length=12, cls=2, sep=3, seed=1).batch(3, 2).tolist()


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
    path.write_text(CONFIG.replace(*change).format(output="x", pieces=1))
    with pytest.raises(ConfigError, match=message) as error:
        load_config(PretrainConfig, path)
    assert str(path) in str(error.value)
