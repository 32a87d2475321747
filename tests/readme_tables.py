"""The README's tables of presets, made from presets/*.yaml and the estimate: `python -m tests.readme_tables`.

With --write they are put into README.md; without it they are printed, and exit code 1 says that the README
has others.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from dataclasses import replace
from functools import cache

from core.base.home import APP_FOLDER
from core.fit import MemoryEstimate, Place, estimate_memory
from core.machine import GIB, Gpu, Hardware, cards, refusal
from core.methods.method import methods
from core.methods.settle import device_of
from core.models import ModelSpec, spec_of_config
from core.models.catalogue import catalogue_model
from core.presets import Preset, load_presets

README = APP_FOLDER / "README.md"
MARKS = ("<!-- presets: made by `python -m tests.readme_tables --write` -->", "<!-- end of presets -->")
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


def methods_table() -> Iterable[str]:
    """One line a method: what a recipe calls it, whether it can be trained, when to take it."""
    yield "| Method | In a recipe | Trained | |"
    yield "|---|---|---|---|"
    for method in methods():
        trained = "yes" if method.trains else "estimated only"
        yield f"| {method.title} | `method: {method.name}` | {trained} | {method.help} |"


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


def tables() -> str:
    """All that stands between the README's marks."""
    presets = load_presets()
    nvidia = [preset for preset in presets if preset.vendor == "nvidia"]
    others = [preset for preset in presets if preset.vendor != "nvidia"]
    parts = (methods_table(), settings_table(), models_table(nvidia), models_table(others))
    return "\n\n".join("\n".join(part) for part in parts)


def with_tables(text: str) -> str:
    """The README with today's tables between its marks."""
    before, mark, rest = text.partition(MARKS[0])
    _, end, after = rest.partition(MARKS[1])
    if not mark or not end:
        raise SystemExit(f"README.md lacks the lines {MARKS[0]} and {MARKS[1]}.")
    return f"{before}{mark}\n\n{tables()}\n\n{end}{after}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="put them into README.md")
    args = parser.parse_args()
    old = README.read_text("utf-8")
    new = with_tables(old)
    if args.write:
        README.write_text(new, "utf-8", newline="\n")
        return 0
    print(tables())
    return int(new != old)


if __name__ == "__main__":
    sys.exit(main())
