"""Chat: talk to the tuned model through llama.cpp, with its base model beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from core.base.errors import UserError
from core.base.jobs import read_job, request_stop
from core.chat.talk import Side, Talk
from core.export.record import Export, base_gguf, base_job, out_of_date, start_export
from core.runs.run import Run
from ui.bench import Bench
from ui.render import render
from ui.scene import Scene, scene_of
from ui.step import BIND, Step, Values, View, guarded

_NO_FILE = "There is no file to talk to yet. Make one in the Export step first."


def _panel(scene: Scene) -> Values:
    """Which run and file, and whether the base model can be asked, too."""
    if scene.run is None or scene.export is None:
        return {"damage": scene.damage}
    try:
        base = base_gguf(scene.home, scene.run, scene.export.quant)
        job = read_job(base_job(scene.home, scene.run, scene.export.quant))
    except UserError as problem:
        return {"damage": str(problem)}
    return {"damage": "", "base": base, "job": job, "old": out_of_date(scene.run, scene.export)}


def _more(scene: Scene) -> Values | None:
    """How to ask, and a new conversation."""
    return None if scene.export is None else {"manner": scene.choices.manner}


def conversation(scene: Scene) -> list[Any]:
    """Both columns, the problem, and which buttons are there."""
    talk = scene.talk
    if talk is None or scene.run is None or scene.export is None:
        hidden = gr.update(visible=False)
        return [hidden, hidden, "", hidden, hidden, hidden]
    compared = scene.choices.compare and (
        bool(talk.shown("base")) or _base_file(scene, scene.run, scene.export) is not None
    )
    how = {"talk": talk, "markdown": scene.choices.markdown}
    return [
        gr.update(value=render("chat/column.html", side="tuned", title="Your model", **how), visible=True),
        gr.update(value=render("chat/column.html", side="base", title="Base model", **how), visible=compared),
        render("chat/problem.html", talk=talk),
        gr.update(visible=not talk.busy),
        gr.update(visible=talk.busy),
        gr.update(visible=bool(talk.problem) and not talk.busy),
    ]


def _base_file(scene: Scene, run: Run, export: Export) -> Path | None:
    """The base model's file; what is wrong with a damaged run stands above the conversation."""
    try:
        return base_gguf(scene.home, run, export.quant)
    except UserError:
        return None


def ask(bench: Bench, question: str) -> Iterator[list[Any]]:
    """Ask both sides; yields the question box and the parts of the conversation as they change."""
    question = question.strip()
    if not question:
        yield [gr.skip()] * 7
        return
    yield from _answer(bench, lambda talk, files, manner: talk.ask(question, files, manner))


def ask_again(bench: Bench) -> Iterator[list[Any]]:
    """After a failure: the same question once more."""
    yield from _answer(bench, lambda talk, files, manner: talk.again(files, manner))


def _answer(bench: Bench, begin: Callable[..., Iterator[None]]) -> Iterator[list[Any]]:
    scene = scene_of(bench)

    def begun() -> Iterator[None]:
        talk = scene.talk
        if talk is None:
            raise UserError("There is no run to talk to yet. Train and export one first.")
        return begin(talk, files_to_ask(scene), scene.choices.manner)

    answer, problem = guarded(bench, begun, "That did not work")
    # the question leaves its box with the first word of the answer
    box: Any = ""
    while not problem:
        going, problem = guarded(bench, lambda: next(answer, _END) is not _END, "That did not work")
        if not going:
            break
        yield [box, *conversation(scene)]
        box = gr.skip()
    tuned, base, trouble, *buttons = conversation(scene)
    yield [gr.skip(), tuned, base, problem or trouble, *buttons]


_END = object()


def files_to_ask(scene: Scene) -> dict[Side, Path]:
    """The files to ask: the tuned one, and the base one if it is wanted and there."""
    if scene.run is None or scene.export is None:
        raise UserError(_NO_FILE)
    files: dict[Side, Path] = {"tuned": scene.export.file}
    base = base_gguf(scene.home, scene.run, scene.export.quant) if scene.choices.compare else None
    if base is not None:
        files["base"] = base
    return files


def _talk(bench: Bench) -> Talk | None:
    return scene_of(bench).talk


def _stop_answer(bench: Bench) -> None:
    """Ask the answer that is being written to end; what was said so far stays."""
    talk = _talk(bench)
    if talk is not None:
        talk.cancel.set()


def _prepare_base(bench: Bench, value: Any) -> None:
    run, export = _run_and_export(bench)
    start_export(bench.home, run, export.quant, what="base")


def _stop_base(bench: Bench, value: Any) -> None:
    run, export = _run_and_export(bench)
    request_stop(base_job(bench.home, run, export.quant))


def _new_talk(bench: Bench, value: Any) -> None:
    talk = _talk(bench)
    if talk is not None:
        talk.clear()


def _run_and_export(bench: Bench) -> tuple[Run, Export]:
    scene = scene_of(bench)
    if scene.run is None or scene.export is None:
        raise UserError(_NO_FILE)
    return scene.run, scene.export


def _between(value: Any, low: float, high: float, name: str) -> float:
    try:
        number = float(str(value).replace(",", "."))
    except ValueError:
        raise UserError(f"{name} needs a number; “{value}” is none.") from None
    if not low <= number <= high:
        raise UserError(f"{name} lies between {low:g} and {high:g}; {number:g} doesn't.")
    return number


def _temperature(bench: Bench, value: Any) -> None:
    bench.choose(temperature=_between(value, 0, 2, "Temperature"))


def _most_tokens(bench: Bench, value: Any) -> None:
    bench.choose(max_tokens=int(_between(value, 1, 4096, "Longest answer")))


class ChatStep(Step):
    name = "chat"
    title = "Chat"
    order = 60
    question = "Talk to your model"
    help = "The same question goes to your model and to the base model it was made from: see what changed."
    parts = {"chat-panel": _panel, "chat-more": _more}
    edits = {
        "run": lambda bench, value: bench.choose(run=str(value)),
        "compare": lambda bench, value: bench.choose(compare=bool(value)),
        "markdown": lambda bench, value: bench.choose(markdown=bool(value)),
        "system": lambda bench, value: bench.choose(system=str(value).strip()),
        "temperature": _temperature,
        "max_tokens": _most_tokens,
    }
    acts = {"prepare-base": _prepare_base, "stop-base": _stop_base, "new": _new_talk}

    def build(self, bench: Bench) -> list[View]:
        """The conversation stands between the two panels; it has events of its own."""
        top = self.panel("chat-panel")
        with gr.Row(elem_id="chat-columns"):
            tuned, base = (
                gr.HTML("", elem_id=name, js_on_load=BIND, apply_default_css=False, visible=False)
                for name in ("chat-tuned", "chat-base")
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
        parts = [tuned, base, problem, send, stop, retry]
        _connect(bench, box, parts)
        shown = [View(part, lambda scene, at=at: conversation(scene)[at]) for at, part in enumerate(parts)]
        asking = View(box, lambda scene: gr.update(visible=scene.export is not None))
        return [top, *shown, asking, self.panel("chat-more")]


def _connect(bench: Bench, box: gr.Textbox, parts: list[Any]) -> None:
    _, _, _, send, stop, retry = parts
    options: dict[str, Any] = {
        "show_progress": "hidden",
        "concurrency_limit": 8,
        "concurrency_id": "chat",
        "api_visibility": "private",
    }

    def on_ask(question: str) -> Iterator[list[Any]]:
        yield from ask(bench, question)

    def on_ask_again() -> Iterator[list[Any]]:
        yield from ask_again(bench)

    for event in (send.click, box.submit):
        event(on_ask, [box], [box, *parts], **options)
    retry.click(on_ask_again, None, [box, *parts], **options)
    stop.click(lambda: _stop_answer(bench), queue=False, show_progress="hidden", api_visibility="private")
