"""safetensors files tensor by tensor: where each one lies, its bytes, and a writer that holds one at a time.

Plain Python without numpy or torch: a tensor is its dtype name, its shape and its bytes.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any

from core.base.errors import UserError
from core.models.folder import weight_files
from core.models.headers import safetensors_header

ITEM_BYTES = {
    "F64": 8,
    "F32": 4,
    "F16": 2,
    "BF16": 2,
    "I64": 8,
    "I32": 4,
    "I16": 2,
    "I8": 1,
    "U8": 1,
    "BOOL": 1,
}


@dataclass(frozen=True)
class Tensor:
    """Where one tensor lies: `dtype` as safetensors names it ("F16"), bytes `start` to `end` of `file`."""

    file: Path
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int

    @property
    def bytes(self) -> int:
        return self.end - self.start

    def pieces(self, size: int = 8 << 20) -> Iterator[bytearray]:
        """The tensor's bytes, little-endian, row-major, at most `size` of them at once."""
        with open(self.file, "rb") as file:
            file.seek(self.start)
            for start in range(0, self.bytes, size):
                piece = bytearray(min(size, self.bytes - start))
                if file.readinto(piece) != len(piece):
                    raise UserError(f"{self.file} ends too early: it is cut off. Copy it again.")
                yield piece

    def read(self) -> bytearray:
        """All of the tensor's bytes."""
        return next(self.pieces(self.bytes or 1), bytearray())


def read_file(file: Path) -> dict[str, Tensor]:
    """Every tensor of one safetensors file. A UserError if it is damaged."""
    header = safetensors_header(file)
    with open(file, "rb") as opened:
        base = 8 + int.from_bytes(opened.read(8), "little")
    return {name: _tensor(file, name, entry, base) for name, entry in header.items()}


def _tensor(file: Path, name: str, entry: dict[str, Any], base: int) -> Tensor:
    start, end = entry["data_offsets"]
    dtype, shape = str(entry["dtype"]), tuple(entry["shape"])
    if dtype in ITEM_BYTES and prod(shape) * ITEM_BYTES[dtype] != end - start:
        raise UserError(f"{file} is damaged: {name} does not have the size of its shape. Copy it again.")
    return Tensor(file, dtype, shape, base + start, base + end)


def read_model(folder: Path) -> dict[str, Tensor]:
    """Every tensor of the model in `folder`: one `model.safetensors`, or shards named by its index file."""
    return {name: tensor for file in weight_files(folder) for name, tensor in read_file(file).items()}


class TensorWriter:
    """Writes a safetensors file whose tensors arrive one by one, in any order.

    `layout` gives dtype and shape of each. `close` is a ValueError if one has not been written.
    """

    def __init__(self, path: Path, layout: Mapping[str, tuple[str, tuple[int, ...]]]) -> None:
        header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
        self._places: dict[str, tuple[int, int]] = {}
        offset = 0
        # wide types first, as safetensors itself does: every tensor stays aligned to its item size
        for name in sorted(layout, key=lambda name: (-ITEM_BYTES[layout[name][0]], name)):
            dtype, shape = layout[name]
            end = offset + prod(shape) * ITEM_BYTES[dtype]
            header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, end]}
            self._places[name] = (offset, end)
            offset = end
        raw = json.dumps(header, separators=(",", ":")).encode()
        raw += b" " * (-len(raw) % 8)
        self._base = 8 + len(raw)
        self._open = set(layout)
        self._file: IO[bytes] = open(path, "wb")  # noqa: SIM115 - closed by close()
        self._file.write(struct.pack("<Q", len(raw)) + raw)

    def write(self, name: str, pieces: Iterable[bytes | bytearray]) -> None:
        """Write one tensor, its bytes in pieces. A ValueError if they are not as many as its shape says."""
        start, end = self._places[name]
        self._file.seek(self._base + start)
        written = sum(self._file.write(piece) for piece in pieces)
        if written != end - start:
            raise ValueError(f"{name} has {written} bytes instead of {end - start}")
        self._open.discard(name)

    def close(self) -> None:
        self._file.close()
        if self._open:
            raise ValueError(f"{len(self._open)} tensors were not written, {min(self._open)} first")

    def __enter__(self) -> TensorWriter:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is None:
            self.close()
        else:
            self._file.close()
