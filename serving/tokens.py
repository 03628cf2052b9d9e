"""Bearer tokens: who may ask."""

import hashlib
import hmac
from collections.abc import Mapping
from pathlib import Path

from serving.body import Headers, header_of
from serving.errors import Code, SettingsError
from serving.replies import RequestFault

LEAST_CHARACTERS = 16


class Tokens:
    """Any of them opens. Without any, everybody may ask."""

    def __init__(self, tokens: Mapping[str, str]) -> None:
        """`tokens` by where they stand. SettingsError says where one stands that is none, and never what it is."""
        for place, token in tokens.items():
            if len(token) < LEAST_CHARACTERS or not token.isascii() or not token.isprintable() or " " in token:
                raise SettingsError(
                    f"{place}: expected a token of {LEAST_CHARACTERS} or more printable ASCII characters, no spaces"
                )
        # Digests are of one length, so that a comparison tells nothing of a token's.
        self._digests = [_digest(token) for token in tokens.values()]

    @classmethod
    def read(cls, given: str, file: Path | None) -> "Tokens":
        """Those `given`, parted by commas, and those of `file`, one a line; lines that begin with # are comments. SettingsError
        where either was given and holds none: a variable that came out empty must not open the door."""
        parts = [token.strip() for token in given.split(",") if token.strip()]
        if given.strip() and not parts:
            raise SettingsError("MARSAD_TOKENS: has no token; expected some, parted by commas, or the variable not set")
        tokens = {f"MARSAD_TOKENS: token {number}": token for number, token in enumerate(parts, start=1)}
        if file is not None:
            try:
                lines = file.read_text(encoding="utf-8").splitlines()
            except (OSError, UnicodeDecodeError) as error:
                raise SettingsError(f"{file}: the tokens cannot be read: {error}") from error
            listed = {f"{file}: line {number}": line.strip() for number, line in enumerate(lines, start=1)}
            listed = {place: line for place, line in listed.items() if line and not line.startswith("#")}
            if not listed:
                raise SettingsError(f"{file}: has no token; expected one a line")
            tokens |= listed
        return cls(tokens)

    def check(self, headers: Headers) -> None:
        """RequestFault where the request does not bear one of them."""
        if not self._digests:
            return
        scheme, _, token = header_of(headers, b"authorization").partition(" ")
        found = _digest(token.strip())
        # All are compared, whichever fits.
        fits = [hmac.compare_digest(found, digest) for digest in self._digests]
        if scheme.lower() != "bearer" or not any(fits):
            message = "expected a header `authorization: Bearer TOKEN` with a token of this server"
            raise RequestFault(Code.UNAUTHORIZED, message, {"www-authenticate": "Bearer"})


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
