"""The screens: Gradio and templates, nothing else.

The page is drawn from one Scene a tick (ui/scene.py); run folders are read, never owned. May import
everything in core. A new step is one file in ui/steps and one folder in ui/templates.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from types import ModuleType
from typing import Any


def import_gradio() -> ModuleType:
    """gradio without its work for editors: it writes type stubs anew at each import, half of its time.

    Where the short cut fails, it is imported as anybody does.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read at the import
    if "gradio" in sys.modules:
        return sys.modules["gradio"]
    try:
        return _without_stubs()
    except Exception as error:
        print(f"gradio is imported the long way, because of: {error!r}", file=sys.stderr)
        for name in [name for name in sys.modules if name.split(".")[0] == "gradio"]:
            del sys.modules[name]
        return importlib.import_module("gradio")


def _without_stubs() -> ModuleType:
    """gradio/component_meta.py writes no stub for a class whose file it can't find (gradio 6.31)."""
    find_file = inspect.getfile

    def find_other_files(thing: Any) -> str:
        if isinstance(thing, type) and thing.__module__.startswith("gradio."):
            raise OSError("no stub is wanted")
        return find_file(thing)

    inspect.getfile = find_other_files
    try:
        return importlib.import_module("gradio")
    finally:
        inspect.getfile = find_file


# a test loads this file under another name and then takes both ways
if __name__ == "ui":
    import_gradio()
