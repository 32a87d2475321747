"""Preset: the recipe for this hardware, whether it fits, and every setting for those who want it."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from core.base.errors import UserError
from core.fit.training import without_targets
from core.machine import refusal
from core.presets import (
    choose_preset,
    delete_preset,
    import_preset,
    load_presets,
    own_presets,
    preset_named,
    save_preset,
    suggested_models,
    usual_epochs,
    usual_learning_rate,
)
from ui import fit
from ui.bench import Bench
from ui.choices import Choices
from ui.scene import Scene, scene_of
from ui.settings import changed, refused_words, settings, with_setting, without_setting
from ui.step import BIND, Step, Values, View, nothing

LARGEST_FILE = 64 * 1024
_CLASSES = {
    "nvidia": "NVIDIA",
    "amd": "AMD",
    "intel": "Intel",
    "apple": "Apple",
    "cpu": "No graphics card",
    "": "Your own",
}
_SUGGESTED = 4

# ----- the machine


def _machine(scene: Scene) -> Values:
    """Cards that can't train and problems stand out; then the reason for the preset; the numbers unfold."""
    machine = scene.machine
    reasons = [(gpu, refusal(gpu, machine)) for gpu in machine.gpus]
    return {
        "refused": [(gpu, why) for gpu, why in reasons if why],
        "able": sum(why is None for _, why in reasons),
    }


# ----- the presets


def _cards(scene: Scene) -> Values:
    """The preset for this machine, then the others by class of hardware: this machine's and one's own first.

    Where each stands does not depend on what is chosen.
    """
    suited = scene.suited
    others = [item for item in load_presets(scene.home) if item.key != suited.key]
    groups = {vendor: [item for item in others if item.vendor == vendor] for vendor in _CLASSES}
    order = sorted(_CLASSES, key=lambda vendor: (vendor != suited.vendor, vendor != ""))
    models = suggested_models(scene.preset, scene.machine.best_gpu)
    return {
        "groups": {vendor: groups[vendor] for vendor in order if groups[vendor]},
        "classes": _CLASSES,
        # “and 1 more” is longer than most names
        "models": models,
        "named": len(models) if len(models) <= _SUGGESTED + 1 else _SUGGESTED,
    }


def _own(scene: Scene) -> Values:
    """What can be done with presets of one's own."""
    presets, problems = own_presets(scene.home)
    return {"presets": presets, "problems": problems, "largest": LARGEST_FILE}


# ----- the recipe


def _words(scene: Scene) -> Values:
    """The recipe in plain words, and what data and model want otherwise."""
    return {"recipe": scene.recipe, "hints": hints(scene)}


def hints(scene: Scene) -> dict[str, tuple[float, str]]:
    """Setting → what is usual with this data and model, and why: what no preset can know.

    Only where the preset says otherwise and nobody has chosen.
    """
    if scene.preset.own:
        return {}
    usual: dict[str, tuple[float, str]] = {}
    report = scene.data.report
    if report is not None and report.rows_usable:
        usual["epochs"] = usual_epochs(report.rows_usable)
    if scene.model is not None:
        usual["learning_rate"] = usual_learning_rate(scene.model.parameters)
    return {
        name: hint
        for name, hint in usual.items()
        if name not in scene.choices.changes and hint[0] != getattr(scene.recipe, name)
    }


def _settings(scene: Scene) -> Values:
    return {"groups": settings(scene.preset.recipe(), scene.choices.changes)}


# ----- what the person does


def _choose(bench: Bench, value: Any) -> None:
    """Another preset; the changes that are still changes with it stay."""
    chosen, suited = preset_named(str(value), bench.home), choose_preset(bench.hardware)[0]
    usual = chosen.recipe()

    def change(choices: Choices) -> Choices:
        kept = changed(usual, choices.changes)
        return replace(choices, preset="" if chosen.key == suited.key else chosen.key, changes=kept)

    bench.change(change)


def _set(bench: Bench, name: str, typed: Any) -> None:
    """A setting changed. A value that the recipe or the model refuses is a UserError and changes nothing."""
    scene = scene_of(bench)
    usual, spec = scene.preset.recipe(), scene.model

    def change(choices: Choices) -> Choices:
        changes = with_setting(usual, choices.changes, name, typed)
        recipe = usual.with_changes(**changes)
        if name == "target_modules" and spec and (misfit := without_targets(recipe, spec)):
            raise UserError(refused_words(name, typed, UserError(misfit)))
        return replace(choices, changes=changes)

    bench.change(change)


def _reset(bench: Bench, name: Any) -> None:
    bench.change(lambda old: replace(old, changes=without_setting(old.changes, str(name))))


def _take_usual(bench: Bench, name: Any) -> None:
    """Set what was offered."""
    hint = hints(scene_of(bench)).get(str(name))
    if hint is None:
        raise UserError("That is set already.")
    _set(bench, str(name), hint[0])


def save(bench: Bench, name: Any) -> None:
    """Keep the settings as they are now under a name, and choose it. The chosen one may be replaced."""
    scene = scene_of(bench)
    if scene.refused:
        raise UserError(scene.refused)
    title, chosen = str(name).strip(), scene.preset
    same = chosen.own and chosen.title.casefold() == title.casefold()
    preset = save_preset(bench.home, title, scene.recipe, gpu_gib=chosen.gpu_gib, overwrite=same)
    bench.choose(preset=preset.key, changes={})


def load(bench: Bench, value: Any) -> None:
    """Take a preset's file and choose it."""
    if not isinstance(value, dict) or not isinstance(value.get("text"), str):
        raise UserError("That was no preset file. Choose a .yaml file that was downloaded here.")
    if len(value["text"]) > LARGEST_FILE:
        raise UserError(f"“{value.get('name')}” is too large for a preset, which has less than 2 kB.")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "preset.yaml"
        file.write_text(value["text"], "utf-8")
        preset = import_preset(bench.home, file)
    bench.choose(preset=preset.key, changes={})


def _delete(bench: Bench, key: Any) -> None:
    """Delete one; the settings of it that were chosen go back to the preset for this machine."""
    delete_preset(bench.home, str(key))
    if bench.choices().preset == key:
        bench.choose(preset="", changes={})


class PresetStep(Step):
    name = "preset"
    title = "Preset"
    order = 30
    question = "How should it train?"
    help = "A preset fits a class of hardware. The one for this machine is chosen already."
    parts = {
        "preset-machine": _machine,
        "preset-panel": _cards,
        "preset-own": _own,
        "fit-meter": fit.meter,
        "fit-knobs": fit.knobs,
        "fit-more": fit.more,
        "fit-parts": fit.parts,
        "preset-words": _words,
        "settings-panel": _settings,
        "preset-next": nothing,
    }
    edits = {"preset": _choose}
    acts = {
        "reset-all": lambda bench, _: bench.choose(changes={}),
        "reset": _reset,
        "look-again": lambda bench, _: bench.look_again(),
        "make-it-fit": lambda bench, _: fit.take_steps(bench, "fit"),
        "use-the-room": lambda bench, _: fit.take_steps(bench, "room"),
        "undo-fit": lambda bench, _: bench.change(Choices.without_fit),
        "measure-machine": fit.measure_machine,
        "forget-measured": fit.forget_measured,
        "save-preset": save,
        "load-preset": load,
        "delete-preset": _delete,
        "take-usual": _take_usual,
    }

    def build(self, bench: Bench) -> list[View]:
        """The meter with its sliders stands in a frame of its own."""

        # a server function may be called by any page and so must only read
        def preview(request: dict[str, Any]) -> dict[str, str]:
            return fit.preview(bench, request)

        sliders = {
            "bind": f"{BIND};window.garage.fit(element, trigger, watch, server)",
            "server_functions": [preview],
        }
        views = [self.panel(part) for part in ("preset-machine", "preset-panel", "preset-own")]
        with gr.Column(elem_id="fit"):
            views += [self.panel("fit-meter"), self.panel("fit-knobs", **sliders)]
            views += [self.panel("fit-more"), self.panel("fit-parts")]
        return views + [self.panel(part) for part in ("preset-words", "settings-panel", "preset-next")]

    def edit(self, bench: Bench, name: str, value: Any) -> None:
        """Another preset, or a setting."""
        if name in self.edits:
            self.edits[name](bench, value)
        else:
            _set(bench, name, value)
