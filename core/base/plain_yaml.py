"""YAML as recipes and presets need it: plain values, nothing that a stranger's file could harm us with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from core.base.errors import UserError

# line breaks of other alphabets: PyYAML reads them back as another character unless they are escaped
_OTHER_BREAKS = frozenset("\x85\u2028\u2029")


# libyaml's, where PyYAML was built with it: ten times as fast
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DEEPEST = 20


def load_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file, or a UserError that names the file and the line."""
    try:
        text = path.read_text("utf-8")
        _refuse_tricks(text)
        value = yaml.load(text, _LOADER)
    except FileNotFoundError:
        raise UserError(f"There is no file {path}. Give the path of a YAML file.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} can't be read: {error}.") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise UserError(f"{path}{where} is not valid YAML: {getattr(error, 'problem', error)}.") from error
    except ValueError as error:
        # a number or a date that is none
        raise UserError(f"{path} is not valid YAML: {short(str(error))}.") from error
    if not isinstance(value, dict):
        raise UserError(f"{path} holds no recipe or preset: it must have `name: value` lines.")
    return value


def _refuse_tricks(text: str) -> None:
    """No aliases (a few lines of them stand for more values than memory holds), no brackets without end."""
    depth = 0
    for event in yaml.parse(text, _LOADER):
        if isinstance(event, yaml.AliasEvent):
            raise yaml.MarkedYAMLError(problem="an alias (*name)", problem_mark=event.start_mark)
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        if isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _DEEPEST:
            raise yaml.MarkedYAMLError(problem="too many brackets", problem_mark=event.start_mark)


class _PlainDumper(yaml.SafeDumper):
    """Writes what `load_yaml` reads: no aliases, and every text comes back as it was."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: _PlainDumper, text: str) -> yaml.ScalarNode:
    style = '"' if _OTHER_BREAKS & set(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style)


_PlainDumper.add_representer(str, _text)


def dump_yaml(values: dict[str, Any]) -> str:
    """The mapping as YAML, in its own order."""
    return yaml.dump(values, Dumper=_PlainDumper, sort_keys=False, allow_unicode=True, width=100)


def short(text: str) -> str:
    """The beginning of what somebody wrote, for a sentence about it."""
    return text if len(text) <= 80 else f"{text[:80]}…"
