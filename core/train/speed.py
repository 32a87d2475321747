"""How fast a run goes: tokens a second, and seconds a step, over the last steps and over all of them."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

_WINDOW = 10


@dataclass
class Speed:
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
