"""One value as text: strings as they are, numbers as written, lists of text parts joined."""

from __future__ import annotations

import ast
import json
import re
from typing import Any

from core.data.kinds import Remark
from core.data.read import WrittenNumber, parse_json
from core.data.shapes.names import MEDIA_PARTS, TEXT_PARTS, TOOL_PARTS
from core.data.shapes.outcome import Unusable

MEDIA = "holds images, sound or video, and only text can be trained"
TOOLS = "holds tool calls, which can't be trained yet"
SIGNS = "=+-@"
_SHOWN = 20
# its syntax tree takes some hundred times as much memory
_LONGEST_LITERAL = 1024 * 1024
# a closing brace before an opening one, outside of strings
_NO_COMMA = re.compile(
    r"""'[^'\\]*(?:\\.[^'\\]*)*'|"[^"\\]*(?:\\.[^"\\]*)*"|(?P<gap>\})(?=\s*\{)""", re.DOTALL
)
_YES_NO = {
    **dict.fromkeys(("1", "1.0", "true", "yes"), True),
    **dict.fromkeys(("0", "0.0", "false", "no"), False),
}
# what a spreadsheet would compute or run: =SUM(A1), =1+2, +A1, -2+3, +cmd|…, @SUM(1); not “- a list” or “-5”
_FORMULA = re.compile(r"=[\w(\"'+\-@]|[+\-](\d+(\.\d+)?[-+*/^]|[A-Za-z]+[(|]|[A-Z]{1,3}\d+\b)|@[A-Za-z]+[(|]")


def is_absent(value: Any) -> bool:
    """Whether nothing is said: null, blank text, an empty list or object."""
    if isinstance(value, str):
        return not value or value.isspace()
    return value is None or value == [] or value == {}


def is_true(value: Any) -> bool | None:
    """What a yes or no says, also as a number or in words; None where it is neither."""
    if isinstance(value, bool):
        return value
    said = str(value).strip().lower() if isinstance(value, (str, int, float, WrittenNumber)) else ""
    return _YES_NO.get(said)


def is_formula(text: str) -> bool:
    return _FORMULA.match(text) is not None


def text_of(value: Any, place: str, remarks: list[Remark]) -> str:
    """`value` as text; `place` says where it stood, for the remark or the reason."""
    if type(value) is str:
        return value
    if isinstance(value, bool):
        written = "true" if value else "false"
    elif isinstance(value, (int, float, WrittenNumber)):
        written = str(value)
    elif isinstance(value, str):
        return str(value)
    elif is_parts(value):
        return "".join([_part(part, place) for part in value])
    elif is_absent(value):
        raise Unusable("missing content", f"has no text in {place}")
    else:
        raise Unusable("bad message", f"has something else than text in {place}")
    remarks.append(Remark("not text", f"has {written[:_SHOWN]} in {place}, where text belongs"))
    return written


def is_parts(value: Any) -> bool:
    """Whether it is a message's content written as a list of parts."""
    if not isinstance(value, list) or not value:
        return False
    return all(isinstance(part, str) or (isinstance(part, dict) and _is_part(part)) for part in value)


def _is_part(part: dict[str, Any]) -> bool:
    return "type" in part or (isinstance(part.get("text"), str) and "role" not in part and len(part) == 1)


def _part(part: Any, place: str) -> str:
    if isinstance(part, str):
        return str(part)
    kind = part.get("type", "text")
    if kind in MEDIA_PARTS:
        raise Unusable("images", MEDIA)
    if kind in TOOL_PARTS:
        raise Unusable("tool calls", TOOLS)
    text = part.get("text", part.get("value"))
    if kind not in TEXT_PARTS:
        raise Unusable("bad message", f"has a part that is no text in {place}")
    if not isinstance(text, str):
        raise Unusable("missing content", f"has a part without text in {place}")
    return str(text)


def list_of(value: Any, place: str, remarks: list[Remark]) -> list[Any]:
    """A list, also when a cell holds it as JSON or as Python writes it; an empty one for null and blanks."""
    if isinstance(value, list):
        return value
    if is_absent(value):
        return []
    if isinstance(value, str) and value.lstrip().startswith("["):
        value = _parsed(value, place, remarks)
    if not isinstance(value, list):
        raise Unusable("bad message", f"has something else than a list in {place}")
    return value


def _parsed(text: str, place: str, remarks: list[Remark]) -> Any:
    try:
        return parse_json(text)
    except ValueError as error:
        value = _literal(text)
        if value is None:
            raise Unusable("bad message", f"has {place} as text that {error}") from None
    remarks.append(Remark("Python lists", f"has {place} as “{text.strip()[:_SHOWN]}…”"))
    return value


def _literal(text: str) -> Any:
    """The value of a list as Python prints it, of NumPy without commas; None if it is no such list.

    Nothing is run: a literal is taken apart by its grammar alone.
    """
    if len(text) > _LONGEST_LITERAL:
        return None
    try:
        with_commas = _NO_COMMA.sub(lambda found: found[0] + "," if found["gap"] else found[0], text.strip())
        return parse_json(json.dumps(ast.literal_eval(with_commas)))
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None
