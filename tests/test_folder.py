"""The model folder: whole, or a named error."""

import json

import pytest

from labels.decode import DecodingRules
from labels.errors import FolderError
from labels.folder import (
    CARD,
    DECODING,
    GRAPH,
    GRAPH_WEIGHTS,
    MANIFEST,
    SCHEMA,
    SERVED,
    TOKENIZER,
    Manifest,
    ModelFolder,
    write_manifest,
    write_rules,
)
from labels.schema import DEFAULT_SCHEMA, load_schema

RULES = DecodingRules(thresholds={"airstrike": 0.4}, temperature=1.5)


def manifest(**changes):
    values = {
        "name": "tiny",
        "schema_fingerprint": load_schema().fingerprint,
        "window": 64,
        "overlap": 16,
        "base": "tiny-encoder",
    }
    return Manifest(**values | changes)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / SCHEMA).write_bytes(DEFAULT_SCHEMA.read_bytes())
    write_rules(tmp_path, RULES)
    for name in (TOKENIZER, GRAPH, GRAPH_WEIGHTS, CARD):
        (tmp_path / name).write_text(f"content of {name}", encoding="utf-8")
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / "config.json").write_text("{}", encoding="utf-8")
    write_manifest(tmp_path, manifest(data=({"name": "gold", "sha256": "0"},), metrics={"dev": {"f1": 0.5}}))
    return tmp_path


def test_a_whole_folder_opens(folder):
    opened = ModelFolder.open(folder)
    assert opened.schema == load_schema()
    assert opened.rules == RULES
    assert opened.manifest.data == ({"name": "gold", "sha256": "0"},)
    assert opened.manifest.metrics == {"dev": {"f1": 0.5}}
    assert set(opened.manifest.files) == {*SERVED, CARD, "checkpoint/config.json"}


def test_the_id_follows_the_content(folder):
    before = ModelFolder.open(folder).id
    (folder / GRAPH_WEIGHTS).write_text("other weights", encoding="utf-8")
    write_manifest(folder, manifest())
    after = ModelFolder.open(folder).id
    assert before.startswith("tiny@")
    assert len(before) == len("tiny@") + 12
    assert before != after


@pytest.mark.parametrize("name", SERVED)
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(FolderError, match=f"{name} is missing.*again"):
        ModelFolder.open(folder)


def test_a_folder_that_may_not_be_read_is_named(folder, monkeypatch):
    def forbidden(_):
        raise PermissionError(13, "Permission denied", "graph.bin")

    monkeypatch.setattr("labels.folder.hash_file", forbidden)
    with pytest.raises(FolderError, match=r"cannot be read: .*Permission denied"):
        ModelFolder.open(folder)


def test_a_link_to_itself_is_no_folder(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(FolderError):
        ModelFolder.open(tmp_path / "loop")


def test_a_link_is_followed_once(folder, tmp_path):
    link = tmp_path / "current"
    link.symlink_to(folder)
    opened = ModelFolder.open(link)
    link.unlink()
    assert opened.path == folder.resolve()
    assert opened.schema.event_types
    assert opened.id


@pytest.mark.parametrize("name", SERVED)
def test_a_damaged_file_is_named(folder, name):
    (folder / name).write_bytes((folder / name).read_bytes() + b" ")
    with pytest.raises(FolderError, match=f"{name} is not the file the manifest was written for"):
        ModelFolder.open(folder)


def test_without_verification_a_changed_card_or_graph_is_not_hashed(folder):
    (folder / GRAPH_WEIGHTS).write_text("other weights", encoding="utf-8")
    assert ModelFolder.open(folder, verify=False).manifest.name == "tiny"


def test_a_folder_without_manifest_is_unfinished(folder):
    (folder / MANIFEST).unlink()
    with pytest.raises(FolderError, match=r"no manifest\.json; expected a model folder written by `marsad export`"):
        ModelFolder.open(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": 99}, "format version 99, this program reads 1 and 2"),
        ({"colour": "red"}, "not a manifest: .*colour"),
        ({"window": "64"}, "not a manifest: .*window '64'"),
        ({"overlap": 64}, "overlap 64 and window 64"),
        ({"files": []}, "`files`"),
        ({"pad_id": -1}, "`pad_id` to be a piece id, found -1"),
        ({"pad_id": True}, "`pad_id` to be a piece id, found True"),
        ({"schema_fingerprint": "0"}, "the graph was made for 0"),
    ],
)
def test_a_manifest_that_says_something_else_is_refused(folder, change, message):
    record = json.loads((folder / MANIFEST).read_text(encoding="utf-8")) | change
    (folder / MANIFEST).write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(FolderError, match=message):
        ModelFolder.open(folder)


def test_a_manifest_from_before_padding_was_recorded_means_bert(folder):
    record = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    del record["pad_id"]
    (folder / MANIFEST).write_text(json.dumps(record), encoding="utf-8")
    assert ModelFolder.open(folder).manifest.pad_id == 0


@pytest.mark.parametrize("content", ["", "[]", "{}", "{", '{"format_version": 1}'])
def test_a_manifest_that_is_none_is_refused(folder, content):
    (folder / MANIFEST).write_text(content, encoding="utf-8")
    with pytest.raises(FolderError, match="not a manifest"):
        ModelFolder.open(folder)


def test_a_schema_that_cannot_be_used_is_named(folder):
    (folder / SCHEMA).write_text("name = ", encoding="utf-8")
    write_manifest(folder, manifest())
    with pytest.raises(FolderError, match=r"schema\.toml cannot be used: .*not TOML"):
        ModelFolder.open(folder)


@pytest.mark.parametrize("content", ["{", '{"thresholds": {"airstrike": 3}}', '{"thresholds": []}', '{"colour": 1}', '"x"'])
def test_rules_that_cannot_be_used_are_named(folder, content):
    (folder / DECODING).write_text(content, encoding="utf-8")
    write_manifest(folder, manifest())
    with pytest.raises(FolderError, match=r"decoding\.json cannot be used"):
        _ = ModelFolder.open(folder).rules
