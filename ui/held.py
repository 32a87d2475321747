"""The Data step's section “Held out”: which rows are kept back, why, and what is lost without any."""

from __future__ import annotations

from typing import Any

from core.base.errors import UserError
from core.data.snapshot import MOST
from core.recipe import Recipe
from ui.bench import Bench
from ui.choices import Choices
from ui.scene import Scene, scene_of
from ui.step import Values

# how the rows are chosen that are held out
_WAYS = {
    "names": (
        "As the files are named",
        "Files called valid, validation, val, dev or eval are held out; else those called test.",
    ),
    "share": ("A share of the rows", "Drawn by chance, long and short ones alike; copies stay together."),
    "file": ("A file of your own", "All of its rows; those that are also in your data are not trained."),
    "none": ("None", "Nothing measures what it has learned."),
}
_LARGEST = 50


def section(scene: Scene) -> Values | None:
    """How many rows are trained and held out, which file is what, and what can be chosen."""
    data, recipe = scene.data, scene.recipe
    if data.split is None or data.columns_unknown:
        return None
    sample = scene.choices.data_kind == "sample"
    way = _way(scene)
    ways = [name for name in _WAYS if name != ("share" if _by_name(scene) else "names")]
    return {
        "sample": sample,
        "ways": [] if sample else [(name, *_WAYS[name]) for name in ways],
        "way": way,
        "percent": f"{100 * recipe.heldout_share:g}",
        "file": recipe.heldout or "",
        "all_files": not recipe.splits,
        "words": _words(scene, way),
        "files": data.files if data.split.named or len(data.files) > 1 else [],
    }


def _by_name(scene: Scene) -> bool:
    """Whether the files' names say what is held out, and are followed."""
    split = scene.data.split
    return scene.recipe.splits and split is not None and split.holds_out


def _way(scene: Scene) -> str:
    if "heldout" in scene.choices.held_out:
        return "file"
    if not scene.recipe.heldout_share:
        return "none"
    return "names" if _by_name(scene) else "share"


def _words(scene: Scene, way: str) -> list[tuple[str, str]]:
    """What the choice comes to: (mark, sentence)."""
    counts, recipe = scene.data.counts, scene.recipe
    if counts is None:
        return []
    if not counts.heldout:
        what = "No row is held out" + ("." if way == "none" else ": there are too few.")
        lost = "Nothing will show whether it learns or only repeats your rows, nor when it has had enough."
        return [("warn", f"{what} {lost}")]
    words = [("ok", f"{counts.words[0].upper()}{counts.words[1:]}.")]
    asked = round(recipe.heldout_share * (counts.train + counts.heldout))
    if way == "share" and scene.data.split is not None and not scene.data.split.heldout:
        if asked < counts.heldout:
            why = f"{100 * recipe.heldout_share:g} % would be {asked:,}: a loss of so few rows says little."
            words.append(("info", why))
        elif asked > MOST:
            words.append(("info", f"{100 * recipe.heldout_share:g} % would be {asked:,}; {MOST} are enough."))
    if way == "file" and not recipe.heldout:
        words.append(("info", "Until a file is named, a share of the rows is held out."))
    return words


# ----- what the person does


def choose_way(bench: Bench, value: Any) -> None:
    """Another way to hold rows out."""
    said = {
        "names": {},
        "share": {"heldout_share": _usual_share(scene_of(bench))},
        "file": {"heldout": "", "heldout_share": _usual_share(scene_of(bench))},
        "none": {"heldout_share": 0.0},
    }
    if value not in said:
        raise UserError(f"“{value}” is no way to hold rows out.")
    _say(bench, said[str(value)], forget=("heldout", "heldout_share"))


def choose_share(bench: Bench, typed: Any) -> None:
    """Another share, typed in percent."""
    try:
        percent = float(str(typed).strip().rstrip("%").replace(",", "."))
    except ValueError:
        raise UserError(f"The share that is held out needs a number; “{typed}” is none.") from None
    if not 0 < percent <= _LARGEST:
        raise UserError(f"The share that is held out is more than 0 and at most {_LARGEST} %.")
    _say(bench, {"heldout_share": percent / 100})


def choose_file(bench: Bench, typed: Any) -> None:
    """Another file of one's own."""
    _say(bench, {"heldout": str(typed).strip().strip('"')})


def choose_all_files(bench: Bench, value: Any) -> None:
    """Whether all files are trained, whatever their names say."""
    _say(bench, {"splits": False} if value else {}, forget=("splits",))


def _usual_share(scene: Scene) -> float:
    return scene.preset.recipe().heldout_share or Recipe.model_fields["heldout_share"].default


def _say(bench: Bench, said: dict[str, Any], forget: tuple[str, ...] = ()) -> None:
    def change(choices: Choices) -> Choices:
        kept = {name: value for name, value in choices.held_out.items() if name not in forget}
        return choices.with_held_out({**kept, **said})

    bench.change(change)
    bench.row = 0
