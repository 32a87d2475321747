"""Data: which data, how its check goes, what stands out in it, and one row as the model sees it."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import date
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from core.base.errors import UserError
from core.base.jobs import request_stop
from core.data import ChatTokenizer, Piece
from core.data.kinds import KINDS
from core.data.read import DATA_ENDINGS, FORMAT_TITLES, TEXT_ENDINGS, all_formats
from core.data.report import Report
from core.data.shapes import ROLES_OF_COLUMNS, check_mapping, guess_columns
from core.data.sight import RowInSight, first_in_sight, in_sight, worst_rows
from core.data.template import TEMPLATES
from core.fit.speed import count_steps
from core.models import HUB_ID
from core.models.download import dataset_folder, download_job, read_download, start_download
from ui import held
from ui.bench import Bench
from ui.charts import histogram, turn_counts
from ui.data import has_tokenizer, start_again, stop
from ui.files import DATA_SUFFIXES
from ui.memo import stamp
from ui.scene import Scene, scene_of
from ui.settings import with_setting
from ui.step import Step, Values, nothing
from ui.words import hub_id

_LISTED = 6
_PLACES = 8
# so many names in the home folder's datasets are looked at
_MOST_BROUGHT = 5_000
_SEVERITIES = ("error", "warning", "note")
# a row of a whole book would take the page down
_MOST_PIECES = 10_000


# ----- which data


def _choice(scene: Scene) -> Values:
    """The kinds of data."""
    return {"formats": FORMAT_TITLES}


def _drop(scene: Scene) -> Values | None:
    """Where files are dropped. Its text stays the same, so what is said about an upload stays too."""
    return {"accept": ",".join(DATA_SUFFIXES)} if scene.choices.data_kind == "file" else None


def _picked(scene: Scene) -> Values | None:
    """The chosen kind's own field: files brought before, the path, or the id on the hub."""
    kind, name = scene.choices.data_kind, scene.choices.data_hub
    if kind == "file":
        files = _brought_files(scene)
        # chosen ones first; a tick must not move the others about, so among themselves they stay by age
        listed = files[:_LISTED] + [file for file in files[_LISTED:] if file[0] in scene.choices.files]
        return {"listed": listed, "older": [file for file in files if file not in listed]} if files else None
    if kind == "path":
        return {"example": Path.home() / "data" / "questions.jsonl"}
    wanted = HUB_ID.fullmatch(name) and not dataset_folder(scene.home, name).is_dir()
    job = read_download(scene.home, name, "dataset") if wanted else None
    return {"wrong": bool(name) and not HUB_ID.fullmatch(name), "job": job} if kind == "hub" else None


def _brought_files(scene: Scene) -> list[tuple[str, int]]:
    """(name, bytes) of the data files in the home folder, newest first."""
    files = []
    for path in islice(scene.home.datasets.iterdir(), _MOST_BROUGHT):
        if path.name.lower().endswith(DATA_SUFFIXES) and not path.name.startswith(".") and path.is_file():
            status = path.stat()
            files.append((-status.st_mtime, path.name, status.st_size))
    return [(name, size) for _, name, size in sorted(files)]


# ----- the check


def _state(scene: Scene) -> Values:
    """How the check goes, then the verdict."""
    report = scene.data.report
    return {
        "todo": reject_reason(report) if report is not None and report.verdict == "reject" else "",
        "titles": {kind.name: kind.title for kind in all_formats()},
    }


def reject_reason(report: Report) -> str:
    """What has to be done before rejected data can be used."""
    errors = [item for item in report.problems if not item.taken and item.severity == "error"]
    if any(item.kind == "every answer cut away" for item in errors):
        return "Take the suggested maximum length below."
    if errors and all(KINDS[item.kind].fix for item in errors):
        return "Leave these rows out with the button below, or correct the file."
    return "Correct the file, or choose other data."


def _mapping(scene: Scene) -> Values | None:
    """What each column is: open where their names mean nothing, folded away where they were understood."""
    data = scene.data
    if data.first is None or not data.first.table.columns:
        return None
    table, draft = data.first.table, _draft(scene)
    applied = scene.choices.mapping
    # the first value of a column that is not empty
    firsts = [
        next((row[at] for row in table.rows if row[at].strip()), "") for at in range(len(table.columns))
    ]
    return {
        "rows": [(name, first, draft.get(name, "ignore")) for name, first in zip(table.columns, firsts)],
        "roles": ROLES_OF_COLUMNS,
        "applied": bool(applied),
        "changed": draft != applied,
        "needed": data.columns_unknown,
    }


def _draft(scene: Scene) -> dict[str, str]:
    """What the mapping table shows, column → role: what was set in it, else what holds, else a guess."""
    first, choices = scene.data.first, scene.choices
    if first is None:
        return {}
    drawn = scene.bench.drafts.get(choices.data) or choices.mapping
    columns = first.table.columns
    guess = guess_columns(columns, [row.data for row in first.rows])
    return {column: drawn.get(column, "ignore" if drawn else guess[column]) for column in columns}


def _problems(scene: Scene) -> Values | None:
    """All problems, errors first, many rows before few. A taken fix leaves its entry where it was."""
    report = scene.data.report
    if report is None or scene.data.columns_unknown:
        return None
    problems = sorted(report.problems, key=lambda item: (_SEVERITIES.index(item.severity), -item.count))
    entries = []
    for problem in problems:
        rows = problem.places[:_PLACES]
        if problem.count == 1 and rows and rows[0].number is None:
            rows = []
        entries.append((problem, rows, problem.kind in scene.choices.taken))
    return {"entries": entries} if entries else None


# ----- one row as the model sees it


def _sight(scene: Scene) -> Values | None:
    """Tokens in colour, what is cut off, and the way to any other row."""
    data = scene.data
    if data.first is None:
        return None
    values: Values = {"waiting": "", "failure": ""}
    if not has_tokenizer(scene.model_folder):
        return {**values, "waiting": "The rows appear here as soon as the model is on this machine."}
    row = row_in_sight(scene)
    if isinstance(row, str):
        return {**values, "waiting": row or " "}
    try:
        tokenizer = _tokenizer(scene)
    except UserError as problem:
        return {**values, "failure": str(problem)}
    limit = scene.recipe.max_length
    encoded = scene.bench.memo.get(
        "encoded",
        (tokenizer, repr(row.messages), limit),
        lambda: tokenizer.encode(row.messages, limit),
        keep=2,
    )
    own = tokenizer.template_name == "model"
    return {
        **values,
        "row": row,
        "encoded": encoded,
        "source": tokenizer.template_source,
        "spans": spans(encoded.pieces),
        "more": max(0, len(encoded.pieces) - _MOST_PIECES),
        "templates": [] if own else [(name, TEMPLATES[name].title) for name in tokenizer.fitting_templates],
        "template": tokenizer.template_name,
        "template_help": "" if own else TEMPLATES[tokenizer.template_name].help,
    }


def row_in_sight(scene: Scene) -> RowInSight | str:
    """The row that is looked at, or why there is none. Before the check is done, one of the first rows."""
    data, row = scene.data, scene.bench.row
    if data.store is not None and len(data.store):
        return in_sight(data.store, row, scene.recipe.fixes)
    if data.first is None:
        return ""
    return first_in_sight(data.first, row, _draft(scene) if data.columns_unknown else {})


def _tokenizer(scene: Scene) -> ChatTokenizer:
    """The model's tokenizer with the chosen chat template, read once while its files stay."""
    folder, template, day = scene.model_folder, scene.choices.template, date.today()
    names = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
    parts = (folder, template, day, stamp(*(folder / name for name in names)))
    return scene.bench.memo.get("tokenizer", parts, lambda: ChatTokenizer.load(folder, template, day), keep=2)


def spans(pieces: list[Piece]) -> list[tuple[str, str]]:
    """(kind, text): pieces of the same kind in a row become one; `t` trained, `s` control, `c` cut off."""
    joined: list[tuple[str, list[str]]] = []
    for piece in pieces[:_MOST_PIECES]:
        kind = " ".join(filter(None, ("t" * piece.trained, "s" * piece.special, "c" * piece.cut)))
        if not joined or kind != joined[-1][0] or piece.special:
            joined.append((kind, []))
        joined[-1][1].append(piece.text)
    return [(kind, "".join(texts)) for kind, texts in joined]


# ----- in numbers


def _measured(scene: Scene) -> Values | None:
    """Lengths with the maximum drawn in, the suggested maximum, totals, turns, steps and time."""
    data = scene.data
    state, report, store = data.state, data.report, data.store
    if state is None or report is None or store is None or not len(store):
        return None
    if state.tokens is None or data.tokens is None:
        words = state.failure or data.counting or "Counting tokens …"
        here = has_tokenizer(scene.model_folder)
        return {"waiting": words if here else "Tokens are counted as soon as the model is on this machine."}
    table, limit = state.tokens, scene.recipe.max_length
    lengths = table.length.astype(np.int64)
    bars = scene.bench.memo.get(
        "histogram", (table, limit), lambda: histogram(lengths[lengths > 0], limit), keep=2
    )
    suggested = report.suggested_max_length if data.tokens.max else None
    windows = round(data.train_rows * data.tokens.windows / max(data.tokens.rows_kept, 1))
    return {
        "waiting": "",
        "bars": bars,
        "limit": limit,
        "suggested": suggested if suggested != limit else None,
        "steps": count_steps(scene.recipe, windows) if windows else 0,
        "turns": scene.bench.memo.get("turns", store, lambda: turn_counts(store.turns), keep=2),
    }


def _onward(scene: Scene) -> Values:
    """The way on, closed while the data can't be used; beside it the cleaned copy."""
    report = scene.data.report
    return {"closed": _closed(scene), "cleaned": report is not None and report.rows_usable > 0}


def _closed(scene: Scene) -> str:
    """Why the data can't be used yet; empty when it can."""
    data = scene.data
    if data.refusal:
        return "This data can’t be read."
    if data.state is None:
        waiting = scene.choices.data_kind == "hub" and scene.choices.data
        return "Download the data first." if waiting else "Choose the data first."
    if data.report is None:
        return "The data isn’t checked." if data.state.failure else "The check isn’t done yet."
    if data.columns_unknown:
        return "Say what the columns are first."
    return reject_reason(data.report) if data.report.verdict == "reject" else ""


# ----- what the person does


def _choose(bench: Bench, kind: str, **changes: Any) -> None:
    """Other data; its first row comes into sight."""
    bench.choose(data_kind=kind, **changes)
    bench.row = 0


def _tick(bench: Bench, name: str, chosen: bool) -> None:
    """Take a file to the chosen ones, or away from them."""
    files = [file for file in bench.choices().files if file != name]
    _choose(bench, "file", files=[*files, name] if chosen else files)


def _draw(bench: Bench, column: str, role: str) -> None:
    """Another role in the mapping table; it holds when the data is read this way."""
    scene = scene_of(bench)
    if role not in ROLES_OF_COLUMNS:
        raise UserError(f"“{role}” is no role of a column.")
    bench.drafts[scene.choices.data] = {**_draft(scene), column: role}


def _map(bench: Bench, value: Any) -> None:
    scene = scene_of(bench)
    mapping = _draft(scene)
    check_mapping(mapping)
    if scene.data.state is not None and scene.data.state.job.active:
        stop(bench, scene.data)
    bench.change(lambda choices: choices.with_mapping(mapping))
    bench.row = 0


def _unmap(bench: Bench, value: Any) -> None:
    bench.drafts.pop(bench.choices().data, None)
    bench.change(lambda choices: choices.with_mapping({}))


def _go_to(bench: Bench, typed: Any) -> None:
    number = str(typed).strip().replace(",", "").replace(" ", "")
    if not number.isdecimal():
        raise UserError(f"“{typed}” is no row number.")
    _turn_to(bench, int(number) - 1)


def _turn_to(bench: Bench, number: int) -> None:
    bench.row = min(max(0, number), max(0, scene_of(bench).data.rows - 1))


def _random(bench: Bench, value: Any) -> None:
    """Any other row."""
    rows = scene_of(bench).data.rows
    if rows > 1:
        bench.row = (bench.row + random.randrange(1, rows)) % rows


def _worst(bench: Bench, value: Any) -> None:
    """The row with the most problems; from there the next worst."""
    data = scene_of(bench).data
    if data.store is not None and len(data.store):
        order = worst_rows(data.store, data.tokens)
        bench.row = order[(order.index(bench.row) + 1) % len(order)] if bench.row in order else order[0]


def _measure(bench: Bench, value: Any) -> None:
    """From now on every row of this data is measured, not a sample."""
    bench.exact.add(bench.choices().data)
    start_again(bench, scene_of(bench).data)


def _stop_measuring(bench: Bench, value: Any) -> None:
    stop(bench, scene_of(bench).data)
    bench.exact.discard(bench.choices().data)


def _take_length(bench: Bench, value: Any) -> None:
    """The suggested maximum length becomes the recipe's."""
    scene = scene_of(bench)
    length = scene.data.report.suggested_max_length if scene.data.report is not None else None
    if length is None:
        raise UserError("There is no suggestion any more. Look again.")
    usual = scene.preset.recipe()
    bench.change(lambda old: replace(old, changes=with_setting(usual, old.changes, "max_length", length)))


class DataStep(Step):
    name = "data"
    title = "Data"
    order = 20
    question = "What should it learn?"
    help = (
        "Show it questions and the answers you would like: a few dozen rows teach a style, a few hundred "
        "a skill."
    )
    parts = {
        "data-choice": _choice,
        "data-drop": _drop,
        "data-picked": _picked,
        "data-state": _state,
        "data-mapping": _mapping,
        "data-heldout": held.section,
        "data-found": _problems,
        "data-sight": _sight,
        "data-measured": _measured,
        "data-first": nothing,
        "data-onward": _onward,
    }
    edits = {
        "data": lambda bench, value: _choose(bench, str(value)),
        "path": lambda bench, value: _choose(bench, "path", path=str(value).strip().strip('"')),
        "data-hub": lambda bench, value: _choose(bench, "hub", data_hub=hub_id(str(value))),
        "held": held.choose_way,
        "held-share": held.choose_share,
        "held-file": held.choose_file,
        "all-files": held.choose_all_files,
        "row": _go_to,
        "template": lambda bench, value: bench.change(lambda old: old.with_template(str(value))),
    }
    acts = {
        "uploaded": lambda bench, names: _choose(bench, "file", files=[str(name) for name in names]),
        "map": _map,
        "unmap": _unmap,
        "take": lambda bench, kind: bench.change(lambda old: old.with_fix(str(kind), True)),
        "untake": lambda bench, kind: bench.change(lambda old: old.with_fix(str(kind), False)),
        "show": lambda bench, number: _turn_to(bench, int(number)),
        "previous-row": lambda bench, _: _turn_to(bench, bench.row - 1),
        "next-row": lambda bench, _: _turn_to(bench, bench.row + 1),
        "random-row": _random,
        "worst-row": _worst,
        "measure": _measure,
        "stop-measuring": _stop_measuring,
        "length": _take_length,
        "download": lambda bench, _: start_download(
            bench.home, bench.choices().data_hub, "dataset", DATA_ENDINGS + TEXT_ENDINGS
        ),
        "stop-download": lambda bench, _: request_stop(
            download_job(bench.home, bench.choices().data_hub, "dataset")
        ),
        "cancel": lambda bench, _: stop(bench, scene_of(bench).data),
        "check": lambda bench, _: start_again(bench, scene_of(bench).data),
    }

    def edit(self, bench: Bench, name: str, value: Any) -> None:
        """A field; those of files and columns have their names in theirs."""
        kind, _, what = name.partition(":")
        if kind == "file" and what:
            _tick(bench, what, bool(value))
        elif kind == "column" and what:
            _draw(bench, what, str(value))
        else:
            super().edit(bench, name, value)
