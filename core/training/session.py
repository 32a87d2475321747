"""One training session, from the run folder to the adapter: what the worker does between its stages."""

from __future__ import annotations

import os
import platform
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from core.dataset import ChatTokenizer, Conversation, read_snapshot
from core.errors import UserError
from core.files import sha256_file
from core.hardware import usable_cores
from core.home import Home
from core.jobs import Worker
from core.models import resolve_model, weight_files
from core.recipe import Recipe
from core.runs import Run
from core.training.checkpoints import CheckpointStore, publish_adapter
from core.training.engine import Engine, Setup, load_engine
from core.training.heldout import HeldOut
from core.training.losses import count_trained
from core.training.precision import find_device, pick_precision
from core.training.progress import Reporter, peak_memory
from core.training.trainer import (
    Collator,
    Rows,
    count_steps,
    pick_optimizer,
    token_budget,
    trainer_arguments,
)
from core.training.troubles import loading_troubles, training_troubles

_LIBRARIES = (
    "torch",
    "transformers",
    "peft",
    "accelerate",
    "tokenizers",
    "bitsandbytes",
    "trl",
    "unsloth",
    "unsloth_zoo",
)


@dataclass
class Session:
    """Everything loaded and ready: `train()`, then `save_adapter()` and `summary()`."""

    worker: Worker
    run: Run
    setup: Setup
    reasons: dict[str, str]
    trainer: Any
    reporter: Reporter
    store: CheckpointStore
    resume_step: int | None

    @classmethod
    def load(
        cls,
        worker: Worker,
        run: Run,
        home: Home,
        engine: tuple[str, str],
        asked: Callable[[], str | None],
        resume: bool,
    ) -> Session:
        """Read recipe, data and model; everything that can be wrong before the first step shows here.

        `engine` is what `choose_engine` returned: it must come before this module is imported.
        """
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or usable_cores()))
        model_folder = resolve_model(home, run.recipe.model)
        recipe = note_origins(worker, run, run.recipe, model_folder, resume)
        tokenizer = ChatTokenizer.load(model_folder)
        rows, heldout_rows = tokenize_snapshot(worker, run, recipe, tokenizer)
        store = CheckpointStore(run.checkpoints, recipe.keep_checkpoints)
        step = _resume_step(worker, store) if resume else _start_afresh(store)

        device = find_device()
        precision, why = pick_precision(recipe, device)
        setup = Setup(recipe, model_folder, device.kind, precision)
        reasons = {
            "engine": engine[0],
            "reason": engine[1],
            "precision": precision,
            "precision_reason": why,
            "device": device.name,
        }
        module = load_engine(engine[0])
        with loading_troubles(model_folder):
            model = module.load_model(setup)
        collator = Collator(next((i for i in (tokenizer.pad_id, tokenizer.eos_id) if i is not None), 0))
        budget = token_budget(recipe)
        heldout = HeldOut(heldout_rows, collator, module.summed_loss, torch.device(device.kind), budget)
        reporter = Reporter(worker, recipe, heldout, precision, asked, reasons)
        trainer = _make_trainer(worker, module, setup, model, rows, store, collator, reporter)
        return cls(worker, run, setup, reasons, trainer, reporter, store, step)

    @property
    def stopped_by(self) -> str | None:
        """`stop` or `save` when training ended early on request."""
        return self.reporter.stopped_by

    def train(self) -> None:
        """Run the Trainer to its end, or to where somebody asks it to stop."""
        total = count_steps(self.setup.recipe, len(self.trainer.train_dataset))
        checkpoint = None if self.resume_step is None else str(self.store.path(self.resume_step))
        with training_troubles(self.reporter):
            if checkpoint is not None and self.resume_step is not None and self.resume_step >= total:
                # all steps are done; the Trainer would add one
                self.trainer._load_from_checkpoint(checkpoint)
                self.reporter.nothing_left(self.trainer.model, self.resume_step)
                return
            self.trainer.train(resume_from_checkpoint=checkpoint)

    def save_adapter(self) -> None:
        """Write `adapter/` in PEFT's format, aside first."""
        publish_adapter(self.trainer.model, self.run.adapter, str(self.setup.model_folder))

    def stop_sentence(self) -> str:
        step = self.reporter.step
        if self.stopped_by == "save":
            return f"Stopped at step {step} as asked; the adapter of that step is saved and can be exported."
        if self.store.failed:
            return (
                f"Stopped at step {step} as asked, but its checkpoint could not be written: the disk is full."
            )
        return f"Stopped at step {step} as asked. Resume goes on from there."

    def summary(self, seconds: dict[str, float]) -> dict[str, Any]:
        """What the run came to. Losses in nats per trained token, memory in bytes."""
        reporter = self.reporter
        return {
            "steps": reporter.step,
            "tokens": reporter.speed.tokens,
            "tokens_per_s": round(reporter.speed.overall, 1),
            "heldout_loss_base": reporter.base_loss,
            "heldout_loss_tuned": reporter.tuned_loss,
            "peak_memory": peak_memory(),
            "seconds": {**seconds, "evaluating": round(reporter.eval_seconds, 2)},
            **self.reasons,
        }


def _make_trainer(
    worker: Worker,
    engine: Engine,
    setup: Setup,
    model: torch.nn.Module,
    rows: Rows,
    store: CheckpointStore,
    collator: Collator,
    reporter: Reporter,
) -> Any:
    arguments = trainer_arguments(setup.recipe, setup.device, setup.precision, store.partial)
    note = pick_optimizer(setup.recipe, setup.device)[1]
    if note:
        worker.say("warning", message=note)
    trainer = engine.make_trainer(setup, model, rows, arguments, data_collator=collator, callbacks=[reporter])
    store.on_saved = lambda step: worker.say("checkpoint", step=step)
    store.on_failed = lambda step, problem: worker.say(
        "warning",
        message=f"The checkpoint of step {step} was not written: {problem}. Training goes on.",
    )
    trainer.store, trainer.recipe = store, setup.recipe  # type: ignore[attr-defined]
    return trainer


def tokenize_snapshot(
    worker: Worker, run: Run, recipe: Recipe, tokenizer: ChatTokenizer
) -> tuple[Rows, Rows]:
    """The run's training rows and held-out rows, ids and labels as the preview shows them."""
    train, heldout = read_snapshot(run.data)
    rows = _tokenize(worker, train, "training", tokenizer, recipe.max_length)
    if not rows:
        raise UserError(
            f"None of the {len(train)} training rows has an answer to learn within "
            f"{recipe.max_length} tokens. Choose a longer maximum length, or look at the Data step."
        )
    return rows, _tokenize(worker, heldout, "held-out", tokenizer, recipe.max_length)


def _tokenize(
    worker: Worker,
    conversations: Iterable[Conversation],
    kind: str,
    tokenizer: ChatTokenizer,
    max_length: int,
) -> Rows:
    rows: Rows = []
    dropped: Counter[str] = Counter()
    cut = 0
    for conversation in conversations:
        encoded = tokenizer.encode(conversation.messages, max_length)
        if encoded.reason is not None or count_trained(encoded.labels) == 0:
            dropped[encoded.reason or "no answer to train"] += 1
            continue
        cut += encoded.cut > 0
        rows.append({"input_ids": encoded.ids, "labels": encoded.labels})
    for reason, count in dropped.items():
        worker.say("warning", message=f"{count} {kind} row(s) left out: {reason}.")
    if cut:
        worker.say(
            "warning",
            message=f"{cut} {kind} row(s) are longer than {max_length} tokens and were cut off there.",
        )
    return rows


def note_origins(worker: Worker, run: Run, recipe: Recipe, model_folder: Path, resume: bool) -> Recipe:
    """Write library versions and hashes of data and model into the run's recipe.

    On a resume they are compared: other data or another model is a UserError, another library a warning.
    """
    versions, hashes = library_versions(), origin_hashes(run, model_folder)
    if resume and recipe.hashes:
        changed = sorted(key for key, value in hashes.items() if recipe.hashes.get(key, value) != value)
        if changed:
            raise UserError(
                f"{', '.join(changed)} changed since this run began, so it can't be resumed. "
                "Start a new run instead."
            )
        for name in sorted(
            key for key, value in versions.items() if recipe.versions.get(key, value) != value
        ):
            message = f"{name} was {recipe.versions[name]} when this run began and is {versions[name]} now."
            worker.say("warning", message=message)
    noted = recipe.with_changes(versions=versions, hashes=hashes)
    noted.save(run.folder / "recipe.yaml")
    return noted


def library_versions() -> dict[str, str]:
    """Versions of Python and of the installed libraries that decide a run's numbers."""
    found = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def origin_hashes(run: Run, model_folder: Path) -> dict[str, str]:
    """SHA-256 of the data snapshot and of the model's files, by a readable name."""
    data = [run.data / "train.jsonl", run.data / "heldout.jsonl"]
    model = [
        model_folder / "config.json",
        model_folder / "tokenizer.json",
        *weight_files(model_folder),
    ]
    named = {f"data/{path.name}": path for path in data} | {f"model/{path.name}": path for path in model}
    return {name: sha256_file(path) for name, path in named.items() if path.is_file()}


def _resume_step(worker: Worker, store: CheckpointStore) -> int | None:
    step, problems = store.newest_complete()
    for problem in problems:
        worker.say("warning", message=problem)
    if step is None:
        worker.say(
            "warning",
            message="There is no complete checkpoint, so training starts from the beginning.",
        )
    return step


def _start_afresh(store: CheckpointStore) -> None:
    if store.steps():
        raise UserError("This run has checkpoints already. Resume it, or start a new run.")
    store.folder.mkdir(parents=True, exist_ok=True)
    store.clean()
