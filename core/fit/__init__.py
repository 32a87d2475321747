"""Will it fit, and how long does it take? The memory, time and energy of a training before it starts.

May import base, the Recipe, data, models, machine, runs, methods and presets. `training` is one recipe on one
model and place; `activations` and `terms` are its memory, `speed` its time; `search` turns the knobs;
`learned` and `calibration` keep what this machine has shown; `answer` joins them for page, commands and
trainer. A new number of bytes is a term in `terms`, a new way to make it fit a lever in `search`.
"""

from core.fit.terms import MemoryEstimate, Term, Verdict, estimate_memory, verdict_of
from core.fit.training import Lengths, Place

__all__ = ["Lengths", "MemoryEstimate", "Place", "Term", "Verdict", "estimate_memory", "verdict_of"]
