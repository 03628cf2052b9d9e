import csv
import gzip
import json
import lzma
import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given as given_any
from hypothesis import strategies as st

from benchmarks import classification, classifier
from benchmarks.classifier import classes_of, count_cut, evaluate_seed, make_splits
from benchmarks.folds import dealt_folds, drawn
from benchmarks.sources import Columns, Labels, Row, Table, read_table
from benchmarks.units import Outcome, Unit
from labels.errors import ConfigError, RecordError
from tests.tiny import gold, tiny_encoder
from training.data import load_tokenizer

KINDS = ("battle", "battle", "calm", "battle", "protest", "calm")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder, and six texts of three classes."""
    root = tmp_path_factory.mktemp("classification")
    tiny_encoder(root / "encoder")
    with (root / "toy.tsv").open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle, delimiter="\t")
        writer.writerows([("body", "kind"), *zip([a.text for a in gold()], KINDS, strict=True)])
    return root


def options(root: Path, *more: str) -> list[str]:
    given = ["--base", str(root / "encoder"), "--train", str(root / "toy.tsv"), "--batch-rows", "3", "--max-pieces", "24"]
    given += ["--text-column", "body", "--label-column", "kind", "--learning-rate", "4e-3", "--head-learning-rate", "8e-3"]
    return [*given, "--dropout", "0", "--work", str(root / "work"), "--json", str(root / "out.json"), *more]


def figures(root: Path) -> dict:
    return json.loads((root / "out.json").read_text(encoding="utf-8"))


def rows(*labels: str) -> list[Row]:
    return [Row(f"t{i}", label, f"t{i}", f"x.csv:{i + 2}") for i, label in enumerate(labels)]


@given_any(st.lists(st.tuples(st.integers(0, 9), st.sampled_from("abc")), min_size=1, max_size=60), st.integers(2, 6))
def test_dealt_folds_keep_groups_together(items: list[tuple[int, str]], count: int) -> None:
    groups, classes = [group for group, _ in items], [name for _, name in items]
    if count > len(set(groups)):
        with pytest.raises(ConfigError, match="different texts"):
            dealt_folds(groups, classes, count)
        return
    folds = dealt_folds(groups, classes, count)
    assert sorted(i for fold in folds for i in fold) == list(range(len(items)))
    assert sum(len({groups[i] for i in fold}) for fold in folds) == len(set(groups))
    assert all(folds)


def test_dealt_folds_share_out_every_class_of_a_sorted_file() -> None:
    classes = ["a"] * 50 + ["b"] * 11
    folds = dealt_folds(range(61), classes, 5)
    counts = [Counter(classes[i] for i in fold) for fold in folds]
    assert {count["a"] for count in counts} == {10}
    assert {count["b"] for count in counts} == {2, 3}
    assert folds == dealt_folds(range(61), classes, 5)


def test_a_drawn_part_grows_with_its_size() -> None:
    groups = [i // 2 for i in range(40)]
    few, more = set(drawn(groups, 10)), set(drawn(groups, 21))
    assert few < more
    assert (len(few), len(more)) == (10, 22)
    assert drawn(groups, 99) == list(range(40))


@pytest.mark.parametrize("name", ["a.csv", "a.tsv.gz", "a.jsonl.xz"])
def test_forms_that_are_read(tmp_path: Path, name: str) -> None:
    records = [
        ("قال «نعم»,\nثم سكت", "yes"),
        ("لا", "easy no"),
        ("ربما", "ambiguous"),
        ("لا، أبدا", "difficult no"),
        ("لا", "yes"),
    ]
    file = tmp_path / "plain"
    with file.open("w", encoding="utf-8-sig", newline="") as handle:
        if "jsonl" in name:
            handle.writelines(json.dumps({"text": text, "label": label, "n": 1}) + "\n" for text, label in records)
        else:
            csv.writer(handle, delimiter="\t" if "tsv" in name else ",").writerows([("text", "label"), *records])
    content = file.read_bytes()
    packed = {".gz": gzip.compress, ".xz": lzma.compress}
    suffix = Path(name).suffix
    (tmp_path / name).write_bytes(packed[suffix](content) if suffix in packed else content)
    merged = {"easy no": "no", "difficult no": "no"}
    table = read_table(tmp_path / name, Columns(), Labels(merged, frozenset({"ambiguous"})))
    assert [row.label for row in table.rows] == ["yes", "no", "no", "yes"]
    assert table.rows[0].text == records[0][0]
    assert table.rows[1].group == table.rows[3].group != table.rows[2].group
    assert table.dropped == {"ambiguous": 1}
    lines = [2, 4, 6, 7] if "jsonl" not in name else [1, 2, 4, 5]
    assert [row.where for row in table.rows] == [f"{tmp_path / name}:{line}" for line in lines]


def test_a_table_without_header_or_quotes(tmp_path: Path) -> None:
    file = tmp_path / "a.tsv"
    file.write_text('"قال\t1\tx\nثم" سكت\t0\tx\n', encoding="utf-8")
    table = read_table(file, Columns("1", "2", "3", header=False, quotes=False), Labels())
    assert [(row.text, row.label, row.group) for row in table.rows] == [('"قال', "1", "x"), ('ثم" سكت', "0", "x")]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"text,label\nx,y\nz\n", r"a\.csv:3: expected 2 fields, found 1"),
        ("a.csv", b"text,label\nx,y\n,y\n", r"a\.csv:3: column 'text': expected text, found nothing"),
        ("a.csv", b"text,kind\nx,y\n", r"a\.csv:2: no column 'label'; there are 'text', 'kind'"),
        ("a.csv", b"text,label\nx,y\n\xff,y\n", r"a\.csv:3: not UTF-8"),
        ("a.tsv", b'text\tlabel\nx\ty\n"x" z\ty\n', r"a\.tsv:3: not TSV: .*--no-quotes"),
        ("a.csv", b"text,label\n", r"a\.csv: .*no row that is kept"),
        ("a.jsonl", b'{"text": "x", "label": 1}\n{"text": "x", "label": 0.5}\n', r"a\.jsonl:2: column 'label'.*0\.5"),
        ("a.jsonl", b'{"text": "x", "label": "y"}\n{"text": \n', r"a\.jsonl:2: not JSON"),
        ("a.csv.gz", b"text", r"a\.csv\.gz: cannot be read"),
    ],
)
def test_bad_rows_are_named_with_their_line(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RecordError, match=message):
        read_table(tmp_path / name, Columns(), Labels())


def test_classes_are_those_of_training() -> None:
    train, test = Table(tuple(rows("yes", "no")), {}), Table(tuple(rows("no", "maybe")), {})
    assert classes_of(train, None, "yes") == ("no", "yes")
    with pytest.raises(RecordError, match=r"x\.csv:3: label 'maybe' is not in the training file"):
        classes_of(train, test, None)
    with pytest.raises(ConfigError, match="--positive maybe"):
        classes_of(train, None, "maybe")
    with pytest.raises(ConfigError, match="two classes or more"):
        classes_of(Table(tuple(rows("no", "no")), {}), None, None)
    with pytest.raises(ConfigError, match="micro"):
        classes_of(Table(tuple(rows("micro", "no")), {}), None, None)


def test_hand_counted_over_folds() -> None:
    held = list(enumerate(rows("yes", "yes", "no", "no", "no")))
    parts = ({"0": "yes", "1": "no"}, {"2": "no", "3": "no", "4": "yes"})
    units = [Unit(1, i, "", False, Outcome(predicted, 1.0, {})) for i, predicted in enumerate(parts)]
    events = evaluate_seed(units, held, ("no", "yes"), rounds=20).events
    assert events["micro"].f1.value == pytest.approx(3 / 5)
    assert (events["yes"].precision, events["yes"].recall, events["yes"].support) == (0.5, 0.5, 2)
    assert events["macro"].f1.value == pytest.approx((0.5 + 2 / 3) / 2)


def test_one_class_for_all_is_named_as_collapsed() -> None:
    units = [Unit(1, 2, "", False, Outcome({"0": "no", "1": "no"}, 1.0, {}))]
    assert classification.constant(units) == ["seed 1, fold 2 collapsed: every row is given the class 'no'"]
    assert not classification.constant([Unit(1, 2, "", False, Outcome({"0": "no", "1": "yes"}, 1.0, {}))])


def test_splits_measure_every_row_once() -> None:
    train = rows(*("ab" * 10))
    splits = make_splits(train, None, 4)
    assert sorted(number for split in splits for number, _ in split.held) == list(range(20))
    assert all(len(split.learn) == 15 and not {*split.learn} & {row for _, row in split.held} for split in splits)
    (alone,) = make_splits(train, rows("a", "b"), 4)
    assert (alone.fold, len(alone.learn), len(alone.held)) == (0, 20, 2)


def test_cut_texts_are_counted(root: Path) -> None:
    tokenizer = load_tokenizer(str(root / "encoder"))
    texts = [a.text for a in gold()]
    lengths = [len(ids) for ids in tokenizer(texts)["input_ids"]]
    assert count_cut(texts, tokenizer, max(lengths)) == 0
    assert count_cut(texts, tokenizer, max(lengths) - 1) == lengths.count(max(lengths))


def test_learns_a_toy_set_by_heart_and_is_not_done_twice(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = options(root, "--test", str(root / "toy.tsv"), "--seeds", "1", "2", "--epochs", "120")
    assert classification.main(given) == 0
    first, report = figures(root), capsys.readouterr().out
    assert [first["seeds"][seed]["events"]["macro"]["f1"]["value"] for seed in "12"] == [1.0, 1.0]
    assert "| macro F1 | 100.0 ± 0.0 |" in report
    assert "6 rows, of which 6 stand word for word among those learnt from" in report
    monkeypatch.setattr(classifier, "fine_tune", None)  # what is finished needs it no more
    assert classification.main(given) == 0
    assert figures(root) | {"machine": 0} == first | {"machine": 0}
    with pytest.raises(TypeError):
        classification.main([*given, "--learning-rate", "1e-3"])


def test_binary_cross_validation_end_to_end(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = [
        "--folds",
        "2",
        "--seeds",
        "1",
        "--epochs",
        "1",
        "--map",
        "protest=calm",
        "--positive",
        "battle",
        "--max-pieces",
        "9",
    ]
    assert classification.main(options(root, *more)) == 0
    report, found = capsys.readouterr().out, figures(root)
    assert (found["rows"], len(found["fine_tunings"]), found["cut"]) == (6, 2, {"training": 6})
    assert "Longer than 9 pieces and cut: 6 of 6 training rows." in report
    assert "| battle: recall |" in report
    assert "2 folds dealt out by class: 6 rows, of which 0 stand word for word" in report


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--max-pieces", "65"], "--max-pieces makes rows of 65 pieces; .* at most 64"),
        (["--map", "battle"], "expected OLD=NEW"),
        (["--train", "toy.parquet"], "toy.parquet: expected a name that ends in .csv, .jsonl, .ndjson, .tsv"),
        (["--label-column", "label"], r"toy\.tsv:2: no column 'label'"),
        (["--folds", "7"], "2 to 6 folds"),
    ],
)
def test_errors_of_the_command(root: Path, capsys: pytest.CaptureFixture[str], more: list[str], message: str) -> None:
    assert classification.main(options(root, *more)) == 2
    assert re.search(rf"^benchmarks\.classification: .*{message}", capsys.readouterr().err, re.MULTILINE)


@pytest.mark.parametrize("more", [["--test", "x", "--folds", "2"], ["--seeds", "1", "1"], ["--epochs", "0"]])
def test_options_that_contradict_each_other(root: Path, more: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        classification.main(options(root, *more))
