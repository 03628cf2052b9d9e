"""The verb `marsad split`: large inputs cut into shards, which many machines can score at a time."""

import json
import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from sqlite3 import OperationalError
from typing import Any

import click
import pyarrow as pa
import pyarrow.parquet as pq

from labels.types import Document, Failure
from serving.batch.atomic import atomic_file, sync_folder, write_atomic
from serving.batch.columns import has_surrogates
from serving.batch.identities import Identities
from serving.batch.input_options import FIELDS, columns_of, delimiter_of, input_options
from serving.batch.inputs import find_inputs
from serving.batch.job import IdRule
from serving.batch.rows import Row, quarantine_record
from serving.batch.scoring import checked
from serving.batch.sinks import GROUP_ROWS
from serving.batch.source import Source
from serving.errors import Code, FileError, WriteError
from serving.options import refusing

SHARD_ROWS = 20_000
"""A quarter of an hour for one core, or so: little enough to be shared out evenly, and far more than it takes to begin."""

QUARANTINE, SUMMARY = "quarantine.jsonl", "split.json"
BAD_ROWS = 3  # exit code, as that of `marsad score`

_SCHEMA = pa.schema([(name, pa.string()) for name in FIELDS])


@dataclass(frozen=True)
class Cut:
    """What came of it. `documents` are in `shards`, `generated` of them with an id made up; `quarantined` rows are in none."""

    shards: int
    documents: int
    generated: int
    quarantined: int


@click.command()
@click.argument("inputs", metavar="IN...", nargs=-1, required=True)
@click.option("--output", "-o", metavar="FOLDER", required=True, type=click.Path(path_type=Path), help="Must not be there yet.")
@click.option("--rows", type=click.IntRange(min=1), default=SHARD_ROWS, show_default=True, help="Documents a shard.")
@input_options
def split(**options: Any) -> None:
    """Cut the documents of IN into Parquet files of --rows documents: FOLDER/000000.parquet and so on. Ids are looked at over
    all of them together.

    Documents without an id get FILE:LINE of IN, which they keep from then on. Rows that are no document stand in
    FOLDER/quarantine.jsonl with file, line and reason. FOLDER appears when all is done.

    Exit codes: 0 done, 3 some rows in quarantine, 1 failed, 2 refused.
    """
    with refusing():
        files = find_inputs(options["inputs"], options["input_format"])
        source = Source(files, columns_of(options), delimiter_of(options))
        try:
            cut = cut_shards(source, options["output"], options["rows"], options["ids"])
        except WriteError as error:
            raise click.ClickException(str(error)) from error
    click.echo(json.dumps(vars(cut), indent=1), err=True)
    raise click.exceptions.Exit(BAD_ROWS if cut.quarantined else 0)


def cut_shards(source: Source, folder: Path, rows: int, ids: IdRule = "unique") -> Cut:
    """`folder` is there whole or not at all. FileError if it holds something already or an input lies in it, WriteError if the
    disk does not take it."""
    folder = folder.absolute()
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise FileError(f"{folder}: exists already; choose another name")
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        unfinished.mkdir(parents=True)
        cut = _write(source, unfinished, rows, ids)
        unfinished.replace(folder)
        sync_folder(unfinished.parent)
    except (OSError, OperationalError) as error:  # the latter is SQLite's
        raise WriteError(f"{folder}: cannot be written: {error}") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return cut


def _write(source: Source, folder: Path, rows: int, ids: IdRule) -> Cut:
    generated = quarantined = documents = shards = 0
    scratch = folder / "ids"

    with atomic_file(folder / QUARANTINE) as bad, closing(Identities(scratch)) as identities:

        def readable() -> Iterator[Document]:
            nonlocal generated, quarantined
            for row in source:
                item = _storable(row, checked(row, ids, identities))
                if isinstance(item, Document):
                    generated += row.generated
                    yield item
                else:
                    quarantined += 1
                    bad.write(json.dumps(quarantine_record(row, item), ensure_ascii=False).encode() + b"\n")

        left = readable()
        while (first := next(left, None)) is not None:
            documents += _write_shard(folder / f"{shards:06}.parquet", chain([first], islice(left, rows - 1)))
            shards += 1
    scratch.unlink()
    if not quarantined:
        (folder / QUARANTINE).unlink()
    cut = Cut(shards, documents, generated, quarantined)
    write_atomic(folder / SUMMARY, json.dumps(vars(cut), indent=1).encode() + b"\n")
    return cut


def _write_shard(path: Path, documents: Iterator[Document]) -> int:
    """Row group by row group; how many there were."""
    count = 0
    with atomic_file(path) as handle, pq.ParquetWriter(handle, _SCHEMA, compression="zstd") as table:
        while held := list(islice(documents, GROUP_ROWS)):
            columns = {name: [getattr(document, name) for document in held] for name in FIELDS}
            table.write_table(pa.table(columns, schema=_SCHEMA))
            count += len(held)
    return count


def _storable(row: Row, item: Document | Failure) -> Document | Failure:
    """Parquet holds Unicode text only, as the analyzer reads nothing else."""
    if isinstance(item, Document) and has_surrogates(item.text):
        return Failure(item.id, Code.INVALID_TEXT, f"{row.where}: text is not Unicode text: it has a lone surrogate")
    return item
