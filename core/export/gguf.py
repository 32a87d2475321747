"""Hugging Face folder → GGUF → quantized GGUF, each step a watched child process that writes aside."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from core.base.errors import UserError, disk_free, disk_sentence, disk_trouble
from core.base.process import ChildFailed, death, run_child
from core.models.converter import require_converter

Tell = Callable[[float], None]
Stop = Callable[[], object]
_CONVERT_PROGRESS = re.compile(r"Writing:\s+(\d+)%")
_QUANTIZE_PROGRESS = re.compile(r"\[\s*(\d+)/\s*(\d+)\]")
_TENSOR = " --> "  # the converter's line for one tensor
_FALLBACK = (
    "falling back to"  # said for each layer whose width does not fit the block size; summed up at the end
)
_SPARE = 32 << 20


def convert(model: Path, target: Path, outtype: str, name: str, tell: Tell, stop: Stop) -> None:
    """Convert a Hugging Face folder with llama.cpp's converter. `outtype` is "f16" or "auto" (as stored)."""
    require_converter()

    def line(text: str) -> bool:
        if match := _CONVERT_PROGRESS.search(text):
            tell(int(match[1]) / 100)
        return match is not None or _TENSOR in text

    args = [str(model), "--outfile", str(target), "--outtype", outtype, "--model-name", name]
    _child("core.export.convert_child", args, line, stop, "Converting to GGUF", target)


def quantize(source: Path, target: Path, quant: str, tell: Tell, stop: Stop) -> None:
    """Quantize a 16-bit GGUF file."""

    def line(text: str) -> bool:
        if match := _QUANTIZE_PROGRESS.search(text):
            tell(int(match[1]) / int(match[2]))
        return match is not None or _FALLBACK in text

    args = [str(source), str(target), quant]
    _child("core.export.quantize_child", args, line, stop, f"Quantizing to {quant}", target)


def _child(
    module: str, args: list[str], line: Callable[[str], bool], stop: Stop, what: str, target: Path
) -> None:
    try:
        # a model folder is all the converter needs; it must not look anything up
        run_child(module, args, line, stop, {"HF_HUB_OFFLINE": "1"})
    except ChildFailed as failure:
        if disk_trouble(failure, target.parent) is not None:
            sentence = disk_sentence(failure, f"{what} could not write", target.parent, "export again")
            raise UserError(sentence) from failure
        raise UserError(
            f"{what} failed: llama.cpp {death(failure.code)}, saying “{failure.line}”."
        ) from failure


def require_space(folder: Path, needed: int) -> None:
    """A UserError unless the disk of `folder` has `needed` bytes and a little more."""
    free = disk_free(folder)
    if free < needed + _SPARE:
        raise UserError(
            f"This export needs about {_size(needed + _SPARE)} for a while, and the disk of {folder} has "
            f"{_size(free)} free. Free some space or choose another home folder."
        )


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
