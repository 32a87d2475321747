"""What grows is found by listing a folder: one file each, one class each, nothing else to touch."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")


@cache
def _listed(package: str, kind: type[Any]) -> tuple[Any, ...]:
    folder = importlib.import_module(package).__path__
    entries: list[Any] = []
    for info in pkgutil.iter_modules(folder):
        module = importlib.import_module(f"{package}.{info.name}")
        for value in vars(module).values():
            own = isinstance(value, type) and value.__module__ == module.__name__
            if own and issubclass(value, kind) and value is not kind and not vars(value).get("abstract"):
                entries.append(value())
    return tuple(sorted(entries, key=lambda entry: (entry.order, entry.name)))


def registered(package: str, kind: type[T]) -> tuple[T, ...]:
    """One instance of every class of `kind` that stands in a module of `package`, by `order`, then `name`.

    A class that only serves others as a base says `abstract = True` in its own body.
    """
    return _listed(package, kind)
