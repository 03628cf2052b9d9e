"""The documents of some files, in the order of the files and of their rows."""

from collections.abc import Callable, Iterator, Sequence

from serving.batch.columns import Columns, unreadable
from serving.batch.inputs import InputFile, InputFormat
from serving.batch.packing import BROKEN
from serving.batch.readers import Reading, check_parquet, check_table, read_jsonl, read_parquet, read_table, read_text
from serving.batch.rows import Row
from serving.errors import FileError

_READERS: dict[InputFormat, Callable[[Reading], Iterator[Row]]] = {
    "jsonl": read_jsonl,
    "csv": read_table,
    "tsv": read_table,
    "parquet": read_parquet,
    "txt": read_text,
}
_CHECKS: dict[InputFormat, Callable[[Reading], None]] = {"csv": check_table, "tsv": check_table, "parquet": check_parquet}


class Source:
    """Iterate once. `share` is how much of the input has been read, 0 to 1, by the sizes of the files; None of standard
    input."""

    def __init__(self, files: Sequence[InputFile], columns: Columns | None = None, delimiter: str | None = None) -> None:
        """FileError where a file cannot be opened, or lacks what every document needs: found out before the work begins."""
        self.files = list(files)
        self._columns, self._delimiter = columns or Columns(), delimiter
        self._weights = [0 if file.is_stdin else _size(file) for file in self.files]
        self._total = None if any(file.is_stdin for file in self.files) else max(1, sum(self._weights))
        self._finished = self._weight = 0  # bytes of the files that are read, and of the one that is being read
        self._current = 0.0
        for file in self.files:
            if not file.is_stdin:
                self._check(file)

    @property
    def share(self) -> float | None:
        if self._total is None:
            return None
        return min(1.0, (self._finished + self._weight * self._current) / self._total)

    def __iter__(self) -> Iterator[Row]:
        for file, weight in zip(self.files, self._weights, strict=True):
            self._weight = weight
            reading = Reading(file, self._columns, self._delimiter, self._tell)
            try:
                yield from _READERS[file.format](reading)
            except BROKEN as error:
                reason = f"{reading.shown}: cannot be read further: {_reason(error)}; what follows in it is lost"
                yield Row(unreadable(None, reason), reading.shown)
            self._finished += weight
            self._weight, self._current = 0, 0.0

    def _tell(self, share: float) -> None:
        self._current = share

    def _check(self, file: InputFile) -> None:
        try:
            if check := _CHECKS.get(file.format):
                check(Reading(file, self._columns, self._delimiter))
            else:
                file.path.open("rb").close()
        except BROKEN as error:
            raise FileError(f"{file.path}: cannot be read: {_reason(error)}") from error


def _size(file: InputFile) -> int:
    try:
        return file.path.stat().st_size
    except OSError:
        return 0


def _reason(error: BaseException) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)
