"""`python app.py doctor`: what was found, what is installed, what is missing. Works before set-up, too."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from importlib.metadata import distributions
from typing import Any

from core.base.home import home_folder
from core.machine import GIB, Hardware, read_hardware, refusal
from core.machine.probe import take_probe
from core.setup.browser import find_browser
from core.setup.machine import Machine, find_machine
from core.setup.places import Places
from core.setup.plan import Plan, choose_plan
from core.setup.prepare import wanted_steps
from core.setup.state import State
from core.setup.steps import Step

_SHOWN = (
    *("torch", "torchvision", "triton", "triton-windows", "unsloth", "unsloth_zoo", "transformers", "trl"),
    *("peft", "datasets", "accelerate", "bitsandbytes", "gradio", "llama_cpp_python"),
)
_ONLY_TESTS = ("test-packages", "browser")


def examine(
    places: Places | None = None, machine: Machine | None = None, hardware: Hardware | None = None
) -> dict[str, Any]:
    """Everything the doctor knows, ready for JSON."""
    places = places or Places()
    machine = machine or find_machine()
    # without an environment no torch is installed, whatever the calling Python has
    hardware = hardware or read_hardware(take_probe(places.app, places.site_packages or places.venv))
    state = State.load(places.state)
    fits = choose_plan(machine)
    plan = Plan.from_json(state.values["plan"]) if "plan" in state.values else fits
    steps = wanted_steps(places, plan, test=True)
    return {
        "machine": machine.to_json(),
        "hardware": _hardware_report(hardware),
        "plan": plan.to_json(),
        "fits_better": fits.to_json() if fits.torch != plan.torch else None,
        "ready": all(step.done(state, places) for step in steps if step.name not in _ONLY_TESTS),
        "ready_for_tests": all(step.done(state, places) for step in steps),
        "interrupted_in": state.begun,
        "steps": [_step_report(step, state, places) for step in steps],
        "packages": installed_packages(places),
        "browser": str(find_browser() or "") or None,
        "app_folder": str(places.app),
        "home": str(home_folder()),
        "free_gb": round(shutil.disk_usage(places.app).free / 1e9, 1),
        "log": str(places.log) if places.log.is_file() else None,
    }


def _hardware_report(hardware: Hardware) -> dict[str, Any]:
    """What the page sees, too, with the reason why a card can't train."""
    gpus = [{**asdict(gpu), "refused": refusal(gpu, hardware)} for gpu in hardware.gpus]
    return {**asdict(hardware), "gpus": gpus}


def _step_report(step: Step, state: State, places: Places) -> dict[str, Any]:
    done = step.done(state, places)
    mark = state.steps.get(step.name, {})
    return {
        "name": step.name,
        "title": step.title,
        "state": "done" if done else "outdated" if mark else "missing",
        "seconds": mark.get("seconds"),
        "details": mark.get("details", {}),
    }


def installed_packages(places: Places) -> dict[str, str]:
    """Versions of the packages that matter, as `.venv` has them."""
    folder = places.site_packages
    found = distributions(path=[str(folder)]) if folder else []
    versions = {(item.metadata["Name"] or "").lower().replace("-", "_"): item.version for item in found}
    return {name: versions[key] for name in _SHOWN if (key := name.replace("-", "_")) in versions}


def report(found: dict[str, Any]) -> str:
    """`found` as text."""
    machine, plan = found["machine"], found["plan"]
    python = ".".join(map(str, machine["python"]))
    lines = ["Found", f"  system     {machine['system']} {machine['arch']}, Python {python}"]
    lines += _hardware_lines(machine, found["hardware"])
    lines += [f"  disk       {found['free_gb']} GB free in {found['app_folder']}"]
    lines += [f"  browser    {found['browser'] or 'none (only the tests need one)'}"]
    lines += ["", "Chosen", f"  PyTorch    {plan['torch']}: {plan['reason']}"]
    lines += [f"  note       {note}" for note in plan["notes"]]
    if found["fits_better"]:
        lines.append(
            f"  note       today {found['fits_better']['torch']} would fit: run `python app.py setup`"
        )
    lines += ["", "Set-up"] + [_step_line(step) for step in found["steps"]]
    if found["packages"]:
        lines += ["", "Installed"] + [f"  {name:<18}{version}" for name, version in found["packages"].items()]
    return "\n".join([*lines, "", _verdict(found)])


def _hardware_lines(machine: dict[str, Any], hardware: dict[str, Any]) -> list[str]:
    """GPUs, CPU, memory, and what is wrong with them."""
    lines: list[str] = []
    for card in hardware["gpus"]:
        lines.append(f"  GPU        {_card_line(card)}")
        lines += [f"  refused    {card['refused']}"] if card["refused"] else []
    if not hardware["gpus"]:
        lines += [f"  GPU        {line}" for line in _gpu_lines(machine)]
    cores = f"{hardware['cores']} core{'s' if hardware['cores'] != 1 else ''}"
    lines.append("  CPU        " + ", ".join([hardware["cpu"], cores, " ".join(hardware["instructions"])]))
    if hardware["ram"]:
        free = f"{hardware['ram_free'] / GIB:.1f} free"
        lines.append(
            f"  memory     {hardware['ram'] / GIB:.1f} GB, {free}{', in WSL' if hardware['wsl'] else ''}"
        )
    problems = dict.fromkeys([*machine["problems"], *hardware["problems"]])
    return lines + [f"  problem    {problem}" for problem in problems]


def _card_line(card: dict[str, Any]) -> str:
    parts = [card["name"], f"{card['total'] / GIB:.0f} GB", f"{card['free'] / GIB:.1f} free"]
    parts += [f"driver {card['driver']}"] if card["driver"] else []
    parts += [f"CUDA {card['cuda']}"] if card["cuda"] else []
    words = {"laptop": "laptop", "display": "drives the screen", "unified": "shares the memory"}
    return ", ".join([*parts, *(word for key, word in words.items() if card[key])])


def _gpu_lines(machine: dict[str, Any]) -> list[str]:
    """The same as nvidia-smi and the kernel tell it, where the drivers' libraries say nothing."""
    cuda = ".".join(map(str, machine["cuda"])) if machine["cuda"] else "?"
    lines = [
        f"{gpu['name']}, {gpu['memory_mb'] / 1024:.0f} GB, driver {machine['driver']}, CUDA {cuda}"
        for gpu in machine["gpus"]
    ]
    lines += [f"AMD {name}" for name in machine["amd"]]
    lines += ["Intel GPU (not usable for training yet)"] if machine["intel_gpu"] else []
    if machine["system"] == "macos":
        lines.append("Apple silicon")
    return lines or ["none"]


def _step_line(step: dict[str, Any]) -> str:
    source = step["details"].get("source")
    took = f"{step['seconds']:.0f} s" if step["state"] == "done" else ""
    return f"  {step['state']:<10}{step['title']:<26}{took:>7}  {source or ''}".rstrip()


def _verdict(found: dict[str, Any]) -> str:
    if found["ready"]:
        return "Ready. Start with `python app.py`."
    needed = [step for step in found["steps"] if step["name"] not in _ONLY_TESTS]
    missing = [step["title"] for step in needed if step["state"] != "done"]
    again = (
        f" A set-up is under way or was interrupted; its log: {found['log']}"
        if found["interrupted_in"]
        else ""
    )
    return f"Not ready: {', '.join(missing)} missing. `python app.py` installs it.{again}"


def main(as_json: bool) -> int:
    """Print the report; exit code 0 whatever was found."""
    found = examine()
    print(json.dumps(found, ensure_ascii=False) if as_json else report(found))
    return 0
