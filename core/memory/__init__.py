"""Will it fit? The memory that a training takes, term by term, before it starts."""

from core.memory.kinds import MemoryEstimate, Place, Term, Workload

__all__ = ["MemoryEstimate", "Place", "Term", "Workload"]
