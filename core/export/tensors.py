"""safetensors files tensor by tensor: where each one lies, its bytes, and a writer that holds one at a time.

Plain Python without numpy or torch: a tensor is its dtype name, its shape and its bytes.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any

from core.errors import UserError
from core.files import read_json

ITEM_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
MAX_HEADER = 100_000_000


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

    def read(self) -> bytearray:
        """The tensor's bytes, little-endian, row-major."""
        data = bytearray(self.bytes)
        with open(self.file, "rb") as file:
            file.seek(self.start)
            if file.readinto(data) != self.bytes:
                raise UserError(f"{self.file} ends too early: it is cut off. Download or copy it again.")
        return data


def read_header(file: Path) -> dict[str, Tensor]:
    """Every tensor of one safetensors file. A UserError if it is not one."""
    try:
        with open(file, "rb") as opened:
            size = struct.unpack("<Q", opened.read(8))[0]
            if size > MAX_HEADER:
                raise ValueError("its header is too long")
            header = json.loads(opened.read(size))
        return {
            name: _tensor(file, entry, 8 + size) for name, entry in header.items() if name != "__metadata__"
        }
    except FileNotFoundError as error:
        raise UserError(f"{file} is missing. Download or copy the model again.") from error
    except (ValueError, KeyError, TypeError, struct.error) as error:
        raise UserError(f"{file} is no safetensors file ({error}). Download or copy it again.") from error


def _tensor(file: Path, entry: dict[str, Any], base: int) -> Tensor:
    start, end = entry["data_offsets"]
    dtype, shape = str(entry["dtype"]), tuple(int(size) for size in entry["shape"])
    if dtype in ITEM_BYTES and prod(shape) * ITEM_BYTES[dtype] != end - start:
        raise ValueError("a tensor's size does not fit its shape")
    return Tensor(file, dtype, shape, base + start, base + end)


def read_model(folder: Path) -> dict[str, Tensor]:
    """Every tensor of the model in `folder`: one `model.safetensors`, or shards named by its index file."""
    index = read_json(folder / "model.safetensors.index.json")
    if index is None:
        if (folder / "model.safetensors").is_file():
            return read_header(folder / "model.safetensors")
        raise UserError(f"{folder} has no model.safetensors. Models in older formats must be converted first.")
    tensors: dict[str, Tensor] = {}
    for shard in sorted(set(index["weight_map"].values())):
        tensors |= read_header(folder / Path(shard).name)
    missing = sorted(set(index["weight_map"]) - set(tensors))
    if missing:
        raise UserError(f"{folder} lacks {len(missing)} tensors of its index, {missing[0]} first. Copy it again.")
    return tensors


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
        self._file: IO[bytes] = open(path, "wb")
        self._file.write(struct.pack("<Q", len(raw)) + raw)

    def write(self, name: str, data: bytes | bytearray | memoryview) -> None:
        start, end = self._places[name]
        if memoryview(data).nbytes != end - start:
            raise ValueError(f"{name} has {memoryview(data).nbytes} bytes instead of {end - start}")
        self._file.seek(self._base + start)
        self._file.write(data)
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
