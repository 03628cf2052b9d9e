"""Ids that have been there before, found in bounded memory: they are kept in a file of the run's own."""

import hashlib
import sqlite3
from pathlib import Path

from labels.types import Document, Failure
from serving.errors import Code

_CACHE_KIB = 16 * 1024


class Identities:
    """Remembers each id's first place. The file is a scratch file: it is made anew by each run, which reads all rows in order
    even where it goes on with an earlier one, so that it need not survive a crash."""

    def __init__(self, file: Path) -> None:
        file.unlink(missing_ok=True)
        self._table = sqlite3.connect(file, isolation_level=None)
        for setting in ("journal_mode = OFF", "synchronous = OFF", "locking_mode = EXCLUSIVE", f"cache_size = -{_CACHE_KIB}"):
            self._table.execute(f"PRAGMA {setting}")
        self._table.execute("CREATE TABLE seen (digest BLOB PRIMARY KEY, place TEXT) WITHOUT ROWID")
        self._table.execute("BEGIN")

    def close(self) -> None:
        self._table.close()

    def check(self, item: Document | Failure, where: str) -> Document | Failure:
        """The document, or why it is refused: its id stands at an earlier place too."""
        if isinstance(item, Failure):
            return item
        digest = hashlib.blake2b(item.id.encode(), digest_size=16).digest()
        added = self._table.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", (digest, where))
        if added.rowcount:
            return item
        [first] = self._table.execute("SELECT place FROM seen WHERE digest = ?", (digest,)).fetchone()
        return Failure(
            item.id, Code.DUPLICATE_ID, f"{where}: id {item.id!r} stands at {first} already; --ids any lets ids stand again"
        )
