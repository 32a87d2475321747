"""One training session, from the run folder to the adapter: what the worker does between its stages."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import Timeout

from core.base.cores import usable_cores
from core.base.errors import UserError
from core.base.home import Home
from core.base.jobs import Worker
from core.data import ChatTokenizer
from core.fit.answer import Fit
from core.fit.speed import count_steps
from core.methods.method import method_of
from core.methods.settle import Device, Reason, reason_for, refusal_of, settle
from core.models import read_config, resolve_model
from core.recipe import Recipe
from core.runs.run import Run
from core.train.checkpoints import CheckpointStore, publish_adapter
from core.train.engine import Engine, Setup, load_engine
from core.train.held_memory import peak_memory
from core.train.heldout import HeldOut
from core.train.measured_run import plan_run
from core.train.origins import note_origins
from core.train.precision import find_device
from core.train.progress import Reporter
from core.train.rows import Rows, tokenize_snapshot
from core.train.trainer import Collator, token_budget, trainer_arguments
from core.train.troubles import loading_troubles, training_troubles


@dataclass
class Session:
    """Everything loaded and ready: `train()`, then `save_adapter()` and `summary()`."""

    worker: Worker
    run: Run
    home: Home
    setup: Setup
    tokenizer: ChatTokenizer
    reasons: dict[str, Any]
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
        asked: Callable[[], str | None],
        resume: bool,
    ) -> Session:
        """Read recipe, data and model; everything that can be wrong before the first step shows here.

        `unsloth` says why Unsloth can't be had; where it can, it must be imported before this module.
        """
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or usable_cores()))
        model_folder = resolve_model(home, run.recipe.model)
        device = find_device(unsloth)
        _refuse(run.recipe, device)
        decided, reasons = settle(run.recipe, device, caps_scores(model_folder))
        worker.update(engine=decided.engine, reason=reason_for("engine", reasons))
        recipe = note_origins(worker, run, run.recipe, model_folder, resume)
        tokenizer = ChatTokenizer.load(model_folder, recipe.chat_template, recipe.day)
        if tokenizer.template_note and not resume:
            worker.say("warning", message=tokenizer.template_note)
        rows, heldout_rows = tokenize_snapshot(worker, run, recipe, tokenizer, asked)
        store = CheckpointStore(run.checkpoints, recipe.keep_checkpoints)
        step = _resume_step(worker, store) if resume else _start_afresh(store)

        settled = settle(recipe, device, caps_scores(model_folder))[0]
        _say_changes(worker, reasons)
        setup = Setup(settled, model_folder, device.kind)
        planned = plan_run(worker, home, setup, device, rows.lengths)
        facts = {
            "engine": settled.engine,
            "reason": reason_for("engine", reasons),
            "precision": settled.precision,
            "precision_reason": reason_for("precision", reasons),
            "device": device.name,
            "estimated_memory": planned.estimate.total if planned else None,
        }
        module = load_engine(settled.engine)
        with loading_troubles(model_folder):
            model = module.load_model(setup)
        collator = Collator(next((i for i in (tokenizer.pad_id, tokenizer.eos_id) if i is not None), 0))
        budget = token_budget(recipe)
        heldout = HeldOut(heldout_rows, collator, module.summed_loss, torch.device(device.kind), budget)
        reporter = Reporter(worker, settled, heldout, settled.precision, asked, facts)
        trainer = _make_trainer(worker, module, setup, model, rows, store, collator, reporter)
        return cls(worker, run, home, setup, tokenizer, facts, planned, trainer, reporter, store, step)

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
        base = str(self.setup.model_folder)
        publish_adapter(self.trainer.model, self.run.adapter, base, self.tokenizer)

    def note_measured(self) -> None:
        """Keep the peak beside its estimate: it corrects later ones on this machine."""
        if self.planned is None or self.setup.device == "mps":
            return
        reporter = self.reporter
        # the longest row makes the peak, so every row must have been computed once
        whole = reporter.step * self.setup.recipe.effective_batch >= len(self.trainer.train_dataset)
        try:
            self.planned.note(self.run.name, peak_memory() if whole else 0, reporter.speed.overall)
        except (OSError, UserError, Timeout) as problem:
            message = f"The measured memory could not be noted for later estimates: {problem}"
            self.worker.say("warning", message=message)

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


def caps_scores(model_folder: Path) -> bool:
    """Whether the model caps its attention scores; Transformers' own default for Gemma 2 is to do so."""
    config = read_config(model_folder)
    text = {**config, **(config.get("text_config") or {})}
    default = 50.0 if str(text.get("model_type", "")).startswith("gemma2") else None
    return bool(text.get("attn_logit_softcapping", default))


def _refuse(recipe: Recipe, device: Device) -> None:
    """A UserError where the recipe can't be trained as it insists."""
    problem = refusal_of(recipe, device) or method_of(recipe).refuses(recipe, device)
    if problem:
        raise UserError(problem)


def _say_changes(worker: Worker, reasons: Iterable[Reason]) -> None:
    """Warn of what is done instead of what the recipe names; engine and precision stand with the run."""
    for reason in reasons:
        if reason.knob not in ("engine", "precision") and reason.changes_a_wish:
            worker.say("warning", message=reason.sentence)


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
    arguments = trainer_arguments(setup.recipe, setup.device, store.partial)
    trainer = engine.make_trainer(setup, model, rows, arguments, data_collator=collator, callbacks=[reporter])
    store.on_saved = lambda step: worker.say("checkpoint", step=step)
    store.on_failed = lambda step, problem: worker.say(
        "warning",
        message=f"The checkpoint of step {step} was not written: {problem}. Training goes on.",
    )
    trainer.store, trainer.recipe = store, setup.recipe  # type: ignore[attr-defined]
    return trainer


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
