"""Step 1, Model: the starter, a folder on this machine, or a model from the hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from core.download import download_job, read_download, start_download
from core.errors import UserError
from core.jobs import request_stop
from core.models import HUB_ID, ModelInfo, inspect_model, local_models, model_folder
from ui.bench import Bench
from ui.choices import Choices
from ui.download import download_html, hub_id
from ui.html import (
    button,
    checks,
    choice_cards,
    duration,
    esc,
    heading,
    meter,
    notice,
    primary,
    size,
    text_field,
)
from ui.parts import Step, View, panel

QUESTION = "Which model do you start from?"
HELP = "Training teaches an existing model something new. A small one learns fast; a big one knows more."
_OPTIONS = [
    (
        "starter",
        "Starter model",
        "SmolLM2 135M Instruct: small, on this machine already, trains on any computer.",
    ),
    (
        "folder",
        "A folder on this machine",
        "A model in Hugging Face format: config.json, safetensors, tokenizer.json.",
    ),
    (
        "hub",
        "From the Hugging Face hub",
        "Type its id, for example Qwen/Qwen3-0.6B. Needs the internet once.",
    ),
]
_STARTER_SECONDS = 15


def build(bench: Bench) -> Step:
    """Lay the step out."""
    gr.HTML(heading("model", QUESTION, HELP), elem_id="model-heading", apply_default_css=False)
    body = panel("model-panel", first=True)
    return Step("model", [View(body, body_html)], on_edit, on_act, [body])


def on_edit(bench: Bench, name: str, value: Any) -> None:
    """A field changed: which kind of model, the folder, or the hub id."""
    if name == "model":
        bench.choose(model_kind=str(value))
    elif name == "folder":
        bench.choose(folder=str(value).strip().strip('"'), model_kind="folder")
    elif name == "hub":
        bench.choose(hub=hub_id(str(value)), model_kind="hub")


def on_act(bench: Bench, name: str, value: Any) -> None:
    """A button was pressed: start or stop the download."""
    hub = bench.choices().hub
    if name == "download":
        start_download(bench.home, hub)
    elif name == "stop-download":
        request_stop(download_job(bench.home, hub))
    elif name == "build-starter":
        bench.build_starter()


def body_html(bench: Bench) -> str:
    """Choice, the chosen kind's field, what was found out about the model, and the way on."""
    choices = bench.choices()
    detail, reason = _DETAILS[choices.model_kind](bench, choices)
    cards = choice_cards("model", "Kind of model", _OPTIONS, choices.model_kind)
    return cards + detail + primary("model", "Use this model", "data", reason)


def _starter(bench: Bench, choices: Choices) -> tuple[str, str]:
    if bench.starter_ready():
        return facts_html(inspect_model(model_folder(bench.home, "starter"))), ""
    failed = bench.starter_failed()
    if failed:
        again = button("model-build-starter", "build-starter", "Try again", "quiet")
        told = notice("bad", "The starter model could not be unpacked", failed, again)
        return told, "The model isn't ready."
    text = f"Unpacking the starter model: once, about {duration(_STARTER_SECONDS)}."
    return f'<div class="lg-wait"><p>{text} You can go on meanwhile.</p>{meter(None, "Unpacking")}</div>', ""


def _folder(bench: Bench, choices: Choices) -> tuple[str, str]:
    known = "".join(f'<option value="{esc(path)}">' for path in local_models(bench.home))
    example = esc(Path.home() / "models" / "my-model")
    more = f'list="model-folders" placeholder="{example}"'
    box = text_field("model-folder", "folder", "Folder of the model", choices.folder, more)
    box += f'<datalist id="model-folders">{known}</datalist>'
    if not choices.folder:
        return box, "Type the folder of the model first."
    try:
        return box + facts_html(inspect_model(Path(choices.folder).expanduser())), ""
    except UserError as problem:
        return box + checks([("bad", str(problem))]), "This folder can't be used as it is."


def _hub(bench: Bench, choices: Choices) -> tuple[str, str]:
    box = text_field("model-hub", "hub", "Hub id", choices.hub, 'placeholder="owner/name"')
    if not choices.hub:
        return box, "Type the id of the model first."
    if not HUB_ID.fullmatch(choices.hub):
        sentence = f"“{choices.hub}” is not a hub id. It looks like owner/name, for example Qwen/Qwen3-0.6B."
        return box + checks([("bad", sentence)]), "This is not a hub id."
    folder = model_folder(bench.home, choices.hub)
    if folder.is_dir():
        return box + facts_html(inspect_model(folder)), ""
    return box + download_html(
        read_download(bench.home, choices.hub), "model", "model"
    ), "Download the model first."


def facts_html(info: ModelInfo) -> str:
    """What was checked about a model that can be used."""
    items = [
        ("ok", f"{info.name}: {info.size} parameters, {size(info.bytes)} on disk, {info.architecture}."),
    ]
    if info.context:
        items.append(("ok", f"Reads up to {info.context:,} tokens (a token is a short piece of a word)."))
    if info.chat_template:
        items.append(("ok", "Has a chat template: it knows who speaks when."))
    else:
        items.append(("warn", "Has no chat template of its own; a common one (ChatML) is used."))
    return checks(items)  # type: ignore[arg-type]


_DETAILS = {"starter": _starter, "folder": _folder, "hub": _hub}
