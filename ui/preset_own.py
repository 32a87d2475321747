"""Step 3, presets of one's own: save the settings under a name, load a file, download, delete."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from core.base.errors import UserError
from core.presets import Preset, delete_preset, import_preset, own_presets, save_preset
from ui.bench import Bench
from ui.html import checks, esc, fold

LARGEST_FILE = 64 * 1024


def own_html(bench: Bench) -> str:
    """What can be done with presets of one's own, folded away; the number of them in the title."""
    presets, problems = own_presets(bench.home)
    known = f" <small>{len(presets)} saved</small>" if presets else ""
    body = _save_html() + _load_html() + _list_html(presets) + checks(("warn", text) for text in problems)
    return fold("own-presets", f"Your own presets{known}", body)


def _save_html() -> str:
    field = (
        '<label class="lg-field" for="preset-name">Save the present settings as'
        '<input id="preset-name" type="text" maxlength="50" autocomplete="off" data-enter="preset-save" '
        'placeholder="Pirate, 8 GB"></label>'
    )
    save = (
        '<button type="button" id="preset-save" class="lg-second" data-act="save-preset" '
        'data-from="preset-name">Save</button>'
    )
    return f'<div class="lg-save">{field}{save}</div>'


def _load_html() -> str:
    return (
        '<label class="lg-field lg-pick" for="preset-file">Load one from a file'
        '<input id="preset-file" type="file" accept=".yaml,.yml" data-read="load-preset" '
        f'data-largest="{LARGEST_FILE}"></label>'
    )


def _list_html(presets: list[Preset]) -> str:
    rows = "".join(
        f"<li><span><b>{esc(preset.title)}</b><small>{esc(preset.about)}</small></span>"
        f"{_download(preset)}{_delete(preset)}</li>"
        for preset in presets
    )
    return f'<ul class="lg-own">{rows}</ul>' if rows else ""


def _download(preset: Preset) -> str:
    name = f'id="get-{esc(preset.key)}" class="lg-quiet"'
    whose = f'<span class="lg-hidden"> {esc(preset.title)}</span>'
    return f'<a {name} href="garage/presets/{esc(preset.key)}.yaml" download>Download{whose}</a>'


def _delete(preset: Preset) -> str:
    whose = f'<span class="lg-hidden"> {esc(preset.title)}</span>'
    sure = f'data-confirm="Delete the preset “{esc(preset.title)}”? Its file is removed from this machine."'
    name = f'id="delete-{esc(preset.key)}" class="lg-quiet" data-act="delete-preset" {sure}'
    return f'<button type="button" {name} data-value="{esc(preset.key)}">Delete{whose}</button>'


def save(bench: Bench, name: Any) -> None:
    """Keep the settings as they are now under a name, and choose it. The chosen one may be replaced."""
    title, chosen = str(name).strip(), bench.preset()[0]
    same = chosen.own and chosen.title.casefold() == title.casefold()
    preset = save_preset(bench.home, title, bench.recipe_so_far(), gpu_gib=chosen.gpu_gib, overwrite=same)
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


def delete(bench: Bench, key: Any) -> None:
    """Delete one; the settings of it that were chosen go back to the preset for this machine."""
    delete_preset(bench.home, str(key))
    if bench.choices().preset == key:
        bench.choose(preset="", changes={})
