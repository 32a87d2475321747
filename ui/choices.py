"""What the person has chosen, as it stands in the home folder's choices.json."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from core.chat.talk import Manner
from core.data.kinds import KINDS
from core.export.forms import default_form
from core.models import STARTER


@dataclass(frozen=True)
class Choices:
    """An empty `preset` suits the hardware, an empty `run` is the newest.

    `model_kind` says which of `catalogue` and `hub` (ids on the hub) and `folder` is meant, or the starter.
    `files` are names in the home folder's datasets; `path` lies anywhere and is only read; `data_hub` is the
    id of a data set on the hub. What was said about `columns` and `fixes` is remembered for each data,
    `templates` for each model. `fitted` notes what Make it fit has changed.
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
    templates: dict[str, Any] = field(default_factory=dict)
    preset: str = ""
    changes: dict[str, Any] = field(default_factory=dict)
    fitted: dict[str, Any] = field(default_factory=dict)
    run: str = ""
    quant: str = default_form().name
    compare: bool = True
    system: str = ""
    temperature: float = 0.7
    max_tokens: int = 256

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
        said = self.columns.get(self.data)
        return {str(name): str(role) for name, role in said.items()} if isinstance(said, dict) else {}

    @property
    def taken(self) -> list[str]:
        """The kinds of problems of the chosen data whose fix was taken."""
        said = self.fixes.get(self.data)
        return [name for name in said if name in KINDS and KINDS[name].fix] if isinstance(said, list) else []

    @property
    def template(self) -> str:
        """The chat template for the chosen model: `auto` is its own."""
        return str(self.templates.get(self.model, "auto"))

    def with_changes(self, changes: dict[str, Any]) -> Choices:
        return replace(self, changes=changes)

    def with_mapping(self, mapping: dict[str, str]) -> Choices:
        """The same with other words about the chosen data's columns; none means automatic."""
        return replace(self, columns=_with(self.columns, self.data, mapping))

    def with_fix(self, kind: str, take: bool) -> Choices:
        """The same with one fix of the chosen data taken or taken back."""
        others = [name for name in self.taken if name != kind]
        return replace(self, fixes=_with(self.fixes, self.data, [*others, kind] if take else others))

    def with_template(self, name: str) -> Choices:
        """The same with another chat template for the chosen model."""
        return replace(self, templates=_with(self.templates, self.model, "" if name == "auto" else name))


def _with(said: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    """A copy that says `value` about `key`; an empty value means that nothing is said."""
    rest = {name: item for name, item in said.items() if name != key}
    return {**rest, key: value} if value else rest
