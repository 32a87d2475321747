"""Step 1, Model: the starter, one of the catalogue, one on this machine, or one from the hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from core.base.errors import UserError
from core.base.jobs import request_stop
from core.hub.download import download_job, read_download, start_download
from core.models import HUB_ID, STARTER, model_folder, model_name
from ui.bench import Bench
from ui.choices import Choices
from ui.html import button, checks, choice_cards, duration, esc, heading, meter, notice, primary
from ui.model_about import here_html, hub_model, listed_model
from ui.model_catalogue import filter_html, list_html, suggestions
from ui.model_hub import hub_html, on_words
from ui.model_loads import loads_html
from ui.model_local import local_html
from ui.parts import Step, View, panel

QUESTION = "Which model do you start from?"
HELP = "Training teaches an existing model something new. A small one learns fast; a big one knows more."
_OPTIONS = [
    (STARTER, "Starter model", "SmolLM2 135M Instruct: on this machine already, trains on any computer."),
    ("catalogue", "From the catalogue", "Well-known open models, each checked against this machine."),
    ("folder", "On this machine", "Downloaded before, in the Hugging Face cache, or in any folder."),
    ("hub", "From the Hugging Face hub", "Search it, or give an id. Needs the internet once."),
]
_STARTER_SECONDS = 15


def build(bench: Bench) -> Step:
    """Lay the step out: each part is a panel of its own, so that news in one leaves the others alone."""
    gr.HTML(heading("model", QUESTION, HELP), elem_id="model-heading", apply_default_css=False)
    parts = {
        "model-kind": kind_html,
        "model-filter": filter_html,
        "model-list": sources_html,
        "model-panel": body_html,
        "model-loads": loads_html,
    }
    panels = {name: panel(name, first=name == "model-kind") for name in parts}
    views = [View(panels[name], render) for name, render in parts.items()]
    return Step("model", views, on_edit, on_act, list(panels.values()))


def on_edit(bench: Bench, name: str, value: Any) -> None:
    """A field changed: which kind of model, the model of a list, the folder, or the words for the hub."""
    text = str(value).strip()
    if name == "model":
        _choose_kind(bench, text)
    elif name == "catalogue":
        bench.choose(catalogue=text, model_kind="catalogue")
    elif name == "folder":
        bench.choose(folder=text.strip('"'), model_kind="folder")
    elif name == "hub":
        on_words(bench, text)
    elif name == "hub-token":
        bench.models.log_in(text)
    elif name == "hub-found":
        bench.choose(hub=text, model_kind="hub")


def _choose_kind(bench: Bench, kind: str) -> None:
    """Another kind; the catalogue starts with what suits the hardware."""
    first = next(iter(suggestions(bench)), "")
    if kind == "catalogue" and not bench.choices().catalogue and first:
        bench.choose(catalogue=first, model_kind=kind)
    else:
        bench.choose(model_kind=kind)


def on_act(bench: Bench, name: str, value: Any) -> None:
    """A button was pressed."""
    model = bench.choices().model
    if name == "download":
        start_download(bench.home, model)
    elif name == "stop-download":
        request_stop(download_job(bench.home, str(value) or model))
    elif name == "use-folder":
        bench.choose(folder=str(value), model_kind="folder")
    elif name == "search":
        bench.models.search_again()
    elif name == "ask":
        bench.models.ask(model, again=True)
    elif name == "log-in" and bench.models.login() is None:
        raise UserError("Paste the token into the field first.")
    elif name == "build-starter":
        bench.build_starter()


def kind_html(bench: Bench) -> str:
    """Where the model comes from."""
    return choice_cards("model", "Kind of model", _OPTIONS, bench.choices().model_kind)


def sources_html(bench: Bench) -> str:
    """The models of the chosen kind to choose from."""
    choices = bench.choices()
    render = {"catalogue": list_html, "folder": local_html, "hub": hub_html}.get(choices.model_kind)
    return render(bench) if render is not None else ""


def body_html(bench: Bench) -> str:
    """What was found out about the chosen model, and the way on."""
    choices = bench.choices()
    detail, reason = _DETAILS.get(choices.model_kind, _starter)(bench, choices)
    name = _title(choices)
    title = f'<h3 class="lg-model-chosen">{esc(name)}</h3>' if name else ""
    beside = ""
    if choices.model and not reason and read_download(bench.home, choices.model).active:
        beside = '<p class="lg-reason">Go on meanwhile; a training can start once it is here.</p>'
    return title + detail + primary("model", "Use this model", "data", reason, beside)


def _title(choices: Choices) -> str:
    """What the chosen model is called; empty while there is none."""
    if choices.model_kind == "folder":
        return model_name(Path(choices.folder)) if choices.folder else ""
    if choices.model == STARTER:
        return "SmolLM2 135M Instruct"
    listed = listed_model(choices.model)
    return listed.title if listed is not None else choices.model


def _starter(bench: Bench, choices: Choices) -> tuple[str, str]:
    if bench.starter_ready():
        return here_html(bench, model_folder(bench.home, STARTER)), ""
    failed = bench.starter_failed()
    if failed:
        again = button("model-build-starter", "build-starter", "Try again", "quiet")
        told = notice("bad", "The starter model could not be unpacked", failed, again)
        return told, "The model isn't ready."
    text = f"Unpacking the starter model: once, about {duration(_STARTER_SECONDS)}."
    return f'<div class="lg-wait"><p>{text} You can go on meanwhile.</p>{meter(None, "Unpacking")}</div>', ""


def _catalogue(bench: Bench, choices: Choices) -> tuple[str, str]:
    if not choices.catalogue:
        return "", "Choose a model from the list first."
    return hub_model(bench, choices.catalogue)


def _folder(bench: Bench, choices: Choices) -> tuple[str, str]:
    if not choices.folder:
        return "", "Choose a model, or type its folder, first."
    try:
        return here_html(bench, Path(choices.folder).expanduser()), ""
    except UserError as problem:
        return checks([("bad", str(problem))]), "This folder can't be used as it is."


def _hub(bench: Bench, choices: Choices) -> tuple[str, str]:
    if not choices.hub:
        return "", "Search for a model, or type its id, first."
    if not HUB_ID.fullmatch(choices.hub):
        sentence = f"“{choices.hub}” is not a hub id. It looks like owner/name, for example Qwen/Qwen3-0.6B."
        return checks([("bad", sentence)]), "This is not a hub id."
    return hub_model(bench, choices.hub)


_DETAILS = {STARTER: _starter, "catalogue": _catalogue, "folder": _folder, "hub": _hub}
