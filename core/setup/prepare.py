"""Runs the steps that are still missing, in order, and leaves `.venv` unused until all are done."""

from __future__ import annotations

import shutil
import time

from core.base.errors import UserError
from core.setup.advice import line_that_matters, what_to_do
from core.setup.child import CommandFailed, Runner
from core.setup.lock import only_one
from core.setup.machine import Machine, check_python, find_machine
from core.setup.places import Places
from core.setup.plan import Plan, choose_plan
from core.setup.ready import StepFailed, mark_ready
from core.setup.screen import Screen, elapsed
from core.setup.state import State
from core.setup.steps import Step, Work, app_steps, test_steps

_LOG_LIMIT = 5_000_000  # bytes; a longer log is put aside once


def wanted_steps(places: Places, plan: Plan, test: bool) -> list[Step]:
    """All steps, done or not."""
    return app_steps(places, plan) + (test_steps(places) if test else [])


def prepare(places: Places | None = None, test: bool = False, again: bool = False) -> None:
    """Bring the environment up: finds the machine, then runs what is missing.

    With `again` the machine decides anew even if an earlier choice stands. Raises UserError (wrong Python,
    no room, another set-up running) or StepFailed.
    """
    places = places or Places()
    try:
        with only_one(places.lock):
            _prepare(places, test, again)
    except OSError as error:
        raise StepFailed(
            f"Set-up can't work in {places.app}: {error}\n{what_to_do([str(error)])}", places.log
        ) from error


def _prepare(places: Places, test: bool, again: bool) -> None:
    machine = find_machine()
    check_python(machine)
    state = State.load(places.state)
    plan = _settle_plan(state, machine, again)
    steps = wanted_steps(places, plan, test)
    if not all(step.done(state, places) for step in steps):
        screen = Screen()
        _greet(screen, machine, plan, state, places)
        run_steps(places, plan, steps, state, screen)
    every = wanted_steps(places, plan, test=True)
    mark_ready(state.values, places, all(step.done(state, places) for step in every))
    state.save()


def _settle_plan(state: State, machine: Machine, again: bool) -> Plan:
    """The plan for this machine; a GPU that hides for once does not throw away a GPU environment."""
    plan = choose_plan(machine)
    if "plan" in state.values and not again:
        earlier = Plan.from_json(state.values["plan"])
        if earlier.torch != "cpu" and plan.torch == "cpu":
            return earlier
    state.values.update(plan=plan.to_json(), machine=machine.to_json())
    return plan


def _greet(screen: Screen, machine: Machine, plan: Plan, state: State, places: Places) -> None:
    # an environment that is there keeps the Python that it was made with
    python = state.details("venv").get("python") or ".".join(map(str, machine.python))
    screen.say(f"Setting up LoRA Garage in {places.venv} (Python {python}, {machine.system} {machine.arch}).")
    screen.say(f"PyTorch build: {plan.torch_name}, because: {plan.reason}.")
    for note in plan.notes:
        screen.say(f"Note: {note}")


def run_steps(places: Places, plan: Plan, steps: list[Step], state: State, screen: Screen) -> None:
    """Run the steps that are not done. Each is marked when it is through, so the next start goes on there."""
    missing = [step for step in steps if not step.done(state, places)]
    check_room(places, missing)
    _open_log(places, state)
    shutil.rmtree(places.temporary, ignore_errors=True)
    work = Work(places, plan, Runner(screen, places.log, places.temporary), screen, state)
    began = time.monotonic()
    for number, step in enumerate(steps, start=1):
        # asked anew for each: making .venv undoes what was installed into an older one
        if not step.done(state, places):
            run_step(work, step, number, len(steps))
    shutil.rmtree(places.temporary, ignore_errors=True)
    if missing:
        screen.say(f"Set up in {elapsed(time.monotonic() - began)}. The log: {places.log}")


def run_step(work: Work, step: Step, number: int, total: int) -> None:
    """Run one step between its two marks. Raises StepFailed with advice."""
    work.state.begin(step.name)
    work.runner.note(f"=== {number}/{total} {step.title}")
    work.screen.begin(number, total, step.title)
    began = time.monotonic()
    try:
        details = step.run(work)
    except KeyboardInterrupt:
        work.screen.failed("stopped; the next start goes on with this step")
        raise
    except (CommandFailed, UserError, OSError) as error:
        work.screen.failed()
        output = error.output if isinstance(error, CommandFailed) else [str(error)]
        work.runner.note(f"FAILED: {error}")
        raise StepFailed(
            f"Set-up stopped at step {number} of {total} ({step.title}): {line_that_matters(output)}\n"
            f"{what_to_do(output)}",
            work.places.log,
        ) from error
    work.state.finish(step.name, step.fingerprint, time.monotonic() - began, details)
    work.screen.done()


def check_room(places: Places, steps: list[Step]) -> None:
    """A UserError with both numbers unless the disk has room for `steps`."""
    needed = sum(step.gigabytes for step in steps)
    free = shutil.disk_usage(places.app).free / 1e9
    if free < needed:
        raise UserError(
            f"Set-up needs about {needed:.1f} GB in {places.app}; {free:.1f} GB are free. "
            "Make room, then start again."
        )


def _open_log(places: Places, state: State) -> None:
    places.garage.mkdir(parents=True, exist_ok=True)
    if places.log.is_file() and places.log.stat().st_size > _LOG_LIMIT:
        places.log.replace(places.log.with_suffix(".log.1"))
    with open(places.log, "a", encoding="utf-8") as file:
        file.write(f"\n##### {time.strftime('%Y-%m-%d %H:%M:%S')} set-up\n")
        if state.begun:
            file.write(f"the last one was interrupted in step {state.begun}\n")
