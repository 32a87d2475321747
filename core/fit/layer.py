"""One layer of the model: what autograd keeps of it for the backward pass, and what that pass takes on top.

Counted operation by operation in Transformers 5.17's model code with PEFT 0.21, and measured there: the
numbers for the plain engine are those that `torch.autograd.graph.saved_tensors_hooks` and the profiler's
memory events give, byte for byte (tests/unit/test_memory_layer.py). Bytes for each token.
"""

from __future__ import annotations

from dataclasses import dataclass

from core.fit.adapter import targets
from core.fit.workload import Workload
from core.models.spec import Linear, ModelSpec

_FLOAT32 = 4
# activation functions that are written in Python there, and keep four tensors instead of one
_LONG_GELU = ("gelu_new", "gelu_fast", "quick_gelu")
# beginnings of the types whose attention is made whole: Transformers 5.17 has no fused one for them
# (`_supports_sdpa`), or only its eager one caps the scores; Unsloth takes eager (models/_utils.py,
# _EAGER_ONLY_PREFIXES), or caps in one of its own (kernels/flex_attention.py) where flash-attn, which the
# set-up does not install, is missing
_MADE_WHOLE = {
    "peft": ("bloom", "mpt", "gpt_oss", "gemma2"),
    "unsloth": ("bloom", "mpt", "gemma3n", "gemma2"),
}
_CAPPED = "gemma2"
# bytes of the inputs of 4-bit layers. bitsandbytes kept them until 0.43 (MatMul4Bit: ctx.tensors = A, B), and
# published runs without checkpointing are that old: 2 to 4 bytes. By its source 0.50 keeps none, but until a
# run of it is measured the estimate stays on the safe side
_KEPT_4_BIT = 2.5
# types whose MLP Unsloth computes in one kernel, where its halves' product is made again (models/loader.py,
# dispatch_model; kernels/fast_lora.py, LoRA_MLP)
_FUSED_MLP = ("llama", "mistral", "gemma", "gemma2", "qwen2", "qwen3")
# what Unsloth's layer takes besides the tensors its kernels keep, in hidden widths of 16 bits: the layer's
# input twice (fetched ahead), its output, and gradients; from its published context lengths on one card
_UNSLOTH_REST = 11


@dataclass(frozen=True)
class Widths:
    """The widths in one layer, as a token meets them: of a mixture of experts only those it is sent to."""

    hidden: int
    query: int
    key: int
    up: int
    down: int
    fused_qkv: bool

    @property
    def gated(self) -> bool:
        """Whether the MLP multiplies two halves (SwiGLU and its like)."""
        return self.up > 1.5 * self.down


@dataclass(frozen=True)
class LayerCost:
    """Bytes a token. `kept` from forward to backward, `passing` more while its backward runs."""

    kept: float
    passing: float
    # bytes for each pair of tokens of one row: the attention matrix, where it is made
    square: float = 0.0


def widths(spec: ModelSpec) -> Widths:
    """The widths of an average layer."""
    mlp = [linear for linear in spec.linears if linear.kind in ("mlp", "expert")]
    up = sum(width_in_use(spec, linear) * linear.outputs for linear in mlp if linear.inputs == spec.hidden)
    down = sum(width_in_use(spec, linear) * linear.inputs for linear in mlp if linear.outputs == spec.hidden)
    query, key = spec.heads * spec.head_dim, spec.kv_heads * spec.head_dim
    fused = any(
        linear.kind == "attention" and linear.inputs == spec.hidden and linear.outputs == query + 2 * key
        for linear in spec.linears
    )
    return Widths(spec.hidden, query, key, round(up), round(down), fused)


def width_in_use(spec: ModelSpec, linear: Linear) -> float:
    """How many of such matrices one token passes in one layer."""
    a_layer = linear.count / spec.layers
    return a_layer * active_share(spec) if linear.kind == "expert" else a_layer


def active_share(spec: ModelSpec) -> float:
    """The part of the experts that one token is sent to."""
    experts = sum(linear.parameters for linear in spec.linears if linear.kind == "expert")
    return 1.0 - (spec.parameters - spec.active) / experts if experts else 1.0


def layer_cost(spec: ModelSpec, workload: Workload) -> LayerCost:
    """What one layer costs with the engine, method and number format of the workload."""
    square = _whole_attention(spec, workload)
    # what is no plain LoRA takes PEFT's own layers there too (models/llama.py, patch_peft_model)
    if workload.backend == "unsloth" and workload.kind == "lora":
        times = workload.bits / 16
        kept = times * _kept_by_unsloth(spec) + _dropped_by_unsloth(spec, workload)
        return LayerCost(kept, times * _passing_unsloth(spec), square)
    return LayerCost(_kept_plain(spec, workload), _passing_plain(spec, workload), square)


def _kept_plain(spec: ModelSpec, workload: Workload) -> float:
    wide, number = widths(spec), workload.bits / 8
    attention = number * (2 * wide.query + 2 * wide.key) + _FLOAT32 * spec.heads
    if wide.fused_qkv:
        # the values are a view, which keeps queries and keys of before the rotation too
        attention += number * (wide.query + wide.key)
    # each norm keeps its input as float32 (LlamaRMSNorm; autocast for LayerNorm)
    norms = _FLOAT32 * (spec.norms * wide.hidden + _normed_heads(spec, wide))
    return norms + attention + number * _mlp_tensors(spec, wide) + _method_tensors(spec, workload)


def _normed_heads(spec: ModelSpec, wide: Widths) -> float:
    """Width of queries and keys where these are normed too (Qwen 3, Gemma 3, OLMo 2)."""
    return spec.normed_heads * (wide.query + wide.key)


def _mlp_tensors(spec: ModelSpec, wide: Widths) -> int:
    """Gated: both halves and the activation. Else what the activation keeps."""
    if wide.gated:
        return wide.up + wide.down
    return (4 if spec.activation in _LONG_GELU else 1) * wide.down


def _method_tensors(spec: ModelSpec, workload: Workload) -> float:
    """The inputs that the adapters (or, in full training, all linear layers) keep."""
    wide, number = widths(spec), workload.bits / 8
    if workload.trains_everything:
        # each norm's and each linear layer's input; that of the attention's way out is kept already
        norms = spec.norms * wide.hidden
        return number * (norms + 2 * wide.hidden + wide.down + _normed_heads(spec, wide))
    chosen = targets(spec, workload)
    inputs = sum(width_in_use(spec, linear) * linear.inputs for linear in chosen)
    ranks = sum(width_in_use(spec, linear) for linear in chosen) * workload.rank
    own = workload.adapter_bits != workload.bits or workload.dropout
    total = number * (ranks + (inputs if own else _distinct_inputs(spec, chosen)))
    if workload.dropout:
        # what was dropped: a byte each on a GPU (native_dropout), the noise itself on a CPU
        total += inputs * (1 if workload.bits == 16 else number)
    if workload.quantization == "nf4" and workload.bits == 16 and workload.checkpointing == "none":
        total += _KEPT_4_BIT * sum(width_in_use(spec, one) * one.inputs for one in spec.linears)
    if workload.kind in ("dora", "ia3"):
        # the outputs that are scaled; DoRA also those of the pair of matrices
        outputs = sum(width_in_use(spec, linear) * linear.outputs for linear in chosen)
        total += number * outputs * (2 if workload.kind == "dora" else 1)
    return total


def _distinct_inputs(spec: ModelSpec, chosen: list[Linear]) -> float:
    """Without a change of format one input is kept once; that of the attention's way out is kept anyway."""
    hidden = {linear.kind for linear in chosen if linear.inputs == spec.hidden and linear.name != "o_proj"}
    down = [linear for linear in chosen if linear.kind in ("mlp", "expert") and linear.outputs == spec.hidden]
    return len(hidden) * spec.hidden + sum(width_in_use(spec, linear) * linear.inputs for linear in down)


def _passing_plain(spec: ModelSpec, workload: Workload) -> float:
    """Gradients on their way through the MLP: those of its tensors, and of the adapters' float32 inputs."""
    wide, number = widths(spec), workload.bits / 8
    plain = number * (2 * wide.down + 1.5 * wide.hidden)
    if workload.trains_everything:
        return plain
    adapted = any(
        linear.outputs == spec.hidden and linear.kind == "mlp" for linear in targets(spec, workload)
    )
    if workload.bits != 16:
        return plain + number * (0 if adapted else -wide.hidden)
    return plain + (_FLOAT32 * wide.down + 2 * wide.hidden if adapted else number * wide.down)


def _kept_by_unsloth(spec: ModelSpec) -> float:
    """Unsloth's kernels keep inputs and outputs of the norms, queries, keys, values, result, and both halves.

    kernels/fast_lora.py (LoRA_MLP, LoRA_QKV), rms_layernorm.py. Other types' MLP is left to autograd, which
    also keeps the activation and the way down's input.
    """
    wide = widths(spec)
    norms = 2 * spec.norms * wide.hidden + _normed_heads(spec, wide)
    fused = wide.gated and spec.model_type in _FUSED_MLP
    mlp = wide.up if fused else _mlp_tensors(spec, wide) + wide.down
    return 2 * (norms + 2 * wide.query + 2 * wide.key + mlp) + _FLOAT32 * spec.heads


def _dropped_by_unsloth(spec: ModelSpec, workload: Workload) -> float:
    """What dropout left out of the adapters' inputs, a byte each (kernels/fast_lora.py, _dropout_forward)."""
    if not workload.dropout:
        return 0.0
    return sum(width_in_use(spec, linear) * linear.inputs for linear in targets(spec, workload))


def _passing_unsloth(spec: ModelSpec) -> float:
    return 2 * (2 * widths(spec).down + _UNSLOTH_REST / 2 * spec.hidden)


def _whole_attention(spec: ModelSpec, workload: Workload) -> float:
    """Scores and weights of each pair of tokens; SDPA and flash attention (Dao 2022) never make them.

    Transformers keeps the softmax in float32, its 16-bit copy, and what a cap computed; Unsloth's compiled
    one scores and weights.
    """
    by_type = workload.attention == "auto" and spec.model_type.startswith(_MADE_WHOLE[workload.backend])
    if workload.attention != "eager" and not by_type:
        return 0.0
    number, capped = workload.bits / 8, spec.model_type == _CAPPED
    if capped and workload.backend == "unsloth":
        return spec.heads * 2 * number
    copy = number if number < _FLOAT32 else 0.0
    return spec.heads * (_FLOAT32 + copy + (number if capped else 0.0))
