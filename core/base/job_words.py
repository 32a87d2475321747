"""How a worker ended, in one or two sentences for the page: killed, crashed, or by an error of its own."""

from __future__ import annotations

from typing import Any

from core.base.errors import UserError


def death_sentence(exit_code: Any) -> str:
    """What a worker's sudden end most likely means, in one or two sentences."""
    if exit_code in (-9, 137):
        return (
            "The worker was killed by the system, most often because memory ran out. "
            "Close other programs or choose a shorter maximum length."
        )
    if exit_code in (-11, 139, -6, 134, 3221225477):
        return "The worker crashed inside a native library. Its log has the last words; try it once more."
    if exit_code is not None and exit_code != 0:
        return f"The worker ended suddenly with exit code {exit_code}. Its log says why."
    return "The worker is gone without a word: it was killed, or the machine went down."


def error_sentence(error: BaseException) -> str:
    """One sentence about any exception that ended a worker."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError) and error.errno == 28:
        return "The disk is full. Free some space, then resume from the last checkpoint."
    if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
        return "Memory ran out. Choose a shorter maximum length, micro-batch 1 or a smaller model."
    if isinstance(error, KeyboardInterrupt):
        return "The worker was interrupted. Resume it from the last checkpoint."
    first = str(error).strip().split("\n")[0][:300]
    return f"An unexpected error ended the work: {type(error).__name__}: {first}. The log has the details."
