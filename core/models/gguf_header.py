"""What a GGUF file says of itself, read in a blink: metadata and places of tensors, without the weights.

Plain Python: the same by llama.cpp's own reader takes 3 s for a vocabulary of 49,000.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from core.base.errors import UserError

MAGIC = b"GGUF"
_SCALARS = {
    0: "<B",
    1: "<b",
    2: "<H",
    3: "<h",
    4: "<I",
    5: "<i",
    6: "<f",
    7: "<?",
    10: "<Q",
    11: "<q",
    12: "<d",
}
_STRING, _ARRAY = 8, 9
_MAX_STRING = 64 << 20
_MAX_ITEMS = 1 << 24


@dataclass(frozen=True)
class GgufTensor:
    """Where one tensor lies: `type` is llama.cpp's number, `start` counts from the file's beginning.

    `shape` is outermost dimension first, as in PyTorch (GGUF itself writes it the other way round).
    """

    name: str
    shape: tuple[int, ...]
    type: int
    start: int


@dataclass(frozen=True)
class GgufHeader:
    """`metadata` has the lists (the vocabulary) only if they were asked for."""

    file: Path
    metadata: dict[str, Any]
    tensors: list[GgufTensor]

    @property
    def architecture(self) -> str:
        return str(self.metadata.get("general.architecture", ""))

    @property
    def context(self) -> int | None:
        """The longest conversation the model was built for, in tokens."""
        return self.metadata.get(f"{self.architecture}.context_length")

    @property
    def chat_template(self) -> str | None:
        return self.metadata.get("tokenizer.chat_template")


def read_header(file: Path, arrays: bool = False) -> GgufHeader:
    """Read and check the header; `arrays` keeps the vocabulary, too.

    A UserError if the file is missing, no GGUF, damaged or cut off.
    """
    try:
        with open(file, "rb") as opened:
            header = _read(file, opened, arrays)
        if file.stat().st_size <= max(tensor.start for tensor in header.tensors):
            raise ValueError("it is cut off")
    except FileNotFoundError:
        raise UserError(f"There is no file {file}. Export the run again, or choose another file.") from None
    except OSError as error:
        raise UserError(f"{file} can't be read ({error.strerror}).") from error
    except (ValueError, struct.error, UnicodeDecodeError) as error:
        raise UserError(f"{file} is no working GGUF file ({error}). Export or download it again.") from error
    return header


def _read(file: Path, opened: IO[bytes], arrays: bool) -> GgufHeader:
    if opened.read(4) != MAGIC:
        raise ValueError("it does not begin like one")
    version = _number(opened, "<I")
    if version not in (2, 3):
        raise ValueError(f"its version {version} is unknown")
    tensors, pairs = _number(opened, "<Q"), _number(opened, "<Q")
    if not 0 < tensors < _MAX_ITEMS or pairs > _MAX_ITEMS:
        raise ValueError("it says it has no tensors, or impossibly many")
    metadata = {}
    for _ in range(pairs):
        name = _string(opened)
        kind = _number(opened, "<I")
        value = _value(opened, kind)
        if arrays or kind != _ARRAY:
            metadata[name] = value
    places = [_tensor(opened) for _ in range(tensors)]
    alignment = int(metadata.get("general.alignment", 32)) or 32
    data = -(-opened.tell() // alignment) * alignment
    return GgufHeader(file, metadata, [replace(place, start=data + place.start) for place in places])


def _number(opened: IO[bytes], form: str) -> Any:
    return struct.unpack(form, opened.read(struct.calcsize(form)))[0]


def _string(opened: IO[bytes]) -> str:
    length = _number(opened, "<Q")
    if length > _MAX_STRING:
        raise ValueError("a text in it is impossibly long")
    return opened.read(length).decode("utf-8")


def _value(opened: IO[bytes], kind: int) -> Any:
    """A scalar, a text or a list."""
    if kind == _STRING:
        return _string(opened)
    if kind == _ARRAY:
        return _array(opened)
    if kind not in _SCALARS:
        raise ValueError(f"it holds a value of the unknown type {kind}")
    return _number(opened, _SCALARS[kind])


def _array(opened: IO[bytes]) -> list[Any]:
    kind, count = _number(opened, "<I"), _number(opened, "<Q")
    if count > _MAX_ITEMS or kind == _ARRAY:
        raise ValueError("a list in it is impossibly long, or holds lists, which llama.cpp does not read")
    if kind not in _SCALARS:
        return [_value(opened, kind) for _ in range(count)]
    form = f"<{count}{_SCALARS[kind][1]}"
    return list(struct.unpack(form, opened.read(struct.calcsize(form))))


def _tensor(opened: IO[bytes]) -> GgufTensor:
    """One entry of the table; its start counts from the data section here."""
    name, dimensions = _string(opened), _number(opened, "<I")
    if dimensions > 8:
        raise ValueError("a tensor in it has too many dimensions")
    shape = struct.unpack(f"<{dimensions}Q", opened.read(8 * dimensions))
    return GgufTensor(name, shape[::-1], _number(opened, "<I"), _number(opened, "<Q"))
