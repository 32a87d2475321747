"""Would it fit? What a model takes on this machine with the recipe and the data as they stand, in words."""

from __future__ import annotations

from core.fit import MemoryEstimate
from core.fit.fitting import Step, four_bits_help, make_it_fit, workload_of
from core.fit.measured import correction
from core.models import ModelSpec
from core.models.catalogue import load_catalogue
from ui.bench import Bench
from ui.fit_words import inside, largest_words, memory, of_memory, verdict_html, verdict_words, where_words
from ui.html import Mark, count, esc
from ui.model_desk import Setting


def setting_of(bench: Bench) -> Setting:
    """What any model would be trained with here: the recipe as it stands, this machine, this data."""
    place, recipe = bench.place(), bench.recipe_so_far()
    lengths = bench.models.lengths(bench.choices().data)
    workload = workload_of(recipe, place, lengths.longest if lengths else None)
    return Setting(workload, place, lengths, correction(bench.home, place).factor)


def mark_html(estimate: MemoryEstimate, identifier: str) -> str:
    """A model's verdict as a sign, a word and the gigabytes."""
    taken = esc(of_memory(estimate.total, estimate.usable))
    verdict = verdict_html(estimate.verdict)
    return f'<span class="lg-fits" id="{identifier}">{verdict}<small>{taken}</small></span>'


def fit_lines(bench: Bench, spec: ModelSpec) -> list[tuple[Mark, str]]:
    """The verdict on the chosen model as a sentence; where it does not fit, what would make it fit."""
    setting = setting_of(bench)
    estimate = bench.models.estimate(spec, setting)
    taken = (
        f"a training takes about {of_memory(estimate.total, estimate.usable)} {where_words(setting.place)}"
    )
    guess = "" if spec.exact else " Its shapes are estimated, so this is a rough count."
    if estimate.verdict == "fits":
        return [("ok", f"Fits: {taken}.{guess}")]
    if estimate.verdict == "tight":
        return [("warn", f"Tight: {taken}. Other programs must leave the rest alone meanwhile.{guess}")]
    packed = setting.workload.quantization == "nf4"
    largest = largest_words(estimate, packed, four_bits_help(spec, setting.workload, setting.place))
    why = f"{verdict_words('no')} as it is: {taken}. {largest}{guess}"
    return [("bad", why), ("info", remedy(bench, spec, setting))]


def remedy(bench: Bench, spec: ModelSpec, setting: Setting) -> str:
    """What would make it fit, in a sentence."""

    def search() -> list[Step]:
        recipe = bench.recipe_so_far()
        return make_it_fit(spec, recipe, setting.place, setting.lengths, factor=setting.correction)

    steps = bench.desk.searched(("model step", spec, setting.key), search)
    if not steps or steps[-1].total > setting.place.usable:
        least = f" {memory(steps[-1].total)} is the least that it takes." if steps else ""
        return f"No setting makes it fit here.{least} {_instead(bench, spec, setting)}"
    changes = ", ".join(inside(step.words.split(":")[0]) for step in steps)
    return (
        f"It would fit with {memory(steps[-1].total)} after {count(len(steps), 'change')}: {changes}. "
        "“Make it fit” in the Preset step does that for you."
    )


def _instead(bench: Bench, spec: ModelSpec, setting: Setting) -> str:
    """The largest model of the catalogue that fits, of the same family and kind if there is one."""
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
