"""Quantizes one GGUF file by llama.cpp's library call, in a process of its own because llama.cpp may abort.

`python -m core.export.quantize_child SOURCE TARGET Q4_K_M`
"""

from __future__ import annotations

import ctypes
import sys

import llama_cpp

from core.base.cores import physical_cores
from core.base.process import die_with_parent


def quantize(source: str, target: str, quant: str) -> int:
    """0 when done. llama.cpp's own progress lines go to stderr."""
    settings = llama_cpp.llama_model_quantize_default_params()
    settings.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{quant}")
    settings.nthread = physical_cores()
    return llama_cpp.llama_model_quantize(source.encode(), target.encode(), ctypes.pointer(settings))


@llama_cpp.llama_log_callback
def _log(level: int, text: bytes, data: object) -> None:
    sys.stderr.buffer.write(text)
    sys.stderr.buffer.flush()


if __name__ == "__main__":
    die_with_parent()
    llama_cpp.llama_log_set(_log, ctypes.c_void_p(0))
    sys.exit(quantize(*sys.argv[1:4]))
