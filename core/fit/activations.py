"""Activations: what autograd keeps of each layer, what its backward pass takes on top, and the loss.

One layer is counted operation by operation in Transformers 5.17's model code with PEFT 0.21, and measured
there: the numbers for the plain engine are those that `torch.autograd.graph.saved_tensors_hooks` and the
profiler's memory events give, byte for byte (tests/unit/test_memory_layer.py). Bytes for each token.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from core.fit.training import Training
from core.machine import GIB
from core.methods.method import passes_a_layer
from core.models.spec import Linear, ModelSpec

FLOAT32 = 4
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
# bytes for each token and entry of the vocabulary where the logits are made in one piece: as float32, their
# log-softmax and its gradient (12: measured, Transformers 5.17), before that also a shifted copy (16)
UNFUSED, UNFUSED_LATELY = 16, 12
# Unsloth before its fused loss wrote the gradient over the 16-bit logits; what stayed through the backward
# pass, from lengths that it published with and without: 836.8 - 444.6 kB a token, vocabulary 128,256
_UNFUSED_UNSLOTH = 3
# a loss in pieces: Unsloth's takes 512 x 151,936 logits at once in float32, and their 16-bit gradient: 0.43
# GiB (unsloth_zoo/fused_losses/fused_linear.py; more only beyond some 60,000 tokens); Apple's takes less
# (Wijmans et al. 2024)
FUSED_PLAN = GIB // 2
# on a CPU our own loss makes logits only where a token is trained (core.train.batches): in chats the answers
_TRAINED_SHARE = 0.75
# around the loss, in hidden widths of the number format: the last hidden states, normed, and their gradients
_AROUND_LOSS = 4


class Moment(NamedTuple):
    """Bytes held at one moment of a step."""

    activations: int
    logits: int

    @property
    def total(self) -> int:
        return self.activations + self.logits


def highest_moment(work: Training) -> Moment:
    """The moment at which most is held; what is freed before it is reused by what comes after.

    At the loss: everything that is kept, and the logits. In the backward pass: everything that is kept, and
    one layer (with checkpointing it is computed again). A loss in pieces stays reserved beside the layer.
    """
    layer, tokens, logits = layer_cost(work), work.tokens, logits_bytes(work)
    kept = _kept(work, layer)
    edge = round(tokens * work.spec.hidden * work.bits / 8 * _AROUND_LOSS)
    again = 0 if work.checkpointing == "none" else layer.kept * tokens + layer.square * work.pairs
    loss = Moment(round(kept + edge), logits)
    passing = layer.passing * tokens + layer.square * work.pairs
    stays = work.pieces or work.engine == "unsloth"
    backward = Moment(round(kept + again + passing), logits if stays else 0)
    return max(loss, backward, key=lambda moment: moment.total)


def checkpoints_bytes(work: Training) -> int:
    """The input of each layer, in the format of the maths: layers × tokens × hidden."""
    return round(work.spec.layers * work.tokens * work.spec.hidden * work.bits / 8)


def logits_bytes(work: Training) -> int:
    """The loss's tensors: in pieces, or all at once."""
    whole = work.tokens * work.spec.vocab
    if work.pieces:
        return min(FUSED_PLAN, UNFUSED_LATELY * whole)
    if work.place.gpu is None:
        return round(UNFUSED_LATELY * whole * _TRAINED_SHARE)
    if work.engine == "unsloth":
        return _UNFUSED_UNSLOTH * whole * work.bits // 16
    return UNFUSED * whole


@dataclass(frozen=True)
class LayerCost:
    """Bytes a token. `kept` from forward to backward, `passing` more while its backward runs."""

    kept: float
    passing: float
    # bytes for each pair of tokens of one row: the attention matrix, where it is made
    square: float = 0.0


def _kept(work: Training, layer: LayerCost) -> float:
    """What lies on the card from the forward to the backward pass of all layers, in bytes.

    Checkpointing (Chen et al. 2016) keeps the input of each layer; Unsloth's, and offloading, in the host's
    memory (unsloth_zoo/gradient_checkpointing.py).
    """
    if work.checkpointing != "none":
        return checkpoints_bytes(work) if work.checkpointing == "hf" else 0.0
    every_layer = (layer.kept * work.tokens + layer.square * work.pairs) * work.spec.layers
    if not work.method.keeps_whole_updates:
        return every_layer
    targets = work.method.targets(work.spec, work.recipe)
    return every_layer + FLOAT32 * sum(linear.parameters for linear in targets)


def layer_cost(work: Training) -> LayerCost:
    """What one layer costs with the engine, method and number format of the training."""
    square = _whole_attention(work)
    # what is no plain LoRA takes PEFT's own layers there too (models/llama.py, patch_peft_model)
    if work.engine == "unsloth" and work.method.fused_by_unsloth:
        times = work.bits / 16
        kept = times * _kept_by_unsloth(work.spec) + _dropped_by_unsloth(work)
        return LayerCost(kept, times * _passing_unsloth(work.spec), square)
    return LayerCost(_kept_plain(work), _passing_plain(work), square)


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


def widths(spec: ModelSpec) -> Widths:
    """The widths of an average layer."""
    mlp = [linear for linear in spec.linears if linear.kind in ("mlp", "expert")]
    up = sum(passes_a_layer(spec, linear) * linear.outputs for linear in mlp if linear.inputs == spec.hidden)
    down = sum(
        passes_a_layer(spec, linear) * linear.inputs for linear in mlp if linear.outputs == spec.hidden
    )
    query, key = spec.heads * spec.head_dim, spec.kv_heads * spec.head_dim
    fused = any(
        linear.kind == "attention" and linear.inputs == spec.hidden and linear.outputs == query + 2 * key
        for linear in spec.linears
    )
    return Widths(spec.hidden, query, key, round(up), round(down), fused)


def _kept_plain(work: Training) -> float:
    spec, wide, number = work.spec, widths(work.spec), work.bits / 8
    attention = number * (2 * wide.query + 2 * wide.key) + FLOAT32 * spec.heads
    if wide.fused_qkv:
        # the values are a view, which keeps queries and keys of before the rotation too
        attention += number * (wide.query + wide.key)
    # each norm keeps its input as float32 (LlamaRMSNorm; autocast for LayerNorm)
    norms = FLOAT32 * (spec.norms * wide.hidden + _normed_heads(spec, wide))
    return norms + attention + number * _mlp_tensors(spec, wide) + _method_tensors(work, wide)


def _normed_heads(spec: ModelSpec, wide: Widths) -> float:
    """Width of queries and keys where these are normed too (Qwen 3, Gemma 3, OLMo 2)."""
    return spec.normed_heads * (wide.query + wide.key)


def _mlp_tensors(spec: ModelSpec, wide: Widths) -> int:
    """Gated: both halves and the activation. Else what the activation keeps."""
    if wide.gated:
        return wide.up + wide.down
    return (4 if spec.activation in _LONG_GELU else 1) * wide.down


def _method_tensors(work: Training, wide: Widths) -> float:
    """The inputs that the adapters (or, in full training, all linear layers) keep."""
    spec, recipe, number = work.spec, work.recipe, work.bits / 8
    if work.method.trains_everything:
        # each norm's and each linear layer's input; that of the attention's way out is kept already
        norms = spec.norms * wide.hidden
        return number * (norms + 2 * wide.hidden + wide.down + _normed_heads(spec, wide))
    targets = work.method.targets(spec, recipe)
    inputs = sum(passes_a_layer(spec, linear) * linear.inputs for linear in targets)
    ranks = sum(passes_a_layer(spec, linear) for linear in targets) * recipe.rank
    own = work.foreign.adapter_bits != work.bits or recipe.dropout
    total = number * (ranks + (inputs if own else _distinct_inputs(spec, targets)))
    if recipe.dropout:
        # what was dropped: a byte each on a GPU (native_dropout), the noise itself on a CPU
        total += inputs * (1 if work.bits == 16 else number)
    if work.packed and work.bits == 16 and work.checkpointing == "none":
        total += _KEPT_4_BIT * sum(passes_a_layer(spec, one) * one.inputs for one in spec.linears)
    return total + number * work.method.kept_per_token(spec, recipe)


def _distinct_inputs(spec: ModelSpec, targets: list[Linear]) -> float:
    """Without a change of format one input is kept once; that of the attention's way out is kept anyway."""
    hidden = {linear.kind for linear in targets if linear.inputs == spec.hidden and linear.name != "o_proj"}
    down = [
        linear for linear in targets if linear.kind in ("mlp", "expert") and linear.outputs == spec.hidden
    ]
    return len(hidden) * spec.hidden + sum(passes_a_layer(spec, linear) * linear.inputs for linear in down)


def _passing_plain(work: Training) -> float:
    """Gradients on their way through the MLP: those of its tensors, and of the adapters' float32 inputs."""
    spec, wide, number = work.spec, widths(work.spec), work.bits / 8
    plain = number * (2 * wide.down + 1.5 * wide.hidden)
    if work.method.trains_everything:
        return plain
    adapted = any(
        linear.outputs == spec.hidden and linear.kind == "mlp"
        for linear in work.method.targets(spec, work.recipe)
    )
    if work.bits != 16:
        return plain + number * (0 if adapted else -wide.hidden)
    return plain + (FLOAT32 * wide.down + 2 * wide.hidden if adapted else number * wide.down)


def _kept_by_unsloth(spec: ModelSpec) -> float:
    """Unsloth's kernels keep inputs and outputs of the norms, queries, keys, values, result, and both halves.

    kernels/fast_lora.py (LoRA_MLP, LoRA_QKV), rms_layernorm.py. Other types' MLP is left to autograd, which
    also keeps the activation and the way down's input.
    """
    wide = widths(spec)
    norms = 2 * spec.norms * wide.hidden + _normed_heads(spec, wide)
    fused = wide.gated and spec.model_type in _FUSED_MLP
    mlp = wide.up if fused else _mlp_tensors(spec, wide) + wide.down
    return 2 * (norms + 2 * wide.query + 2 * wide.key + mlp) + FLOAT32 * spec.heads


def _dropped_by_unsloth(work: Training) -> float:
    """What dropout left out of the adapters' inputs, a byte each (kernels/fast_lora.py, _dropout_forward)."""
    if not work.recipe.dropout:
        return 0.0
    targets = work.method.targets(work.spec, work.recipe)
    return sum(passes_a_layer(work.spec, linear) * linear.inputs for linear in targets)


def _passing_unsloth(spec: ModelSpec) -> float:
    return 2 * (2 * widths(spec).down + _UNSLOTH_REST / 2 * spec.hidden)


def _whole_attention(work: Training) -> float:
    """Scores and weights of each pair of tokens; SDPA and flash attention (Dao 2022) never make them.

    Transformers keeps the softmax in float32, its 16-bit copy, and what a cap computed; Unsloth's compiled
    one scores and weights.
    """
    spec, attention = work.spec, work.recipe.attention
    by_type = attention == "auto" and spec.model_type.startswith(_MADE_WHOLE[work.engine])
    if attention != "eager" and not by_type:
        return 0.0
    number, capped = work.bits / 8, spec.model_type == _CAPPED
    if capped and work.engine == "unsloth":
        return spec.heads * 2 * number
    copy = number if number < FLOAT32 else 0.0
    return spec.heads * (FLOAT32 + copy + (number if capped else 0.0))
