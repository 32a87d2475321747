"""The held-out loss: exact, weighted by token, over all held-out rows, the same for every engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from core.train.rows import IGNORED, Rows
from core.train.trainer import Collator, plan_parts

SummedLoss = Callable[[torch.nn.Module, dict[str, torch.Tensor]], torch.Tensor]


def measuring_is_due(step: int, total: int, every: int) -> bool:
    """Whether the held-out loss is measured after a step: every so often, and at the end.

    What would come shortly before the end is left out: it costs time and says nothing new.
    """
    left = total - step
    return left <= 0 or (step % every == 0 and left >= every / 2)


@dataclass(frozen=True)
class HeldOut:
    """The rows kept back, and how to measure a model on them."""

    rows: Rows
    collator: Collator
    summed_loss: SummedLoss
    device: torch.device
    # tokens computed at once
    budget: int

    def measure(self, model: torch.nn.Module) -> float | None:
        """Mean cross-entropy in nats per trained token; None without rows. Touches no random state."""
        if not self.rows:
            return None
        was_training = model.training
        model.eval()
        total, tokens = 0.0, 0
        try:
            with torch.no_grad():
                for batch in self._batches():
                    total += self.summed_loss(model, batch).item()
                    tokens += int((batch["labels"][:, 1:] != IGNORED).sum())
        finally:
            model.train(was_training)
        return total / tokens

    def _batches(self) -> Iterator[dict[str, torch.Tensor]]:
        for part in plan_parts(self.rows.lengths, self.budget):
            batch = self.collator([self.rows[index] for index in part])
            yield {key: value.to(self.device) for key, value in batch.items()}
