"""Each error once, under its cause."""

from collections import Counter
from pathlib import Path

from click.testing import CliRunner

from labels.records import annotation_record, prediction_record, read_jsonl, write_jsonl
from labels.types import Annotation, Entity, Event, Prediction, Span
from training.cli import evaluate
from training.error_list import list_errors

TEXT = "قصف الجيش مدينة حلب وإدلب أمس"
STRUCK, ARMY, CITY, ALEPPO, IDLIB, YESTERDAY = (
    Span(TEXT.index(word), TEXT.index(word) + len(word)) for word in ("قصف", "الجيش", "مدينة حلب", "حلب", "إدلب", "أمس")
)
GOLD = Annotation(
    "s",
    TEXT,
    (Entity("a1", "ACTOR", ARMY), Entity("l1", "LOCATION", ALEPPO), Entity("l2", "LOCATION", IDLIB)),
    (Event("shelling", STRUCK, {"agents": ("a1",), "targets": (), "locations": ("l1", "l2")}),),
    source="news",
)
FOUND = Prediction(
    "s",
    "m",
    TEXT,
    entities=(Entity("a1", "LOCATION", ARMY), Entity("l1", "LOCATION", CITY), Entity("l2", "LOCATION", YESTERDAY)),
    events=(Event("airstrike", STRUCK, {"agents": ("a1",), "targets": (), "locations": ("l2",)}),),
    event_types={"airstrike": 0.8},
)


def test_each_error_stands_once_under_its_cause() -> None:
    errors = list(list_errors([GOLD], {"s": FOUND}))
    entities = {(e["label"], e["cause"]): e for e in errors if e["part"] == "entity"}
    assert set(entities) == {
        ("ACTOR", "wrong label"),
        ("LOCATION", "wrong border"),
        ("LOCATION", "missed"),
        ("LOCATION", "made up"),
    }
    border = entities["LOCATION", "wrong border"]
    assert border["gold"]["text"] == "حلب"
    assert border["predicted"]["text"] == "مدينة حلب"
    assert (border["id"], border["source"], border["text"]) == ("s", "news", TEXT)
    assert entities["LOCATION", "made up"]["gold"] is None
    others = Counter((e["part"], e["label"], e["cause"]) for e in errors if e["part"] != "entity")
    assert others == {
        ("event type", "shelling", "missed"): 1,
        ("event type", "airstrike", "made up"): 1,
        ("trigger", "shelling", "wrong type"): 1,
        ("role", "shelling agents", "trigger of wrong type"): 1,
        ("role", "shelling locations", "trigger of wrong type"): 2,
        ("role", "airstrike agents", "made up"): 1,
        ("role", "airstrike locations", "made up"): 1,
    }


def test_what_is_right_or_not_given_is_no_error() -> None:
    right = Prediction("s", "m", TEXT, entities=GOLD.entities, events=GOLD.events, event_types={"shelling": 1.0})
    assert list(list_errors([GOLD], {"s": right})) == []
    plain = Prediction("s", "m", TEXT, entities=GOLD.entities, events=(Event("shelling"),), event_types={"shelling": 1.0})
    assert list(list_errors([GOLD], {"s": plain})) == []
    assert {e["cause"] for e in list_errors([GOLD], {})} == {"missed", "trigger missed"}


def test_command(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "gold.jsonl", [annotation_record(GOLD)])
    write_jsonl(tmp_path / "pred.jsonl", [prediction_record(FOUND)])
    files = {name: str(tmp_path / f"{name}.jsonl") for name in ("gold", "pred", "errors")}
    arguments = [part for name, file in files.items() for part in (f"--{name}", file)]
    result = CliRunner().invoke(evaluate, arguments)
    assert result.exit_code == 0, result.output
    written = [record for _, record in read_jsonl(tmp_path / "errors.jsonl")]
    assert written == list(list_errors([GOLD], {"s": FOUND}))
    assert f"{len(written)} errors" in result.stderr
