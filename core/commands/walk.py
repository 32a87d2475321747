"""The whole way without a screen: train, export, chat, and demo. They do the same as the page does."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.base.errors import UserError, WorkerFailed
from core.base.home import Home
from core.chat.service import ChatServer
from core.commands.follow import follow
from core.data import read_snapshot
from core.export.service import Export, base_gguf, base_job, export_job, newest_export, start_export
from core.hub.download import download_job, start_download
from core.machine import find_hardware
from core.models import is_hub_id, model_folder, resolve_model
from core.presets import choose_preset, preset_named
from core.recipe import Recipe, load_yaml, parse_recipe
from core.runs.data import scan_data
from core.runs.run import Run, create_run, finished_checkpoints, open_run, read_progress, start_training

DEMO_QUESTIONS = 3
DEMO_QUANT = "Q4_K_M"


def train(home: Home, args: argparse.Namespace) -> dict[str, Any]:
    """Train a recipe file to its end, or resume a run that is named instead of a file."""
    target = Path(args.recipe).expanduser()
    if target.is_file():
        recipe = recipe_file(target, home)
        if is_hub_id(recipe.model) and not model_folder(home, recipe.model).is_dir():
            follow(download_job(home, recipe.model), lambda: start_download(home, recipe.model))
        found, resume = _create(home, recipe), False
    else:
        found = open_run(home, args.recipe)
        resume = bool(finished_checkpoints(found))
    _train(home, found, resume)
    return _train_summary(found)


def recipe_file(path: Path, home: Home | None = None) -> Recipe:
    """A recipe may leave out what a preset says: the one it names, else the one for this machine."""
    values = load_yaml(path)
    named = str(values.get("preset") or "")
    preset = preset_named(named, home) if named else choose_preset(find_hardware())[0]
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


def _create(home: Home, recipe: Recipe) -> Run:
    """A run of a recipe; what is wrong with model or data is said before there is one."""
    resolve_model(home, recipe.model)
    scan_data(home, recipe)
    return create_run(home, recipe)


def _train(home: Home, found: Run, resume: bool = False) -> None:
    print(f"Run {found.folder}", flush=True)
    follow(found.folder, lambda: start_training(home, found, resume))


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
    follow(export_job(found), lambda: start_export(home, found, quant))
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
    found = clock.time("prepare", lambda: _create(home, recipe))
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
        follow(job, lambda: start_export(home, found, DEMO_QUANT, what="base"))
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
