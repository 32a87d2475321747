"""The frame around the steps: header with the running job, the walk as links, the card of choices."""

from __future__ import annotations

from pathlib import Path

from core.models import model_name
from ui.choices import Choices
from ui.render import render
from ui.scene import Scene
from ui.step import steps
from ui.words import last_part


def nav() -> str:
    """The steps as links; frame.js marks the current one. Every step can be reached at any time."""
    return render("frame/nav.html", steps=steps())


def header(scene: Scene) -> str:
    """Name, hardware, the job that runs now (a link to its step), light or dark."""
    return render("frame/header.html", scene=scene)


def card(scene: Scene) -> str:
    """The choices so far; each line leads back to its step."""
    return render(
        "frame/card.html",
        scene=scene,
        model=model_words(scene.choices),
        data=data_words(scene.choices),
        recipe=recipe_words(scene),
        status=next((line.status for line in scene.runs if line.run == scene.run), ""),
    )


def card_fit(scene: Scene) -> str:
    """The fit meter in small."""
    return render("frame/card-fit.html", scene=scene)


def model_words(choices: Choices) -> str:
    if choices.model_kind == "starter":
        return "SmolLM2 135M (starter)"
    # a folder of the Hugging Face cache is named after its repository, not after its snapshot
    name = model_name(Path(choices.folder)) if choices.model_kind == "folder" else choices.model
    return last_part(name) or "not chosen yet"


def data_words(choices: Choices) -> str:
    if choices.data_kind == "sample":
        return "Sample"
    names = choices.files if choices.data_kind == "file" else [choices.data]
    first = last_part(names[0]) if names else ""
    return f"{first} and {len(names) - 1} more" if len(names) > 1 else first or "not chosen yet"


def recipe_words(scene: Scene) -> str:
    if scene.refused:
        return "needs a look"
    changed = f", {len(scene.choices.changes)} changed" if scene.choices.changes else ""
    return f"{scene.recipe.method_title}, rank {scene.recipe.rank}{changed}"
