"""The steps that fill `.venv`: the environment, the locked packages, PyTorch and llama.cpp."""

from __future__ import annotations

import csv
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.base.home import LLAMA_CPP_PYTHON, library_env
from core.base.process import ChildFailed
from core.machine import ask_machine, read_hardware, refusal
from core.setup.plan import LLAMA_INDEX, TORCH, TORCH_INDEX, TORCHVISION, InstallPlan
from core.setup.work import Work

# what these steps make lies elsewhere, and outlives a `.venv`
_OUTSIDE_VENV = ("converter", "starter", "browser")
_IMPATIENT = ("--retries", "1", "--timeout", "15", "--resume-retries", "10")
_WHEELS = ("--only-binary", ":all:")
_IMPORT_TORCH = "import torch; print('torch', torch.__version__, torch.cuda.is_available())"
_IMPORT_LLAMA = "import llama_cpp; print('llama', llama_cpp.__version__)"


def make_venv(work: Work) -> dict[str, Any]:
    """A fresh `.venv`. An older one of ours goes; one that somebody else made is put aside."""
    places = work.places
    if places.venv_id.is_file():
        shutil.rmtree(places.venv)
    elif places.venv.exists():
        aside = places.venv.with_name(f".venv.before-{time.strftime('%Y%m%d-%H%M%S')}")
        places.venv.rename(aside)
        work.screen.say(f"There was a .venv that LoRA Garage did not make; it is now {aside.name}.")
    for name in set(work.state.steps).difference(_OUTSIDE_VENV):
        del work.state.steps[name]
    work.state.save()
    places.venv.mkdir()
    places.venv_id.write_text("Made by LoRA Garage, which may make it anew.\n", encoding="utf-8")
    # the interpreter behind this one: a .venv made from inside another .venv would lean on it
    base = Path(getattr(sys, "_base_executable", "") or sys.executable)
    work.module(base, "venv", str(places.venv))
    return {"python": sys.version.split()[0], "base": str(base)}


def install_locks(*names: str) -> Callable[[Work], dict[str, Any]]:
    """A step that installs the hash-checked locks `names`."""

    def run(work: Work) -> dict[str, Any]:
        _drop_interrupted(work)
        locks = [part for name in names for part in ("-r", str(work.places.requirements(name)))]
        # Python compiles what it imports by itself: a good minute less than compiling everything here
        lines = work.pip("install", "--no-deps", "--no-compile", "--require-hashes", *_WHEELS, *locks)
        return {"installed": sum(line.startswith("Collecting ") for line in lines)}

    return run


def install_torch(work: Work) -> dict[str, Any]:
    """torch of the planned build, imported once to see that it runs. Raises ChildFailed."""
    _drop_interrupted(work)
    if not work.plan.cuda:  # torchvision's CUDA build breaks transformers beside any other torch
        work.pip("uninstall", "-y", "torchvision")
    source = _first_that_works(work, torch_attempts(work.plan))
    lines = work.run([str(work.places.python), "-c", _IMPORT_TORCH])
    _, version, sees_gpu = next(line for line in lines if line.startswith("torch ")).split()
    if work.plan.cuda and sees_gpu != "True":
        hardware = read_hardware(ask_machine(work.places.app, work.places.site_packages))
        reasons = [reason for gpu in hardware.gpus if (reason := refusal(gpu, hardware))]
        why = " ".join([*reasons, *hardware.problems]) or "If the driver is new, reboot."
        work.screen.say(f"PyTorch is installed but does not see the GPU. {why}")
    return {"source": source, "version": version, "sees_gpu": sees_gpu == "True"}


def torch_attempts(plan: InstallPlan) -> dict[str, list[str]]:
    """pip's arguments for each way to get the build, best first: the configured index, then PyTorch's own."""
    torch, vision = f"torch=={TORCH}", f"torchvision=={TORCHVISION}"
    if plan.torch == "default":
        return {"configured index": ["--no-deps", torch]}
    exact = [f"{torch}+{plan.torch}", *([f"{vision}+{plan.torch}"] if plan.cuda else [])]
    # the CPU build's few dependencies are in our lock; the GPU builds bring their libraries as dependencies
    arguments = [*_IMPATIENT, *(["--no-deps"] if plan.torch == "cpu" else []), *exact]
    general = {"cpu": [torch], "cu130": [torch, vision]}.get(plan.torch)
    return {
        "configured index": arguments,
        "PyTorch's index": ["--index-url", f"{TORCH_INDEX}/{plan.torch}", *arguments],
        **({"configured index, general build": general} if general else {}),
    }


def _first_that_works(work: Work, ways: dict[str, list[str]]) -> str:
    """Try each way; the name of the one that worked. Raises the last ChildFailed."""
    failure: ChildFailed | None = None
    for name, arguments in ways.items():
        if "general build" in name:
            work.screen.say("The exact build is out of reach; taking the general one (3 GB on Linux).")
        try:
            work.pip("install", "--no-compile", *_WHEELS, *arguments)
            return name
        except ChildFailed as error:
            failure = error
    raise failure or AssertionError("there is always a way")


def install_llama(work: Work) -> dict[str, Any]:
    """llama-cpp-python that imports: its project's prebuilt wheel first, a source build as the fallback."""
    for name in work.plan.llama:
        index = ("--retries", "0", "--timeout", "10", "--index-url", f"{LLAMA_INDEX}/{name}")
        package = f"llama-cpp-python=={LLAMA_CPP_PYTHON}"
        try:
            work.pip("install", "--no-deps", "--force-reinstall", *_WHEELS, *index, package)
            _import_llama(work)
        except ChildFailed as error:
            work.note(f"prebuilt wheel ({name}) not used: {error}")
            continue
        work.screen.say(f"llama.cpp: a prebuilt wheel ({name}).")
        return {"source": f"prebuilt ({name})", "version": LLAMA_CPP_PYTHON}
    work.screen.say(
        "llama.cpp: no prebuilt wheel to be had, so it is built from source (10 minutes on 2 cores, unless "
        "pip kept an earlier build)."
    )
    lock = str(work.places.requirements("converter"))
    lines = work.pip("install", "--no-deps", "--require-hashes", "--force-reinstall", "--verbose", "-r", lock)
    _import_llama(work)
    kept = any("Using cached llama_cpp_python" in line for line in lines)
    source = "built from source earlier (pip's cache)" if kept else "built from source"
    return {"source": source, "version": LLAMA_CPP_PYTHON}


def _import_llama(work: Work) -> None:
    work.run([str(work.places.python), "-c", _IMPORT_LLAMA], env=library_env(work.places.site_packages))


def _drop_interrupted(work: Work) -> None:
    folder = work.places.site_packages
    for package in drop_damaged(folder) if folder else []:
        work.note(f"half-installed, will be installed anew: {package}")


def drop_damaged(site_packages: Path) -> list[str]:
    """Make pip forget every package that a killed pip left with missing or cut files (pip itself would take
    it for installed), and sweep pip's leftovers; their names.

    Only the `.dist-info` goes: the next `pip install` then writes all files of the package anew.
    """
    for leftover in site_packages.glob("~*"):
        shutil.rmtree(leftover, ignore_errors=True)
    damaged = [info for info in sorted(site_packages.glob("*.dist-info")) if not _is_whole(info)]
    for info in damaged:
        shutil.rmtree(info)
    return [info.name.removesuffix(".dist-info") for info in damaged]


def _is_whole(info: Path) -> bool:
    """Whether all files that the package's RECORD lists are there with their sizes."""
    # INSTALLER is written after the package's own files: without it pip was cut off
    if not all((info / name).is_file() for name in ("RECORD", "INSTALLER", "METADATA")):
        return False
    with open(info / "RECORD", newline="", encoding="utf-8") as file:
        rows = [row for row in csv.reader(file) if row]
    return bool(rows) and all(_as_recorded(info.parent, *row[:3]) for row in rows)


def _as_recorded(folder: Path, name: str, _hash: str = "", size: str = "") -> bool:
    if name.endswith((".pyc", ".pyi")):  # gradio rewrites its .pyi files when it is imported
        return True
    try:
        there = (folder / name).stat().st_size
    except OSError:
        return False
    return not size or there == int(size)
