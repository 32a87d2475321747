"""The README's tables, made from what they speak of: `python -m tests.readme_tables`.

Presets from presets/*.yaml and the estimate; methods, formats, forms, targets and steps from their folders.
With --write they are put into README.md; without it they are printed, and exit code 1 says that the README
has others.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache

from core.base.home import APP_FOLDER
from core.data.read.formats import all_formats
from core.export.forms import forms
from core.export.targets import targets
from core.fit import MemoryEstimate, Place, estimate_memory
from core.fit.training import device_of
from core.machine import GIB, Gpu, Hardware, cards, refusal
from core.methods.method import methods
from core.models import ModelSpec, spec_of_config
from core.models.catalogue import catalogue_model
from core.presets import Preset, load_presets
from ui.step import steps

README = APP_FOLDER / "README.md"
# what a class must leave free for each model that it suggests
SPARE = 0.05
# `auto` falls back to Transformers where Unsloth can't be imported
ENGINES = {"auto": "Unsloth", "unsloth": "Unsloth", "peft": "Transformers"}
# the RAM of the smallest computer that the CPU preset is for, and that of the others
SMALL_RAM, RAM = 8 * GIB, 32 * GIB
_MAKERS = {"nvidia": "NVIDIA", "amd": "AMD", "intel": "Intel", "apple": "Apple"}


def machine(gpu: Gpu | None) -> Hardware:
    """The least roomy machine with such a card: its desktop is on it, Windows where the maker allows it."""
    system = "Windows 11" if gpu is not None and gpu.vendor in ("nvidia", "intel") else "Linux 6"
    ram = SMALL_RAM if gpu is None else gpu.total if gpu.unified else RAM
    return Hardware(
        gpus=() if gpu is None else (replace(gpu, display=True),),
        cpu="",
        cores=4,
        ram=ram,
        ram_free=ram,
        disk_free=RAM,
        system=system,
    )


def class_cards(preset: Preset) -> tuple[Gpu, ...]:
    """The known cards of a preset's class, the smallest first; none for the CPU."""
    able = (card.gpu for card in cards())
    fitting = [gpu for gpu in able if preset.hardware and preset.hardware.fits(gpu)]
    return tuple(sorted((g for g in fitting if refusal(g, machine(g)) is None), key=lambda gpu: gpu.total))


def smallest_place(preset: Preset) -> Place:
    """Where the preset has the least room."""
    if preset.vendor == "cpu":
        return Place.of(machine(None))
    return min((Place.of(machine(gpu)) for gpu in class_cards(preset)), key=lambda place: place.usable)


@cache
def spec_named(model: str) -> ModelSpec:
    return spec_of_config(catalogue_model(model).config, model)


def estimate(preset: Preset, model: str, place: Place) -> MemoryEstimate:
    """The preset's training of a model of the catalogue, with every row as long as it may be."""
    return estimate_memory(preset.recipe(), spec_named(model), replace(place, device=device_of(place.gpu)))


def has_room(found: MemoryEstimate) -> bool:
    return found.total <= (1 - SPARE) * found.usable


def settings_table() -> Iterable[str]:
    """One line a preset: whom it is for and what it sets."""
    yield "| Preset | Method | Length | Rows a step | Checkpointing | Optimizer | Maths | Engine |"
    yield "|---|---|---|---|---|---|---|---|"
    for preset in load_presets():
        recipe = preset.recipe()
        moved = ", embedding in RAM" if recipe.offload_embedding else ""
        cells = (
            preset.title,
            recipe.method_title,
            f"{recipe.max_length:,}",
            f"{recipe.micro_batch} × {recipe.accumulate}",
            recipe.checkpointing + moved,
            recipe.optimizer,
            recipe.precision,
            ENGINES[recipe.engine],
        )
        yield f"| {' | '.join(cells)} |"


def models_table(presets: list[Preset]) -> Iterable[str]:
    """Models down, presets across: GiB at the peak where it fits, in bold where the preset suggests it."""
    yield f"| GiB at the peak | {' | '.join(_column(preset) for preset in presets)} |"
    yield f"|---|{'---|' * len(presets)}"
    places = [smallest_place(preset) for preset in presets]
    yield f"| *room there is* | {' | '.join(f'*{place.usable / GIB:.1f}*' for place in places)} |"
    for model in _models(presets):
        cells = " | ".join(_cell(preset, model, place) for preset, place in zip(presets, places))
        yield f"| {model.split('/')[1]} | {cells} |"


def _column(preset: Preset) -> str:
    """`8 GB` of “8 GB GPU (laptop)”; `T4` where the class is not told by its memory alone."""
    if preset.vendor == "cpu":
        return "CPU"
    size = f"{preset.gpu_gib:g} GB"
    if preset.vendor != "nvidia":
        return f"{_MAKERS[preset.vendor]} {size}"
    return f"{size} fp16" if preset.settings.get("precision") == "fp16" else size


def _models(presets: list[Preset]) -> list[str]:
    """Every model that one of them suggests, from small to large."""
    names = {name for preset in presets for name in preset.models}
    return sorted(names, key=lambda name: (spec_named(name).parameters, name))


def _cell(preset: Preset, model: str, place: Place) -> str:
    found = estimate(preset, model, place)
    if not has_room(found):
        return ""
    size = f"{found.total / GIB:.1f}"
    return f"**{size}**" if model in preset.models else size


def presets_tables() -> str:
    presets = load_presets()
    nvidia = [preset for preset in presets if preset.vendor == "nvidia"]
    others = [preset for preset in presets if preset.vendor != "nvidia"]
    parts = (settings_table(), models_table(nvidia), models_table(others))
    return "\n\n".join("\n".join(part) for part in parts)


def table(head: str, rows: Iterable[Iterable[str]]) -> str:
    columns = head.count("|") + 1
    lines = [f"| {head} |", "|---" * columns + "|", *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(lines)


def methods_table() -> str:
    return table(
        "Method | `method:` | Here | What it is, and when to take it",
        (
            (method.title, f"`{method.name}`", "trains" if method.trains else "estimated only", method.help)
            for method in methods()
        ),
    )


def formats_table() -> str:
    rows = ((form.help, " ".join(f"`{end}`" for end in form.endings)) for form in all_formats())
    return table("Format | Endings", rows)


def forms_table() -> str:
    billion = [(10**9 // 256, 256)]
    return table(
        "Form | 1 billion parameters take | What it is",
        ((f"`{form.name}`", f"{form.size(billion) / 1e9:.1f} GB", form.help) for form in forms()),
    )


def targets_table() -> str:
    rows = ((target.title, f"`--to {target.name}`", target.help or target.button) for target in targets())
    return table("Hand it to | On the command line | What happens", rows)


def steps_table() -> str:
    return table(
        "Step | What it asks | What it is for", ((f"**{s.title}**", s.question, s.help) for s in steps())
    )


SECTIONS: dict[str, Callable[[], str]] = {
    "steps": steps_table,
    "formats": formats_table,
    "presets": presets_tables,
    "methods": methods_table,
    "forms": forms_table,
    "targets": targets_table,
}


def with_tables(text: str) -> str:
    """The README with today's tables between its marks."""
    for name, make in SECTIONS.items():
        first, last = (
            f"<!-- {name}: made by `python -m tests.readme_tables --write` -->",
            f"<!-- end of {name} -->",
        )
        before, mark, rest = text.partition(first)
        _, end, after = rest.partition(last)
        if not mark or not end:
            raise SystemExit(f"README.md lacks the lines {first} and {last}.")
        text = f"{before}{mark}\n\n{make()}\n\n{end}{after}"
    return text


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="put them into README.md")
    args = parser.parse_args()
    old = README.read_text("utf-8")
    new = with_tables(old)
    if args.write:
        README.write_text(new, "utf-8", newline="\n")
        return 0
    print(*(f"{name}\n\n{make()}\n" for name, make in SECTIONS.items()), sep="\n")
    return int(new != old)


if __name__ == "__main__":
    sys.exit(main())
