"""The parts of a finished run put together into its output."""

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from serving.batch.atomic import atomic_file
from serving.batch.ledger import Ledger
from serving.batch.sinks import GROUP_ROWS, Sink


def join_parts(ledger: Ledger, number: int, sink: Sink) -> None:
    """Write the output's file `number` from its parts; it appears when it is whole. FileError if a part is damaged, WriteError
    if the disk does not take it."""
    if sink.format == "parquet":
        _join_tables(ledger, number, sink.path)
        return
    with atomic_file(sink.path) as handle:
        for data in ledger.parts_of(number):
            handle.write(data)


def _join_tables(ledger: Ledger, number: int, path: Path) -> None:
    """Row groups of GROUP_ROWS however large the parts are."""
    schema = pq.read_schema(io.BytesIO(next(ledger.parts_of(number))))
    with atomic_file(path) as handle, pq.ParquetWriter(handle, schema, compression="zstd") as table:
        held: list[pa.RecordBatch] = []
        rows = 0
        for data in ledger.parts_of(number):
            for batch in pq.ParquetFile(io.BytesIO(data)).iter_batches():
                held.append(batch)
                rows += batch.num_rows
            while rows >= GROUP_ROWS:
                group = pa.Table.from_batches(held, schema)
                table.write_table(group.slice(0, GROUP_ROWS))
                held = group.slice(GROUP_ROWS).to_batches()
                rows -= GROUP_ROWS
        if held:
            table.write_table(pa.Table.from_batches(held, schema))
