"""Real things that several test modules need, made once per test session: the starter model, a random adapter."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from core.home import Home, open_home
from core.starter import ensure_starter


@cache
def shared_home() -> Home:
    """A home folder of this test session with the starter model in it. Read only: make runs elsewhere."""
    root = Path(tempfile.mkdtemp(prefix="lora-garage-tests-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    home = open_home(root)
    ensure_starter(home)
    return home


def starter_folder() -> Path:
    """The starter model's folder. Read only."""
    return ensure_starter(shared_home())
