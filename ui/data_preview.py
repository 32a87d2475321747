"""One row as the model sees it: tokens in colour, what is cut off, and the way to any other row."""

from __future__ import annotations

from dataclasses import dataclass, field

from core.data import Encoded, Piece
from core.data.template import TEMPLATES
from ui.html import Mark, checks, esc, notice

# a row of a whole book would take the page down
_MOST_PIECES = 10_000
_LEGEND = (
    '<p class="lg-legend"><span class="t">trained</span> what it learns to write · '
    '<span>read only</span> · <span class="s">control token</span> · <span class="c">cut off</span></p>'
)


@dataclass(frozen=True)
class Shown:
    """A row ready to be shown. `number` counts from 0, among `total` rows; `first_only`: while the rest of
    the file is still read. `changed`: kinds whose fix changed its text. `left_out`: why it isn't trained.
    """

    encoded: Encoded
    where: str
    number: int
    total: int
    limit: int
    template: str
    first_only: bool = False
    changed: list[str] = field(default_factory=list)
    left_out: str = ""


def preview_html(shown: Shown, templates: str = "") -> str:
    """The row with everything that is to be said about it. `templates` is the choice of a chat template."""
    notes: list[tuple[Mark, str]] = [("warn", note) for note in shown.encoded.notes]
    if shown.changed:
        notes.insert(0, ("ok", f"Changed by your fixes: {', '.join(shown.changed)}."))
    left_out = shown.left_out or shown.encoded.reason
    if left_out:
        notes.append(("warn", f"This row is left out: {left_out}."))
    return (
        '<section class="lg-preview" id="data-preview"><div class="lg-preview-head">'
        f"<h3>What the model will see</h3>{_pager(shown)}</div>{templates}{_LEGEND}"
        '<div id="data-chat" class="lg-tokens" tabindex="0" role="region" aria-label="The row as tokens">'
        f"{tokens_html(shown.encoded.pieces)}</div>"
        f'<div class="lg-preview-foot"><p class="lg-help" id="data-row-facts">{esc(_facts(shown))}</p>'
        f"{checks(notes)}</div></section>"
    )


def waiting_html(words: str) -> str:
    """The same place while there is nothing to show yet."""
    return (
        '<section class="lg-preview" id="data-preview"><div class="lg-preview-head">'
        f'<h3>What the model will see</h3></div><div class="lg-tokens lg-empty">{esc(words)}</div></section>'
    )


def failed_html(reason: str) -> str:
    """The same place when a row can't be shown."""
    body = notice("warn", "The rows can’t be shown", reason)
    return f'<section class="lg-preview" id="data-preview">{body}</section>'


def templates_html(names: list[str], chosen: str) -> str:
    """The choice of a standard chat template, for a model that has none of its own."""
    options = "".join(
        f'<option value="{esc(name)}"{" selected" if name == chosen else ""}>'
        f"{esc(TEMPLATES[name].title)}</option>"
        for name in names
    )
    why = "This model has no chat template, which says where question and answer begin and end. Choose one:"
    return (
        f'<div class="lg-template">{checks([("warn", why)])}'
        '<select id="data-template" data-name="template" aria-label="Chat template" '
        f'aria-describedby="data-template-help">{options}</select>'
        f'<p class="lg-help" id="data-template-help">{esc(TEMPLATES[chosen].help)}</p></div>'
    )


def _facts(shown: Shown) -> str:
    words = f"{shown.where}: {len(shown.encoded.pieces):,} tokens, {shown.encoded.trained:,} of them trained"
    if shown.encoded.cut:
        words += f"; {shown.encoded.cut:,} lie beyond the maximum length of {shown.limit:,} and are cut off"
    return f"{words}. Chat template: {shown.template}."


def _pager(shown: Shown) -> str:
    first, last = shown.number == 0, shown.number >= shown.total - 1
    field = (
        f'<label for="data-row">Row <input id="data-row" data-name="row" type="text" inputmode="numeric" '
        f'value="{shown.number + 1}" size="{len(str(shown.total)) + 1}" autocomplete="off"></label>'
    )
    of = f"of the first {shown.total:,}" if shown.first_only else f"of {shown.total:,}"
    return (
        '<div class="lg-pager">'
        f"{_turn('previous-row', '‹', 'Previous row', first)}{field}<span>{of}</span>"
        f"{_turn('next-row', '›', 'Next row', last)}"
        f"{_turn('random-row', 'Random', 'A random row', shown.total < 2)}"
        f"{_turn('worst-row', 'Worst', 'The row with the most problems, then the next', shown.first_only)}"
        "</div>"
    )


def _turn(act: str, words: str, help: str, off: bool) -> str:
    # what stands on the button must be part of its name, for those who speak to their computer
    label = help if len(words) == 1 else f"{words}: {help}"
    # a button that is switched off stays in its place for the keyboard: the focus would be lost with it
    way = 'aria-disabled="true"' if off else f'data-act="{act}"'
    return (
        f'<button type="button" id="data-{act}" class="lg-quiet" {way} aria-label="{label}" title="{help}">'
        f"{words}</button>"
    )


def tokens_html(pieces: list[Piece]) -> str:
    """Pieces of the same kind in a row become one span; the classes carry colour and underline."""
    parts: list[str] = []
    last = ""
    for piece in pieces[:_MOST_PIECES]:
        kind = " ".join(filter(None, ("t" * piece.trained, "s" * piece.special, "c" * piece.cut)))
        if not parts or kind != last or piece.special:
            parts.append(f"{'</span>' if parts else ''}<span class='{kind}'>")
            last = kind
        parts.append(esc(piece.text))
    more = len(pieces) - _MOST_PIECES
    rest = f"<span> … and {more:,} more tokens</span>" if more > 0 else ""
    return "".join(parts) + ("</span>" if parts else "") + rest
