"""What the person has chosen, as it stands in the home folder's choices.json, and the way back from a fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from core.base.errors import UserError
from core.base.files import read_json
from core.base.home import STARTER
from core.base.records import decode, encode
from core.chat.talk import Manner
from core.data.kinds import KINDS
from core.export.forms import default_form
from core.fit.search import FitStep

# what may be said about the rows that are held out
_HELD_OUT = {"heldout": str, "heldout_share": float, "splits": bool}


@dataclass(frozen=True)
class Choices:
    """An empty `preset` suits the hardware, an empty `run` is the newest.

    `model_kind` says which of `catalogue` and `hub` (ids on the hub) and `folder` is meant, or the starter.
    `files` are names in the home folder's datasets; `path` lies anywhere and is only read; `data_hub` is the
    id of a data set on the hub. What was said about `columns`, `fixes` and `held` (out) is remembered for
    each data, `templates` for each model. `fitted` notes what Make it fit has changed.
    """

    model_kind: str = STARTER
    catalogue: str = ""
    folder: str = ""
    hub: str = ""
    data_kind: str = "sample"
    files: list[str] = field(default_factory=list)
    path: str = ""
    data_hub: str = ""
    columns: dict[str, Any] = field(default_factory=dict)
    fixes: dict[str, Any] = field(default_factory=dict)
    held: dict[str, Any] = field(default_factory=dict)
    templates: dict[str, Any] = field(default_factory=dict)
    preset: str = ""
    changes: dict[str, Any] = field(default_factory=dict)
    fitted: dict[str, Any] = field(default_factory=dict)
    run: str = ""
    quant: str = default_form().name
    compare: bool = True
    markdown: bool = False
    system: str = ""
    temperature: float = 0.7
    max_tokens: int = 256

    @classmethod
    def read(cls, file: Path) -> Choices:
        """The choices on disk; what is damaged or unknown there falls back to the defaults."""
        try:
            saved = read_json(file, {})
        except UserError:
            saved = {}
        if not isinstance(saved, dict):
            return cls()
        defaults = cls()
        kinds = {item.name: type(getattr(defaults, item.name)) for item in fields(cls)}
        return replace(defaults, **{k: v for k, v in saved.items() if k in kinds and isinstance(v, kinds[k])})

    @property
    def model(self) -> str:
        chosen = {"catalogue": self.catalogue, "folder": self.folder, "hub": self.hub}
        return chosen.get(self.model_kind, STARTER)

    @property
    def manner(self) -> Manner:
        return Manner(self.system, self.temperature, self.max_tokens)

    @property
    def data(self) -> str:
        """Names the chosen data; empty while there is none."""
        if self.data_kind == "file":
            return " + ".join(sorted(str(name) for name in self.files))
        return {"path": self.path, "hub": self.data_hub}.get(self.data_kind, "sample")

    @property
    def mapping(self) -> dict[str, str]:
        """What was said about the columns of the chosen data: column → role."""
        roles = self.columns.get(self.data)
        return {str(name): str(role) for name, role in roles.items()} if isinstance(roles, dict) else {}

    @property
    def taken(self) -> list[str]:
        """The kinds of problems of the chosen data whose fix was taken."""
        kinds = self.fixes.get(self.data)
        return (
            [name for name in kinds if name in KINDS and KINDS[name].fix] if isinstance(kinds, list) else []
        )

    @property
    def held_out(self) -> dict[str, Any]:
        """What was said about the rows of the chosen data that are held out: setting → value.

        Earlier versions of the app kept it among the changes of the preset.
        """
        kept = self.held.get(self.data, self.changes)
        said = {**kept} if isinstance(kept, dict) else {}
        whole = {name: said[name] for name, kind in _HELD_OUT.items() if isinstance(said.get(name), kind)}
        if not 0 <= whole.get("heldout_share", 0) <= 0.5:
            del whole["heldout_share"]
        return whole

    @property
    def template(self) -> str:
        """The chat template for the chosen model: `auto` is its own."""
        return str(self.templates.get(self.model, "auto"))

    def with_mapping(self, mapping: dict[str, str]) -> Choices:
        """The same with other words about the chosen data's columns; none means automatic."""
        return replace(self, columns=_with(self.columns, self.data, mapping))

    def with_held_out(self, said: dict[str, Any]) -> Choices:
        """The same with other words about the rows of the chosen data that are held out."""
        changes = {name: value for name, value in self.changes.items() if name not in _HELD_OUT}
        return replace(self, changes=changes, held=_with(self.held, self.data, said))

    def with_fix(self, kind: str, take: bool) -> Choices:
        """The same with one fix of the chosen data taken, in place of another answer, or taken back."""
        question = KINDS[kind].settles or kind
        others = [name for name in self.taken if question not in (name, KINDS[name].settles)]
        return replace(self, fixes=_with(self.fixes, self.data, [*others, kind] if take else others))

    def with_template(self, name: str) -> Choices:
        """The same with another chat template for the chosen model."""
        return replace(self, templates=_with(self.templates, self.model, "" if name == "auto" else name))

    def fit_note(self) -> FitNote | None:
        """What Make it fit or Use the room has changed, as long as nothing was changed since."""
        note = decode(self.fitted, FitNote)
        whole = note is not None and note.after == _fit_part(self) and note.before.keys() == note.after.keys()
        return note if whole else None

    def with_fit(self, way: str, start: int, steps: Sequence[FitStep], **after: Any) -> Choices:
        """The choices after these steps, with the note that takes them back."""
        changed = replace(self, **after)
        note = FitNote(way, start, list(steps), _fit_part(self), _fit_part(changed))
        return replace(changed, fitted=encode(note))

    def without_fit(self) -> Choices:
        """The choices before the steps; as they are when something else was changed since."""
        note = self.fit_note()
        return replace(self, fitted={}, **note.before) if note else replace(self, fitted={})


@dataclass(frozen=True)
class FitNote:
    """`way` is `fit` or `room`; `start` the total before it, in bytes. `before` and `after` are choices."""

    way: str
    start: int
    steps: list[FitStep]
    before: dict[str, Any]
    after: dict[str, Any]


def _fit_part(choices: Choices) -> dict[str, Any]:
    """The choices that Make it fit may change."""
    names = ("changes", "preset", "model_kind", "catalogue", "folder", "hub")
    return {name: getattr(choices, name) for name in names}


def _with(values: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    """A copy that says `value` about `key`; an empty value means that nothing is said."""
    rest = {name: item for name, item in values.items() if name != key}
    return {**rest, key: value} if value else rest
