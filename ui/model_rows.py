"""Models as a list to choose from: each row a name, its size, what is known about it, and whether it fits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from zlib import crc32

from core.fit import MemoryEstimate
from core.models.catalogue import CatalogueModel
from ui.html import esc
from ui.model_fit import mark_html

# licences that only want to be kept with what is passed on
_FREE = ("Apache-2.0", "MIT")


@dataclass(frozen=True)
class Row:
    """One model of a list. `marks` and `facts` are a word or two each, `note` a sentence that must be read.

    `tags` are what the filter looks at; without `estimate` there is no verdict.
    """

    value: str
    title: str
    size: str = ""
    about: str = ""
    marks: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    note: str = ""
    estimate: MemoryEstimate | None = None
    tags: dict[str, str] = field(default_factory=dict)


def rows_html(name: str, rows: Iterable[Row], chosen: str) -> str:
    """Radio buttons, one a row; a change triggers `edit` {name, value}."""
    return "".join(_row_html(name, row, row.value == chosen) for row in rows)


def _row_html(name: str, row: Row, chosen: bool) -> str:
    # an id or a path may hold what an HTML id can't
    own = f"model-{name}-{crc32(row.value.encode()):08x}"
    tags = "".join(f' data-{key}="{esc(value)}"' for key, value in row.tags.items())
    verdict = mark_html(row.estimate, f"{own}-fit") if row.estimate is not None else ""
    size = f' <span class="lg-model-size">{esc(row.size)}</span>' if row.size else ""
    marks = "".join(f'<span class="lg-said">{esc(mark)}</span>' for mark in row.marks)
    about = f"<small>{esc(row.about)}</small>" if row.about else ""
    facts = "".join(f"<span>{esc(fact)}</span>" for fact in row.facts if fact)
    note = f'<small class="lg-model-note">{esc(row.note)}</small>' if row.note else ""
    return (
        f'<label class="lg-model"{tags}><input type="radio" id="{own}" name="lg-{name}" data-name="{name}" '
        f'value="{esc(row.value)}" aria-labelledby="{own}-title {own}-fit" aria-describedby="{own}-more"'
        f'{" checked" if chosen else ""}><span class="lg-model-body">'
        f'<span class="lg-model-title" id="{own}-title"><b>{esc(row.title)}</b>{size}{marks}</span>'
        f'<span class="lg-model-more" id="{own}-more">{about}<small class="lg-model-facts">{facts}</small>'
        f"{note}</span></span>{verdict}</label>"
    )


def people(parameters: int) -> str:
    """A parameter count as people say it: 135M, 1.5B; empty where it is not known."""
    if not parameters:
        return ""
    if parameters < 1e9:
        return f"{parameters / 1e6:.0f}M"
    return f"{parameters / 1e9:.1f}B"


def context_words(context: int) -> str:
    """How much a model reads, as its publishers say it: 32k tokens."""
    return f"{context // 1024}k tokens" if context % 1024 == 0 else f"{context:,} tokens"


def is_free(model: CatalogueModel) -> bool:
    """Whether its licence allows any use, also commercial, without naming conditions."""
    return model.licence in _FREE
