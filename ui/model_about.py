"""What is known about the chosen model: what it is, its licence, whether it fits, how to get it."""

from __future__ import annotations

from pathlib import Path

from core.base.errors import UserError
from core.hub.download import read_download
from core.models import ModelInfo, ModelSpec, cached_model, inspect_model, model_folder, model_name
from core.models.catalogue import CatalogueModel, load_catalogue
from ui.bench import Bench
from ui.download import download_html
from ui.html import Mark, button, checks, esc, meter, notice, size
from ui.model_fit import fit_lines
from ui.model_gated import gated_html
from ui.model_rows import context_words, is_free, people

_FIRST = "Download the model first."
_ASKED = "The hub has to say first what this model is."


def here_html(bench: Bench, folder: Path, listed: CatalogueModel | None = None, whole: bool = False) -> str:
    """A model that is on this machine; `whole` when we have downloaded it. A UserError says what is wrong."""
    checked: list[tuple[Mark, str]] = [("ok", "Arrived whole: every file has the hub’s size and hash.")]
    licence = [] if listed is None else [licence_line(listed)]
    fit = fit_lines(bench, bench.models.spec(folder))
    return checks([*facts(inspect_model(folder)), *(checked if whole else []), *fit, *licence])


def facts(info: ModelInfo) -> list[tuple[Mark, str]]:
    """What was checked about a model that can be used."""
    items: list[tuple[Mark, str]] = [
        ("ok", f"{info.size} parameters, {size(info.bytes)} on disk, {info.architecture}."),
    ]
    if info.context:
        items.append(reads_line(info.context))
    if info.chat_template:
        items.append(("ok", "Has a chat template: it knows who speaks when."))
    else:
        items.append(("warn", "Has no chat template of its own; a common one (ChatML) is used."))
    return items


def reads_line(context: int) -> tuple[Mark, str]:
    """How much the model reads at once."""
    return "ok", f"Reads up to {context_words(context)} (a token is a short piece of a word)."


def hub_model(bench: Bench, name: str) -> tuple[str, str]:
    """A model with a hub id: what is known, and why the way on is closed (empty when it is open)."""
    folder = model_folder(bench.home, name)
    listed = listed_model(name)
    job = read_download(bench.home, name)
    if folder.is_dir():
        try:
            return here_html(bench, folder, listed, whole=job.status == "done"), ""
        except UserError as problem:
            told = checks([("bad", str(problem))])
            return told + _get_html(bench, name, False), "What is here of the model can't be used."
    # the data can be looked at meanwhile; Start says so if the model is still missing then
    reason = "" if job.active else _FIRST
    cached = cached_model(name)
    if cached is not None:
        return _cached_html(bench, cached, listed), reason
    if listed is not None:
        return _listed_html(bench, listed), reason
    unknown = reason and bench.models.ask(name)[1] is None
    return _asked_html(bench, name), _ASKED if unknown else reason


def listed_model(name: str) -> CatalogueModel | None:
    """The model of the catalogue with this id."""
    return next((model for model in load_catalogue() if model.id == name), None)


def licence_line(model: CatalogueModel) -> tuple[Mark, str]:
    """What the licence of a model of the catalogue asks for."""
    return "ok" if is_free(model) else "warn", f"{model.licence}. {model.forbids}"


def _cached_html(bench: Bench, folder: Path, listed: CatalogueModel | None) -> str:
    """The way to a model that another program has downloaded; its own download where that one is damaged."""
    try:
        known = here_html(bench, folder, listed)
    except UserError as problem:
        kept = checks([("warn", f"The copy in the Hugging Face cache can't be used: {problem}")])
        return kept + _get_html(bench, model_name(folder), listed is not None and listed.gated)
    use = button("model-use-cached", "use-folder", "Use it from the cache", value=folder)
    words = "It is in the Hugging Face cache of this machine, so nothing has to be downloaded."
    return known + notice("info", "Here already", words, use)


def _listed_html(bench: Bench, model: CatalogueModel) -> str:
    """A model of the catalogue that is not here yet."""
    spec = bench.models.catalogue_spec(model)
    coming = model.download_bytes
    kind = "answers questions already" if model.kind == "instruct" else "only continues text so far"
    items: list[tuple[Mark, str]] = [
        ("ok", f"{model.id}: {model.size} parameters; it {kind}."),
        reads_line(model.context),
        *fit_lines(bench, spec),
        licence_line(model),
        room_line(bench, coming, "About "),
    ]
    return checks(items) + _get_html(bench, model.id, model.gated)


def room_line(bench: Bench, coming: int, about: str = "") -> tuple[Mark, str]:
    """The size of the download, and whether the disk has room for it."""
    free = bench.hardware.disk_free
    words = f"{about}{size(coming)} to download, once; the disk of the home folder has {size(free)} free."
    return ("ok", words) if coming <= free else ("bad", f"{words} Make room first, or take another model.")


def _asked_html(bench: Bench, name: str) -> str:
    """A model that only the hub knows: what it says of it."""
    errand, known = bench.models.ask(name)
    job = read_download(bench.home, name)
    if known is None and (errand is None or errand.status == "running"):
        asking = f'<p role="status">Asking the hub about {esc(name)}</p>{meter(None, "Hub")}'
        return f'<div class="lg-wait">{asking}</div>'
    if known is None:
        again = button("model-ask", "ask", "Ask again", "quiet")
        told = notice("bad", "The hub could not be asked", errand.message if errand else "", again)
        return told + ("" if job.status == "none" else download_html(job, "model", "model"))
    items = _spec_lines(bench, known.spec, known.problem)
    return checks([*items, room_line(bench, known.size)]) + _get_html(bench, name, known.gated)


def _spec_lines(bench: Bench, spec: ModelSpec | None, problem: str) -> list[tuple[Mark, str]]:
    if spec is None:
        return [("info", f"Whether it fits can be said once it is here. {problem}".strip())]
    lines: list[tuple[Mark, str]] = [("ok", f"{people(spec.parameters)} parameters, {spec.architecture}.")]
    if spec.context:
        lines.append(reads_line(spec.context))
    return [*lines, *fit_lines(bench, spec)]


def _get_html(bench: Bench, name: str, gated: bool) -> str:
    """What a gated model asks for, and the download."""
    how = gated_html(bench, name) if gated else ""
    return how + download_html(read_download(bench.home, name), "model", "model")
