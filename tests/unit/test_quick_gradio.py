"""The short cut of gradio's import: it is taken, changes nothing, and the long way is there if it fails."""

from __future__ import annotations

import subprocess
import sys

import pytest

from core.base.home import APP_FOLDER

LOAD = """
import importlib.util, inspect, pathlib, sys
spec = importlib.util.spec_from_file_location("quick", "ui/__init__.py")
quick = importlib.util.module_from_spec(spec)
spec.loader.exec_module(quick)
getfile, read_text, sources = inspect.getfile, pathlib.Path.read_text, []
def reading(path, *args, **kwargs):
    if path.suffix == ".py" and "gradio" in path.parts:
        sources.append(path)
    return read_text(path, *args, **kwargs)
pathlib.Path.read_text = reading
"""
SHORT = """
gradio = quick.import_gradio()
assert not sources, sources[:3]
"""
LONG = """
def broken():
    import gradio.components
    raise RuntimeError("another gradio")
quick._without_stubs = broken
gradio = quick.import_gradio()
assert sources
"""
SAME = """
assert inspect.getfile is getfile
with gradio.Blocks() as page:
    gradio.Textbox().change(lambda text: text, None, gradio.HTML())
assert len(page.fns) == 1
"""


@pytest.mark.slow
@pytest.mark.parametrize(("way", "said"), [(SHORT, ""), (LONG, "another gradio")], ids=["short", "long"])
def test_gradio_is_whole(way: str, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LOAD + way + SAME],
        cwd=APP_FOLDER,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (said in done.stderr) if said else not done.stderr
