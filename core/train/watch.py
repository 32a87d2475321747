"""Listens to the Trainer and writes what the page shows: loss, speed, memory, held-out loss, checkpoints.

It also decides when to measure, save and stop, and ends the run at the first number that isn't finite.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState

from core.base.errors import UserError
from core.base.jobs import Worker
from core.fit.speed import spread_of
from core.recipe import Recipe
from core.train.meters import HeldOut, SpeedMeter, measuring_is_due, memory_used, peak_memory

_STATE_EVERY_S = 0.5


class Reporter(TrainerCallback):
    """One callback for everything that happens between the Trainer and the run folder.

    `recipe` is settled; `facts` is what the run says of itself as it starts.
    """

    def __init__(
        self,
        worker: Worker,
        recipe: Recipe,
        heldout: HeldOut,
        stop_request: Callable[[], str | None],
        facts: dict[str, Any],
    ) -> None:
        self.worker = worker
        self.recipe = recipe
        self.heldout = heldout
        self.stop_request = stop_request
        self.facts = facts
        self.step = 0
        self.speed = SpeedMeter()
        self.base_loss: float | None = None
        self.tuned_loss: float | None = None
        self.stopped_by: str | None = None
        self.eval_seconds = 0.0
        self._measured_at = -1
        self._step_start = 0.0
        self._tokens_before = 0
        self._state_written = 0.0

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **rest: Any) -> None:
        self._tokens_before = int(state.num_input_tokens_seen)
        self._say_started(state.global_step, state.max_steps)
        if state.global_step == 0:
            self.base_loss = self.measure(rest["model"], 0)

    def nothing_left(self, model: torch.nn.Module, step: int) -> None:
        """A resume from a checkpoint of the last step: measure it, train nothing."""
        self._say_started(step, step)
        self.tuned_loss = self.measure(model, step)

    def _say_started(self, step: int, total_steps: int) -> None:
        self.step = step
        self.worker.say("started", step=step, total_steps=total_steps, **self.facts)
        self.base_loss = self._noted_base_loss() if step else None

    def _noted_base_loss(self) -> float | None:
        """The base model's held-out loss that the run's first start measured."""
        events = self.worker.events.all()
        return next(
            (event["loss"] for event in events if event["kind"] == "eval" and event["step"] == 0),
            None,
        )

    def on_step_begin(self, args: Any, state: TrainerState, control: TrainerControl, **rest: Any) -> None:
        self._step_start = time.perf_counter()

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **rest: Any) -> None:
        tokens = int(state.num_input_tokens_seen)
        self.speed.add(time.perf_counter() - self._step_start, tokens - self._tokens_before)
        self._tokens_before = tokens
        self.step = state.global_step
        last = state.global_step >= state.max_steps
        self.stopped_by = None if last else self.stop_request()
        if self.stopped_by:
            control.should_training_stop = True
        # the Trainer logs first, so numbers that aren't finite end the run before anything is saved
        control.should_save = bool(last or self.stopped_by or state.global_step % self.recipe.save_every == 0)

    def on_log(
        self,
        args: Any,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **rest: Any,
    ) -> None:
        if not logs or "loss" not in logs:
            return
        loss, grad_norm = float(logs["loss"]), float(logs.get("grad_norm", 0.0))
        self._write_step(state, loss, grad_norm, float(logs["learning_rate"]))
        self._check_finite(state.global_step, loss, grad_norm)
        if self.stopped_by == "save" or measuring_is_due(
            state.global_step, state.max_steps, self.recipe.eval_every
        ):
            self.tuned_loss = self.measure(rest["model"], state.global_step)

    def measure(self, model: torch.nn.Module, step: int) -> float | None:
        """The held-out loss at this step, written as an `eval` event; measured once a step."""
        if self._measured_at == step:
            return self.tuned_loss
        start = time.perf_counter()
        loss = self.heldout.measure(model)
        self.eval_seconds += time.perf_counter() - start
        self._measured_at = step
        if loss is not None:
            self.worker.say("eval", step=step, loss=loss)
        return loss

    def _write_step(self, state: TrainerState, loss: float, grad_norm: float, rate: float) -> None:
        left = state.max_steps - state.global_step
        self.worker.say(
            "log",
            step=state.global_step,
            total_steps=state.max_steps,
            epoch=round(state.epoch or 0.0, 4),
            loss=loss,
            lr=rate,
            grad_norm=grad_norm,
            tokens=self._tokens_before,
            tokens_per_s=round(self.speed.tokens_per_s, 1),
            memory=memory_used(),
            peak_memory=peak_memory(),
            eta_s=round(left * self._seconds_a_step(state.global_step), 1),
            eta_spread=round(spread_of([taken for taken, _ in self.speed.recent]), 2),
        )
        if time.monotonic() - self._state_written > _STATE_EVERY_S or left == 0:
            self._state_written = time.monotonic()
            self.worker.update(
                progress=state.global_step / max(state.max_steps, 1),
                step=state.global_step,
                total_steps=state.max_steps,
            )

    def _seconds_a_step(self, step: int) -> float:
        """Mean time of the last steps, with its share of the held-out measurements."""
        measured = 1 + step // self.recipe.eval_every
        return self.speed.step_seconds() + self.eval_seconds / measured / self.recipe.eval_every

    def _check_finite(self, step: int, loss: float, grad_norm: float) -> None:
        # with fp16 the loss scaler meets infinite gradients on purpose, and skips those steps
        if math.isfinite(loss) and (math.isfinite(grad_norm) or self.recipe.precision == "fp16"):
            return
        what = "loss" if not math.isfinite(loss) else "gradient"
        raise UserError(
            f"The {what} of step {step} is not a finite number, so training stopped there "
            "and nothing of it was saved. Lower the learning rate, then resume or start again; "
            "if it happens at step 1, the model's weights are damaged."
        )
