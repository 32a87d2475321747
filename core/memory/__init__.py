"""Will it fit? The memory that a training takes, term by term, before it starts."""

from core.memory.estimate import estimate_memory, verdict_of
from core.memory.kinds import MemoryEstimate, Place, Term, Workload
from core.memory.place import place_of

__all__ = ["MemoryEstimate", "Place", "Term", "Workload", "estimate_memory", "place_of", "verdict_of"]
