"""The page as tests ask it: what a panel shows now, and what a field or a button does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from core.base.home import Home
from core.data.check import Question, check_folder, ensure_store, ensure_tokens
from core.recipe import Recipe
from ui.bench import Bench
from ui.scene import Scene, recipe_to_train, scene_of
from ui.step import Step, steps


def shown(bench: Bench, *panels: str) -> str:
    """The HTML of these panels now."""
    return drawn(scene_of(bench), *panels)


def drawn(scene: Scene, *panels: str) -> str:
    """The HTML of these panels in a scene."""
    owner = {panel: step for step in steps() for panel in step.parts}
    return "".join(owner[panel].html(panel, scene) for panel in panels)


def step_named(name: str) -> Step:
    return next(step for step in steps() if step.name == name)


def edit(bench: Bench, step: str, name: str, value: Any) -> None:
    """A field of the step changes."""
    step_named(step).edit(bench, name, value)


def act(bench: Bench, step: str, name: str, value: Any = "") -> None:
    """A button of the step is pressed."""
    step_named(step).act(bench, name, value)


def recipe(bench: Bench) -> Recipe:
    """What Start would train."""
    return recipe_to_train(scene_of(bench))


def check_here(home: Home, question: Question) -> Path:
    """The check of data in this process, in place of its worker."""
    store = ensure_store(home, question.paths, question.columns)
    if question.heldout:
        held_out = ensure_store(home, question.heldout, question.columns)
        ensure_tokens(home, question.of_heldout(), held_out)
    if question.aside:
        ensure_store(home, question.aside, question.columns)
    ensure_tokens(home, question, store)
    return check_folder(home, question)
