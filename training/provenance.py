"""Every file that a set of weights has seen, stage by stage; it goes along with the weights."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from labels.errors import ConfigError
from labels.folder import hash_file

PROVENANCE = "provenance.json"


def entries_of(stage: str, files: Iterable[Path]) -> list[dict[str, str]]:
    """One entry a file: `stage` is pretrain, train or dev; `file` has its folder's name, which tells one train.jsonl from
    another, and no more of the path, which is the machine's own."""
    return [{"stage": stage, "file": "/".join(path.parts[-2:]), "sha256": hash_file(path)} for path in files]


def read_provenance(folder: Path) -> list[dict[str, str]]:
    """The entries of a folder of weights; none for a base that was not made here."""
    path = folder / PROVENANCE
    if not path.is_file():
        return []
    try:
        return [
            {key: str(item[key]) for key in ("stage", "file", "sha256")}
            for item in json.loads(path.read_text(encoding="utf-8"))
        ]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ConfigError(f"{path}: expected a list of stage, file and sha256: {error}") from error


def write_provenance(folder: Path, entries: Sequence[Mapping[str, str]]) -> None:
    """Write the entries, each once."""
    unique = list({tuple(entry.items()): dict(entry) for entry in entries}.values())
    (folder / PROVENANCE).write_text(json.dumps(unique, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def provenance_section(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """The part of a card that names the files, as Markdown lines."""
    return [
        "## Data it has seen",
        "",
        "| stage | file | sha256 |",
        "| --- | --- | --- |",
        *(f"| {item['stage']} | {item['file']} | `{item['sha256'][:16]}` |" for item in entries),
        "",
        "What these files are, and under which licences, is in docs/data.md of the project.",
    ]
