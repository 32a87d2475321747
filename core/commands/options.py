"""Options that are made from the Recipe's knobs: help, unit and range stand there once."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import Any

from core.methods.method import methods
from core.recipe import knobs, limits, own_knobs

# the short names that some have on the command line
_SHORT = {"micro_batch": "--batch", "engine": "--backend"}


def add_knobs(parser: argparse.ArgumentParser, names: Iterable[str], default: str) -> None:
    """One option for each knob, and for those that only one method has; `default` says what is taken where
    an option is left out.

    The values stay text: the Recipe checks them, and its sentences name what they may be.
    """
    group = parser.add_argument_group("the recipe", f"Left out, a setting is {default}.")
    for name, knob in {**{name: knobs()[name] for name in names}, **_own()}.items():
        flags = [f"--{name.replace('_', '-')}", *([_SHORT[name]] if name in _SHORT else [])]
        text = _help(name, knob).replace("%", "%%")
        if isinstance(knob["default"], bool):
            group.add_argument(*flags, action=argparse.BooleanOptionalAction, default=None, help=text)
        else:
            group.add_argument(*flags, dest=name, metavar=_metavar(knob), help=text)


def _own() -> dict[str, dict[str, Any]]:
    """The knobs that only some methods have, with the methods in their help."""
    own: dict[str, dict[str, Any]] = {}
    for method in methods():
        for name, knob in own_knobs(method.name).items():
            others = own[name]["methods"] if name in own else []
            own[name] = {**knob, "methods": [*others, method.name]}
    return own


def knob_values(args: argparse.Namespace, names: Iterable[str]) -> dict[str, Any]:
    """The knobs that were given; names of choices may be written large."""
    given = {name: value for name, value in vars(args).items() if value is not None}
    values = {
        name: given[name].lower() if knobs()[name]["choices"] else given[name]
        for name in names
        if name in given
    }
    own = {name: given[name] for name in _own() if name in given}
    targets = values.get("target_modules")
    if targets in ("all", "all-linear"):
        values["target_modules"] = "all-linear"
    elif targets is not None:
        values["target_modules"] = [part.strip() for part in targets.split(",") if part.strip()]
    if "method" in values and "quantization" not in values:
        # lora is named as against qlora
        values["quantization"] = "none"
    return {**values, "method_settings": own} if own else values


def method_lines(trained: bool = False) -> str:
    """Every method that a recipe may name, a line each; or those that can be trained."""
    return "\n".join(
        f"  {method.name:<10} {method.title}{'' if method.trains else ', estimated only'}: {method.help}"
        for method in methods()
        if method.trains or not trained
    )


def _help(name: str, knob: dict[str, Any]) -> str:
    choices = [method.name for method in methods()] if name == "method" else knob["choices"]
    allowed = f"One of: {', '.join(choices)}." if choices else limits(knob)
    only = f"Only for {', '.join(knob['methods'])}." if "methods" in knob else ""
    return " ".join(filter(None, (knob["help"], allowed, only)))


def _metavar(knob: dict[str, Any]) -> str:
    if limits(knob):
        return knob["unit"].upper() or ("X" if isinstance(knob["default"], float) else "N")
    return "NAME" if knob["choices"] else "NAMES"
