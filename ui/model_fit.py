"""Would it fit? What a model takes on this machine with the recipe as it stands, in a mark and in words."""

from __future__ import annotations

from core.catalogue import load_catalogue
from core.fitting import Step, make_it_fit, workload_of
from core.hardware import GIB
from core.memory import MemoryEstimate
from core.memory.measured import correction
from core.models import ModelSpec
from ui.bench import Bench
from ui.html import Mark
from ui.model_desk import Setting

_WORDS: dict[str, tuple[Mark, str, str]] = {
    "fits": ("ok", "✓", "Fits"),
    "tight": ("warn", "!", "Tight"),
    "no": ("bad", "✗", "Doesn’t fit"),
}


def setting_of(bench: Bench) -> Setting:
    """What any model would be trained with here: the recipe as it stands, this machine, this data."""
    place = bench.place()
    workload = workload_of(bench.recipe_so_far(), place)
    return Setting(workload, place, correction(bench.home, place).factor)


def mark_html(estimate: MemoryEstimate, identifier: str) -> str:
    """A model's verdict as a sign, a word and the gigabytes."""
    mark, sign, word = _WORDS[estimate.verdict]
    return (
        f'<span class="lg-fits lg-{mark}" id="{identifier}">'
        f'<b><span aria-hidden="true">{sign}</span> {word}</b>'
        f"<small>{gib(estimate.total)} of {gib(estimate.usable)} GB</small></span>"
    )


def gib(size: int) -> str:
    """Memory in the unit that cards are sold in, with sensible digits."""
    value = size / GIB
    return f"{value:.2f}" if value < 1 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def where(setting: Setting) -> str:
    """What the memory belongs to."""
    return setting.place.gpu.name if setting.place.gpu is not None else "this computer’s memory"


def fit_lines(bench: Bench, spec: ModelSpec) -> list[tuple[Mark, str]]:
    """The verdict on the chosen model as a sentence; where it does not fit, what would make it fit."""
    setting = setting_of(bench)
    estimate = bench.models.estimate(spec, setting)
    mark, _, word = _WORDS[estimate.verdict]
    taken = f"{gib(estimate.total)} of the {gib(estimate.usable)} GB"
    share = f"a training takes about {taken} of {where(setting)}"
    most = f"the largest part is {lower(estimate.largest.title)} with {gib(estimate.largest.bytes)} GB"
    guess = "" if spec.exact else " Its shapes are estimated, so this is a rough count."
    if estimate.verdict == "fits":
        return [(mark, f"{word}: {share}; {most}.{guess}")]
    if estimate.verdict == "tight":
        return [(mark, f"{word}: {share}. Other programs must leave it alone meanwhile.{guess}")]
    return [(mark, f"{word} as it is: {share}; {most}.{guess}"), ("info", remedy(bench, spec, setting))]


def remedy(bench: Bench, spec: ModelSpec, setting: Setting) -> str:
    """What would make it fit, in a sentence."""

    def search() -> list[Step]:
        recipe = bench.recipe_so_far()
        return make_it_fit(spec, recipe, setting.place, factor=setting.correction)

    steps = bench.desk.searched(("model step", spec, setting.key), search)
    if not steps or steps[-1].total > setting.place.usable:
        least = f" {gib(steps[-1].total)} GB is the least that it takes." if steps else ""
        return f"No setting makes it fit here.{least} {_instead(bench, spec, setting)}"
    words = "; ".join(lower(step.words) for step in steps)
    return (
        f"This would make it fit, with {gib(steps[-1].total)} GB: {words}. You can choose it all the same: "
        "“Make it fit” in the Preset step does that for you."
    )


def _instead(bench: Bench, spec: ModelSpec, setting: Setting) -> str:
    """The largest model of the catalogue that fits, of the same family if there is one."""
    fitting = [
        model
        for model in load_catalogue()
        if bench.models.estimate(bench.models.catalogue_spec(model), setting).verdict == "fits"
    ]
    chosen = next((model for model in load_catalogue() if model.id == spec.name), None)
    kind = chosen and (chosen.family, chosen.kind)
    kin = [model for model in fitting if (model.family, model.kind) == kind]
    if kin:
        return f"The largest of its family that fits is {kin[-1].title}."
    return f"The largest of the catalogue that fits is {fitting[-1].title}." if fitting else ""


def lower(words: str) -> str:
    """The same inside a sentence."""
    return words[:1].lower() + words[1:]
