"""A file's bytes as they flow: unpacked from gzip or a zip of one file, hashed and limited on the way.

`utf8_pieces` gives a text file as valid UTF-8, whatever it is written in; what was guessed for that is noted,
and a bad byte is named with its line.
"""

from __future__ import annotations

import codecs
import gzip
import hashlib
import io
import lzma
import os
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO, NamedTuple, Protocol, cast

from core.base.errors import UserError, disk_problem, path_words
from core.base.files import sha256_file
from core.data.read.encoding import encoding_title, examples, guess_encoding

BLOCK_BYTES = 1024 * 1024
PACKED_ENDINGS = (".gz", ".zip")
# Text packs to a tenth; a hundred times is a file made of repetition, more than that a bomb.
_RATIO = 200
_RATIO_FROM = 16 * 1024**2
_LARGEST = 32 * 1024**3
_NOISE = ("__MACOSX/", ".DS_Store")
_DAMAGE = (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, NotImplementedError, RuntimeError)
_MARKS = ((b"\xef\xbb\xbf", "utf-8-bom"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_CODECS = {"utf-8": "utf-8-sig", "utf-8-bom": "utf-8-sig", "utf-16": "utf-16"}


class Note(NamedTuple):
    """What the reading decided about a file or the row at `where`: a kind of problem, and a detail."""

    kind: str
    where: str
    detail: str


def file_of(path: Path) -> Path:
    """The file on disk: the path itself, or the archive or document that it names a part of."""
    return next((one for one in (path, *path.parents) if os.path.isfile(one)), path)


class Flow:
    """One pass over a file. `read` gives its bytes, unpacked; UserError where they are cut off or a bomb.

    path: a file, or one in a zip (`set.zip/train.jsonl`). content: what a part of a file holds that was taken
    out of it already. packed: “”, “gzip” or “zip”. inner: the file's own name without the packing. position:
    bytes on disk read so far. encoding: the one that was guessed. notes: what else was decided on
    the way.
    """

    def __init__(self, path: Path, content: bytes | None = None) -> None:
        self.path = path
        self.packed, self.inner, self.encoding = "", path.name, ""
        self.notes: list[Note] = []
        self._unpacked = 0
        self._file = path if content is not None else file_of(path)
        # a part is hashed as it is read, unpacked
        self._digest = hashlib.sha256() if self._file != path else None
        try:
            # a pipe can't be read twice, and waits for ever for somebody to write
            if content is None and path.exists() and not path.is_file():
                raise UserError(f"{path} is no file on disk. Save the data as a file and choose that.")
            self.size = self._file.stat().st_size if content is None else len(content)
            # closed by close()
            file = open(self._file, "rb") if content is None else io.BytesIO(content)  # noqa: SIM115
            self._disk = _HashedFile(file)
        except OSError as error:
            raise UserError(unreadable(path, error)) from error
        self._source: _Readable = self._disk
        self._unpacked_size = self.size
        try:
            self._unpack()
        except BaseException:
            self._disk.close()
            raise

    def _unpack(self) -> None:
        magic = self._disk.peek()
        if magic[:2] == b"\x1f\x8b":
            self.packed, self.inner = "gzip", _without_ending(self.path.name, ".gz")
            self._source = gzip.GzipFile(fileobj=cast(IO[bytes], self._disk))
        elif magic[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
            named = self.path.relative_to(self._file).as_posix() if self._digest else ""
            opened = _open_zip(self._file, named)
            if opened is not None:
                self.packed = "zip"
                self._source, entry = opened
                self.inner, self._unpacked_size = PurePosixPath(entry.filename).name, max(entry.file_size, 1)
                self.size = entry.compress_size if named else self.size
        elif self._digest:
            raise UserError(f"{self._file.name} holds no {self.path.name} any more. Choose the data again.")

    @property
    def position(self) -> int:
        if self.packed == "zip":
            return self.size * self._unpacked // self._unpacked_size
        return self._disk.position

    def read(self, size: int) -> bytes:
        """The next bytes, b"" at the end."""
        try:
            data = self._source.read(size)
        except _DAMAGE as error:
            raise UserError(
                f"{self.path.name} is cut off or damaged ({error}). Download it again, or unpack it yourself."
            ) from error
        except OSError as error:  # gzip's own complaint is an OSError, too
            raise UserError(f"{self.path.name} can't be read: {error}. Get the file again.") from error
        self._unpacked += len(data)
        if self._digest:
            self._digest.update(data)
        if self.packed:
            # of gzip, by what was unpacked so far: a bomb is told long before all of it was read
            packed = self.size if self.packed == "zip" else self._disk.position
            refuse_bomb(self.path.name, self._unpacked, packed)
        return data

    @contextmanager
    def seekable(self) -> Iterator[IO[bytes]]:
        """The whole file, unpacked, for those who must look at its end first."""
        spooled = bool(self.packed) or not self.path.is_file()
        with tempfile.TemporaryFile() if spooled else open(self.path, "rb") as file:
            while spooled and (piece := self.read(BLOCK_BYTES)):
                file.write(piece)
            file.seek(0)
            yield file

    def sha256(self) -> str:
        """Hash of the bytes on disk (in a zip of several files, of one's own). What is left is read now."""
        if self._digest:
            while self.read(BLOCK_BYTES):
                continue
            return self._digest.hexdigest()
        # A zip is read from its end: that needs a second look at its (packed, few) bytes.
        return sha256_file(self.path) if self.packed == "zip" else self._disk.sha256()

    def close(self) -> None:
        if self._source is not self._disk:
            self._source.close()
        self._disk.close()

    def __enter__(self) -> Flow:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def unreadable(path: Path, error: OSError) -> str:
    """The sentence about a file or folder that the system won't let be read."""
    return f"{path_words(path)} can't be read: {disk_problem(error)}. Check the path, or choose another file."


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...

    def close(self) -> object: ...


class _HashedFile:
    """A file that hashes what is read from it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self.position = 0

    def peek(self) -> bytes:
        head = self._file.read(8)
        self._file.seek(0)
        return head

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._digest.update(data)
        self.position += len(data)
        return data

    def sha256(self) -> str:
        while self.read(1 << 20):
            continue
        return self._digest.hexdigest()

    def close(self) -> None:
        self._file.close()


def zip_entries(path: Path) -> list[str]:
    """The names of the files in a zip. Empty where it is none, or where reading it will be refused."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = _files_in(archive)
            for entry in entries:
                _refuse_entry(entry, path.name)
    except (OSError, ValueError, UserError, *_DAMAGE):
        return []
    names = [entry.filename for entry in entries]
    foreign = any(name.startswith("xl/") or name.endswith("data.pkl") for name in names)
    return [] if foreign or any(PurePosixPath(name).as_posix() != name for name in names) else names


def _open_zip(path: Path, named: str) -> tuple[IO[bytes], zipfile.ZipInfo] | None:
    """(the file of a zip that is called so, or its only one; what the zip says of it). None for a workbook,
    which is a zip itself.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if not named and any(name.startswith("xl/") for name in archive.namelist()):
                return None
            entry = _entry(archive, path.name, named)
            return archive.open(entry), entry
    except (OSError, ValueError, KeyError, OverflowError, *_DAMAGE) as error:
        raise UserError(f"{path.name} is a damaged zip archive ({error}). Download it again.") from error


def _files_in(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    entries = [entry for entry in entries if not entry.filename.startswith(_NOISE[0])]
    return [entry for entry in entries if not entry.filename.endswith(_NOISE[1])]


def _entry(archive: zipfile.ZipFile, name: str, named: str) -> zipfile.ZipInfo:
    entries = _files_in(archive)
    names = [entry.filename for entry in entries]
    if any(entry.endswith("data.pkl") for entry in names):
        raise UserError(
            f"{name} is a PyTorch checkpoint (a pickle), which can run code and is never opened. "
            "Choose a dataset."
        )
    for entry in entries:
        _refuse_entry(entry, name)
    if named:
        entries = [entry for entry in entries if entry.filename == named]
        if not entries:
            raise UserError(f"{name} holds no {named} any more. Choose the data again.")
    if len(entries) != 1:
        held = ", ".join(names[:3]) or "none"
        raise UserError(
            f"{name} is a zip archive of {len(entries)} files ({held}…), and none that is called like data. "
            "Unpack it and choose the files."
        )
    refuse_entries(entries, name)
    return entries[0]


def refuse_entries(entries: list[zipfile.ZipInfo], name: str) -> None:
    """Raise UserError for an archive that leads out of its folder, is locked, or is a bomb."""
    for entry in entries:
        _refuse_entry(entry, name)
    refuse_bomb(
        name, sum(entry.file_size for entry in entries), sum(entry.compress_size for entry in entries)
    )


def _refuse_entry(entry: zipfile.ZipInfo, name: str) -> None:
    parts = entry.filename.replace("\\", "/").split("/")
    if ".." in parts or not parts[0] or ":" in parts[0]:
        raise UserError(
            f"{name} holds a file whose name leads out of its folder ({entry.filename[:80]}). "
            "Do not trust this archive."
        )
    if entry.flag_bits & 1:
        raise UserError(f"{name} is encrypted with a password. Unpack it and choose the file in it.")
    if stat.S_ISLNK(entry.external_attr >> 16):
        raise UserError(f"{name} holds a link instead of a file. Do not trust this archive.")


def refuse_bomb(name: str, unpacked: int, packed: int) -> None:
    """Raise UserError for data that unpack to far more than they are on disk."""
    if unpacked > _LARGEST or (unpacked > _RATIO_FROM and unpacked > _RATIO * packed):
        times = unpacked // max(packed, 1)
        raise UserError(
            f"{name} unpacks to more than {unpacked // 1024**2} MB, {times} times its size on disk, which "
            "data never does (a “zip bomb”). If you trust it, unpack it and choose the file."
        )


def _without_ending(name: str, ending: str) -> str:
    return name[: -len(ending)] if name.lower().endswith(ending) else name


def encoding_of(head: bytes) -> str:
    """“utf-8”, “utf-8-bom” or “utf-16”, by the byte order mark."""
    return next((name for mark, name in _MARKS if head.startswith(mark)), "utf-8")


def decode_head(head: bytes, encoding: str) -> str:
    """The beginning of a file for looking at; its last character may be cut."""
    codec = _CODECS[encoding]
    try:
        codecs.getincrementaldecoder(codec)().decode(head)
    except UnicodeDecodeError:
        codec = guess_encoding(head) or codec
    return codecs.getincrementaldecoder(codec)("replace").decode(head)


def line_ends(text: bytes) -> int:
    """How many lines end in `text`, by LF, CR or CRLF."""
    return text.count(b"\n") + (text.count(b"\r") - text.count(b"\r\n") if b"\r" in text else 0)


def utf8_pieces(flow: Flow, encoding: str) -> Iterator[tuple[int, bytes]]:
    """(position on disk, UTF-8 bytes) of the whole text, about 1 MB each, never ending inside a CRLF.

    Where the first letter beyond ASCII is not UTF-8, the text is read on in the encoding that it is probably
    in, and that is noted. Raises UserError with the line of the first byte that is no text in any.
    """
    decoder = codecs.getincrementaldecoder(_CODECS[encoding])()
    line, held, data, plain = 1, b"", b"x", encoding == "utf-8"
    while data:
        data = flow.read(BLOCK_BYTES)
        try:
            text = decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            before = error.object[: error.start]
            # the first half of a letter at the very end is a file that was cut off
            plain = plain and before.isascii() and bool(data)
            flow.encoding = guess_encoding(error.object) if plain else ""
            if not flow.encoding:
                raise _bad_byte(flow.path.name, encoding, error, line, held) from error
            encoding, plain = flow.encoding, False
            decoder = codecs.getincrementaldecoder(encoding)()
            try:
                text = decoder.decode(error.object, final=not data)
            except UnicodeDecodeError as further:
                raise _bad_byte(flow.path.name, encoding, further, line, held) from further
            flow.notes.append(_guess_note(flow.path.name, encoding, text))
        plain = plain and text.isascii()
        piece = held + text.encode()
        held = b"\r" if data and piece.endswith(b"\r") else b""
        piece = piece[:-1] if held else piece
        line += line_ends(piece)
        yield flow.position, piece


def _guess_note(name: str, encoding: str, text: str) -> Note:
    shown = ", ".join(f"“{word}”" for word in examples(text))
    sentence = (
        f"{name} is not UTF-8. It looks like {encoding_title(encoding)}, which gives {shown}: does this read "
        "right? If not, save the file as UTF-8."
    )
    return Note("other encoding", name, sentence)


def _bad_byte(name: str, encoding: str, error: UnicodeDecodeError, line: int, held: bytes) -> UserError:
    """The sentence about a byte that is no text; `held`, which begins in line `line`, stands before."""
    before = error.object[: error.start].decode(error.encoding, "replace").encode("utf-8", "replace")
    line += line_ends(held + before)
    byte = error.object[error.start]
    what = "UTF-8" if encoding.startswith("utf-8") else encoding.replace("utf", "UTF")
    return UserError(
        f"{name}, line {line} is not valid {what} text (byte 0x{byte:02X}). "
        "Save the file as UTF-8 and choose it again."
    )
