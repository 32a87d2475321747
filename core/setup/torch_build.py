"""Installs the torch build that the plan names: from the configured index first, then PyTorch's own."""

from __future__ import annotations

from typing import Any

from core.machine import read_hardware, refusal
from core.machine.probe import take_probe
from core.setup.child import CommandFailed
from core.setup.places import Places
from core.setup.plan import TORCH, TORCH_INDEX, TORCHVISION, Plan
from core.setup.work import Work

_IMPATIENT = ("--retries", "1", "--timeout", "15", "--resume-retries", "10")
_CHECK = "import torch; print('torch', torch.__version__, torch.cuda.is_available())"


def install(work: Work) -> dict[str, Any]:
    """torch of the planned build, imported once to see that it runs. Raises CommandFailed."""
    work.drop_interrupted()
    plan = work.plan
    if not plan.cuda:  # torchvision's CUDA build breaks transformers beside any other torch
        work.pip("uninstall", "-y", "torchvision")
    source = first_that_works(work, attempts(plan))
    return {"source": source, **_check(work)}


def attempts(plan: Plan) -> list[tuple[str, list[str]]]:
    """(name, pip arguments) of each way to get the build, best first."""
    if plan.torch == "default":
        return [("configured index", ["--no-deps", f"torch=={TORCH}"])]
    wanted = [f"torch=={TORCH}+{plan.torch}"]
    if plan.cuda:
        wanted.append(f"torchvision=={TORCHVISION}+{plan.torch}")
    # the CPU build's few dependencies are in our lock; the GPU builds bring their libraries as dependencies
    arguments = ["--no-deps", *wanted] if plan.torch == "cpu" else wanted
    index = ["--index-url", f"{TORCH_INDEX}/{plan.torch}", *_IMPATIENT]
    ways = [("configured index", [*_IMPATIENT, *arguments]), ("PyTorch's index", [*index, *arguments])]
    if plan.torch == "cpu":
        ways.append(("configured index, general build", [f"torch=={TORCH}"]))
    elif plan.torch == "cu130":
        general = [f"torch=={TORCH}", f"torchvision=={TORCHVISION}"]
        ways.append(("configured index, general build", general))
    return ways


def first_that_works(work: Work, ways: list[tuple[str, list[str]]]) -> str:
    """Try each way; the name of the one that worked. Raises the last CommandFailed."""
    for number, (name, arguments) in enumerate(ways):
        if "general build" in name:
            work.screen.say("The exact build is out of reach; taking the general one (3 GB on Linux).")
        try:
            work.pip("install", "--no-compile", "--only-binary", ":all:", *arguments)
            return name
        except CommandFailed:
            if number == len(ways) - 1:
                raise
            work.screen.tell(f"{name} has none; next: {ways[number + 1][0]}")
    raise AssertionError("a plan has at least one way")


def _check(work: Work) -> dict[str, Any]:
    lines = work.runner.run([str(work.places.python), "-c", _CHECK])
    _, version, gpu = next(line for line in lines if line.startswith("torch ")).split()
    if work.plan.cuda and gpu != "True":
        work.screen.say(f"PyTorch is installed but does not see the GPU. {_why_not(work.places)}")
    return {"version": version, "sees_gpu": gpu == "True"}


def _why_not(places: Places) -> str:
    """What the hardware's findings say about it."""
    hardware = read_hardware(take_probe(places.app, places.site_packages))
    refused = [reason for gpu in hardware.gpus if (reason := refusal(gpu, hardware))]
    return " ".join([*refused, *hardware.problems]) or "If the driver is new, reboot."
