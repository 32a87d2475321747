"""Step 2, Data: the sample or a file of your own, what was recognised in it, and what the model will see."""

from __future__ import annotations

from typing import Any

import gradio as gr

from core.dataset import ChatTokenizer, Encoded, Loaded, Piece, Problem, Table
from core.errors import UserError
from ui.bench import Bench
from ui.files import DATA_SUFFIXES
from ui.html import checks, choice_cards, count, esc, fold, heading, notice, primary
from ui.parts import Step, View, panel

QUESTION = "What should it learn?"
HELP = (
    "Show it questions and the answers you would like: a few dozen rows teach a style, a few hundred a skill."
)
_OPTIONS = [
    (
        "sample",
        "Sample data",
        "Short chats in which everything is answered in pirate speech: easy to see whether it works.",
    ),
    ("file", "Your own file", "JSONL, JSON or CSV with questions and answers, or whole chats."),
]
_CELL = 160
_PROBLEMS_SHOWN = 8


def build(bench: Bench) -> Step:
    """Lay the step out."""
    gr.HTML(heading("data", QUESTION, HELP), elem_id="data-heading", apply_default_css=False)
    body = panel("data-panel", first=True)
    return Step("data", [View(body, body_html)], on_edit, on_act, [body])


def on_edit(bench: Bench, name: str, value: Any) -> None:
    """A field changed: sample or file, which file, or the row that is shown."""
    if name == "data":
        bench.choose(data_kind=str(value))
    elif name == "file":
        bench.choose(files=[str(value)], data_kind="file")
    elif name == "row":
        bench.show_row(int(value) - 1)


def on_act(bench: Bench, name: str, value: Any) -> None:
    """A button was pressed: next or previous row; or an upload has arrived."""
    if name == "uploaded":
        bench.choose(files=[str(name) for name in value], data_kind="file")
        bench.show_row(0)
    elif name == "previous-row":
        bench.show_row(bench.shown_row - 1)
    elif name == "next-row":
        bench.show_row(bench.shown_row + 1)


def body_html(bench: Bench) -> str:
    """Choice, upload, recognised shape, table, rendered chat, problems, and the way on."""
    choices = bench.choices()
    picker = _file_html(bench) if choices.data_kind == "file" else ""
    cards = choice_cards("data", "Kind of data", _OPTIONS, choices.data_kind)
    detail, reason = _found(bench)
    return cards + picker + detail + primary("data", "Use this data", "preset", reason)


def _found(bench: Bench) -> tuple[str, str]:
    paths = bench.data_paths()
    if not paths:
        return "", "Choose a file first."
    try:
        loaded, table = bench.loaded(paths[0])
    except UserError as problem:
        return notice("bad", "This file can't be used", str(problem)), "This file can't be used as it is."
    return summary_html(loaded) + table_html(table, loaded.rows_read) + _chat_html(bench, loaded), ""


def _file_html(bench: Bench) -> str:
    known = sorted(
        path.name for path in bench.home.datasets.iterdir() if path.suffix.lower() in DATA_SUFFIXES
    )
    chosen = next(iter(bench.choices().files), "")
    options = "".join(
        f'<option value="{esc(name)}"{" selected" if name == chosen else ""}>{esc(name)}</option>'
        for name in known
    )
    empty = '<option value="">Choose…</option>' if chosen not in known else ""
    again = (
        '<label class="lg-field" for="data-file">Files you brought'
        f'<select id="data-file" data-name="file">{empty}{options}</select></label>'
        if known
        else ""
    )
    accept = ",".join(DATA_SUFFIXES)
    return (
        '<label class="lg-drop" for="data-upload"><b>Drop a file here, or choose one</b>'
        "<small>It is copied into your home folder and goes nowhere else.</small>"
        f'<input id="data-upload" type="file" accept="{accept}" data-upload></label>'
        f'<div id="data-upload-state" class="lg-upload" aria-live="polite" data-keep></div>{again}'
    )


def summary_html(loaded: Loaded) -> str:
    """What was recognised, in a short list; problems with their places below it."""
    usable = len(loaded.conversations)
    turns = sum(len(item.messages) for item in loaded.conversations) / max(usable, 1)
    items: list[Any] = [
        ("ok", f"Recognised shape: {loaded.shape}."),
        ("ok" if usable >= 20 else "warn", _rows_sentence(usable, loaded.rows_read, turns)),
    ]
    if loaded.unused:
        items.append(("warn", f"Not used: {', '.join(loaded.unused)}."))
    return checks(items) + problems_html(loaded)


def _rows_sentence(usable: int, read: int, turns: float) -> str:
    few = " That is little; a few dozen show more." if usable < 20 else ""
    of = f" of {read:,}" if read != usable else ""
    return f"{count(usable, 'row')}{of} can be used, {turns:.1f} messages each on average.{few}"


def problems_html(loaded: Loaded) -> str:
    """The rows with problems: the first ones named, the rest counted."""
    if not loaded.problems:
        return ""
    shown = "".join(_problem_html(problem) for problem in loaded.problems[:_PROBLEMS_SHOWN])
    rest = len(loaded.problems) - _PROBLEMS_SHOWN
    more = f"<li>and {rest:,} more</li>" if rest > 0 else ""
    dropped = sum(problem.dropped for problem in loaded.problems)
    title = f"{count(len(loaded.problems), 'note')} on rows, {dropped:,} left out"
    return fold("data-problems", title, f'<ul class="lg-list">{shown}{more}</ul>')


def _problem_html(problem: Problem) -> str:
    after = " (left out)" if problem.dropped else ""
    return f"<li><b>{esc(problem.where)}</b> {esc(problem.reason)}{after}</li>"


def table_html(table: Table, rows: int) -> str:
    """The first rows as they stand in the file."""
    head = "".join(f"<th scope='col'>{esc(name)}</th>" for name in ("Row", *table.columns))
    body = "".join(
        f"<tr><th scope='row'>{esc(where)}</th>" + "".join(f"<td>{esc(_short(cell))}</td>" for cell in cells)
        for where, cells in zip(table.where, table.rows)
    )
    caption = f"First {len(table.rows)} of {count(rows, 'row')}, as they stand in the file"
    return (
        f'<div class="lg-table" tabindex="0" role="region" aria-label="First rows"><table id="data-table">'
        f"<caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _short(cell: str) -> str:
    return cell if len(cell) <= _CELL else cell[: _CELL - 1] + "…"


def _chat_html(bench: Bench, loaded: Loaded) -> str:
    folder = bench.model_folder()
    if not (folder / "tokenizer.json").is_file():
        waiting = "The preview of the chat appears as soon as the model is here."
        return (
            f'<div class="lg-preview"><h3>What the model will see</h3><p class="lg-help">{waiting}</p></div>'
        )
    try:
        tokenizer = bench.tokenizer(folder)
        limit = bench.recipe().max_length
    except UserError as problem:
        return notice("warn", "The chat can't be shown", str(problem))
    total = len(loaded.conversations)
    row = bench.show_row(min(bench.shown_row, total - 1))
    conversation = loaded.conversations[row]
    encoded = tokenizer.encode(conversation.messages, limit)
    return preview_html(encoded, conversation.where, row, total, limit, tokenizer)


def preview_html(
    encoded: Encoded, where: str, row: int, total: int, limit: int, tokenizer: ChatTokenizer
) -> str:
    """One row as the model sees it, with trained tokens marked, and the buttons to the next one."""
    legend = (
        '<p class="lg-legend"><span class="t">trained</span> what it learns to write · '
        '<span>read only</span> · <span class="s">control token</span> · <span class="c">cut off</span></p>'
    )
    words = f"{len(encoded.ids):,} tokens, {encoded.trained:,} of them trained"
    if encoded.cut:
        words += f"; {encoded.cut:,} lie beyond the maximum length of {limit:,} and are cut off"
    notes = [*encoded.notes, *([f"This row is left out: {encoded.reason}."] if encoded.reason else [])]
    return (
        f'<section class="lg-preview"><div class="lg-preview-head"><h3>What the model will see</h3>'
        f"{_pager(row, total)}</div>{legend}"
        '<div id="data-chat" class="lg-tokens" tabindex="0" role="region" aria-label="The row as tokens">'
        f"{tokens_html(encoded.pieces)}</div>"
        f'<p class="lg-help">{esc(where)}: {words}. Chat template: {esc(tokenizer.template_source)}.</p>'
        f"{checks(('warn', note) for note in notes)}</section>"
    )


def _pager(row: int, total: int) -> str:
    def button(act: str, sign: str, label: str, off: bool) -> str:
        return (
            f'<button type="button" id="data-{act}" class="lg-quiet" data-act="{act}" aria-label="{label}"'
            f"{' disabled' if off else ''}>{sign}</button>"
        )

    return (
        f'<div class="lg-pager">{button("previous-row", "‹", "Previous row", row == 0)}'
        f'<span aria-live="polite">Row {row + 1:,} of {total:,}</span>'
        f"{button('next-row', '›', 'Next row', row >= total - 1)}</div>"
    )


def tokens_html(pieces: list[Piece]) -> str:
    """Pieces of the same kind in a row become one span; the classes carry colour and underline."""
    parts: list[str] = []
    last = ""
    for piece in pieces:
        kind = " ".join(filter(None, ("t" * piece.trained, "s" * piece.special, "c" * piece.cut)))
        if not parts or kind != last or piece.special:
            parts.append(f"{'</span>' if parts else ''}<span class='{kind}'>")
            last = kind
        parts.append(esc(piece.text))
    return "".join(parts) + ("</span>" if parts else "")
