"""`python app.py doctor`: what was found, what is installed, what is missing. Works before set-up, too."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict
from importlib.metadata import distributions
from typing import Any

from core.base.home import home_folder
from core.machine import GIB, read_hardware, refusal, take_probe
from core.setup.downloads import find_browser
from core.setup.plan import InstallPlan, plan_for
from core.setup.prepare import SetupStep, wanted_steps
from core.setup.state import Places, State

_SHOWN = (
    *("torch", "torchvision", "triton", "triton-windows", "unsloth", "unsloth_zoo", "transformers", "trl"),
    *("peft", "datasets", "accelerate", "bitsandbytes", "gradio", "llama_cpp_python"),
)
_ONLY_TESTS = ("test-packages", "browser")


def examine(places: Places | None = None, answers: dict[str, Any] | None = None) -> dict[str, Any]:
    """Everything the doctor knows, ready for JSON. `answers`: a machine's raw ones, else this one's."""
    places = places or Places()
    # without an environment no torch is installed, whatever the calling Python has
    answers = answers or take_probe(places.app, places.site_packages or places.venv)
    hardware, fits = read_hardware(answers), plan_for(answers)
    state = State.load(places.state)
    plan = InstallPlan.from_json(state.values["plan"]) if "plan" in state.values else fits
    steps = [_step_report(step, state) for step in wanted_steps(places, plan, test=True)]
    missing = [step["name"] for step in steps if step["state"] != "done"]
    return {
        "python": platform.python_version(),
        "architecture": platform.machine(),
        # what the page sees, too, with the reason why a card can't train
        "hardware": {
            **asdict(hardware),
            "gpus": [
                {**asdict(gpu), "bf16": gpu.bf16, "refused": refusal(gpu, hardware)} for gpu in hardware.gpus
            ],
        },
        "plan": asdict(plan),
        "fits_better": asdict(fits) if fits.torch != plan.torch else None,
        "ready": not set(missing).difference(_ONLY_TESTS),
        "ready_for_tests": not missing,
        "interrupted_in": state.begun,
        "steps": steps,
        "packages": _installed_packages(places),
        "browser": str(find_browser() or "") or None,
        "app_folder": str(places.app),
        "home": str(home_folder()),
        "log": str(places.log) if places.log.is_file() else None,
    }


def _step_report(step: SetupStep, state: State) -> dict[str, Any]:
    mark = state.steps.get(step.name, {})
    return {
        "name": step.name,
        "title": step.title,
        "state": "done" if step.done(state) else "outdated" if mark else "missing",
        "seconds": mark.get("seconds"),
        "details": mark.get("details", {}),
    }


def _installed_packages(places: Places) -> dict[str, str]:
    """Versions of the packages that matter, as `.venv` has them."""
    folder = places.site_packages
    items = distributions(path=[str(folder)]) if folder else []
    versions = {(item.metadata["Name"] or "").lower().replace("-", "_"): item.version for item in items}
    return {name: versions[key] for name in _SHOWN if (key := name.replace("-", "_")) in versions}


def report(facts: dict[str, Any]) -> str:
    """What `examine` knows as text: a block of rows for each subject."""
    plan, better = facts["plan"], facts["fits_better"]
    chosen = [("PyTorch", f"{plan['torch']}: {plan['reason']}"), *(("note", note) for note in plan["notes"])]
    if better:
        chosen.append(("note", f"today {better['torch']} would fit: run `python app.py setup`"))
    blocks = {
        "Found": _rows(_machine_rows(facts), 11),
        "Chosen": _rows(chosen, 11),
        "Set-up": [_step_line(step) for step in facts["steps"]],
        "Installed": _rows(facts["packages"].items(), 18),
    }
    text = [line for title, lines in blocks.items() if lines for line in (title, *lines, "")]
    return "\n".join([*text, _verdict(facts)])


def _rows(pairs: Any, width: int) -> list[str]:
    return [f"  {name:<{width}}{value}" for name, value in pairs]


def _machine_rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """System, GPUs, CPU, memory, disk, and what is wrong with them."""
    hardware = facts["hardware"]
    rows = [("system", f"{hardware['system']} {facts['architecture']}, Python {facts['python']}")]
    for card in hardware["gpus"]:
        rows.append(("GPU", _card_words(card)))
        rows += [("refused", card["refused"])] if card["refused"] else []
    rows += [] if hardware["gpus"] else [("GPU", "none")]
    cores = f"{hardware['cores']} core{'s' if hardware['cores'] != 1 else ''}"
    rows.append(("CPU", ", ".join([hardware["cpu"], cores, " ".join(hardware["instructions"])])))
    wsl = ", in WSL" if hardware["wsl"] else ""
    ram, free = hardware["ram"] / GIB, hardware["ram_free"] / GIB
    rows.append(("memory", f"{ram:.1f} GB, {free:.1f} free{wsl}"))
    rows.append(("disk", f"{hardware['disk_free'] / 1e9:.1f} GB free in {facts['app_folder']}"))
    rows.append(("browser", facts["browser"] or "none (only the tests need one)"))
    return rows + [("problem", problem) for problem in hardware["problems"]]


def _card_words(card: dict[str, Any]) -> str:
    parts = [card["name"], f"{card['total'] / GIB:.0f} GB", f"{card['free'] / GIB:.1f} free"]
    parts += [f"driver {card['driver']}"] if card["driver"] else []
    parts += [f"CUDA {card['cuda']}"] if card["cuda"] else []
    words = {"laptop": "laptop", "display": "drives the screen", "unified": "shares the memory"}
    return ", ".join([*parts, *(word for key, word in words.items() if card[key])])


def _step_line(step: dict[str, Any]) -> str:
    took = f"{step['seconds']:.0f} s" if step["state"] == "done" else ""
    return f"  {step['state']:<10}{step['title']:<26}{took:>7}  {step['details'].get('source', '')}".rstrip()


def _verdict(facts: dict[str, Any]) -> str:
    if facts["ready"]:
        return "Ready. Start with `python app.py`."
    missing = [
        step["title"]
        for step in facts["steps"]
        if step["state"] != "done" and step["name"] not in _ONLY_TESTS
    ]
    log = f" A set-up is under way or was interrupted; its log: {facts['log']}"
    again = log if facts["interrupted_in"] else ""
    return f"Not ready: {', '.join(missing)} missing. `python app.py` installs it.{again}"


def main(as_json: bool) -> int:
    """Print the report; exit code 0 whatever was found."""
    facts = examine()
    print(json.dumps(facts, ensure_ascii=False) if as_json else report(facts))
    return 0
