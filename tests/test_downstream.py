"""What is learnt on top of an encoder, as the bake-off judges it."""

from pathlib import Path

from benchmarks.downstream import ENTITIES, EVENTS, NAMES, judge
from tests.tiny import gold, tiny_encoder, write_gold


def test_an_encoder_is_judged_once(tmp_path: Path) -> None:
    tiny_encoder(tmp_path / "encoder")
    write_gold(tmp_path / "gold.jsonl", gold())
    lines = [f"{word} B-LOC\nقال O\n" for word in ("سرت", "حلب", "درنة", "تعز")]
    (tmp_path / "names.conll").write_text("\n".join(lines), encoding="utf-8")
    plan = {
        "gold": "data:gold.jsonl",
        "train": {"train": ["data:gold.jsonl"], "dev": ["data:gold.jsonl"], "epochs": 1, "window": 60, "overlap": 10},
        "names": {"train": "data:names.conll", "folds": 2, "epochs": 1, "seeds": [1], "block": 1, "window": 60, "overlap": 10},
    }
    found = judge(tmp_path / "encoder", plan, tmp_path, tmp_path / "work")
    assert found.keys() == {ENTITIES, EVENTS, NAMES}
    assert all(0 <= value <= 1 for value in found.values())
    weights = tmp_path / "work" / "events" / "model.safetensors"
    written = weights.stat().st_mtime_ns
    assert judge(tmp_path / "encoder", plan, tmp_path, tmp_path / "work") == found
    assert weights.stat().st_mtime_ns == written
