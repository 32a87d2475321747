"""The commands without a screen: demo, train, export, chat, check-data. They do the same as the page does."""

from __future__ import annotations

import argparse
import io
import json
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.chat.service import ChatServer
from core.check_data import check_data
from core.dataset import read_snapshot
from core.download import download_job, start_download
from core.errors import UserError
from core.events import EventLog, now
from core.export.service import Export, base_gguf, base_job, export_job, newest_export, start_export
from core.hardware import find_hardware
from core.home import Home, open_home
from core.jobs import JobState, read_job, request_stop, wait_job
from core.models import is_hub_id, model_folder
from core.presets import choose_preset, preset_named
from core.recipe import Recipe, load_yaml, parse_recipe
from core.runs import Run, create_run, finished_checkpoints, open_run, read_progress, start_training

DEMO_QUESTIONS = 3
DEMO_QUANT = "Q4_K_M"


class WorkerFailed(Exception):
    """A worker ended through no fault of the user; `log` says more."""

    def __init__(self, message: str, log: Path) -> None:
        super().__init__(message)
        self.log = log


def run(args: argparse.Namespace) -> int:
    """Carry out `args.command`: 0 when done, 2 for a user's error or rejected data, 1 for ours (the log)."""
    home: Home | None = None
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # what the terminal has no character for is no reason to fail
            stream.reconfigure(errors="backslashreplace")
    try:
        home = open_home(args.home)
        result = COMMANDS[args.command](home, args)
    except UserError as error:
        return _fail(args, 2, str(error))
    except WorkerFailed as error:
        return _fail(args, 1, str(error), error.log)
    except KeyboardInterrupt:
        return _fail(args, 2, "Stopped.")
    except Exception as error:
        log = _write_crash(home)
        return _fail(args, 1, f"An unexpected error: {type(error).__name__}: {error}.", log)
    if args.json:
        _print_json(result)
    return 2 if result.get("verdict") == "reject" else 0


def _fail(args: argparse.Namespace, code: int, sentence: str, log: Path | None = None) -> int:
    where = f" The log: {log}" if log else ""
    print(sentence + where, file=sys.stderr, flush=True)
    if args.json:
        _print_json({"error": sentence, "log": str(log) if log else None})
    return code


def _print_json(value: dict[str, Any]) -> None:
    """One line; escaped where the terminal can't write every character."""
    plain = (sys.stdout.encoding or "").lower() not in ("utf-8", "utf8")
    print(json.dumps(value, ensure_ascii=plain), flush=True)


def _write_crash(home: Home | None) -> Path | None:
    if home is None:
        traceback.print_exc()
        return None
    log = home.root / "commands.log"
    with open(log, "a", encoding="utf-8") as file:
        file.write(f"\n--- {now()}\n{traceback.format_exc()}")
    return log


def train(home: Home, args: argparse.Namespace) -> dict[str, Any]:
    """Train a recipe file to its end, or resume a run that is named instead of a file."""
    target = Path(args.recipe).expanduser()
    if target.is_file():
        recipe = _recipe_file(target)
        if is_hub_id(recipe.model) and not model_folder(home, recipe.model).is_dir():
            _follow(download_job(home, recipe.model), lambda: start_download(home, recipe.model))
        found, resume = create_run(home, recipe), False
    else:
        found = open_run(home, args.recipe)
        resume = bool(finished_checkpoints(found))
    _train(home, found, resume)
    return _train_summary(found)


def _recipe_file(path: Path) -> Recipe:
    """A recipe may leave out what a preset says: the one it names, else the one for this machine."""
    values = load_yaml(path)
    preset = preset_named(values["preset"]) if values.get("preset") else choose_preset(find_hardware())[0]
    # paths in a recipe are meant from the recipe's own folder
    for key in {"data", "heldout", "model"} & values.keys():
        values[key] = _from_folder(path.parent, values[key])
    return parse_recipe({**preset.settings, "preset": preset.key, **values}, str(path))


def _from_folder(folder: Path, value: Any) -> Any:
    """A path (or a list of them) that exists below `folder`, whole; anything else as it is."""
    if isinstance(value, list):
        return [_from_folder(folder, item) for item in value]
    if isinstance(value, str) and (folder / value).exists():
        return str((folder / value).resolve())
    return value


def _train(home: Home, found: Run, resume: bool = False) -> None:
    print(f"Run {found.folder}", flush=True)
    _follow(found.folder, lambda: start_training(home, found, resume))


def _train_summary(found: Run) -> dict[str, Any]:
    progress = read_progress(found)
    return {
        "run": str(found.folder),
        "adapter": str(found.adapter),
        "status": progress.job.status,
        **progress.summary,
    }


def export(home: Home, args: argparse.Namespace) -> dict[str, Any]:
    """Merge, convert and quantize a trained run."""
    return _export(home, open_run(home, args.run), args.quant).to_json()


def _export(home: Home, found: Run, quant: str) -> Export:
    _follow(export_job(found), lambda: start_export(home, found, quant))
    made = newest_export(found, quant)
    if made is None:
        raise WorkerFailed("The export left no file.", export_job(found) / "worker.log")
    print(f"GGUF {made.file} ({made.bytes / 1e6:.0f} MB, sha256 {made.sha256[:12]}…)", flush=True)
    return made


def chat(home: Home, args: argparse.Namespace) -> dict[str, Any]:
    """One answer from a run's newest GGUF, or from a GGUF file."""
    file = Path(args.target).expanduser()
    if file.suffix != ".gguf":
        found = open_run(home, args.target)
        made = newest_export(found)
        if made is None:
            raise UserError(f"{found.name} has no GGUF yet. Run `python app.py export {found.name}` first.")
        file = made.file
    answer = _ask(file, [args.prompt], args.system, args.max_tokens, args.temperature, echo=True)[0]
    return {"gguf": str(file), "prompt": args.prompt, "answer": answer}


def _ask(
    gguf: Path,
    prompts: list[str],
    system: str | None,
    max_tokens: int,
    temperature: float,
    echo: bool = False,
) -> list[str]:
    """The model's answers, each to a conversation of its own."""
    server = ChatServer.start(gguf)
    try:
        return [_answer(server, prompt, system, max_tokens, temperature, echo) for prompt in prompts]
    finally:
        server.stop()


def _answer(
    server: ChatServer, prompt: str, system: str | None, max_tokens: int, temperature: float, echo: bool
) -> str:
    messages = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": prompt})
    pieces = []
    for piece in server.stream(messages, temperature=temperature, max_tokens=max_tokens):
        pieces.append(piece)
        if echo:
            print(piece, end="", flush=True)
    if echo:
        print(flush=True)
    return "".join(pieces).strip()


def demo(home: Home, args: argparse.Namespace) -> dict[str, Any]:
    """The whole way on the embedded default: starter model, sample data, CPU preset, GGUF, three answers."""
    seconds: dict[str, float] = {}
    clock = _Clock(seconds)
    recipe = preset_named("cpu").recipe(data="sample", name="pirate")
    found = clock.time("prepare", lambda: create_run(home, recipe))
    clock.time("train", lambda: _train(home, found))
    made = clock.time("export", lambda: _export(home, found, DEMO_QUANT))
    base = clock.time("export_base", lambda: _base(home, found))
    prompts = _demo_prompts(found)
    tuned = clock.time("chat_tuned", lambda: _ask(made.file, prompts, None, 80, 0.0))
    plain = clock.time("chat_base", lambda: _ask(base, prompts, None, 80, 0.0))
    answers = [
        {"prompt": prompt, "base": before, "tuned": after}
        for prompt, before, after in zip(prompts, plain, tuned)
    ]
    result = _demo_result(found, made, answers, seconds)
    _print_demo(result)
    return result


class _Clock:
    """Wall-clock seconds by stage, and one line for each."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self.seconds = seconds

    def time(self, stage: str, work: Callable[[], Any]) -> Any:
        began = time.monotonic()
        result = work()
        self.seconds[stage] = round(time.monotonic() - began, 1)
        print(f"{stage.replace('_', ' ')}: {self.seconds[stage]} s", flush=True)
        return result


def _base(home: Home, found: Run) -> Path:
    """The untouched base model at the same quantization, so that the comparison is fair; made once."""
    if base_gguf(home, found, DEMO_QUANT) is None:
        job = base_job(home, found, DEMO_QUANT)
        _follow(job, lambda: start_export(home, found, DEMO_QUANT, what="base"))
    file = base_gguf(home, found, DEMO_QUANT)
    if file is None:
        raise WorkerFailed(
            "The base model's GGUF is missing.", base_job(home, found, DEMO_QUANT) / "worker.log"
        )
    return file


def _demo_prompts(found: Run) -> list[str]:
    _, heldout = read_snapshot(found.data)
    firsts = [row.messages[0]["content"] for row in heldout if row.messages[0]["role"] == "user"]
    return firsts[:DEMO_QUESTIONS]


def _demo_result(
    found: Run, made: Export, answers: list[dict[str, str]], seconds: dict[str, float]
) -> dict[str, Any]:
    summary = read_progress(found).summary
    return {
        "run": str(found.folder),
        "backend": summary["engine"],
        "steps": summary["steps"],
        "tokens_per_s": summary["tokens_per_s"],
        "heldout_loss_base": summary["heldout_loss_base"],
        "heldout_loss_tuned": summary["heldout_loss_tuned"],
        "gguf": str(made.file),
        "gguf_sha256": made.sha256,
        "answers": answers,
        "seconds": {**seconds, "total": round(sum(seconds.values()), 1)},
    }


def _print_demo(result: dict[str, Any]) -> None:
    before, after = result["heldout_loss_base"], result["heldout_loss_tuned"]
    print(f"\nHeld-out loss {before:.3f} before, {after:.3f} after: {1 - after / before:.0%} lower.")
    for answer in result["answers"]:
        print(f"\nYou:   {answer['prompt']}\nBase:  {answer['base']}\nTuned: {answer['tuned']}")
    print(f"\nThe model: {result['gguf']}\nEverything took {result['seconds']['total']:.0f} s.", flush=True)


def _follow(folder: Path, start: Callable[[], Any]) -> None:
    """Start a job and print what it says until it is over.

    Ctrl-C asks it to stop; how it ended is raised if it went wrong.
    """
    log = EventLog(folder / "events.jsonl")
    offset = log.size()
    start()
    try:
        while True:
            # the state is read first: what was logged before it said "done" is then printed, too
            state = read_job(folder)
            offset = _print_news(log, offset, state)
            if not state.active:
                break
            time.sleep(0.3)
    except KeyboardInterrupt:
        print("Stopping at the next safe point …", flush=True)
        request_stop(folder)
        state = wait_job(folder, timeout_s=60)
    _raise_unless_done(state, folder)


def _raise_unless_done(state: JobState, folder: Path) -> None:
    if state.status == "failed" and state.fields.get("error") == "UserError":
        raise UserError(state.message)
    if state.status in ("failed", "died", "none"):
        raise WorkerFailed(state.message, folder / "worker.log")
    if state.status == "stopped":
        raise UserError(state.message or "Stopped.")
    if state.active:
        raise UserError(f"It has not stopped yet and goes on in the background; {folder} shows how it ends.")


def _print_news(log: EventLog, offset: int, state: JobState) -> int:
    events, offset = log.read(offset)
    for event in events:
        line = _line(event)
        if line:
            print(line, flush=True)
    return offset


def _line(event: dict[str, Any]) -> str:
    kind = event["kind"]
    if kind == "stage":
        return f"· {event['stage']}"
    if kind == "started":
        return f"· engine {event.get('engine')} ({event.get('reason')}), precision {event.get('precision')}"
    if kind == "warning":
        return f"! {event.get('message')}"
    if kind == "eval":
        return f"  step {event['step']}: held-out loss {event['loss']:.3f}"
    if kind == "log" and event["step"] % 5 == 0:
        return f"  step {event['step']}/{event.get('total_steps')}: loss {event['loss']:.3f}, {_speed(event)}"
    return ""


def _speed(event: dict[str, Any]) -> str:
    speed, left = event.get("tokens_per_s"), event.get("eta_s")
    told = f"{speed:.0f} tokens/s" if speed else "no speed yet"
    return told + (f", {left:.0f} s left" if left is not None else "")


COMMANDS: dict[str, Callable[[Home, argparse.Namespace], dict[str, Any]]] = {
    "demo": demo,
    "train": train,
    "export": export,
    "chat": chat,
    "check-data": check_data,
}
