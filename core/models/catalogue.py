"""The catalogue: open models that people fine-tune at home, their licences and shapes; needs no network."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from core.base.errors import UserError
from core.base.home import APP_FOLDER

CATALOGUE = APP_FOLDER / "presets" / "models.yaml"
# shapes of those that are no ordinary dense decoders: `python -m core.models.shapes_worker --catalogue`
SHAPES = CATALOGUE.with_name("shapes.json")
Kind = Literal["instruct", "base"]
# weights are published as bfloat16 unless the entry says otherwise
_BYTES_A_PARAMETER = 2


@dataclass(frozen=True)
class CatalogueModel:
    """One model. `forbids` says in a sentence what its licence forbids; `gated` that its terms must be
    accepted on the hub first; `context` is in tokens; `config` has the fields of config.json that its
    shapes follow from, for `core.models.spec_of_config`.
    """

    id: str
    title: str
    family: str
    licence: str
    forbids: str
    context: int
    kind: Kind
    gated: bool
    languages: str
    about: str
    parameters: int
    download_bytes: int
    config: dict[str, Any] = field(hash=False, repr=False)

    @property
    def size(self) -> str:
        """The parameter count as people say it: 135M, 8.2B."""
        billions = self.parameters / 1e9
        return f"{billions:.1f}B" if billions >= 1 else f"{self.parameters / 1e6:.0f}M"


@cache
def load_catalogue(path: Path = CATALOGUE) -> tuple[CatalogueModel, ...]:
    """Every model of the catalogue, from the smallest to the largest. They stay while the app runs."""
    values = _read(path)
    try:
        models = [
            _model(entry, family, values["licences"])
            for family in values["families"]
            for entry in family["models"]
        ]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} has an incomplete entry: {error!r}. Get the file again.") from error
    return tuple(sorted(models, key=lambda model: (model.parameters, model.id.casefold())))


def catalogue_model(name: str) -> CatalogueModel:
    """The model with the hub id `name`; capitals don't matter. A UserError names the nearest ones."""
    models = {model.id.casefold(): model for model in load_catalogue()}
    if name.casefold() in models:
        return models[name.casefold()]
    near = difflib.get_close_matches(name.casefold(), models, n=3, cutoff=0.5)
    names = f" Did you mean {' or '.join(models[key].id for key in near)}?" if near else ""
    raise UserError(f"The catalogue has no model {name}.{names}")


def _read(path: Path) -> dict[str, Any]:
    import yaml

    # libyaml reads the file in a tenth of the time; not every build of PyYAML has it
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        values = yaml.load(path.read_bytes(), Loader=loader)
    except (OSError, yaml.YAMLError) as error:
        raise UserError(f"{path} can't be read: {error}. Get the file again.") from error
    if not isinstance(values, dict):
        raise UserError(f"{path} is no catalogue of models. Get the file again.")
    return values


def _model(
    entry: Mapping[str, Any], family: Mapping[str, Any], licences: Mapping[str, Any]
) -> CatalogueModel:
    """One entry; what it doesn't say itself its family says."""
    own = {**family, **entry}
    licence = licences[own["licence"]]
    text = own["config"].get("text_config", own["config"])
    parameters = int(own["parameters"])
    return CatalogueModel(
        id=str(own["id"]),
        title=str(own["title"]),
        family=str(own["family"]),
        licence=str(licence["name"]),
        forbids=str(licence["forbids"]),
        context=int(own.get("context", text["max_position_embeddings"])),
        kind=own["kind"],
        gated=bool(own.get("gated", False)),
        languages=str(own["languages"]),
        about=str(own["about"]),
        parameters=parameters,
        download_bytes=int(own.get("download", parameters * _BYTES_A_PARAMETER)),
        config=own["config"],
    )
