"""The catalogue: open models that people like to train, with what narrows them down."""

from __future__ import annotations

from core.fit import MemoryEstimate
from core.models.catalogue import CatalogueModel, load_catalogue
from core.presets import suggested_models
from ui.bench import Bench
from ui.fit_words import memory, where_words
from ui.html import count, esc, select_field
from ui.model_fit import setting_of
from ui.model_rows import Row, context_words, is_free, rows_html

# (up to so many parameters, value, words); the sizes in which models are published
_SIZES = (
    (1.0e9, "xs", "Up to 1B"),
    (2.5e9, "s", "1B to 2.5B"),
    (5.0e9, "m", "2.5B to 5B"),
    (1.0e10, "l", "5B to 10B"),
    (float("inf"), "xl", "Over 10B"),
)
_FITS = [("", "Any fit"), ("fits", "Fits"), ("fits tight", "Fits or tight")]
_KINDS = [("", "Any kind"), ("instruct", "Instruct: answers already"), ("base", "Base: continues text")]
_LICENCES = [("", "Any licence"), ("free", "Free for any use"), ("open", "Not gated")]
_ORDER = {"fits": 0, "tight": 1, "no": 2}


def filter_html(bench: Bench) -> str:
    """What narrows the list down. It works in the page (model.js); the server isn't asked."""
    if bench.choices().model_kind != "catalogue":
        return ""
    search = (
        '<label class="lg-field lg-model-search" for="model-search">Find a model'
        '<input id="model-search" type="search" data-narrow="words" autocomplete="off" spellcheck="false" '
        'placeholder="Name, family, language, licence"></label>'
    )
    sizes = [("", "Any size"), *((value, words) for _, value, words in _SIZES)]
    choices = "".join(
        select_field(f"model-by-{name}", label, options, f'data-narrow="{name}"')
        for name, label, options in (
            ("fit", "Fit", _FITS),
            ("size", "Size", sizes),
            ("kind", "Kind", _KINDS),
            ("licence", "Licence", _LICENCES),
        )
    )
    return f'<div class="lg-narrow" role="search" aria-label="Catalogue">{search}{choices}</div>'


def list_html(bench: Bench) -> str:
    """All models of the catalogue: suggested ones first, then what fits, from small to large."""
    choices = bench.choices()
    if choices.model_kind != "catalogue":
        return ""
    rows = rows_html("catalogue", catalogue_rows(bench), choices.catalogue)
    total = count(len(load_catalogue()), "model")
    return (
        f'<p class="lg-help lg-model-basis">{esc(basis_words(bench))}</p>'
        f'<p class="lg-model-count"><span id="model-count" role="status">{total}</span>'
        '<button type="button" class="lg-quiet" id="model-clear" hidden>Clear the filter</button></p>'
        f'<div class="lg-models" id="model-rows" role="radiogroup" aria-label="Models">{rows}'
        '<p class="lg-models-none" hidden>No model of the catalogue matches. Clear the filter, or look on '
        "the hub.</p></div>"
    )


def basis_words(bench: Bench) -> str:
    """What the verdicts rest on: machine, preset, recipe and data."""
    setting, recipe = setting_of(bench), bench.recipe_so_far()
    usable = f"{memory(setting.place.usable)} {where_words(setting.place)} can be used"
    way = f"{recipe.method_title}, rank {recipe.rank}, rows of up to {recipe.max_length:,} tokens"
    longest = setting.lengths.longest if setting.lengths else None
    data = f" The longest row of your data has {longest:,}." if longest else ""
    return f"{usable}. Checked with the preset “{bench.preset()[0].title}”: {way}.{data}"


def catalogue_rows(bench: Bench) -> list[Row]:
    """The rows in their order."""
    setting, suggested = setting_of(bench), suggestions(bench)
    here = {item.name for item in bench.models.locals()}
    found = []
    for model in load_catalogue():
        estimate = bench.models.estimate(bench.models.catalogue_spec(model), setting)
        first = suggested.index(model.id) if model.id in suggested else len(suggested)
        order = (first, _ORDER[estimate.verdict], model.parameters)
        marks = {
            "Suggested": model.id in suggested,
            "On this machine": model.id in here,
            "Gated": model.gated,
        }
        found.append((order, _row(model, estimate, tuple(word for word, holds in marks.items() if holds))))
    return [row for _, row in sorted(found, key=lambda item: item[0])]


def suggestions(bench: Bench) -> tuple[str, ...]:
    """Ids of the models that the preset suggests for this hardware."""
    return suggested_models(bench.preset()[0], bench.hardware.best_gpu)


def _row(model: CatalogueModel, estimate: MemoryEstimate, marks: tuple[str, ...]) -> Row:
    tags = {
        "fit": estimate.verdict,
        "size": next(value for limit, value, _ in _SIZES if model.parameters <= limit),
        "kind": model.kind,
        "licence": " ".join(filter(None, ("free" if is_free(model) else "", "" if model.gated else "open"))),
        "words": model.family.lower(),
    }
    kind = "Instruct" if model.kind == "instruct" else "Base"
    free = f"{model.licence}: free for any use" if is_free(model) else ""
    return Row(
        value=model.id,
        title=model.title,
        size=model.size,
        marks=marks,
        about=model.about,
        facts=(kind, f"reads {context_words(model.context)}", model.languages, free),
        # what it asks of those who pass a model on stands with the chosen one
        note="" if free else f"{model.licence}. {model.forbids.split(';')[0].rstrip('.')}.",
        estimate=estimate,
        tags=tags,
    )
