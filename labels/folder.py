"""The model folder: the table where training and serving meet.

manifest.json            what this is, where it comes from, what it scores, the hash of every other file
schema.toml              the labels, in the order of the outputs
decoding.json            thresholds and temperatures, set on dev
tokenizer.json           the tokenizer, normalisation and clitic splitting included
graph.xml, graph.bin     the served graph (OpenVINO IR): ids and mask in, scores out
graph.onnx               the same for ONNX Runtime; there or not
README.md                the model card
checkpoint/              config.json and tokenizer files: with the graph's weights, what to fine-tune from
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from labels.decode import DecodingRules
from labels.errors import FolderError, MarsadError
from labels.schema import LabelSchema, parse_schema

FORMAT_VERSION = 2
READABLE = (1, 2)  # 1 had neither triggers nor roles
MANIFEST = "manifest.json"
SCHEMA = "schema.toml"
DECODING = "decoding.json"
TOKENIZER = "tokenizer.json"
GRAPH = "graph.xml"
GRAPH_WEIGHTS = "graph.bin"
ONNX_GRAPH = "graph.onnx"
CARD = "README.md"
CHECKPOINT = "checkpoint"

INPUT_IDS, INPUT_MASK = "input_ids", "attention_mask"  # (rows, pieces), int64
TAG_SCORES = "tag_scores"  # (rows, pieces, tags), float32; absent without entity labels
EVENT_SCORES = "event_scores"  # (rows, types), float32; absent without event types
BORDER_SCORES = "border_scores"  # (rows, pieces, letters), float32; absent where the tokenizer's pieces carry every border
TRIGGER_SCORES = "trigger_scores"  # (rows, pieces, types), float32; absent where the gold named no triggers
ROLE_QUERIES, ROLE_KEYS = "role_queries", "role_keys"  # (rows, pieces, roles * width), float32; absent without roles
PIECE_OUTPUTS = {
    "tags": TAG_SCORES,
    "borders": BORDER_SCORES,
    "triggers": TRIGGER_SCORES,
    "queries": ROLE_QUERIES,
    "keys": ROLE_KEYS,
}
"""The fields of `labels.scores.RowScores` that hold a line for each piece, and the outputs they come from."""

SERVED = (SCHEMA, DECODING, TOKENIZER, GRAPH, GRAPH_WEIGHTS)
OPTIONAL = (ONNX_GRAPH,)
"""What serving may run where it is there. A folder may lose it: who copies one for a device that has no use for it leaves it
behind."""


@dataclass(frozen=True)
class Manifest:
    """What a reader must know before opening the rest. `window` and `overlap` are in pieces, [CLS] and [SEP] not
    counted; `data` names each file the weights have seen, with its stage and hash; `metrics` are those of the splits it
    was measured on; `files` maps each file's path to its sha256. `pad_id` fills up short rows: encoders of RoBERTa's kind
    count positions by it; folders written before it was recorded are padded with 0, as BERT is."""

    name: str
    schema_fingerprint: str
    window: int
    overlap: int
    base: str
    data: tuple[Mapping[str, Any], ...] = ()
    metrics: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    marsad_version: str = ""
    pad_id: int = 0
    format_version: int = FORMAT_VERSION


@dataclass(frozen=True)
class ModelFolder:
    """A folder that has been checked. Nothing heavy is loaded until asked for."""

    path: Path
    manifest: Manifest

    @classmethod
    def open(cls, path: Path, *, verify: bool = True) -> "ModelFolder":
        """Read and check the folder at `path`; with `verify` every served file is hashed. FolderError says which file
        is absent, damaged or of another version, and what to do. A link is followed once: it may point elsewhere meanwhile."""
        try:
            return cls._open(path.resolve(), verify=verify)
        except (OSError, RuntimeError) as error:  # the latter for a link that leads to itself
            raise FolderError(f"{path}: cannot be read: {error}") from error

    @classmethod
    def _open(cls, path: Path, *, verify: bool) -> "ModelFolder":
        manifest = _read_manifest(path)
        for name in (*SERVED, *OPTIONAL):
            if not (path / name).is_file():
                if name in OPTIONAL:
                    continue
                raise FolderError(f"{path}: {name} is missing; the folder is incomplete, export or copy it again")
            if verify and manifest.files.get(name) != hash_file(path / name):
                raise FolderError(
                    f"{path}: {name} is not the file the manifest was written for; export or copy the folder again"
                )
        folder = cls(path, manifest)
        if folder.schema.fingerprint != manifest.schema_fingerprint:
            found, expected = folder.schema.fingerprint, manifest.schema_fingerprint
            raise FolderError(
                f"{path}: {SCHEMA} has fingerprint {found}, the graph was made for {expected}; export the model again"
            )
        return folder

    @cached_property
    def id(self) -> str:
        """Name and a hash that changes with any file of the folder: `marsad-mini@1f3c5a7b9d2e`."""
        return f"{self.manifest.name}@{hash_file(self.path / MANIFEST)[:12]}"

    @cached_property
    def schema(self) -> LabelSchema:
        try:
            return parse_schema((self.path / SCHEMA).read_text(encoding="utf-8"), str(self.path / SCHEMA))
        except (OSError, UnicodeDecodeError, MarsadError) as error:
            raise FolderError(f"{self.path}: {SCHEMA} cannot be used: {error}") from error

    @cached_property
    def rules(self) -> DecodingRules:
        try:
            return DecodingRules(**json.loads((self.path / DECODING).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise FolderError(f"{self.path}: {DECODING} cannot be used: {error}") from error


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write `manifest` into the folder with the hashes of all files that are there. Comes last: a folder without a
    manifest is unfinished."""
    files = {
        file.relative_to(path).as_posix(): hash_file(file)
        for file in sorted(path.rglob("*"))
        if file.is_file() and file.name != MANIFEST
    }
    record = asdict(manifest) | {"files": files}
    (path / MANIFEST).write_text(json.dumps(record, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def write_rules(path: Path, rules: DecodingRules) -> None:
    """Write the decoding rules into the folder."""
    (path / DECODING).write_text(json.dumps(asdict(rules), indent=1) + "\n", encoding="utf-8")


def hash_file(path: Path) -> str:
    """sha256 of a file, in hexadecimal."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _read_manifest(path: Path) -> Manifest:
    file = path / MANIFEST
    if not file.is_file():
        raise FolderError(f"{path}: no {MANIFEST}; expected a model folder written by `marsad export`")
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        version = record["format_version"]
        if version in READABLE:
            return _sound(Manifest(**record | {"data": tuple(record["data"])}))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise FolderError(f"{file}: not a manifest: {error}") from error
    raise FolderError(
        f"{file}: format version {version}, this program reads {' and '.join(map(str, READABLE))}; export the model again"
    )


def _sound(manifest: Manifest) -> Manifest:
    """The manifest, where its values are of the kinds that readers count on; ValueError where not."""
    if not isinstance(manifest.files, dict) or not isinstance(manifest.name, str):
        raise ValueError("expected `name` to be a string and `files` an object of path to hash")
    window, overlap = manifest.window, manifest.overlap
    if type(window) is not int or type(overlap) is not int or not 0 <= overlap < window:
        raise ValueError(f"expected whole numbers with 0 <= overlap < window, found overlap {overlap!r} and window {window!r}")
    if type(manifest.pad_id) is not int or manifest.pad_id < 0:
        raise ValueError(f"expected `pad_id` to be a piece id, found {manifest.pad_id!r}")
    return manifest
