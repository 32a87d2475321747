"""What a preset learns only from data and model: how often to see every row, and how fast to learn."""

from __future__ import annotations

# Few rows need more passes before anything sticks, many are learned by heart: what good recipes agree on
# (Unsloth's and Axolotl's guides, the QLoRA paper's runs): under 1,000 rows 3, under 10,000 2, more 1.
_EPOCHS = ((1_000, 3.0), (10_000, 2.0))
# QLoRA (Dettmers et al. 2023, appendix B.2): 2e-4 up to 13 B parameters, 1e-4 for 33 B and 65 B
_LARGE = 30e9


def usual_epochs(rows: int) -> tuple[float, str]:
    """Epochs for that many training rows, and why."""
    epochs = next((times for below, times in _EPOCHS if rows < below), 1.0)
    times = {1.0: "once is enough", 2.0: "twice is usual", 3.0: "three times is usual"}[epochs]
    return epochs, f"With {rows:,} rows, {times}."


def usual_learning_rate(parameters: int) -> tuple[float, str]:
    """The adapter's learning rate for a base model of that size, and why."""
    rate = 1e-4 if parameters >= _LARGE else 2e-4
    return rate, f"A model of {parameters / 1e9:.2g} B parameters is usually trained at {rate:g}."
