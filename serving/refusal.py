"""Documents that are not read, and why: the check before any work is done on one."""

from labels.types import Document, Failure
from serving.errors import Code


def refuse(document: Document, max_characters: int) -> Failure | None:
    """The answer to a document that cannot be read; None for one that can. Types do not reach into tables: what stands in a
    column of texts may be None or a number."""
    text: object = document.text
    if not isinstance(text, str):
        found = "nothing" if text is None else repr(text)[:60]
        return Failure(document.id, Code.INVALID_DOCUMENT, f"text: expected a string, found {found}")
    if len(text) > max_characters:
        message = f"text has {len(text)} characters, at most {max_characters} are read; split the document"
        return Failure(document.id, Code.TEXT_TOO_LONG, message)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        found = f"U+{ord(text[error.start]):04X} at character {error.start}"
        message = f"text is not Unicode text: lone surrogate {found}; decode the source again"
        return Failure(document.id, Code.INVALID_TEXT, message)
    return None
