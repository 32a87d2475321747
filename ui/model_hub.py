"""Models from the hub: a search, or an id that is known already."""

from __future__ import annotations

from core.hub.search import Found
from core.models import is_hub_id
from core.models.catalogue import load_catalogue
from ui.bench import Bench
from ui.download import hub_id
from ui.html import button, checks, count, esc, meter, notice, size, text_field
from ui.model_desk import Setting
from ui.model_fit import setting_of
from ui.model_rows import Row, people, rows_html


def on_words(bench: Bench, typed: str) -> None:
    """An id is chosen; other words are searched for."""
    name = hub_id(typed)
    if is_hub_id(name):
        bench.models.words = ""
        bench.choose(hub=name, model_kind="hub")
    else:
        bench.models.search(name)


def hub_html(bench: Bench) -> str:
    """The field, and what the search has found."""
    chosen, words = bench.choices().hub, bench.models.words
    more = 'placeholder="Qwen/Qwen3-0.6B, or words to search for" autocomplete="off"'
    box = text_field("model-hub", "hub", "Hub id, address, or words to search for", words or chosen, more)
    search = button("model-search-hub", "search", "Search the hub")
    return f'<div class="lg-ask">{box}{search}</div>{_found_html(bench, chosen)}'


def _found_html(bench: Bench, chosen: str) -> str:
    words = bench.models.words
    if not words:
        return ""
    errand, found = bench.models.searched()
    if errand is None or errand.status == "running":
        asking = f'<p role="status">Asking the hub for “{esc(words)}”</p>{meter(None, "Search")}'
        return f'<div class="lg-wait">{asking}</div>'
    if errand.status == "failed":
        again = button("model-search-again", "search", "Search again", "quiet")
        return notice("bad", "The hub could not be asked", errand.message, again)
    if not found:
        return checks(
            [("info", f"The hub has no model for “{words}” that can be trained here. Try other words.")]
        )
    setting = setting_of(bench)
    rows = rows_html("hub-found", [_row(bench, item, setting) for item in found], chosen)
    told = f"{count(len(found), 'model')} for “{esc(words)}”, the most downloaded first."
    return (
        f'<p class="lg-help lg-model-count" role="status">{told}</p>'
        f'<div class="lg-models" role="radiogroup" aria-label="Found on the hub">{rows}</div>'
    )


def _row(bench: Bench, item: Found, setting: Setting) -> Row:
    listed = next((model for model in load_catalogue() if model.id == item.id), None)
    estimate = None if listed is None else bench.models.estimate(bench.models.catalogue_spec(listed), setting)
    facts = (
        f"{size(item.size)} of weights" if item.size else "",
        f"{item.downloads:,} downloads a month" if item.downloads else "",
        item.architecture,
        item.licence,
    )
    marks = ("Gated",) if item.gated else ()
    return Row(item.id, item.id, people(item.parameters or 0), marks=marks, facts=facts, estimate=estimate)
