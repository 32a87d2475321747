"""Step 6, Chat: talk to the tuned model through llama.cpp, with its base model beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from core.base.errors import UserError
from core.base.jobs import read_job, request_stop
from core.chat.talk import Side
from core.export.record import Export, base_gguf, base_job, newest_export, start_export
from core.runs.run import Run
from ui.bench import Bench
from ui.html import actions, button, esc, fold, heading, meter, notice, primary, size, text_field
from ui.parts import Step, View, log_error, panel
from ui.pick import run_picker

QUESTION = "Talk to your model"
HELP = "The same question goes to your model and to the base model it was made from: see what changed."
_BOT: dict[str, Any] = {
    "height": 420,
    "buttons": ["copy"],
    "latex_delimiters": [],
    "feedback_options": None,
    "visible": False,
}


def build(bench: Bench) -> Step:
    """Lay the step out and connect the conversation."""
    gr.HTML(heading("chat", QUESTION, HELP), elem_id="chat-heading", apply_default_css=False)
    top = panel("chat-panel", first=True)
    with gr.Row(elem_id="chat-columns"):
        tuned = gr.Chatbot(label="Your model", elem_id="chat-tuned", placeholder="Ask something.", **_BOT)
        base = gr.Chatbot(
            label="Base model", elem_id="chat-base", placeholder="Gets the same question.", **_BOT
        )
    problem = gr.HTML("", elem_id="chat-problem", apply_default_css=False, js_on_load=None)
    with gr.Row(elem_id="chat-ask"):
        box = gr.Textbox(
            label="Your question",
            placeholder="Ask something",
            elem_id="chat-question",
            container=False,
            max_lines=6,
            scale=1,
            interactive=True,
            visible=False,
        )
        send = gr.Button("Send", variant="primary", elem_id="chat-send", scale=0, visible=False)
        stop = gr.Button("Stop", variant="stop", elem_id="chat-stop", scale=0, visible=False)
        retry = gr.Button("Try again", elem_id="chat-retry", scale=0, visible=False)
    bottom = panel("chat-more")
    talk = [tuned, base, problem, send, stop, retry]
    _connect(bench, box, talk)
    shown = [View(part, lambda at, index=index: _shown(at)[index]) for index, part in enumerate(talk)]
    views = [View(top, top_html), *shown, View(box, _box), View(bottom, bottom_html)]
    return Step("chat", views, on_edit, on_act, [top, bottom])


def _connect(bench: Bench, box: gr.Textbox, talk: list[Any]) -> None:
    _, _, _, send, stop, retry = talk
    options: dict[str, Any] = {
        "show_progress": "hidden",
        "concurrency_limit": 8,
        "concurrency_id": "chat",
        "api_visibility": "private",
    }

    def asked(question: str) -> Iterator[list[Any]]:
        yield from ask(bench, question)

    def asked_again() -> Iterator[list[Any]]:
        yield from ask_again(bench)

    for event in (send.click, box.submit):
        event(asked, [box], [box, *talk], **options)
    retry.click(asked_again, None, [box, *talk], **options)
    stop.click(lambda: stop_answer(bench), queue=False, show_progress="hidden", api_visibility="private")


def ask(bench: Bench, question: str) -> Iterator[list[Any]]:
    """Ask both sides; yields the question box and the parts of the conversation as they change."""
    question = question.strip()
    if question:
        yield from _run_talk(
            bench, lambda talk: talk.ask(question, chat_files(bench), bench.choices().manner)
        )
    else:
        yield [gr.skip()] * 7


def ask_again(bench: Bench) -> Iterator[list[Any]]:
    """After a failure: the same question once more."""
    yield from _run_talk(bench, lambda talk: talk.again(chat_files(bench), bench.choices().manner))


def _run_talk(bench: Bench, begin: Any) -> Iterator[list[Any]]:
    talk = bench.talk()
    cleared: Any = ""
    try:
        if talk is None:
            raise UserError("There is no run to talk to yet. Train and export one first.")
        for _ in begin(talk):
            yield [cleared, *_shown(bench)]
            cleared = gr.skip()
        said = ""
    except UserError as problem:
        said = notice("bad", "That did not work", str(problem))
    except Exception as error:  # the edge of the app: logged with its trace, said on the page
        said = notice("bad", "Something went wrong in the app", log_error(bench, error))
    tuned, base, trouble, *buttons = _shown(bench)
    yield [gr.skip(), tuned, base, said or trouble, *buttons]


def stop_answer(bench: Bench) -> None:
    """Ask the answer that is being written to end; what was said so far stays."""
    talk = bench.talk()
    if talk is not None:
        talk.cancel.set()


def chat_files(bench: Bench) -> dict[Side, Path]:
    """The files to ask: the tuned one, and the base one if it is wanted and there."""
    run = bench.run()
    export = None if run is None else chosen_export(bench, run)
    if run is None or export is None:
        raise UserError("There is no file to talk to yet. Make one in the Export step first.")
    files: dict[Side, Path] = {"tuned": export.file}
    base = base_gguf(bench.home, run, export.quant) if bench.choices().compare else None
    if base is not None:
        files["base"] = base
    return files


def chosen_export(bench: Bench, run: Run) -> Export | None:
    """The run's file of the chosen quantization, else its newest."""
    return newest_export(run, bench.choices().quant) or newest_export(run)


def on_edit(bench: Bench, name: str, value: Any) -> None:
    """Another run, comparison on or off, or the manner of asking."""
    if name == "run":
        bench.choose(run=str(value))
    elif name == "compare":
        bench.choose(compare=bool(value))
    elif name == "system":
        bench.choose(system=str(value).strip())
    elif name == "temperature":
        bench.choose(temperature=_between(value, 0, 2, "Temperature"))
    elif name == "max_tokens":
        bench.choose(max_tokens=int(_between(value, 1, 4096, "Longest answer")))


def on_act(bench: Bench, name: str, value: Any) -> None:
    """A button was pressed: prepare the base model, stop that, or begin a new conversation."""
    run = bench.run()
    export = None if run is None else chosen_export(bench, run)
    if run is None or export is None:
        raise UserError("There is no file to talk to yet. Make one in the Export step first.")
    if name == "prepare-base":
        start_export(bench.home, run, export.quant, what="base")
    elif name == "stop-base":
        request_stop(base_job(bench.home, run, export.quant))
    elif name == "new":
        talk = bench.talk()
        if talk is not None:
            talk.clear()


def _between(value: Any, low: float, high: float, name: str) -> float:
    try:
        number = float(str(value).replace(",", "."))
    except ValueError:
        raise UserError(f"{name} needs a number; “{value}” is none.") from None
    if not low <= number <= high:
        raise UserError(f"{name} lies between {low:g} and {high:g}; {number:g} doesn't.")
    return number


def top_html(bench: Bench) -> str:
    """Which run and file, and whether the base model can be asked, too."""
    run = bench.run()
    if run is None:
        return notice("info", "There is nobody to talk to yet", "Train and export a run first.") + primary(
            "chat", "Go to Train", "train"
        )
    try:
        return run_picker(bench, run, "chat") + _file_html(bench, run)
    except UserError as problem:
        return run_picker(bench, run, "chat") + notice("bad", "This run is damaged", str(problem))


def _file_html(bench: Bench, run: Run) -> str:
    export = chosen_export(bench, run)
    if export is None:
        text = "This run has no GGUF file yet."
        return notice("info", "One step is missing", text) + primary("chat", "Go to Export", "export")
    file = (
        f'<p class="lg-help" id="chat-file">{esc(export.file.name)} · {size(export.bytes)} · by llama.cpp</p>'
    )
    return file + compare_html(bench, run, export)


def compare_html(bench: Bench, run: Run, export: Export) -> str:
    """The switch for the base model, and how its file can be had when it isn't there."""
    compare = bench.choices().compare
    box = f'<input type="checkbox" id="chat-compare" data-name="compare"{" checked" if compare else ""}>'
    switch = f'<label class="lg-switch" for="chat-compare">{box} Ask the base model, too</label>'
    if not compare or base_gguf(bench.home, run, export.quant) is not None:
        return switch
    job = read_job(base_job(bench.home, run, export.quant))
    if job.active:
        stop = button("chat-stop-base", "stop-base", "Stop", "quiet")
        words = f"Preparing the base model: {job.stage or 'starting'}"
        return f'{switch}<div class="lg-wait"><p>{esc(words)}</p>{meter(job.progress, words)}{stop}</div>'
    prepare = button("chat-prepare-base", "prepare-base", "Prepare the base model")
    if job.status in ("failed", "died"):
        return switch + notice("bad", "The base model could not be prepared", job.message, prepare)
    text = f"It is made into a {export.quant} file once, so that the comparison is fair."
    return switch + notice("info", "The base model isn't a file yet", text, prepare)


def _shown(bench: Bench) -> list[Any]:
    """Both columns, the problem, and which buttons are there."""
    talk = bench.talk()
    run = bench.run()
    ready = run is not None and chosen_export(bench, run) is not None
    if talk is None or not ready:
        hidden = gr.update(visible=False)
        return [hidden, hidden, "", hidden, hidden, hidden]
    base = talk.shown("base")
    compared = bench.choices().compare and (bool(base) or _base_ready(bench, talk.run))
    trouble = notice("bad", "The answer broke off", talk.problem) if talk.problem else ""
    state = f'<p class="lg-help" role="status">{esc(talk.doing)} …</p>' if talk.doing else ""
    return [
        gr.update(value=talk.shown("tuned"), visible=True),
        gr.update(value=base, visible=compared),
        trouble + state,
        gr.update(visible=not talk.busy),
        gr.update(visible=talk.busy),
        gr.update(visible=bool(talk.problem) and not talk.busy),
    ]


def _base_ready(bench: Bench, run: Run) -> bool:
    export = chosen_export(bench, run)
    try:
        return export is not None and base_gguf(bench.home, run, export.quant) is not None
    except UserError:
        # what is wrong with the run stands above the conversation
        return False


def _box(bench: Bench) -> Any:
    run = bench.run()
    return gr.update(visible=run is not None and chosen_export(bench, run) is not None)


def bottom_html(bench: Bench) -> str:
    """How to ask, and a new conversation."""
    run = bench.run()
    if run is None or chosen_export(bench, run) is None:
        return ""
    manner = bench.choices().manner
    number = 'inputmode="decimal"'
    settings = text_field(
        "chat-system", "system", "System prompt (empty: the model's own)", manner.system
    ) + '<div class="lg-group">{}{}</div>'.format(
        text_field(
            "chat-temperature",
            "temperature",
            "Temperature (0 strict, 1 lively)",
            f"{manner.temperature:g}",
            number,
        ),
        text_field("chat-max-tokens", "max_tokens", "Longest answer, in tokens", manner.max_tokens, number),
    )
    new = button("chat-new", "new", "New conversation", "quiet")
    return actions(new) + fold("chat-settings", "Settings", settings)
