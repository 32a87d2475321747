"""The Recipe: one validated object that says everything about a run. YAML in, YAML out.

A knob is one line here. Its help, unit, range and group are read by the page, the command line, the
preset files and the README; nothing names a default a second time.
"""

from __future__ import annotations

from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from core.base.errors import UserError
from core.base.files import write_atomic
from core.base.plain_yaml import dump_yaml, load_yaml, short
from core.base.registry import registered


def knob(default: Any, help: str, group: str, unit: str = "", resumable: bool = False, **limits: Any) -> Any:
    """One setting of the recipe with what a person needs to know about it.

    A `resumable` one may differ when a run goes on from a checkpoint: the steps before it stand.
    """
    extra = {"group": group, "unit": unit, "resumable": resumable}
    return Field(default, description=help, json_schema_extra=extra, **limits)


class MethodEntry:
    """What the Recipe asks of a training method; each is one file of core/methods, found by listing it.

    `settings` are the knobs that choosing it means: QLoRA is LoRA on a base in 4 bits. `knobs` are its own,
    kept in the recipe's `method_settings`.
    """

    name = ""
    title = ""
    help = ""
    order = 0
    settings: dict[str, Any] = {}
    knobs: type[BaseModel] | None = None
    trains = True


def method_entries() -> tuple[MethodEntry, ...]:
    """All methods that a recipe may name, in their order."""
    return registered("core.methods", MethodEntry)


class Recipe(BaseModel):
    """Everything that decides how a run goes. With the run's data snapshot it is enough to run it again."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True, protected_namespaces=())

    name: str = knob(
        "", "A name for the run; empty takes the data's name.", "Run", resumable=True, max_length=60
    )
    model: str = knob("starter", "Base model: `starter`, a folder, or a hub id.", "Run", min_length=1)
    data: str | list[str] = knob(
        "sample", "Instruction dataset: `sample`, a file, a folder, or several of them.", "Run", min_length=1
    )
    columns: dict[str, str] = knob({}, "What a column is, where it can't be told: column → role.", "Run")
    fixes: list[str] = knob([], "Problems of the data whose fix was taken.", "Run")
    chat_template: str = knob(
        "auto", "The model's own chat template, or a standard one where it has none.", "Run"
    )
    splits: bool = knob(
        True,
        "Files called train, valid or test are what their names say; off trains on all of them.",
        "Data",
    )
    heldout: str | None = knob(
        None, "Your own held-out file; without one a part of the data is held out.", "Run"
    )
    preset: str = knob("", "The preset that this recipe started from.", "Run", resumable=True)
    seed: int = knob(
        42, "Seed of every random choice: the same recipe gives the same run.", "Run", ge=0, le=2**31
    )

    engine: Literal["auto", "unsloth", "peft"] = knob(
        "auto", "Unsloth where it can be imported, otherwise Transformers + PEFT.", "Engine"
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = knob(
        "auto", "Number format of the maths; auto asks the hardware.", "Engine"
    )
    quantization: Literal["none", "nf4"] = knob(
        "none", "nf4 keeps the frozen base model in 4 bits (QLoRA); none keeps it in 16 or 32.", "Engine"
    )
    double_quantization: bool = knob(
        True, "Quantize the 4-bit constants too: saves 0.4 bits a weight.", "Engine"
    )
    attention: Literal["auto", "sdpa", "eager", "flash_attention_2"] = knob(
        "auto",
        "How attention is computed; auto takes the fastest that is installed, a name takes the PEFT engine.",
        "Engine",
    )
    offload_embedding: bool = knob(
        False,
        "Keep the token embedding in the computer's memory instead of the GPU's; nothing is saved where the "
        "model uses it as its last layer, too. Unsloth does it unasked when room is short.",
        "Engine",
    )

    method: str = knob("lora", "What is trained.", "Adapter")
    rank: int = knob(
        16, "Rank r: how much the adapter can learn; each doubling doubles its size.", "Adapter", ge=1, le=512
    )
    alpha: int = knob(16, "Alpha: the adapter's strength is alpha / rank.", "Adapter", ge=1, le=2048)
    dropout: float = knob(0.0, "Dropout on the adapter's input while training.", "Adapter", ge=0, le=0.9)
    target_modules: str | list[str] = knob(
        "all-linear", "Which layers get an adapter: all-linear, or a list of module names.", "Adapter"
    )

    max_length: int = knob(1024, "Longer rows are cut off here.", "Data", "tokens", ge=16, le=1_048_576)
    heldout_share: float = knob(
        0.05, "Share of the rows kept back to measure the held-out loss.", "Data", ge=0, le=0.5
    )
    group_by_length: bool = knob(
        True, "Rows of one step are computed sorted by length, so less padding is computed.", "Data"
    )

    epochs: float = knob(
        3.0, "How often every row is seen.", "Training", "epochs", resumable=True, gt=0, le=100
    )
    max_steps: int | None = knob(
        None,
        "Stop after this many steps, whatever the epochs say.",
        "Training",
        "steps",
        resumable=True,
        ge=1,
    )
    micro_batch: int = knob(
        1,
        "Rows of full length computed at once; more short ones take their place. Costs memory.",
        "Training",
        "rows",
        ge=1,
        le=512,
    )
    accumulate: int = knob(
        8, "Micro-batches per step; effective batch = micro-batch x this.", "Training", ge=1, le=1024
    )
    learning_rate: float = knob(2e-4, "How far each step moves the adapter.", "Training", gt=0, le=1)
    warmup: float = knob(
        0.05, "Share of the steps in which the learning rate rises from zero.", "Training", ge=0, le=0.9
    )
    scheduler: Literal["linear", "cosine", "constant"] = knob(
        "linear", "How the learning rate falls after the warm-up.", "Training"
    )
    weight_decay: float = knob(0.01, "Pulls adapter weights towards zero.", "Training", ge=0, le=1)
    max_grad_norm: float = knob(1.0, "Longer gradients are cut to this length.", "Training", gt=0, le=1000)
    optimizer: Literal["adamw_torch", "adamw_8bit", "paged_adamw_8bit"] = knob(
        "adamw_torch", "adamw_8bit keeps the optimizer's state in a quarter of the memory.", "Training"
    )
    checkpointing: Literal["none", "hf", "unsloth"] = knob(
        "none", "Gradient checkpointing: less memory, slower steps.", "Training"
    )

    eval_every: int = knob(
        10, "Measure the held-out loss every so many steps.", "Checks", "steps", resumable=True, ge=1
    )
    save_every: int = knob(
        20, "Write a checkpoint every so many steps.", "Checks", "steps", resumable=True, ge=1
    )
    keep_checkpoints: int = knob(
        2, "How many checkpoints are kept; older ones are deleted.", "Checks", resumable=True, ge=1, le=100
    )

    method_settings: dict[str, Any] = Field(
        default_factory=dict, description="The knobs that only this method has: name → value."
    )
    run: str = Field(
        default="", description="The run's own mark, which its checkpoints carry; written when it is made."
    )
    day: date | None = Field(
        default=None,
        description="The day that the chat template prints as today's; written when it is made.",
    )
    versions: dict[str, str] = Field(
        default_factory=dict, description="Library versions of the run; written at its start."
    )
    hashes: dict[str, str] = Field(
        default_factory=dict, description="SHA-256 of data and model; written at the run's start."
    )

    @model_validator(mode="before")
    @classmethod
    def _method_means_its_settings(cls, values: Any) -> Any:
        """`qlora` becomes what it means: LoRA, and a base in 4 bits."""
        if not isinstance(values, dict):
            return values
        entry = next((entry for entry in method_entries() if entry.name == values.get("method")), None)
        return {**values, **entry.settings} if entry else values

    @field_validator("method")
    @classmethod
    def _method_is_there(cls, value: str) -> str:
        names = [entry.name for entry in method_entries()]
        if value not in names:
            raise ValueError(f"must be one of {', '.join(names)}")
        return value

    @field_validator("target_modules")
    @classmethod
    def _modules_are_names(cls, value: str | list[str]) -> str | list[str]:
        names = [value] if isinstance(value, str) else value
        if not names or not all(
            name.replace("_", "").replace("-", "").replace(".", "").isalnum() for name in names
        ):
            raise ValueError("names modules like q_proj, or says all-linear")
        return value

    @model_validator(mode="after")
    def _pieces_agree(self) -> Recipe:
        own = self._entry.knobs
        if self.method_settings and own is None:
            raise ValueError(f"the method “{self.method}” has no settings of its own")
        if own is not None:
            try:
                values = own.model_validate(self.method_settings)
            except ValidationError as error:
                raise ValueError(problems_of(error)) from None
            # text from a field or a command line becomes a number
            self.method_settings.update(values.model_dump(exclude_unset=True))
        if self.checkpointing == "unsloth" and self.engine == "peft":
            raise ValueError("checkpointing “unsloth” needs the Unsloth engine; choose “hf”")
        if self.attention != "auto" and self.engine == "unsloth":
            raise ValueError(
                f"attention “{self.attention}” needs the PEFT engine: Unsloth chooses its own; choose “auto”"
            )
        return self

    @property
    def effective_batch(self) -> int:
        """Rows that one optimizer step sees."""
        return self.micro_batch * self.accumulate

    @property
    def _entry(self) -> MethodEntry:
        return next(entry for entry in method_entries() if entry.name == self.method)

    @property
    def method_title(self) -> str:
        """The field's name for it: QLoRA trains on a quantized base, LoRA on a whole one."""
        now = {"method": self.method, "quantization": self.quantization}
        return next((entry.title for entry in method_entries() if entry.settings == now), self._entry.title)

    def with_changes(self, **changes: Any) -> Recipe:
        """A checked copy with some knobs changed."""
        return parse_recipe({**self.model_dump(), **changes})

    def to_yaml(self) -> str:
        return dump_yaml(self.model_dump(mode="json"))

    def save(self, path: Path) -> None:
        write_atomic(path, self.to_yaml())

    @classmethod
    def load(cls, path: Path) -> Recipe:
        """Read and check a recipe file. A UserError names the file and the knob."""
        return parse_recipe(load_yaml(path), str(path))


def parse_recipe(values: dict[str, Any], where: str = "The recipe") -> Recipe:
    """A Recipe from plain values; a UserError lists every knob that is wrong, with what it may be."""
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{where}: {problems_of(error)}.") from error


def problems_of(error: ValidationError) -> str:
    """Everything that was refused, each with its name and the value that was given."""
    return "; ".join(_problem(item) for item in error.errors())


def _problem(item: Any) -> str:
    name = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        return f"there is no setting “{short(name)}”"
    text = item["msg"].removeprefix("Value error, ")
    if not name:
        return text
    given = "" if item["type"] == "missing" else f" (it is {short(repr(item['input']))})"
    return f"“{short(name)}” {text[0].lower()}{text[1:]}{given}"


def is_resumable(name: str) -> bool:
    """Whether a run may go on from a checkpoint with another value of this knob."""
    extra = Recipe.model_fields[name].json_schema_extra if name in Recipe.model_fields else None
    return isinstance(extra, dict) and bool(extra["resumable"])


@cache
def knobs() -> dict[str, dict[str, Any]]:
    """Every setting a person may turn: name → {help, group, unit, default, minimum, above, maximum, choices}.

    Numbers may be as small as `minimum`, or come as near to `above` as they like.
    """
    all_knobs = _described(Recipe)
    trainable = [entry for entry in method_entries() if entry.trains and not entry.settings]
    all_knobs["method"]["choices"] = [entry.name for entry in trainable]
    return all_knobs


def limits(knob: dict[str, Any]) -> str:
    """Which numbers a setting may be, as a sentence; empty where it is none."""
    low, above, high = (
        None if knob[name] is None else f"{knob[name]:,.0f}" if abs(knob[name]) >= 1000 else f"{knob[name]:g}"
        for name in ("minimum", "above", "maximum")
    )
    if above is not None:
        return f"More than {above}, at most {high}." if high else f"More than {above}."
    if low is not None:
        return f"From {low} to {high}." if high else f"At least {low}."
    return ""


@cache
def own_knobs(method: str) -> dict[str, dict[str, Any]]:
    """The settings that only this method has, as `knobs` says them; they go into `method_settings`."""
    kinds = [entry.knobs for entry in method_entries() if entry.name == method and entry.knobs]
    return _described(kinds[0], "Adapter") if kinds else {}


def _described(kind: type[BaseModel], group: str = "") -> dict[str, dict[str, Any]]:
    """What a person needs to know of each field; `group` is that of fields that don't say theirs."""
    described, schema = {}, kind.model_json_schema()["properties"]
    for name, field in kind.model_fields.items():
        extra = field.json_schema_extra or {}
        if not isinstance(extra, dict) or not (extra or group):
            continue
        entry = schema[name]
        inner = next((part for part in entry.get("anyOf", []) if part.get("type") != "null"), entry)
        described[name] = {
            "help": field.description,
            "group": extra.get("group", group),
            "unit": extra.get("unit", ""),
            "default": field.default,
            "minimum": inner.get("minimum"),
            "above": inner.get("exclusiveMinimum"),
            "maximum": inner.get("maximum"),
            "choices": inner.get("enum"),
        }
    return described
