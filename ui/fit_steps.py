"""Make it fit, Use the room: what each step would change and save, and the way back."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Literal

from core.base.errors import UserError
from core.fit.fitting import Candidate, Step, changes_of, make_it_fit, smaller_models, use_the_room
from ui.bench import Bench
from ui.choices import Choices
from ui.fit import Fit, fit_of
from ui.fit_words import memory
from ui.fitted import Fitted, Noted, fitted, unfitted
from ui.html import actions, button, esc

Way = Literal["fit", "room"]


def take_steps(bench: Bench, way: Way) -> None:
    """Change what the search has found; what was chosen before is kept for Undo."""
    fit = fit_of(bench)
    steps = steps_of(bench, fit, way)
    if not steps:
        raise UserError(
            "No setting can be changed for it any more. Look at the Model step for another model."
        )
    wanted = changes_of(steps)
    model = wanted.pop("model", None)
    usual = bench.preset()[0].recipe()

    def change(choices: Choices) -> Choices:
        knobs = {**choices.changes, **wanted}
        kept = {name: value for name, value in knobs.items() if value != getattr(usual, name)}
        other = {"model_kind": "catalogue", "catalogue": model} if model else {}
        return fitted(choices, way, fit.estimate.total, _noted(steps), changes=kept, **other)

    bench.change(change)


def undo_steps(bench: Bench) -> None:
    """Back to what was chosen before."""
    bench.change(unfitted)


def steps_of(bench: Bench, fit: Fit, way: Way) -> list[Step]:
    """What the search finds for this run; searched once while nothing changes."""
    factor = fit.correction.factor

    def search() -> list[Step]:
        if way == "room":
            return use_the_room(fit.spec, fit.recipe, fit.place, fit.lengths, factor)
        return make_it_fit(fit.spec, fit.recipe, fit.place, fit.lengths, _candidates(), factor)

    question = (way, fit.spec, fit.recipe.model_dump_json(), fit.place, fit.lengths, factor)
    return bench.desk.searched(question, search)


@cache
def _candidates() -> tuple[Candidate, ...]:
    """The catalogue's models with their shapes; they stay while the app runs."""
    return tuple(smaller_models())


def _noted(steps: Iterable[Step]) -> list[Noted]:
    return [Noted(step.words, step.saves, step.total) for step in steps]


def steps_html(bench: Bench, fit: Fit) -> str:
    """What was changed and the way back, else what could be changed and the button that does it."""
    done = Fitted.of(bench.choices())
    if done is not None:
        return _done_html(done, fit)
    if fit.estimate.verdict == "fits":
        return _room_html(_noted(steps_of(bench, fit, "room")))
    return _fix_html(_noted(steps_of(bench, fit, "fit")), fit)


def _done_html(done: Fitted, fit: Fit) -> str:
    title = "Made to fit" if done.way == "fit" else "The room is used"
    undo = button("fit-undo", "undo-fit", "Undo", "second")
    short = "" if fit.estimate.verdict != "no" else f"<p>{esc(_STILL)}</p>"
    words = f"{memory(done.start)} before, {memory(fit.estimate.total)} now."
    return _box(title, words, done.steps, short + actions(undo))


_STILL = "That is not enough. Choose a smaller model in the Model step."


def _fix_html(steps: list[Noted], fit: Fit) -> str:
    over = fit.estimate.total - fit.estimate.usable
    need = f"It needs {memory(over)} more than there is." if over > 0 else _TIGHT
    if not steps:
        return f'<div class="lg-fix"><p>{esc(f"{need} {_NOTHING}")}</p></div>'
    kind = "primary" if fit.estimate.verdict == "no" else "second"
    enough = steps[-1].total <= fit.estimate.usable
    words = f"{need} These changes cost the least quality:" if enough else f"{need} {_CLOSER}"
    return _box("", words, steps, actions(button("fit-make", "make-it-fit", "Make it fit", kind)))


_NOTHING = "No setting can change that: choose a smaller model in the Model step."
_TIGHT = "It fits, but with little to spare: another program that wants memory may end the training."
_CLOSER = "These changes bring it closer; then a smaller model is needed:"


def _room_html(steps: list[Noted]) -> str:
    if not steps:
        return ""
    words = "There is room left. It could train faster:"
    return _box("", words, steps, actions(button("fit-room", "use-the-room", "Use the room", "second")))


def _box(title: str, words: str, steps: list[Noted], below: str) -> str:
    head = f"<h4>{esc(title)}</h4>" if title else ""
    rows = "".join(
        f"<tr><th scope='row'>{esc(step.words)}</th><td>{_difference(step.saves)}</td>"
        f"<td>{memory(step.total)}</td></tr>"
        for step in steps
    )
    columns = "<tr><th scope='col'>Change</th><th scope='col'>Memory</th><th scope='col'>Then</th></tr>"
    table = f'<table class="lg-fixes"><thead>{columns}</thead><tbody>{rows}</tbody></table>'
    # who has pressed a button that is gone now goes on from what came of it
    told = f'<p tabindex="-1" data-focus role="status">{esc(words)}</p>'
    return f'<div class="lg-fix">{head}{told}{table}{below}</div>'


def _difference(saves: int) -> str:
    return f"saves {memory(saves)}" if saves >= 0 else f"takes {memory(-saves)} more"
