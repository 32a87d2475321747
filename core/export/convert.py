"""Adapter → merged folder → GGUF → quantized GGUF, each step a watched process of its own that writes aside.

llama.cpp may abort the process that it lives in, and what torch held is free again when a step is over. As
such a process this file is llama.cpp's converter or its quantization:

`python -m core.export.convert convert …` or `… quantize SOURCE TARGET Q4_K_M`
"""

from __future__ import annotations

import ctypes
import re
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

from core.base.cores import physical_cores
from core.base.errors import UserError, disk_free, disk_sentence, disk_trouble
from core.base.process import ChildFailed, death, die_with_parent, run_child
from core.models.converter import GGUF_PACKAGE, SCRIPT, require_converter

Tell = Callable[[float], None]
Stop = Callable[[], object]
# how the merge begins the one line that says why it can't be done
REFUSED = "refused: "
_MERGE_PROGRESS = re.compile(r"merged (\d+)%")
_CONVERT_PROGRESS = re.compile(r"Writing:\s+(\d+)%")
_QUANTIZE_PROGRESS = re.compile(r"\[\s*(\d+)/\s*(\d+)\]")
_TENSOR = " --> "  # the converter's line for one tensor
_FALLBACK = (
    "falling back to"  # said for each layer whose width does not fit the block size; summed up at the end
)
_SPARE = 32 << 20


def merge(base: Path, adapter: Path, out: Path, tell: Tell, stop: Stop) -> None:
    """Write base + adapter as a Hugging Face folder `out`; a UserError says what can't be merged."""

    def line(text: str) -> bool:
        if match := _MERGE_PROGRESS.fullmatch(text):
            tell(int(match[1]) / 100)
        return match is not None

    _child("core.export.merge", [str(base), str(adapter), str(out)], line, stop, "Merging", out)


def convert(model: Path, target: Path, outtype: str, name: str, tell: Tell, stop: Stop) -> None:
    """Convert a Hugging Face folder with llama.cpp's converter. `outtype` is "f16" or "auto" (as stored)."""
    require_converter()

    def line(text: str) -> bool:
        if match := _CONVERT_PROGRESS.search(text):
            tell(int(match[1]) / 100)
        return match is not None or _TENSOR in text

    args = [str(model), "--outfile", str(target), "--outtype", outtype, "--model-name", name]
    _child("core.export.convert", ["convert", *args], line, stop, "Converting to GGUF", target)


def quantize(source: Path, target: Path, quant: str, tell: Tell, stop: Stop) -> None:
    """Quantize a 16-bit GGUF file."""

    def line(text: str) -> bool:
        if match := _QUANTIZE_PROGRESS.search(text):
            tell(int(match[1]) / int(match[2]))
        return match is not None or _FALLBACK in text

    args = ["quantize", str(source), str(target), quant]
    _child("core.export.convert", args, line, stop, f"Quantizing to {quant}", target)


def _child(
    module: str, args: list[str], line: Callable[[str], bool], stop: Stop, what: str, target: Path
) -> None:
    refusals: list[str] = []

    def heard(text: str) -> bool:
        if text.startswith(REFUSED):
            refusals.append(text.removeprefix(REFUSED))
        return line(text)

    try:
        # a model folder is all the converter needs; it must not look anything up
        run_child(module, args, heard, stop, {"HF_HUB_OFFLINE": "1"})
    except ChildFailed as failure:
        if refusals:
            raise UserError(refusals[0]) from failure
        if disk_trouble(failure, target.parent) is not None:
            sentence = disk_sentence(failure, f"{what} could not write", target.parent, "export again")
            raise UserError(sentence) from failure
        raise UserError(f"{what} failed: it {death(failure.code)}, saying “{failure.line}”.") from failure


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


def _run_converter(args: list[str]) -> None:
    """llama.cpp's own script, with the gguf package that belongs to it."""
    sys.path[:0] = [str(SCRIPT.parent), str(GGUF_PACKAGE)]
    sys.argv = [str(SCRIPT), *args]
    runpy.run_path(str(SCRIPT), run_name="__main__")


def _run_quantization(source: str, target: str, quant: str) -> int:
    """0 when done. llama.cpp's own progress lines go to stderr."""
    import llama_cpp  # the app imports this file, too

    @llama_cpp.llama_log_callback
    def log(level: int, text: bytes, data: object) -> None:
        sys.stderr.buffer.write(text)
        sys.stderr.buffer.flush()

    llama_cpp.llama_log_set(log, ctypes.c_void_p(0))
    settings = llama_cpp.llama_model_quantize_default_params()
    settings.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{quant}")
    settings.nthread = physical_cores()
    return llama_cpp.llama_model_quantize(source.encode(), target.encode(), ctypes.pointer(settings))


if __name__ == "__main__":
    die_with_parent()
    if sys.argv[1] == "convert":
        _run_converter(sys.argv[2:])
    else:
        sys.exit(_run_quantization(*sys.argv[2:5]))
