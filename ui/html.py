"""Small pieces of HTML and the words for numbers. Everything that comes from a file passes `esc`."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from typing import Literal

Mark = Literal["ok", "warn", "bad", "info"]
_SIGNS = {"ok": ("✓", "Fine"), "warn": ("!", "Note"), "bad": ("✗", "Problem"), "info": ("·", "")}


def esc(value: object) -> str:
    """Text made safe inside HTML, quotes too."""
    return html.escape(str(value), quote=True)


def prose(text: str) -> str:
    """A sentence made safe inside HTML; what stands between backticks is shown as a command."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", esc(text))


def checks(items: Iterable[tuple[Mark, str]]) -> str:
    """A short list of what was looked at: a sign, a word for screen readers, a sentence."""
    rows = []
    for mark, text in items:
        sign, word = _SIGNS[mark]
        spoken = f'<span class="lg-hidden">{word}: </span>' if word else ""
        rows.append(
            f'<li class="lg-{mark}"><span aria-hidden="true">{sign}</span><p>{spoken}{prose(text)}</p></li>'
        )
    return f'<ul class="lg-checks">{"".join(rows)}</ul>' if rows else ""


def notice(mark: Mark, title: str, text: str = "", actions: str = "", details: str = "") -> str:
    """A sentence that stands out; `details` (a log, a trace) unfolds below it."""
    more = (
        f"<details><summary>Technical details</summary><pre tabindex='0'>{esc(details)}</pre></details>"
        if details
        else ""
    )
    body = f"<p>{prose(text)}</p>" if text else ""
    role = "alert" if mark == "bad" else "status"
    row = f'<div class="lg-actions">{actions}</div>' if actions else ""
    return (
        f'<div class="lg-notice lg-{mark}" role="{role}"><strong>{esc(title)}</strong>{body}{row}{more}</div>'
    )


def heading(step: str, question: str, help: str) -> str:
    """The head of a step; it takes the focus when the step opens."""
    return f'<h2 id="lg-head-{step}" tabindex="-1">{esc(question)}</h2><p class="lg-help">{esc(help)}</p>'


def primary(step: str, text: str, target: str, reason: str = "", beside: str = "") -> str:
    """The one way on from a step: a link to the next one, or a disabled button with the reason beside it."""
    name = f'id="lg-next-{step}" class="lg-primary"'
    if reason:
        way = f'<button {name} disabled>{esc(text)}</button><p class="lg-reason">{esc(reason)}</p>'
    else:
        way = f'<a {name} href="#{target}">{esc(text)}</a>'
    return f'<div class="lg-next">{way}{beside}</div>'


def button(identifier: str, act: str, text: str, kind: str = "second", value: object = "") -> str:
    """A button that triggers `act` {name, value}. Kinds: primary, second, danger, quiet."""
    sent = f' data-value="{esc(value)}"' if value else ""
    name = f'id="{identifier}" class="lg-{kind}" data-act="{act}"'
    return f'<button type="button" {name}{sent}>{esc(text)}</button>'


def actions(*buttons: str) -> str:
    """Buttons in a row."""
    return f'<div class="lg-actions">{"".join(buttons)}</div>'


def fold(identifier: str, title: str, body: str) -> str:
    """A part that is folded away at first. `title` is HTML."""
    return f'<details class="lg-more" id="{identifier}"><summary>{title}</summary>{body}</details>'


def text_field(identifier: str, name: str, label: str, value: object, more: str = "") -> str:
    """A line of text with its label; a change triggers `edit` {name, value}. `more` are attributes."""
    what = f'id="{identifier}" type="text" data-name="{name}" value="{esc(value)}" spellcheck="false"'
    field = f"<input {what} {more}>"
    return f'<label class="lg-field" for="{identifier}">{esc(label)}{field}</label>'


def select_field(identifier: str, label: str, options: Iterable[tuple[str, str]], more: str = "") -> str:
    """A drop-down with its label; the first of the (value, words) is taken. `more` are attributes."""
    items = "".join(f'<option value="{esc(value)}">{esc(words)}</option>' for value, words in options)
    field = f'<select id="{identifier}" {more}>{items}</select>'
    return f'<label class="lg-field" for="{identifier}">{esc(label)}{field}</label>'


def choice_cards(name: str, legend: str, options: list[tuple[str, str, str]], chosen: str) -> str:
    """Radio buttons as cards. Options are (value, title, help); a change triggers `edit` {name, value}."""
    cards = "".join(
        f'<label class="lg-choice"><input type="radio" id="lg-{name}-{esc(value)}" name="lg-{name}" '
        f'data-name="{name}" value="{esc(value)}"{" checked" if value == chosen else ""}>'
        f"<span><b>{esc(title)}</b><small>{esc(text)}</small></span></label>"
        for value, title, text in options
    )
    return f'<fieldset class="lg-choices"><legend class="lg-hidden">{esc(legend)}</legend>{cards}</fieldset>'


def meter(share: float | None, label: str) -> str:
    """A progress bar with its label; `None` means that nobody can say how far it is."""
    width = "" if share is None else f' style="width:{100 * min(1, max(0, share)):.1f}%"'
    now = "" if share is None else f' aria-valuenow="{100 * share:.0f}"'
    kind = " lg-unknown" if share is None else ""
    return (
        f'<div class="lg-meter{kind}" role="progressbar" aria-label="{esc(label)}" aria-valuemin="0" '
        f'aria-valuemax="100"{now}><span{width}></span></div>'
    )


def copy_box(identifier: str, text: str, label: str) -> str:
    """A line of code with a button that copies it."""
    return (
        f'<div class="lg-copy"><code id="{identifier}" tabindex="0">{esc(text)}</code>'
        f'<button type="button" id="{identifier}-copy" class="lg-quiet" data-copy="{identifier}" '
        f'aria-label="Copy {esc(label)}">Copy</button></div>'
    )


def facts(items: Iterable[tuple[str, str]]) -> str:
    """Name and value pairs as a definition list."""
    return (
        "<dl class='lg-facts'>"
        + "".join(f"<div><dt>{esc(k)}</dt><dd>{esc(v)}</dd></div>" for k, v in items)
        + "</dl>"
    )


def size(count: float) -> str:
    """Bytes as people read them: 890 kB, 101 MB, 5.3 GB."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            value = count / scale
            return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"
    return f"{count:.0f} bytes"


def duration(seconds: float) -> str:
    """Seconds as people say them: 8 s, 2 min 40 s, 3 h 5 min."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    return f"{whole // 3600} h {whole % 3600 // 60} min" if whole % 3600 >= 60 else f"{whole // 3600} h"


def count(number: int, one: str, many: str = "") -> str:
    """A number with its noun: 1 row, 1,200 rows."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
