"""YAML as recipes and presets need it: plain values, nothing that a stranger's file could harm us with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from core.errors import UserError

# line breaks of other alphabets: PyYAML reads them back as another character unless they are escaped
_OTHER_BREAKS = frozenset("\x85\u2028\u2029")


class _PlainLoader(yaml.SafeLoader):
    """YAML without aliases: a few lines of them can stand for more values than any memory holds."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.composer.ComposerError(None, None, "an alias (*name) is not taken here", mark)
        return super().compose_node(parent, index)


def load_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file, or a UserError that names the file and the line."""
    try:
        value = yaml.load(path.read_text("utf-8"), _PlainLoader)
    except FileNotFoundError:
        raise UserError(f"There is no file {path}. Give the path of a recipe (YAML).") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} can't be read: {error}.") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise UserError(f"{path}{where} is not valid YAML: {getattr(error, 'problem', error)}.") from error
    except (ValueError, RecursionError) as error:
        # a number or a date that is none, brackets without end
        raise UserError(f"{path} is not valid YAML: {short(str(error))}.") from error
    if not isinstance(value, dict):
        raise UserError(f"{path} holds no recipe: it must be a list of `knob: value` lines.")
    return value


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
