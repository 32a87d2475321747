"""The steps of set-up in order. Those that are missing run, and `.venv` stays unused until all are done."""

from __future__ import annotations

import platform
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.base.errors import UserError, WorkerFailed
from core.base.home import STARTER_SHA256
from core.base.process import ChildFailed, telling_line
from core.machine import ask_machine
from core.setup.advice import what_to_do
from core.setup.downloads import CONVERTER_FILES, find_browser, get_browser, get_converter, get_starter
from core.setup.packages import install_llama, install_locks, install_torch, make_venv
from core.setup.plan import InstallPlan, check_python, plan_for
from core.setup.state import Places, State, fingerprint, only_one
from core.setup.work import Screen, Work

_LOG_LIMIT = 5_000_000  # bytes; a longer log is put aside once
# how long a driver may take to wake the cards, the first time
_PATIENCE_S = 20.0


@dataclass(frozen=True)
class SetupStep:
    """One resumable piece of set-up. `gigabytes`: disk space while and after it runs; `present`: whether what
    it made is still there."""

    name: str
    title: str
    fingerprint: str
    run: Callable[[Work], dict[str, Any]]
    gigabytes: float = 0.0
    present: Callable[[], bool] = lambda: True

    def done(self, state: State) -> bool:
        """Whether this step ran with today's inputs and what it made is still there."""
        mark = state.steps.get(self.name)
        return bool(mark) and mark["fingerprint"] == self.fingerprint and self.present()


def wanted_steps(places: Places, plan: InstallPlan, test: bool) -> list[SetupStep]:
    """What the app needs, in order, and with `test` what the tests need beyond that; done or not."""
    lock = places.requirements
    # AMD's torch brings a triton of its own
    names = ["locked"] if plan.torch.startswith("rocm") else ["locked", "triton"]
    packages, converter = fingerprint(*map(lock, names)), fingerprint(lock("converter"), *CONVERTER_FILES)
    torch_gb = {"cpu": 1.0, "default": 0.5}.get(plan.torch, 7.5)
    llama = fingerprint(lock("converter"), *plan.llama)
    step, script = SetupStep, places.converter / CONVERTER_FILES[0]

    def has(*files: Path) -> Callable[[], bool]:
        return lambda: all(file.exists() for file in files)

    steps = [
        step("venv", "Python environment", "1", make_venv, 0.05, has(places.python, places.venv_id)),
        step("tools", "pip", fingerprint(lock("tools")), install_locks("tools"), 0.05),
        step("packages", "Packages", packages, install_locks(*names), 2.5),
        step("torch", f"PyTorch ({plan.torch_name})", plan.torch, install_torch, torch_gb),
        step("converter", "llama.cpp's converter", converter, get_converter, 0.3, has(script)),
        step("llama", "llama.cpp", llama, install_llama, 1.0),
        step("starter", "Starter model", fingerprint(STARTER_SHA256), get_starter, 0.3, has(places.starter)),
        step("test-packages", "Test tools", fingerprint(lock("test")), install_locks("test"), 0.3),
        step("browser", "Browser for the tests", "1", get_browser, 0.8, lambda: find_browser() is not None),
    ]
    return steps if test else steps[:-2]


def prepare(places: Places, test: bool = False, again: bool = False) -> None:
    """Bring the environment up: looks at the machine, then runs what is missing.

    With `again` the machine decides anew even if an earlier choice stands. Raises UserError (wrong Python,
    no room, another set-up running) or WorkerFailed.
    """
    check_python()
    try:
        with only_one(places.lock):
            state = State.load(places.state)
            plan = settle_plan(state, plan_for(ask_machine(places.app, patience=_PATIENCE_S)), again)
            run_steps(places, plan, wanted_steps(places, plan, test), state, Screen())
            every = wanted_steps(places, plan, test=True)
            state.mark_ready(places, all(step.done(state) for step in every))
    except OSError as error:
        raise WorkerFailed(
            f"Set-up can't work in {places.app}: {error}\n{what_to_do(error)}", places.log
        ) from error


def settle_plan(state: State, plan: InstallPlan, again: bool) -> InstallPlan:
    """`plan`, noted; but a GPU that hides for once does not throw away a GPU environment."""
    if "plan" in state.values and not again:
        earlier = InstallPlan.from_json(state.values["plan"])
        if earlier.torch != "cpu" and plan.torch == "cpu":
            return earlier
    state.values["plan"] = asdict(plan)
    return plan


def run_steps(
    places: Places, plan: InstallPlan, steps: list[SetupStep], state: State, screen: Screen
) -> None:
    """Run the steps that are not done. Each is marked when it is through, so the next start goes on there."""
    missing = [step for step in steps if not step.done(state)]
    if not missing:
        return
    # an environment that is there keeps the Python that it was made with
    python = state.steps.get("venv", {}).get("details", {}).get("python") or platform.python_version()
    machine = f"{platform.system()} {platform.machine()}"
    screen.say(f"Setting up LoRA Garage in {places.venv} (Python {python}, {machine}).")
    screen.say(f"PyTorch build: {plan.torch_name}, because: {plan.reason}.")
    for note in plan.notes:
        screen.say(f"Note: {note}")
    check_room(places, missing)
    shutil.rmtree(places.temporary, ignore_errors=True)
    work = Work(places, plan, state, screen)
    _open_log(work)
    began = time.monotonic()
    for number, step in enumerate(steps, start=1):
        # asked anew for each: making .venv undoes what was installed into an older one
        if not step.done(state):
            run_step(work, step, number, len(steps))
    shutil.rmtree(places.temporary, ignore_errors=True)
    minutes, seconds = divmod(int(time.monotonic() - began), 60)
    screen.say(f"Set up in {minutes}:{seconds:02d}. The log: {places.log}")


def run_step(work: Work, step: SetupStep, number: int, total: int) -> None:
    """Run one step between its two marks. Raises WorkerFailed with advice."""
    work.state.begin(step.name)
    work.note(f"=== {number}/{total} {step.title}")
    work.screen.begin(number, total, step.title)
    began = time.monotonic()
    try:
        details = step.run(work)
    except KeyboardInterrupt:
        work.screen.end("stopped; the next start goes on with this step")
        raise
    except (ChildFailed, UserError, OSError) as error:
        work.screen.end("failed")
        line = error.line if isinstance(error, ChildFailed) else telling_line(str(error))
        work.note(f"FAILED: {error}")
        raise WorkerFailed(
            f"Set-up stopped at step {number} of {total} ({step.title}): {line}\n{what_to_do(error)}",
            work.places.log,
        ) from error
    work.state.finish(step.name, step.fingerprint, time.monotonic() - began, details)
    work.screen.end("done")


def check_room(places: Places, steps: list[SetupStep]) -> None:
    """A UserError with both numbers unless the disk has room for `steps`."""
    needed = sum(step.gigabytes for step in steps)
    free = shutil.disk_usage(places.app).free / 1e9
    if free < needed:
        raise UserError(
            f"Set-up needs about {needed:.1f} GB in {places.app}; {free:.1f} GB are free. "
            "Make room, then start again."
        )


def _open_log(work: Work) -> None:
    log = work.places.log
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.is_file() and log.stat().st_size > _LOG_LIMIT:
        log.replace(log.with_suffix(".log.1"))
    work.note(f"##### set-up of {time.strftime('%Y-%m-%d')}")
    if work.state.begun:
        work.note(f"the last one was interrupted in step {work.state.begun}")
