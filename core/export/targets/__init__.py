"""The programs an export can be handed to, one file each. A new one is a new file here.

The page draws a section for each, `python app.py export RUN --to NAME` hands over to it.
"""

from __future__ import annotations

from core.base.errors import UserError
from core.base.registry import registered
from core.export.record import Export


class Target:
    """One program. `title` is for people; `button` and `doing` are the page's words for handing over.

    `help` is a sentence about what it finds beside the file; may be empty.
    """

    name = ""
    title = ""
    order = 0
    help = ""
    button = ""
    doing = ""

    def missing(self) -> str:
        """A sentence why nothing can be handed over on this machine; empty where it can."""
        return ""

    def command(self, export: Export) -> str:
        """What somebody types to do it by hand; may be empty."""
        return ""

    def place(self, export: Export) -> str:
        """Hand the file over, which may copy gigabytes; a sentence about what now is where."""
        raise NotImplementedError


def targets() -> tuple[Target, ...]:
    """Every target, in the page's order."""
    return registered("core.export.targets", Target)


def target_named(name: str) -> Target:
    """The target called `name`; a UserError lists them all."""
    target = next((target for target in targets() if target.name == name.lower()), None)
    if target is None:
        names = ", ".join(target.name for target in targets())
        raise UserError(f"There is no program “{name}” to hand an export to. Choose one of {names}.")
    return target
