"""llama.cpp's own Python tools (converter and GGUF reader) of the runtime's version, as set-up left them."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

from core.base.errors import UserError
from core.base.home import CONVERTER

GGUF_PACKAGE = CONVERTER / "gguf-py"
SCRIPT = CONVERTER / "convert_hf_to_gguf.py"


def require_converter() -> None:
    """A UserError if set-up has not fetched the converter (yet)."""
    if not SCRIPT.is_file() or not GGUF_PACKAGE.is_dir():
        raise UserError(
            f"llama.cpp's converter is missing in {CONVERTER}. Start `python app.py` once to fetch it."
        )


def gguf() -> ModuleType:
    """The `gguf` package that belongs to the converter. Imports numpy; for workers only."""
    require_converter()
    if str(GGUF_PACKAGE) not in sys.path:
        sys.path.insert(0, str(GGUF_PACKAGE))
    return importlib.import_module("gguf")
