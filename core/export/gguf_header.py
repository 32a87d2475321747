"""What a GGUF file says of itself, read in a blink: metadata and places of tensors, without the weights."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from core.errors import UserError

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
class GgufHeader:
    """`metadata` leaves out arrays (the vocabulary); `tensors` is how many, `data` where they start."""

    file: Path
    metadata: dict[str, Any]
    tensors: int
    last_offset: int
    data: int

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


def read_header(file: Path) -> GgufHeader:
    """Read and check the header. A UserError if the file is missing, no GGUF, damaged or cut off."""
    try:
        with open(file, "rb") as opened:
            header = _read(file, opened)
        if file.stat().st_size <= header.data + header.last_offset:
            raise ValueError("it is cut off")
    except FileNotFoundError:
        raise UserError(f"There is no file {file}. Export the run again, or choose another file.") from None
    except OSError as error:
        raise UserError(f"{file} can't be read ({error.strerror}).") from error
    except (ValueError, struct.error, UnicodeDecodeError) as error:
        raise UserError(f"{file} is no working GGUF file ({error}). Export or download it again.") from error
    return header


def _read(file: Path, opened: IO[bytes]) -> GgufHeader:
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
        value = _value(opened, _number(opened, "<I"))
        if value is not None:
            metadata[name] = value
    offsets = [_tensor_offset(opened) for _ in range(tensors)]
    alignment = int(metadata.get("general.alignment", 32)) or 32
    data = -(-opened.tell() // alignment) * alignment
    return GgufHeader(file, metadata, tensors, max(offsets), data)


def _number(opened: IO[bytes], form: str) -> Any:
    return struct.unpack(form, opened.read(struct.calcsize(form)))[0]


def _string(opened: IO[bytes]) -> str:
    length = _number(opened, "<Q")
    if length > _MAX_STRING:
        raise ValueError("a text in it is impossibly long")
    return opened.read(length).decode("utf-8")


def _value(opened: IO[bytes], kind: int) -> Any:
    """A scalar or a text; an array is passed over and is None."""
    if kind == _STRING:
        return _string(opened)
    if kind == _ARRAY:
        _skip_array(opened)
        return None
    if kind not in _SCALARS:
        raise ValueError(f"it holds a value of the unknown type {kind}")
    return _number(opened, _SCALARS[kind])


def _skip_array(opened: IO[bytes]) -> None:
    kind, count = _number(opened, "<I"), _number(opened, "<Q")
    if count > _MAX_ITEMS:
        raise ValueError("a list in it is impossibly long")
    if kind in _SCALARS:
        opened.seek(count * struct.calcsize(_SCALARS[kind]), 1)
        return
    for _ in range(count):
        _value(opened, kind)


def _tensor_offset(opened: IO[bytes]) -> int:
    _string(opened)
    dimensions = _number(opened, "<I")
    if dimensions > 8:
        raise ValueError("a tensor in it has too many dimensions")
    opened.seek(8 * dimensions + 4, 1)
    return _number(opened, "<Q")
