"""What every test gets: a home folder of its own, no usage counting, no hub."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
from hypothesis import settings

# a busy machine is no fault: no test is judged by a stop-watch
settings.register_profile("garage", deadline=None)
settings.load_profile("garage")

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

# before any test imports them: these libraries read their settings once
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("UNSLOTH_DISABLE_STATISTICS", "1")
if "PYTEST_XDIST_WORKER" in os.environ:
    # two files are tested at a time: threads that wait for each other would only lengthen both
    os.environ.setdefault("OMP_NUM_THREADS", "1")
# the processes that share the work inherit it
os.environ.setdefault("LORA_GARAGE_TEST_SESSION", str(os.getpid()))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Remove what the test processes shared; the one that began the session does it."""
    from tests.real_parts import session_folder

    name = os.environ["LORA_GARAGE_TEST_SESSION"]
    if name == str(os.getpid()):
        shutil.rmtree(session_folder(name), ignore_errors=True)


@pytest.fixture(autouse=True)
def home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test's own home folder, also for the processes that it starts; nobody's real one is touched."""
    folder = tmp_path / "home"
    monkeypatch.setenv("LORA_GARAGE_HOME", str(folder))
    return folder


@pytest.fixture
def home(home_folder: Path):
    """The opened home folder of this test."""
    from core.base.home import open_home

    return open_home(home_folder)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A little random Llama with the starter's tokenizer. Read only."""
    from tests.tiny_model import make_tiny_model

    return make_tiny_model(tmp_path_factory.mktemp("models") / "tiny-llama")
