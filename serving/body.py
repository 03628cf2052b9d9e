"""The body of a request: read no further than it may go, unpacked no further than that, and parsed to the list of documents."""

import json
import re
import zlib
from collections.abc import Sequence
from typing import Any

from serving.errors import Code
from serving.replies import Message, Receive, RequestFault
from serving.wire import shorten

Headers = Sequence[tuple[bytes, bytes]]

# Window bits of zlib for what a client may send; both know their own end and check their own sum.
_PACKED = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
_IDENTITY = "identity"

# A document is an object of at most four fields. Of `[{},{},…]` eight megabytes would become two hundred, and stop the event
# loop for as long as that takes.
_STRUCTURE = 64
_SIGNS = "{[,:"
# Possessive, and at peace with a string that never ends: what has failed is not tried again from every quote within.
_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)


class ClientGone(Exception):  # noqa: N818  # there is nobody to answer
    """The connection was closed."""


def header_of(headers: Headers, name: bytes) -> str:
    """The last header of a name, which is in small letters; nothing where there is none."""
    return next((value.decode("latin-1").strip() for key, value in reversed(headers) if key.lower() == name), "")


def check_content_type(headers: Headers) -> None:
    """RequestFault where the body is not called JSON. A browser lets any page send other kinds to any server."""
    given = header_of(headers, b"content-type")
    kind = given.partition(";")[0].strip().lower()
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        message = f"content-type: expected application/json, found {shorten(given) if given else 'none'}"
        raise RequestFault(Code.UNSUPPORTED_MEDIA_TYPE, message)


async def read_body(headers: Headers, receive: Receive, limit: int) -> bytes:
    """The whole body, unpacked; refused as soon as it is known to be too large. ClientGone where it does not end."""
    packing = header_of(headers, b"content-encoding").lower() or _IDENTITY
    if packing != _IDENTITY and packing not in _PACKED:
        known = ", ".join([*_PACKED, _IDENTITY])
        raise RequestFault(Code.UNSUPPORTED_MEDIA_TYPE, f"content-encoding: expected one of {known}, found {shorten(packing)}")
    length = header_of(headers, b"content-length")
    if length.isdigit() and int(length[:20]) > limit:
        raise _too_large(limit)
    unpack = _Unpacker(packing, limit)
    while True:
        message: Message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        unpack.feed(message.get("body", b""))
        if not message.get("more_body", False):
            return unpack.close()


class _Unpacker:
    """Keeps at most `limit` bytes, however small the body that unpacks to more."""

    def __init__(self, packing: str, limit: int) -> None:
        self._unpacker = zlib.decompressobj(_PACKED[packing]) if packing in _PACKED else None
        self._packing = packing
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, part: bytes) -> None:
        if self._unpacker is not None:
            try:
                part = self._unpacker.decompress(part, self._limit - self._size + 1)
            except zlib.error as error:
                raise RequestFault(Code.INVALID_REQUEST, f"the body is not {self._packing}: it cannot be unpacked") from error
        self._size += len(part)
        if self._size > self._limit:
            raise _too_large(self._limit)
        self._parts.append(part)

    def close(self) -> bytes:
        if self._unpacker is not None and (not self._unpacker.eof or self._unpacker.unused_data):
            found = "ends too early" if not self._unpacker.eof else "goes on after its end"
            raise RequestFault(Code.INVALID_REQUEST, f"the body is not {self._packing}: it {found}")
        return b"".join(self._parts)


def _too_large(limit: int) -> RequestFault:
    return RequestFault(Code.BODY_TOO_LARGE, f"a body may have {limit} bytes, unpacked; send fewer documents at a time")


def parse_body(body: bytes, max_documents: int) -> list[Any]:
    """The documents as they came, each still to be checked. RequestFault where the request itself is wrong."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RequestFault(Code.INVALID_REQUEST, f"the body is not UTF-8: {error.reason} at byte {error.start}") from error
    _check_structure(text, max_documents)
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno} column {error.colno}"
        raise RequestFault(Code.INVALID_REQUEST, f"the body is not JSON: {error.msg} at {place}") from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits; thousands of brackets
        raise RequestFault(
            Code.INVALID_REQUEST, "the body is not JSON that can be read: it is nested or long beyond reason"
        ) from error
    if not isinstance(value, dict):
        raise RequestFault(Code.INVALID_REQUEST, f'expected an object {{"documents": [...]}}, found {shorten(value)}')
    if unknown := sorted(value.keys() - {"documents"}):
        raise RequestFault(Code.INVALID_REQUEST, f"unknown field {shorten(unknown[0])}; known: documents")
    if "documents" not in value:
        raise RequestFault(Code.INVALID_REQUEST, "documents: is missing")
    documents = value["documents"]
    if not isinstance(documents, list):
        raise RequestFault(Code.INVALID_REQUEST, f"documents: expected a list, found {shorten(documents)}")
    if len(documents) > max_documents:
        raise _too_many(len(documents), max_documents)
    return documents


def _too_many(found: int, most: int) -> RequestFault:
    message = f"documents: expected at most {most}, found {found}; send them in several requests"
    return RequestFault(Code.TOO_MANY_DOCUMENTS, message)


def _check_structure(body: str, max_documents: int) -> None:
    """RequestFault where there are far more objects, lists and fields than so many documents have."""
    most = _STRUCTURE * (max_documents + 1)
    if _count_signs(body) <= most:  # most bodies are done here; texts hold some of these signs too
        return
    outside = _STRING.sub("", body)
    if (found := _count_signs(outside)) <= most:
        return
    if outside.count("[") == 1 and (documents := outside.count("{") - 1) > max_documents:
        raise _too_many(documents, max_documents)
    message = f"the body has {found} brackets, commas and colons outside its strings, where {max_documents} documents have"
    raise RequestFault(Code.INVALID_REQUEST, f"{message} a few each; a document is an object of strings")


def _count_signs(body: str) -> int:
    return sum(body.count(sign) for sign in _SIGNS)
