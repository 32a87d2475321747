"""Will it fit? The memory that a training takes, term by term, before it starts."""

from core.fit.memory import estimate_memory, verdict_of
from core.fit.place import place_of
from core.fit.workload import MemoryEstimate, Place, Term, Workload

__all__ = ["MemoryEstimate", "Place", "Term", "Workload", "estimate_memory", "place_of", "verdict_of"]
