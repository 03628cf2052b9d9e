"""Parts of the training data that grow, and what is said of them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.learning_curve import curve_table, main, measure, part_of
from labels.records import read_annotations
from labels.types import Annotation
from tests.tiny import gold, tiny_encoder, write_gold
from training.train_config import TrainConfig


@given(st.lists(st.integers(0, 6), min_size=1, max_size=30), st.integers(0, 3), st.floats(0.05, 1.0), st.floats(0.05, 1.0))
def test_parts_are_of_whole_documents_and_a_larger_one_holds_the_smaller(docs, seed, one, other):
    sentences = [Annotation(f"s{i}", "نص", doc=f"d{doc}") for i, doc in enumerate(docs)]
    small, large = sorted((part_of(sentences, one, seed), part_of(sentences, other, seed)), key=len)
    assert {each.id for each in small} <= {each.id for each in large}
    kept = {each.doc for each in small}
    assert {each.id for each in small} == {each.id for each in sentences if each.doc in kept}
    assert len(part_of(sentences, 1.0, seed)) == len(sentences)


def test_each_part_is_trained_on_and_none_twice(tmp_path: Path) -> None:
    tiny_encoder(tmp_path / "encoder")
    file = write_gold(tmp_path / "gold.jsonl", gold())
    config = TrainConfig(
        base=str(tmp_path / "encoder"),
        output=tmp_path / "run",
        train=("data:gold.jsonl",),
        dev=(str(file),),
        epochs=1,
        window=60,
    )
    points = measure(config, tmp_path, {"all": file}, (0.5, 1.0))
    assert [point.result.trained for point in points] == [True, True]
    assert points[0].sentences < points[1].sentences == len(gold())
    assert len(read_annotations(tmp_path / "run-share0.5-s1.train.jsonl")) == points[0].sentences
    again = measure(config, tmp_path, {"all": file}, (0.5, 1.0))
    assert [point.result.trained for point in again] == [False, False]
    assert curve_table(again) == curve_table(points)
    assert f"{len(gold())} sentences" in curve_table(points)


def test_a_share_is_of_one(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--config", "x.toml", "--shares", "1.5"])
    assert "(0, 1]" in capsys.readouterr().err
