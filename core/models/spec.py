"""ModelSpec: the shapes of a model, as far as memory, adapter size and speed depend on them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from pydantic import TypeAdapter

LinearKind = Literal["attention", "mlp", "expert", "other"]


@dataclass(frozen=True)
class Linear:
    """One kind of linear layer inside the blocks: `count` of them, each (inputs → outputs).

    `name` is the module's last name (q_proj); `fused` are matrices that live in one parameter a layer (the
    experts of Transformers 5, routers): no nn.Linear, so neither bitsandbytes nor a search for linear layers
    finds them. `path` is the full name, with {} for the number of the layer; `layers` has those numbers.
    """

    name: str
    inputs: int
    outputs: int
    count: int
    kind: LinearKind = "other"
    fused: bool = False
    path: str = ""
    layers: tuple[int, ...] = ()

    @property
    def parameters(self) -> int:
        """Weights of all of them together; biases are counted among the model's other parameters."""
        return self.inputs * self.outputs * self.count


@dataclass(frozen=True)
class ModelSpec:
    """What a model's config.json (and its safetensors headers, where they are at hand) say of its shapes.

    `norms` are those of the hidden width in an average layer; `normed_heads` the share of the layers whose
    queries and keys have norms too.
    `linears` are all linear layers of the blocks, without lm_head; `vision` those of the parts that look and
    listen, which text does not pass through. `parameters` counts everything, tied weights once; `active` is
    what one token uses (less than all in a mixture of experts). `exact` is False where the architecture is
    not known and the shapes were guessed from headers or common fields.
    """

    name: str
    architecture: str
    model_type: str
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    tied: bool
    linears: tuple[Linear, ...]
    parameters: int
    active: int
    context: int | None = None
    experts: int = 0
    exact: bool = True
    # size of the weights' files where they are here, and what is stored in them: bf16, fp16, fp32, nf4, mixed
    file_bytes: int | None = None
    stored: str = ""
    vision: tuple[Linear, ...] = ()
    vision_parameters: int = 0
    embedding_path: str = "model.embed_tokens"
    head_path: str = "lm_head"
    # the MLP's function, as the config calls it: those written in Python keep more for the backward pass
    activation: str = ""
    norms: float = 2.0
    normed_heads: float = 0.0

    @property
    def embedding(self) -> int:
        """Parameters of the token embedding, (vocabulary × hidden)."""
        return self.vocab * self.hidden

    @property
    def linear_parameters(self) -> int:
        return sum(linear.parameters for linear in self.linears)

    @property
    def other_parameters(self) -> int:
        """What quantization leaves alone: embedding, lm_head unless tied, norms, biases, vision."""
        return self.parameters - self.linear_parameters


def spec_to_json(spec: ModelSpec) -> dict[str, Any]:
    """What `spec_from_json` reads; fields with their usual value are left out."""
    return _adapter().dump_python(spec, mode="json", exclude_defaults=True)


def spec_from_json(values: Any) -> ModelSpec:
    """A ValueError where that is no ModelSpec."""
    return _adapter().validate_python(values)


@cache
def _adapter() -> TypeAdapter[ModelSpec]:
    return TypeAdapter(ModelSpec)
