"""The defaults of Transformers' config classes that core.models needs: `python -m tests.class_defaults`.

With --write they go into core/models/class_defaults.json; without it they are printed.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
from typing import Any

from core.base.files import write_atomic
from core.models.architectures import FAMILIES
from core.models.defaults import DEFAULTS

_WORD = re.compile(r'"([a-z_A-Z0-9]+)"')


def class_defaults() -> dict[str, dict[str, Any]]:
    """For every type in the table: the fields that core.models reads, with what its class takes for them."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    read = {word for path in DEFAULTS.parent.glob("*.py") for word in _WORD.findall(path.read_text("utf-8"))}
    return {kind: _defaults(CONFIG_MAPPING[kind], read) for kind in sorted(FAMILIES)}


def _defaults(config: Any, read: set[str]) -> dict[str, Any]:
    found = {field.name: field.default for field in dataclasses.fields(config) if field.name in read}
    return {name: value for name, value in found.items() if type(value) in (bool, int, float) and value}


def as_text() -> str:
    lines = (f"{json.dumps(kind)}: {json.dumps(values)}" for kind, values in class_defaults().items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--write", action="store_true")
    if parser.parse_args().write:
        write_atomic(DEFAULTS, as_text())
    else:
        print(as_text(), end="")


if __name__ == "__main__":
    main()
