import dataclasses
import json
import lzma
import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given as given_any
from hypothesis import strategies as st

from benchmarks import ner, tagging
from benchmarks.folds import contiguous_folds, hold_last, number_blocks
from benchmarks.sources import read_tagged
from benchmarks.tagging import evaluate_seed, make_splits, to_whole_words
from benchmarks.units import Outcome, Unit, UnitStore, collapsed, mean_and_spread, measure_row
from labels.conll import write_conll
from labels.errors import ConfigError, RecordError
from tests.tiny import gold, tiny_encoder
from training.counts import Interval
from training.provenance import write_provenance

NAMES = {"ACTOR": "PERS", "LOCATION": "LOC"}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder, and a set of six sentences four times over, without documents."""
    root = tmp_path_factory.mktemp("ner")
    tiny_encoder(root / "encoder")
    sentences = [
        dataclasses.replace(a, doc=None, entities=tuple(dataclasses.replace(e, label=NAMES[e.label]) for e in a.entities))
        for a in gold()
    ]
    write_conll(root / "toy.conll", sentences * 4)
    return root


def options(root: Path, *more: str) -> list[str]:
    given = ["--base", str(root / "encoder"), "--train", str(root / "toy.conll"), "--block", "2", "--batch-rows", "6"]
    given += ["--learning-rate", "4e-3", "--head-learning-rate", "8e-3", "--dropout", "0", "--window", "60", "--overlap", "10"]
    return [*given, "--work", str(root / "work"), "--json", str(root / "out.json"), *more]


def figures(root: Path) -> dict:
    return json.loads((root / "out.json").read_text(encoding="utf-8"))


def test_blocks_are_documents_or_neighbours() -> None:
    assert number_blocks(["a", "a", None, None, None], 2) == [0, 0, 1, 1, 2]
    assert number_blocks(["a", "a", "a", "b", "a"], 2) == [0, 0, 0, 1, 2]
    assert number_blocks([], 2) == []
    with pytest.raises(ConfigError, match="at least 1"):
        number_blocks([None], 0)


@given_any(st.lists(st.integers(1, 7), min_size=2, max_size=30), st.data())
def test_folds_are_contiguous_and_part_no_block(sizes: list[int], data: st.DataObject) -> None:
    blocks = [number for number, size in enumerate(sizes) for _ in range(size)]
    count = data.draw(st.integers(2, len(sizes)))
    folds = contiguous_folds(blocks, count)
    assert len(folds) == count
    assert all(folds)
    assert [i for fold in folds for i in fold] == list(range(len(blocks)))
    assert sum(len({blocks[i] for i in fold}) for fold in folds) == len(sizes)


def test_folds_are_of_near_equal_length() -> None:
    folds = contiguous_folds(number_blocks([None] * 3974, 20), 5)
    assert max(abs(len(fold) - 3974 / 5) for fold in folds) <= 20
    with pytest.raises(ConfigError, match="2 to 3 folds"):
        contiguous_folds([0, 0, 1, 2], 4)


def test_the_inner_part_is_of_the_last_whole_blocks() -> None:
    blocks = [0, 0, 0, 1, 1, 1, 2, 2, 3, 3]
    learn, chosen = hold_last([0, 1, 2, 6, 7, 8, 9], blocks, 0.1)
    assert (learn, chosen) == ([0, 1, 2, 6, 7], [8, 9])
    assert hold_last([3, 4, 5, 8], blocks, 0.9) == ([3, 4, 5], [8])
    with pytest.raises(ConfigError, match="two blocks"):
        hold_last([0, 1, 2], blocks, 0.1)


def test_nothing_measured_is_learnt_from_or_chosen_on(root: Path) -> None:
    train = read_tagged(root / "toy.conll", "train", block=2)
    splits = make_splits(train, None, None, 3)
    held = [sentence.id for split in splits for sentence in split.held]
    assert held == [sentence.id for sentence in train.sentences]
    for split in splits:
        parts = [{sentence.id for sentence in part} for part in (split.learn, split.dev, split.held)]
        assert all(parts)
        assert sum(map(len, parts)) == len(set.union(*parts)) == len(train.sentences)
    (alone,) = make_splits(train, None, read_tagged(root / "toy.conll", "test", block=2), 3)
    assert (alone.fold, len(alone.learn) + len(alone.dev), len(alone.held)) == (0, 24, 24)
    assert all(sentence.id.startswith("test#") for sentence in alone.held)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([("ORG", 1, 5)], [("ORG", 0, 5)]),  # a border after the proclitic
        ([("ORG", 0, 3), ("LOC", 3, 8)], [("ORG", 0, 5), ("LOC", 6, 8)]),  # a word for the first of two
        ([("ORG", 0, 3), ("LOC", 3, 5)], [("ORG", 0, 5)]),
        ([("LOC", 9, 12), ("ORG", 0, 5)], [("ORG", 0, 5), ("LOC", 9, 12)]),
        ([("LOC", 7, 11)], [("LOC", 6, 12)]),
        ([], []),
    ],
)
def test_whole_words(found: list, expected: list) -> None:
    assert to_whole_words("لداعش في حلب", found) == expected


def test_hand_counted_over_folds(root: Path) -> None:
    """Six gold names, of which fold 1 finds two rightly, one with a border inside its word, and fold 2 none."""
    sentences = read_tagged(root / "toy.conll", "train", block=2).sentences[:2]
    first, second = ([[e.label, e.span.start, e.span.end] for e in sentence.entities] for sentence in sentences)
    assert (len(first), len(second)) == (3, 4)
    near = [first[0], [*first[1][:2], first[1][2] - 1], ["PERS", *first[2][1:]]]
    units = [
        Unit(1, i, "", False, Outcome({s.id: f}, 1.0, {})) for i, (s, f) in enumerate(zip(sentences, (near, []), strict=True))
    ]
    result = evaluate_seed(units, sentences, ("LOC", "PERS"), rounds=20)
    assert result.moved == 1
    assert result.words.entities["micro"].f1.value == pytest.approx(2 * 2 / (3 + 7))
    assert result.exact.entities["micro"].f1.value == pytest.approx(2 * 1 / (3 + 7))
    assert result.words.entities["PERS"].support == Counter(e.label for s in sentences for e in s.entities)["PERS"]


def test_learns_a_toy_set_by_heart_and_is_not_done_twice(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = options(root, "--test", str(root / "toy.conll"), "--seeds", "1", "--epochs", "30")
    assert ner.main(given) == 0
    first, report = figures(root), capsys.readouterr().out
    assert first["seeds"]["1"]["words"]["entities"]["micro"]["f1"]["value"] > 0.95
    assert (first["base"]["parameters"], first["base"]["computing"]) == (19306, 13642)
    assert first["fine_tunings"][0]["seconds"] > 0
    assert "| micro F1 | 100.0 |" in report
    assert "24 of these sentences stand word for word among those learnt from" in report
    assert not list((root / "work").glob("*.partial"))
    monkeypatch.setattr(tagging, "train", None)  # what is finished needs it no more
    assert ner.main(given) == 0
    assert figures(root) | {"machine": 0} == first | {"machine": 0}
    with pytest.raises(TypeError):
        ner.main([*given, "--epochs", "29"])  # another setting is another fine-tuning


def test_cross_validation_end_to_end(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    packed = root / "toy.conll.xz"
    packed.write_bytes(lzma.compress((root / "toy.conll").read_bytes()))
    write_provenance(root / "encoder", [{"stage": "train", "file": "names/train.jsonl", "sha256": "0"}])
    given = options(root, "--folds", "2", "--seeds", "1", "2", "--epochs", "1", "--limit", "12")
    given[given.index("--train") + 1] = str(packed)
    assert ner.main(given) == 0
    report, found = capsys.readouterr().out, figures(root)
    assert (found["sentences"], len(found["fine_tunings"])) == (12, 4)
    assert found["folds"].keys() == {f"seed {seed}, fold {fold}" for seed in (1, 2) for fold in (1, 2)}
    assert [f["learnt"] for f in found["fine_tunings"]] == [4, 4, 4, 4]
    assert 0 <= found["seeds"]["2"]["words"]["entities"]["macro"]["f1"]["value"] <= 1
    assert "measured by 2 folds of neighbouring sentences: 12 sentences in 6 blocks" in report
    assert "| fold | sentences | entities | seed 1 | seed 2 |" in report
    assert "the base was fine-tuned before on names/train.jsonl" in report


def test_a_killed_run_goes_on(tmp_path: Path) -> None:
    ran = []

    def unit(fold: int, *, killed: bool = False, settings: int = 1) -> Unit:
        def fine_tune(scratch: Path) -> Outcome:
            ran.append((settings, fold))
            assert not list(scratch.iterdir())
            (scratch / "half").touch()
            if killed:
                raise KeyboardInterrupt
            return Outcome({"a": [["LOC", 0, fold]]}, 1.0, {})

        return UnitStore(tmp_path, {"a": settings}, code=[ner], busy=False).obtain(1, fold, fine_tune)

    unit(1)
    with pytest.raises(KeyboardInterrupt):
        unit(2, killed=True)
    assert unit(1).outcome.predicted == {"a": [["LOC", 0, 1]]}
    unit(2)
    unit(1, settings=2)
    assert ran == [(1, 1), (1, 2), (1, 2), (2, 1)]
    for file in tmp_path.glob("seed1-fold1-*.json"):
        file.write_text("{")
    unit(1)
    assert ran[-1] == (1, 1)
    assert len(ran) == 5


def test_units_of_other_code_are_told(tmp_path: Path) -> None:
    store = UnitStore(tmp_path, {}, code=[ner], busy=False)
    units = [store.obtain(1, fold, lambda _: Outcome({}, 1.0, {})) for fold in (1, 2)]
    assert not store.warnings(units)
    (line,) = UnitStore(tmp_path, {}, code=[tagging], busy=False).warnings(units)
    assert line.startswith("2 of 2 fine-tunings")


def test_collapsed_seeds_are_named() -> None:
    assert not collapsed("micro F1", {"seed 1": 0.0})
    assert not collapsed("micro F1", {"seed 1": 0.7, "seed 2": 0.4, "seed 3": 0.72})
    (line,) = collapsed("micro F1", {"seed 1": 0.7, "seed 2": 0.3, "seed 3": 0.72})
    assert line == "seed 2 collapsed: micro F1 30.0, the median of 3 is 70.0"
    assert len(collapsed("micro F1", {"seed 1": 0.0, "seed 2": 0.0})) == 2


def test_spread_of_seeds() -> None:
    assert mean_and_spread([0.5]) == "50.0"
    assert mean_and_spread([0.5, 0.6]) == "55.0 ± 7.1"
    assert measure_row("F1", [Interval(0.5, 0.4, 0.6), 0.6]) == ["F1", "55.0 ± 7.1", "50.0 (40.0 to 60.0)", "60.0"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("في O\nحلب B-LOC\nدمشق IO\n", r"bad\.conll\.xz:3: expected a word and a tag"),
        ("في O\n\nحلب B--LOC\n", r"bad\.conll\.xz:3: this sentence has a label that cannot be used: .*'-LOC'"),
        ("\n\n", r"bad\.conll\.xz: .*found no sentence"),
    ],
)
def test_bad_files_are_named_with_their_line(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "bad.conll.xz"
    file.write_bytes(lzma.compress(content.encode()))
    with pytest.raises(RecordError, match=message) as caught:
        read_tagged(file, "train", block=20)
    assert str(file) in str(caught.value)
    file.write_bytes(b"no xz")
    with pytest.raises(RecordError, match="cannot be unpacked"):
        read_tagged(file, "train", block=20)


def test_mended_tags_are_told(tmp_path: Path) -> None:
    file = tmp_path / "iob1.conll"
    file.write_text("حلب I-LOC\n\nدمشق I-LOC\n", encoding="utf-8")
    read = read_tagged(file, "dev", block=20)
    assert read.notes == ("iob1.conll: 2 I- tags that continued nothing were read as B-",)
    assert [(a.id, a.doc) for a in read.sentences] == [("dev#0", "dev-0"), ("dev#1", "dev-0")]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--base", "runs/nowhere"], "nowhere"),
        (["--train", "absent.conll"], "absent.conll: cannot be read"),
        (["--window", "63"], "rows of 65 pieces; .* at most 64"),
        (["--overlap", "60"], "overlap 60"),
        (["--folds", "13"], "2 to 12 folds"),
    ],
)
def test_errors_of_the_command(root: Path, capsys: pytest.CaptureFixture[str], more: list[str], message: str) -> None:
    assert ner.main(options(root, *more)) == 2
    assert re.search(rf"^benchmarks\.ner: .*{message}", capsys.readouterr().err, re.MULTILINE)
