"""Which sentences are worth annotating next."""

import json

import pytest
from click.testing import CliRunner

from labels.cli import labels
from labels.pool import PoolRules, pool_sentences
from labels.records import read_jsonl
from labels.selection import Candidate, Selection, select
from labels.types import Entity, Prediction, Span

WORDS = ("قصف", "اعتقال", "تظاهر", "هدنة", "نفط", "قمح", "مطر", "سوق", "كرة", "طريق", "جسر", "مصنع", "مدرسة", "متحف", "نهر")


def candidate(number: int, text: str, types=None, *, entity: float = 1.0, doc: str | None = None) -> Candidate:
    entities = (Entity("a1", "ACTOR", Span(0, 1), entity),)
    prediction = Prediction(f"s{number}", "", text, entities=entities, event_types=types or {})
    return Candidate(f"s{number}", doc or f"d{number}", text, prediction)


def ids(taken):
    return [each.id for each, _ in taken]


def test_doubt_comes_first():
    pool = [
        candidate(i, word, {"arrest": score})
        for i, (word, score) in enumerate(zip(WORDS[:4], (0.99, 0.5, 0.03, 0.7), strict=True))
    ]
    assert ids(select(pool, [], Selection(count=2))) == ["s1", "s3"]
    pool = [candidate(0, WORDS[0], entity=0.99), candidate(1, WORDS[1], entity=0.4)]
    assert ids(select(pool, [], Selection(count=1))) == ["s1"]


def test_like_sentences_are_taken_once():
    pool = [candidate(0, "قصف جوي على المدينة", {"arrest": 0.5}), candidate(1, "وقصف جوي على المدينة", {"arrest": 0.5})]
    pool.append(candidate(2, "تظاهر مئات العمال", {"arrest": 0.8}))
    assert ids(select(pool, [], Selection(count=2))) == ["s0", "s2"]


def test_what_is_annotated_already_is_kept_away_from():
    pool = [candidate(0, "قصف جوي على المدينة", {"arrest": 0.5}), candidate(1, "تظاهر مئات العمال", {"arrest": 0.6})]
    assert ids(select(pool, ["قصف جوي على المدينة"], Selection(count=1))) == ["s1"]


def test_what_is_annotated_already_is_not_drawn_blindly():
    pool = [candidate(i, word) for i, word in enumerate(WORDS)]
    assert ids(select(pool, WORDS[1:], Selection(count=9, random=9))) == ["s0"]


def test_quotas_then_plain_then_doubt_and_each_says_why():
    pool = [candidate(i, word, {"arrest": 0.9} if i < 3 else {"protest": 0.6} if i < 6 else {}) for i, word in enumerate(WORDS)]
    taken = select(pool, [], Selection(count=8, quotas={"arrest": 2}, plain=3, random=1, per_document=1))
    assert [reason for _, reason in taken] == ["random"] + ["arrest"] * 2 + ["plain"] * 3 + ["doubt"] * 2
    assert len(set(ids(taken))) == 8
    assert all("arrest" in each.prediction.event_types for each, reason in taken if reason == "arrest")
    assert not any(each.prediction.event_types for each, reason in taken if reason == "plain")


def test_no_document_gives_more_than_its_share_and_the_pool_may_run_out():
    pool = [candidate(i, word, {"arrest": 0.5}, doc=f"d{i % 2}") for i, word in enumerate(WORDS)]
    assert len(select(pool, [], Selection(count=9, per_document=2))) == 4
    assert select([], [], Selection(count=9)) == []


def test_the_seed_decides():
    pool = [candidate(i, word) for i, word in enumerate(WORDS)]
    first, again, other = (ids(select(pool, [], Selection(count=5, random=5, seed=seed))) for seed in (1, 1, 2))
    assert first == again != other


DOCUMENT = "عنوان الخبر من مدينة بعيدة\nقال مصدر إن قصفا وقع اليوم. وقال آخر إن الهدوء عاد. ثم نزل المطر على المدينة كلها. لا."


@pytest.fixture
def documents(tmp_path):
    path = tmp_path / "news.jsonl"
    records = [{"id": f"n{i}", "text": DOCUMENT} for i in range(40)] + [{"id": "q", "text": "لا شيء هنا يذكر أبدا اليوم"}]
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records), encoding="utf-8")
    return path


def test_a_pool_knows_where_its_sentences_are_from(documents):
    found = list(pool_sentences(documents, PoolRules(lead=1, others=2, match="قصف", exclude=frozenset({"n0"}))))
    assert {record["doc"] for record in found} == {f"n{i}" for i in range(1, 40)}
    for record in found:
        assert DOCUMENT[record["start"] :].startswith(record["text"])
        assert record["source"] == "news"
    assert all(sum(record["doc"] == f"n{i}" for record in found) in {2, 3} for i in range(1, 40))  # `لا.` is too short
    assert found == list(pool_sentences(documents, PoolRules(lead=1, others=2, match="قصف", exclude=frozenset({"n0"}))))
    assert found != list(pool_sentences(documents, PoolRules(lead=1, others=2, match="قصف", seed=2)))


def test_a_share_of_documents(documents):
    some = {record["doc"] for record in pool_sentences(documents, PoolRules(share=0.5))}
    assert 8 <= len(some) <= 33


def test_from_documents_to_a_choice(documents, tmp_path):
    run = CliRunner().invoke
    pool, chosen, pred = tmp_path / "pool.jsonl", tmp_path / "chosen.jsonl", tmp_path / "pred.jsonl"
    result = run(labels, ["pool", str(documents), "-o", str(pool), "--others", "0"])
    assert result.exit_code == 0, result.output
    records = [record for _, record in read_jsonl(pool)]
    with pred.open("w", encoding="utf-8") as handle:
        for i, record in enumerate(records):
            line = {"id": record["id"], "event_types": {"shelling": 0.5} if i == 7 else {}}
            handle.write(json.dumps(line if i != 3 else {"id": record["id"], "error": {"code": "x", "message": "y"}}) + "\n")
    arguments = ["select", str(pool), "--pred", str(pred), "-o", str(chosen), "--count", "3", "--quota", "shelling=2"]
    result = run(labels, arguments)
    assert result.exit_code == 0, result.output
    assert f"3 of {len(records) - 1} sentences: shelling 1, doubt 2" in result.output
    assert [record["reason"] for _, record in read_jsonl(chosen)] == ["shelling", "doubt", "doubt"]
    result = run(labels, [*arguments, "--quota", "flood=2"])
    assert result.exit_code == 2
    assert "expected TYPE=N, TYPE one of airstrike, " in result.output
    pred.write_text('{"id": "stranger", "event_types": {}}\n', encoding="utf-8")
    result = run(labels, arguments)
    assert result.exit_code == 2
    assert "expected the id of a sentence of the pool, found 'stranger'" in result.output
