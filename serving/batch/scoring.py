"""Rows in, rows with their answers out: the same whether they go into parts or straight to another program."""

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from sqlite3 import OperationalError

from labels.types import Document, Failure
from serving.analyzer import Analyzer
from serving.batch.identities import Identities
from serving.batch.job import IdRule, Request
from serving.batch.near_duplicates import Mark, NearDuplicates
from serving.batch.rows import Entry, Row
from serving.errors import Code, WriteError


def answer_rows(rows: Iterable[Row], request: Request, analyzer: Analyzer, scratch: Path, *, skip: int = 0) -> Iterator[Entry]:
    """Each row after the first `skip` with its answer, in order, a few of them held at a time. The first ones pass by as well:
    later rows may have their ids or be copies of them. `scratch` is a folder for a file that needs to outlive nothing."""
    duplicates = None if request.dedup is None else NearDuplicates(request.dedup)
    under_way: deque[tuple[Row, Mark | None]] = deque()

    def opened(identities: Identities) -> Iterator[Document | Failure]:
        for number, row in enumerate(rows):
            item = checked(row, request.ids, identities)
            mark = None
            if duplicates is not None and isinstance(item, Document):
                mark = duplicates.look(item.id, item.text)
            if number >= skip:
                under_way.append((row, mark))
                yield item

    try:
        with closing(Identities(scratch / "ids")) as identities, closing(analyzer.stream(opened(identities))) as answers:
            for answer in answers:
                row, mark = under_way.popleft()
                yield Entry(row, answer, mark)
    except OperationalError as error:  # SQLite's
        raise WriteError(f"{scratch}: cannot be written: {error}") from error


def checked(row: Row, rule: IdRule, identities: Identities) -> Document | Failure:
    """The row's document, or why its id does not keep the rule."""
    item = row.item
    if isinstance(item, Failure) or rule == "any":
        return item
    if row.generated and rule == "required":
        return Failure(item.id, Code.MISSING_ID, f"{row.where}: has no id, and --ids required wants one")
    return identities.check(item, row.where)
