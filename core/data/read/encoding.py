"""Text files as a flow of valid UTF-8, whatever they are written in; a bad byte is named with its line."""

from __future__ import annotations

import codecs
from collections.abc import Iterator

from core.base.errors import UserError
from core.data.read.packed import Flow
from core.data.read.rows import BLOCK_BYTES, line_ends

_MARKS = ((b"\xef\xbb\xbf", "utf-8-bom"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_AROUND = 2000


def encoding_of(head: bytes) -> str:
    """“utf-8”, “utf-8-bom” or “utf-16”, by the byte order mark."""
    return next((name for mark, name in _MARKS if head.startswith(mark)), "utf-8")


def decode_head(head: bytes, encoding: str) -> str:
    """The beginning of a file for looking at; its last character may be cut."""
    codec = "utf-16" if encoding == "utf-16" else "utf-8-sig"
    return codecs.getincrementaldecoder(codec)("replace").decode(head)


def utf8_pieces(flow: Flow, encoding: str) -> Iterator[tuple[int, bytes]]:
    """(position on disk, UTF-8 bytes) of the whole text, about 1 MB each, never ending inside a CRLF.

    Raises UserError with the line of the first byte that is no text in that encoding.
    """
    convert = _Utf16(flow) if encoding == "utf-16" else _Utf8(flow)
    held = b""
    while data := flow.read(BLOCK_BYTES):
        piece = held + convert(data)
        held = b"\r" if piece.endswith(b"\r") else b""
        yield flow.position, piece[:-1] if held else piece
    yield flow.position, held + convert(b"", last=True)


class _Utf8:
    """UTF-8 to itself, checked."""

    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        self._rest = b""
        self._lines = 1
        self._first = True

    def __call__(self, data: bytes, last: bool = False) -> bytes:
        data = self._rest + data
        if self._first and len(data) >= len(codecs.BOM_UTF8):
            self._first = False
            data = data.removeprefix(codecs.BOM_UTF8)
        done = len(data) if data.isascii() else self._checked(data, last)
        self._rest = data[done:]
        self._lines += line_ends(data[:done])
        return data[:done]

    def _checked(self, data: bytes, last: bool) -> int:
        try:
            return codecs.utf_8_decode(data, "strict", last)[1]
        except UnicodeDecodeError as error:
            line = self._lines + line_ends(data[: error.start])
            around = data[max(0, error.start - _AROUND) : error.start + _AROUND]
            raise _bad_byte(self._flow.path.name, line, data[error.start], "UTF-8", around) from error


class _Utf16:
    """UTF-16 with its mark to UTF-8."""

    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        self._decoder = codecs.getincrementaldecoder("utf-16")()
        self._lines = 1

    def __call__(self, data: bytes, last: bool = False) -> bytes:
        try:
            text = self._decoder.decode(data, last).encode("utf-8")
        except UnicodeDecodeError as error:
            before = error.object[: error.start].decode(error.encoding, "replace").encode("utf-8", "replace")
            line = self._lines + line_ends(before)
            raise _bad_byte(self._flow.path.name, line, error.object[error.start], "UTF-16", b"") from error
        self._lines += line_ends(text)
        return text


def _bad_byte(name: str, line: int, byte: int, encoding: str, around: bytes) -> UserError:
    likely = _likely(around)
    guess = f" It looks like {likely}." if likely else ""
    return UserError(
        f"{name}, line {line} is not valid {encoding} text (byte 0x{byte:02X}).{guess} "
        "Save the file as UTF-8 and choose it again."
    )


def _likely(around: bytes) -> str:
    """The encoding that the bytes are probably in, for the advice only: a guess is never acted upon."""
    if not around or 0 in around:
        return ""
    from charset_normalizer import from_bytes

    best = from_bytes(around).best()
    return best.encoding.replace("_", "-") if best else ""
