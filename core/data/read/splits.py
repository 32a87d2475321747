"""Which files are trained, which are held out and which are left aside: decided once, by their names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from core.base.errors import UserError
from core.data.read.parts import is_beside, split_of_name
from core.data.read.source import expand


@dataclass(frozen=True)
class Split:
    """The files (or folders) with the training rows, those that are held out, and those left aside.

    named: the files' names say other than that all of them are trained, whether that is followed or not;
    holds_out: they say so of held-out files.
    """

    train: list[Path]
    heldout: list[Path] = field(default_factory=list)
    aside: list[Path] = field(default_factory=list)
    named: bool = False
    holds_out: bool = False


def split_files(paths: Sequence[Path], by_name: bool = True) -> Split:
    """Files called train, valid, test and the like are what their names say, if there are several.

    valid, validation, val, dev and eval are held out. So is test where there is none of them; else it is left
    aside, as is a list beside the rows of a JSON document. One file alone is trained whatever its name, and
    so is all where nothing else would be. `by_name` False: all is trained.
    """
    whole = Split(list(paths))
    try:
        files = expand(paths)
    except UserError:
        # reading them says what is wrong
        return whole
    roles = {file: _role(file, paths) for file in files}
    train = [file for file, role in roles.items() if role in ("train", "")]
    heldout = [file for file, role in roles.items() if role == "heldout"]
    test = [file for file, role in roles.items() if role == "test"]
    beside = [file for file, role in roles.items() if role == "beside"]
    if not train or len(train) == len(files):
        return whole
    if not by_name:
        return replace(whole, named=True)
    aside = (test if heldout else []) + beside
    return Split(train, heldout or test, aside, named=True, holds_out=bool(heldout or test))


def _role(file: Path, chosen: Sequence[Path]) -> str:
    """“train”, “heldout”, “test”, “beside”, or nothing: what the file's name, below what was chosen, says.

    A name that is a split's and nothing else counts first, the file's before the folder's.
    """
    root = next((path for path in chosen if path in file.parents), file.parent)
    names = [file.name] if file in chosen else list(file.relative_to(root).parts)
    says = (split_of_name(name, whole=True) for name in reversed(names))
    return next(filter(None, says), "") or split_of_name(file.name) or ("beside" if is_beside(file) else "")
