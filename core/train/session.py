"""One training session, from the run folder to the adapter: what the worker does between its stages."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import Timeout

from core.base.cores import usable_cores
from core.base.errors import UserError, disk_sentence, first_line, is_disk_trouble, is_out_of_memory
from core.base.home import Home
from core.base.jobs import Worker
from core.data import ChatTokenizer
from core.fit.answer import Fit
from core.fit.speed import count_steps
from core.fit.training import refusal_of
from core.methods.method import method_of
from core.methods.settle import reason_for, settle
from core.models import read_config, resolve_model
from core.recipe import Recipe
from core.runs.run import Run
from core.train.batches import Collator, token_budget
from core.train.checkpoints import CheckpointStore, Origin, publish_adapter
from core.train.device import find_device
from core.train.engine import Engine, trainer_arguments
from core.train.meters import HeldOut, peak_memory
from core.train.record import note_origins, plan_run
from core.train.rows import tokenize_snapshot
from core.train.watch import Reporter


@dataclass
class Session:
    """Everything loaded and ready: `train()`, then `save_adapter()` and `summary()`. `recipe` is settled."""

    worker: Worker
    run: Run
    home: Home
    recipe: Recipe
    model_folder: Path
    tokenizer: ChatTokenizer
    planned: Fit | None
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
        unsloth: str,
        stop_request: Callable[[], str | None],
        resume: bool,
    ) -> Session:
        """Read recipe, data and model; everything that can be wrong before the first step shows here.

        `unsloth` says why Unsloth can't be had; where it can, it must be imported before this module.
        """
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or usable_cores()))
        folder = resolve_model(home, run.recipe.model)
        device = find_device(unsloth)
        if problem := refusal_of(run.recipe, device):
            raise UserError(problem)
        recipe, reasons = settle(run.recipe, device, caps_scores(folder))
        worker.update(engine=recipe.engine, reason=reason_for("engine", reasons))
        note_origins(worker, run, run.recipe, folder, resume)
        tokenizer = ChatTokenizer.load(folder, recipe.chat_template, recipe.day)
        if tokenizer.template_note and not resume:
            worker.say("warning", message=tokenizer.template_note)
        rows, heldout_rows = tokenize_snapshot(worker, run, recipe, tokenizer, stop_request)
        store = _checkpoints(worker, run)
        step = _resume_step(worker, store) if resume else _start_afresh(store)
        for reason in reasons:
            # engine and precision stand with the run
            if reason.knob not in ("engine", "precision") and reason.changes_a_wish:
                worker.say("warning", message=reason.sentence)

        planned = plan_run(worker, home, recipe, folder, device, rows.lengths)
        facts = {
            "engine": recipe.engine,
            "reason": reason_for("engine", reasons),
            "precision": recipe.precision,
            "precision_reason": reason_for("precision", reasons),
            "device": device.name,
            "rows": len(rows),
            "heldout_rows": len(heldout_rows),
            "estimated_memory": planned.estimate.total if planned else None,
        }
        engine: Engine = importlib.import_module(f"core.train.{recipe.engine}")  # pyright: ignore[reportAssignmentType]
        with _loading_troubles(folder):
            model = engine.load_model(recipe, folder, device.kind)
        collator = Collator(next((i for i in (tokenizer.pad_id, tokenizer.eos_id) if i is not None), 0))
        place = torch.device(device.kind)
        heldout = HeldOut(heldout_rows, collator, engine.summed_loss, place, token_budget(recipe))
        reporter = Reporter(worker, recipe, heldout, stop_request, facts)
        arguments = trainer_arguments(recipe, device.kind, store.partial)
        trainer = engine.make_trainer(
            recipe, folder, model, rows, arguments, data_collator=collator, callbacks=[reporter]
        )
        trainer.store, trainer.recipe = store, recipe
        method_of(recipe).hooks(trainer)
        return cls(worker, run, home, recipe, folder, tokenizer, planned, trainer, reporter, store, step)

    @property
    def stopped_by(self) -> str | None:
        """`stop` or `save` when training ended early on request."""
        return self.reporter.stopped_by

    def train(self) -> None:
        """Run the Trainer to its end, or to where somebody asks it to stop."""
        total = count_steps(self.recipe, len(self.trainer.train_dataset))
        checkpoint = None if self.resume_step is None else str(self.store.path(self.resume_step))
        with _training_troubles(self.reporter):
            if checkpoint is not None and self.resume_step is not None and self.resume_step >= total:
                # all steps are done; the Trainer would add one
                self.trainer._load_from_checkpoint(checkpoint)
                self.reporter.nothing_left(self.trainer.model, self.resume_step)
                return
            self.trainer.train(resume_from_checkpoint=checkpoint)

    def save_adapter(self) -> None:
        """Write `adapter/` in PEFT's format, aside first."""
        step = self.reporter.step
        publish_adapter(self.trainer.model, self.run, step, str(self.model_folder), self.tokenizer)

    def note_measured(self) -> None:
        """Keep the peak beside its estimate: it corrects later ones on this machine."""
        # Apple's GPUs tell no peak
        if self.planned is None or torch.backends.mps.is_available():
            return
        reporter = self.reporter
        # the longest row makes the peak, so every row must have been computed once
        whole = reporter.step * self.recipe.effective_batch >= len(self.trainer.train_dataset)
        try:
            self.planned.note(self.run.name, peak_memory() if whole else 0, reporter.speed.overall)
        except (OSError, UserError, Timeout) as problem:
            message = f"The measured memory could not be kept for later estimates: {problem}"
            self.worker.say("warning", message=message)

    def stop_sentence(self) -> str:
        begin = f"Stopped at step {self.reporter.step} as asked"
        if self.stopped_by == "save":
            return f"{begin}; the adapter of that step is saved and can be exported."
        if self.store.problem:
            return f"{begin}, but its checkpoint could not be written: {self.store.problem}."
        return f"{begin}. Resume goes on from there."

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
            **reporter.facts,
        }


def caps_scores(model_folder: Path) -> bool:
    """Whether the model caps its attention scores; Transformers' own default for Gemma 2 is to do so."""
    config = read_config(model_folder)
    text = {**config, **(config.get("text_config") or {})}
    default = 50.0 if str(text.get("model_type", "")).startswith("gemma2") else None
    return bool(text.get("attn_logit_softcapping", default))


def _checkpoints(worker: Worker, run: Run) -> CheckpointStore:
    recipe = run.recipe

    def failed(step: int, problem: str) -> None:
        message = f"The checkpoint of step {step} was not written: {problem}. Training goes on."
        worker.say("warning", message=message)

    def saved(step: int) -> None:
        worker.say("checkpoint", step=step)

    return CheckpointStore(run.checkpoints, recipe.keep_checkpoints, Origin.of(recipe), saved, failed)


def _resume_step(worker: Worker, store: CheckpointStore) -> int | None:
    step, problems = store.newest_complete()
    if step is None:
        problems.append("There is no complete checkpoint, so training starts from the beginning.")
    elif changes := store.changes(step):
        problems.append(f"The recipe was changed since the checkpoint of step {step}: {'; '.join(changes)}.")
    for problem in problems:
        worker.say("warning", message=problem)
    return step


def _start_afresh(store: CheckpointStore) -> None:
    if store.steps():
        raise UserError("This run has checkpoints already. Resume it, or start a new run.")
    store.folder.mkdir(parents=True, exist_ok=True)
    store.clean()


@contextmanager
def _loading_troubles(model_folder: Path) -> Iterator[None]:
    """Whatever goes wrong while a model is loaded names the folder and the likely way out."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise UserError(
                f"The model in {model_folder} does not fit into memory. "
                "Choose a smaller one, or a preset that keeps it in 4 bits."
            ) from error
        raise UserError(
            f"The model in {model_folder} could not be loaded: {type(error).__name__}: {first_line(error)} "
            "Get it again, or choose another model."
        ) from error


@contextmanager
def _training_troubles(reporter: Reporter) -> Iterator[None]:
    """Out of memory and a full disk, with the step at which they happened. Other errors pass through."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        step = reporter.step + 1
        if is_out_of_memory(error):
            raise UserError(
                f"Memory ran out in step {step}. Choose a shorter maximum length, a smaller micro-batch, "
                "gradient checkpointing or a smaller model, then resume or start again."
            ) from error
        if is_disk_trouble(error):
            what = f"Files of step {step} could not be written"
            then = "resume from the last checkpoint"
            raise UserError(disk_sentence(error, what, reporter.worker.folder, then)) from error
        raise
