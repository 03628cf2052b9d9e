import threading
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labels.folder import GRAPH, GRAPH_WEIGHTS, SCHEMA, TOKENIZER, ModelFolder, write_manifest
from labels.openvino import ov
from serving.engine import Engine, plan_batches
from serving.errors import EngineError
from tests.folders import ENTITIES_ONLY, EVENT_LOGIT, EVENTS_ONLY, TAG_OF, WINDOW, make_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> ModelFolder:
    return make_folder(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def engine(folder) -> Engine:
    return Engine(folder, threads=1, precision="f32")


def test_encode_gives_offsets_into_the_text_as_given(engine):
    text = "لِداعـش في الموصل"
    [pieces] = engine.encode([text])
    assert [text[a:b] for a, b in pieces.offsets] == ["ل", "داعـش", "في", "الموصل"]
    assert list(pieces.unknown) == []


def test_names_of_special_pieces_in_a_text_are_plain_characters(engine):
    special = {engine.tokenizer.token_to_id(name) for name in ("[CLS]", "[SEP]", "[PAD]")}
    [pieces] = engine.encode(["قال [SEP] [PAD] [CLS]"])
    assert special.isdisjoint(pieces.ids)
    assert len(pieces.ids) == 1 + 3 * 3


def test_encode_finds_unknown_pieces(engine):
    [pieces] = engine.encode(["في 😀 الموصل"])
    assert [pieces.offsets[i] for i in pieces.unknown] == [(3, 4)]


def test_forward_scores_pieces_and_types(engine):
    tags = engine.folder.schema.tags
    [pieces] = engine.encode(["غارة على داعش"])
    [scores] = engine.forward([pieces.ids])
    assert [tags[i] for i in scores.tags.argmax(axis=1)] == ["O", "O", TAG_OF["داعش"]]
    assert scores.events.tolist() == [EVENT_LOGIT, -EVENT_LOGIT]


def test_rows_come_back_in_order_and_padding_says_nothing(engine):
    texts = ["داعش", "غارة على الموصل في مدينة بنغازي", "", "تظاهرة في بنغازي", "في " * WINDOW, "الجيش الليبي"]
    rows = [pieces.ids for pieces in engine.encode(texts)]
    together = engine.forward(rows)
    assert len(together) == len(rows)
    for row, scores in zip(rows, together, strict=True):
        [alone] = engine.forward([row])
        assert scores.tags.shape == (len(row), 5)
        np.testing.assert_allclose(scores.tags, alone.tags, atol=1e-5)
        np.testing.assert_allclose(scores.events, alone.events, atol=1e-5)


def test_a_small_budget_changes_nothing(folder, engine):
    rows = [pieces.ids for pieces in engine.encode(["داعش في الموصل", "غارة", "تظاهرة في مدينة بنغازي"] * 5)]
    small = Engine(folder, threads=1, precision="f32", token_budget=20)
    for a, b in zip(engine.forward(rows), small.forward(rows), strict=True):
        np.testing.assert_allclose(a.tags, b.tags)
        np.testing.assert_allclose(a.events, b.events)


def test_no_rows(engine):
    assert engine.forward([]) == []
    assert engine.encode([]) == []


def test_a_row_longer_than_the_window_is_refused(engine):
    with pytest.raises(EngineError, match=f"has {WINDOW + 1} pieces, the model reads {WINDOW}"):
        engine.forward([[5] * (WINDOW + 1)])


def test_border_scores_come_with_the_graph_that_has_them(engine, tmp_path):
    assert engine.forward([engine.encode(["داعش"])[0].ids])[0].borders is None
    glued = Engine(make_folder(tmp_path, glued=True), threads=1, precision="f32")
    rows = [pieces.ids for pieces in glued.encode(["في وبنغازي", "قال لداعش في مدينة"])]
    first, second = glued.forward(rows)
    assert first.borders.argmax(axis=1).tolist() == [0, 1]
    assert second.borders.argmax(axis=1).tolist() == [0, 1, 0, 0]


@pytest.mark.parametrize("letters", [1, 5])
def test_border_scores_of_no_known_size_are_refused(tmp_path, letters):
    with pytest.raises(EngineError, match=f"'border_scores' ends in {letters}, expected 2 to 4"):
        Engine(make_folder(tmp_path, glued=True, letters=letters), threads=1)


def test_an_output_that_nobody_reads_is_refused(tmp_path):
    made = make_folder(tmp_path)
    graph = ov.Core().read_model(made.path / GRAPH)
    graph.outputs[0].get_tensor().set_names({"mood_scores"})
    ov.save_model(graph, tmp_path / "other.xml", compress_to_fp16=False)
    (tmp_path / "other.xml").rename(made.path / GRAPH)
    (tmp_path / "other.bin").rename(made.path / GRAPH_WEIGHTS)
    write_manifest(tmp_path, made.manifest)
    with pytest.raises(EngineError, match=r"unknown output \['mood_scores'\]"):
        Engine(ModelFolder.open(tmp_path), threads=1)


def test_short_rows_are_filled_with_the_manifests_padding(tmp_path, monkeypatch):
    made = make_folder(tmp_path)
    write_manifest(tmp_path, replace(made.manifest, pad_id=7))
    engine = Engine(ModelFolder.open(tmp_path), threads=1, precision="f32")
    seen, run = [], engine._graph.run
    monkeypatch.setattr(engine._graph, "run", lambda ids, mask, stream: seen.append((ids, mask)) or run(ids, mask, stream))
    engine.forward([[5], [5, 6, 5, 6]])
    [(ids, mask)] = seen
    short = mask.sum(axis=1).tolist().index(3)
    assert ids[short, 3:].tolist() == [7] * (ids.shape[1] - 3)


@pytest.mark.parametrize(("schema", "absent"), [(ENTITIES_ONLY, "events"), (EVENTS_ONLY, "tags")], ids=["entities", "events"])
def test_a_part_that_the_schema_lacks_is_none(tmp_path, schema, absent):
    engine = Engine(make_folder(tmp_path, schema), threads=1, precision="f32")
    [scores] = engine.forward([engine.encode(["غارة على داعش"])[0].ids])
    assert getattr(scores, absent) is None
    assert (scores.tags is None) != (scores.events is None)


def test_threads_share_an_engine(engine):
    rows = {word: engine.encode([f"في {word}"])[0].ids for word in TAG_OF}
    expected = {word: engine.forward([row])[0].tags for word, row in rows.items()}
    wrong = []

    def work(word):
        for _ in range(20):
            [scores] = engine.forward([rows[word]])
            if not np.array_equal(scores.tags, expected[word]):
                wrong.append(word)

    threads = [threading.Thread(target=work, args=(word,)) for word in rows]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_precision_follows_the_processor(folder, monkeypatch):
    monkeypatch.setattr("openvino.Core.get_property", lambda *_: ["FP32"])
    assert Engine(folder, threads=1).precision == "f32"
    with pytest.raises(EngineError, match="take precision f32 or auto"):
        Engine(folder, threads=1, precision="bf16")


@pytest.mark.parametrize("name", [TOKENIZER, GRAPH])
def test_a_broken_file_is_named(tmp_path, name):
    made = make_folder(tmp_path)
    (tmp_path / name).write_text("not what it was", encoding="utf-8")
    write_manifest(tmp_path, made.manifest)  # as if it had been exported so
    with pytest.raises(EngineError, match=name):
        Engine(ModelFolder.open(tmp_path), threads=1)


def test_a_graph_for_another_schema_is_refused(tmp_path):
    made = make_folder(tmp_path / "a", ENTITIES_ONLY)
    other = make_folder(tmp_path / "b")
    for name in (GRAPH, GRAPH_WEIGHTS):
        (other.path / name).write_bytes((made.path / name).read_bytes())
    write_manifest(other.path, other.manifest)
    with pytest.raises(EngineError, match="no output 'event_scores'"):
        Engine(ModelFolder.open(other.path), threads=1)
    three = '[[entity]]\nname = "A"\n[[entity]]\nname = "B"\n[[entity]]\nname = "C"\n'
    (made.path / SCHEMA).write_text(three, encoding="utf-8")
    fingerprint = made.__class__(made.path, made.manifest).schema.fingerprint
    write_manifest(made.path, made.manifest.__class__(**vars(made.manifest) | {"schema_fingerprint": fingerprint}))
    with pytest.raises(EngineError, match="the schema needs 7 at its end"):
        Engine(ModelFolder.open(made.path), threads=1)


def test_plan_batches_by_hand():
    assert list(plan_batches([8, 16, 8], 16)) == [[1], [0, 2]]
    assert list(plan_batches([32, 8], 16)) == [[0], [1]]
    assert list(plan_batches([], 16)) == []


@given(st.lists(st.integers(1, 64)), st.integers(1, 200))
def test_plan_batches_takes_each_row_once_and_keeps_the_budget(lengths, budget):
    batches = list(plan_batches(lengths, budget))
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or max(lengths[i] for i in batch) * len(batch) <= budget
