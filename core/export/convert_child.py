"""Runs llama.cpp's converter in this process, and ends with the export worker if that is killed."""

from __future__ import annotations

import runpy
import sys

from core.base.process import die_with_parent
from core.models.converter import GGUF_PACKAGE, SCRIPT

if __name__ == "__main__":
    die_with_parent()
    sys.path[:0] = [str(SCRIPT.parent), str(GGUF_PACKAGE)]
    sys.argv[0] = str(SCRIPT)
    runpy.run_path(str(SCRIPT), run_name="__main__")
