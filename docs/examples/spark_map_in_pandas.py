"""Events of a Parquet file of documents (columns `id`, `text`) with Spark:

python docs/examples/spark_map_in_pandas.py IN.parquet OUT_FOLDER
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from event_rows import TYPES, event_rows, worker_analyzer

SCHEMA = ", ".join(f"{column} {'double' if kind == 'float64' else 'string'}" for column, kind in TYPES.items())


def score(frames: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """What a worker does with its part of the documents."""
    for frame in frames:
        yield event_rows(frame, worker_analyzer())


def main(source: str, target: str) -> None:
    """Write the rows of `source` to the new folder `target`."""
    from pyspark.sql import SparkSession

    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # else workers take the first python3 of the path
    spark = SparkSession.builder.appName("marsad").getOrCreate()
    spark.sparkContext.addPyFile(str(Path(__file__).with_name("event_rows.py")))
    documents = spark.read.parquet(source).select("id", "text")
    # A small file is one partition, which one core would read alone.
    documents = documents.repartition(4 * spark.sparkContext.defaultParallelism)
    documents.mapInPandas(score, SCHEMA).write.parquet(target)
    spark.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
