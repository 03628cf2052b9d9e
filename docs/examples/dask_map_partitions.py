"""Events of a Parquet file of documents (columns `id`, `text`) with Dask:

python docs/examples/dask_map_partitions.py IN.parquet OUT_FOLDER
"""

import sys

import pandas as pd
from event_rows import TYPES, event_rows, worker_analyzer


def score(frame: pd.DataFrame) -> pd.DataFrame:
    """What a worker does with its part of the documents."""
    return event_rows(frame, worker_analyzer())


def main(source: str, target: str) -> None:
    """Write the rows of `source` to the folder `target`."""
    import dask
    import dask.dataframe as dd
    from dask.system import CPU_COUNT

    documents = dd.read_parquet(source, columns=["id", "text"])
    # A small file is one partition, which one core would read alone.
    documents = documents.repartition(npartitions=4 * CPU_COUNT)
    rows = documents.map_partitions(score, meta=pd.DataFrame(columns=list(TYPES)).astype(TYPES))
    # Processes and not the threads that Dask takes by itself: each has an analyzer on one core.
    with dask.config.set(scheduler="processes"):
        rows.to_parquet(target, write_index=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
