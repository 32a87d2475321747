"""One training as the estimate sees it, from a few knobs: for the tests of memory and time."""

from __future__ import annotations

from typing import Any

from core.fit import Place
from core.fit.training import OURS, Foreign, Training
from core.machine import GIB, Gpu
from core.models import ModelSpec
from core.recipe import parse_recipe

A100 = Gpu("NVIDIA A100", 80 * GIB, 80 * GIB, (8, 0), "")
ON_A100 = Place(A100, A100.total, 64 * GIB)


def training(
    spec: ModelSpec,
    place: Place = ON_A100,
    longest: int | None = None,
    foreign: Foreign = OURS,
    **knobs: Any,
) -> Training:
    return Training.of(parse_recipe(knobs), spec, place, longest, foreign)
