"""What is measured while a model trains: speed, memory, and the loss on rows that it never sees."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import psutil
import torch

from core.fit.terms import context_bytes
from core.machine import find_hardware
from core.train.batches import Collator, plan_parts
from core.train.rows import IGNORED, Rows

# the speed shown is that of the last steps
_WINDOW = 10
SummedLoss = Callable[[torch.nn.Module, dict[str, torch.Tensor]], torch.Tensor]


@dataclass
class SpeedMeter:
    """Time spent in steps, and tokens computed in them. Saving and measuring don't count."""

    seconds: float = 0.0
    tokens: int = 0
    # (seconds, tokens) of the last steps
    recent: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=_WINDOW))

    def add(self, seconds: float, tokens: int) -> None:
        self.seconds += seconds
        self.tokens += tokens
        self.recent.append((seconds, tokens))

    @property
    def tokens_per_s(self) -> float:
        """Over the last steps."""
        return sum(tokens for _, tokens in self.recent) / max(
            sum(seconds for seconds, _ in self.recent), 1e-9
        )

    @property
    def overall(self) -> float:
        """Over the whole run, tokens a second."""
        return self.tokens / max(self.seconds, 1e-9)

    def step_seconds(self) -> float:
        return sum(seconds for seconds, _ in self.recent) / max(len(self.recent), 1)


def memory_used() -> int:
    """Bytes held now, as the driver shows them for a GPU, otherwise this process's resident memory."""
    card = _card()
    if card is not None:
        return int(card.memory_reserved()) + _context()
    if torch.backends.mps.is_available():
        return int(torch.mps.driver_allocated_memory())
    return int(psutil.Process().memory_info().rss)


def peak_memory() -> int:
    """Bytes at the highest point so far, as the driver shows them; else this process's resident memory."""
    card = _card()
    if card is not None:
        return int(card.max_memory_reserved()) + _context()
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # kilobytes on Linux, bytes on macOS
    return int(peak) if sys.platform == "darwin" else int(peak) * 1024


def _card() -> Any:
    """torch's module for the GPU that trains, where its allocator can be asked; None without such a GPU."""
    return next((card for card in (torch.cuda, torch.xpu) if card.is_available()), None)


@cache
def _context() -> int:
    """What the driver takes for this process: torch does not see it, so the estimate's number stands in."""
    return context_bytes(find_hardware().training_gpu)


def measuring_is_due(step: int, total: int, every: int) -> bool:
    """Whether the held-out loss is measured after a step: every so often, and at the end.

    What would come shortly before the end is left out: it costs time and says nothing new.
    """
    left = total - step
    return left <= 0 or (step % every == 0 and left >= every / 2)


@dataclass(frozen=True)
class HeldOut:
    """The rows kept back, and how to measure a model on them: exact, weighted by token, for every engine."""

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
