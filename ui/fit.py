"""Will it fit, how long will it take: the meter with its sliders, what would change it, what was measured."""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

from core.base.errors import UserError
from core.base.jobs import read_job
from core.fit.answer import Fit
from core.fit.calibration import calibration_job, start_calibration
from core.fit.learned import Measured, read_measured, reset_measured
from core.fit.search import Candidate, FitStep, changes_of, smaller_models
from core.models import ModelSpec
from ui.bench import Bench
from ui.choices import Choices
from ui.frame import card_fit
from ui.memo import stamp
from ui.render import render
from ui.scene import Scene, scene_of, with_settings
from ui.settings import changed
from ui.step import Values
from ui.words import deviation, largest, memory, size

Way = Literal["fit", "room"]
LENGTHS = (128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8192, 12288, 16384, 24576, 32768)
RANKS = (4, 8, 16, 32, 64, 128, 256)
_NOTHING = "No setting can change that: choose a smaller model in the Model step."
_TIGHT = "It fits, but with little to spare: another program that wants memory may end the training."
_CLOSER = "These changes bring it closer; then a smaller model is needed:"


def meter(scene: Scene) -> Values:
    """Verdict, total, bar, and the largest part in a sentence."""
    if scene.fit is None:
        return {}
    packed = scene.recipe.quantization != "none"
    return {"why": largest(scene.fit.estimate, packed, packed or scene.fit.four_bits_help())}


def knobs(scene: Scene) -> Values:
    """Maximum length and rank, the two settings that move memory most, as sliders."""
    recipe, context = scene.recipe, scene.model.context if scene.model is not None else None
    # not beyond what the model reads
    lengths = [length for length in LENGTHS if length <= (context or LENGTHS[-1])] or LENGTHS[:1]
    sliders = [_slider("max_length", recipe.max_length, lengths), _slider("rank", recipe.rank, RANKS)]
    return {"sliders": sliders, "length_words": length_words(scene)}


def _slider(name: str, value: int, usual: list[int] | tuple[int, ...]) -> Values:
    """A slider over the usual values and the present one; fit.js keeps its words in step with it."""
    stops = sorted({*usual, value})
    return {"name": name, "value": value, "stops": stops, "place": stops.index(value)}


def length_words(scene: Scene) -> str:
    """What the data needs, beside what is allowed."""
    if scene.lengths is None:
        return "Longer rows are cut off here. How long yours are is counted once model and data are here."
    lengths = scene.lengths
    need = f"95% of your rows have at most {lengths.p95:,} tokens, the longest {lengths.longest:,}"
    cut = scene.recipe.max_length < lengths.longest
    return f"{need}; longer rows are cut off here." if cut else f"{need}: nothing is cut off."


def preview(bench: Bench, request: dict[str, Any]) -> dict[str, str]:
    """What the parts of the page show for sliders that still move: element id → HTML. Changes nothing."""
    try:
        changes = {name: int(request[name]) for name in ("max_length", "rank") if name in request}
        scene = with_settings(scene_of(bench), **changes)
    except (UserError, TypeError, ValueError, AttributeError):
        return {}
    if scene.fit is None:
        return {}
    return {
        "fit-shown": render("preset/meter.html", scene=scene, **meter(scene)),
        "fit-parts-shown": render("preset/terms.html", scene=scene, **besides(scene)),
        "card-fit": card_fit(scene),
        "fit-max_length-help": render("text.html", text=length_words(scene)),
    }


# ----- what would make it fit, or use the room


def more(scene: Scene) -> Values | None:
    """What was changed and the way back, else what could be changed and the button that does it."""
    if scene.fit is None:
        return None
    estimate, note = scene.fit.estimate, scene.choices.fit_note()
    if note is not None:
        title = "Made to fit" if note.way == "fit" else "The room is used"
        words = f"{memory(note.start)} before, {memory(estimate.total)} now."
        return {"title": title, "words": words, "steps": note.steps, "button": "undo"}
    if estimate.verdict == "fits":
        steps = fit_steps(scene, "room")
        words = "There is room left. It could train faster:"
        return {"title": "", "words": words, "steps": steps, "button": "room"} if steps else None
    steps, over = fit_steps(scene, "fit"), estimate.total - estimate.usable
    need = f"It needs {memory(over)} more than there is." if over > 0 else _TIGHT
    if not steps:
        return {"title": "", "words": f"{need} {_NOTHING}", "steps": [], "button": ""}
    enough = steps[-1].total <= estimate.usable
    words = f"{need} {'These changes cost the least quality:' if enough else _CLOSER}"
    return {"title": "", "words": words, "steps": steps, "button": "fit"}


def fit_steps(scene: Scene, way: Way) -> list[FitStep]:
    """What the search finds for this run; searched once while nothing changes."""
    fit = scene.fit
    if fit is None:
        return []
    parts = (way, fit.spec, fit.recipe.model_dump_json(), fit.place, fit.lengths, fit.correction.factor)
    search = fit.use_the_room if way == "room" else lambda: fit.make_it_fit(_candidates())
    return scene.bench.memo.get("fit steps", parts, search)


def steps_for(scene: Scene, spec: ModelSpec) -> list[FitStep]:
    """What would make another model fit, without taking a smaller one."""
    factor = scene.correction.factor
    parts = ("model", spec, scene.recipe.model_dump_json(), scene.place, scene.lengths, factor)

    def search() -> list[FitStep]:
        return Fit.of(scene.home, scene.recipe, spec, scene.place, scene.lengths).make_it_fit()

    return scene.bench.memo.get("fit steps", parts, search)


@cache
def _candidates() -> tuple[Candidate, ...]:
    """The catalogue's models with their shapes; they stay while the app runs."""
    return tuple(smaller_models())


def take_steps(bench: Bench, way: Way) -> None:
    """Change what the search has found; what was chosen before is kept for Undo."""
    scene = scene_of(bench)
    steps = fit_steps(scene, way)
    if scene.fit is None or not steps:
        raise UserError(
            "No setting can be changed for it any more. Look at the Model step for another model."
        )
    wanted, total = changes_of(steps), scene.fit.estimate.total
    model = wanted.pop("model", None)
    usual = scene.preset.recipe()

    def change(choices: Choices) -> Choices:
        kept = changed(usual, {**choices.changes, **wanted})
        other = {"model_kind": "catalogue", "catalogue": model} if model else {}
        return choices.with_fit(way, total, steps, changes=kept, **other)

    bench.change(change)


# ----- every part, time and energy, what else is needed, what was measured


def parts(scene: Scene) -> Values | None:
    """Time and energy, every part of the memory, what else the run needs, what measured runs have taught."""
    if scene.fit is None:
        return None
    job = read_job(calibration_job(scene.home))
    return {**besides(scene), "job": job, "learned": _learned(scene)}


def besides(scene: Scene) -> Values:
    """RAM and disk that the run needs besides, with a warning where there is less."""
    if scene.fit is None:
        return {"besides": "", "short": []}
    estimate, place = scene.fit.estimate, scene.place
    disk = size(scene.disk)
    ram = f"{memory(estimate.host_ram)} of this computer’s memory (RAM)"
    short: list[tuple[str, str]] = []
    if place.gpu is not None and estimate.host_ram > place.ram:
        short.append(("warn", f"{ram} are needed besides, and it has {memory(place.ram)}."))
    if place.disk_free is not None and scene.disk > place.disk_free:
        free = size(place.disk_free)
        short.append(("warn", f"{disk} of disk are needed, up to the export, and {free} are free."))
    both = f"{disk} of disk" if place.gpu is None else f"{ram} and {disk} of disk"
    return {"besides": f"Besides: {both}, up to the export.", "short": short}


def _learned(scene: Scene) -> list[tuple[str, str]]:
    """The newest measured run beside its estimate, and the correction; empty before the first one."""
    file = stamp(scene.home.root / "measured.json")
    runs = scene.bench.memo.get("measured", file, lambda: read_measured(scene.home))
    card = scene.place.name
    newest = next((run for run in reversed(runs) if run.card == card), None)
    if newest is None:
        return []
    factor, reason = scene.correction.factor, scene.correction.reason
    changed = abs(factor - 1) >= 0.005
    head = (
        f"The estimate above is multiplied by {factor:.2f}." if changed else "The estimate is not corrected:"
    )
    return [("info", measured_words(newest)), ("info", f"{head} {reason}")]


def measured_words(run: Measured) -> str:
    """A run's peak beside its estimate: what was measured, what the formula had said."""
    off = deviation(run.ratio)
    return f"{run.run}: {memory(run.measured)} measured, {memory(run.estimated)} by the formula ({off})."


def measure_machine(bench: Bench, value: Any) -> None:
    """Start the short measurement. A training would disturb it, and it the training."""
    busy = scene_of(bench).busy
    if busy is not None:
        raise UserError(f"“{busy[0].name}” is training: measure the machine when it has ended.")
    start_calibration(bench.home)


def forget_measured(bench: Bench, value: Any) -> None:
    """From now on the formula counts alone on this kind of place."""
    reset_measured(bench.home, scene_of(bench).place)
