"""Activations and logits at the highest moment of a step: the loss, or the backward pass of a layer."""

from __future__ import annotations

from typing import NamedTuple

from core.fit.adapter import SOFT_PROMPTS, targets
from core.fit.layer import layer_cost
from core.fit.workload import Workload
from core.models.spec import ModelSpec

GIB = 1 << 30
# bytes for each token and entry of the vocabulary where the logits are made in one piece: as float32, their
# log-softmax and its gradient (12: measured, Transformers 5.17), before that also a shifted copy (16)
UNFUSED, UNFUSED_LATELY = 16, 12
# Unsloth before its fused loss wrote the gradient over the 16-bit logits; what stayed through the backward
# pass, from lengths that it published with and without: 836.8 - 444.6 kB a token, vocabulary 128,256
UNFUSED_UNSLOTH = 3
# a loss in pieces: Unsloth's takes 512 x 151,936 logits at once in float32, and their 16-bit gradient: 0.43
# GiB (unsloth_zoo/fused_losses/fused_linear.py; more only beyond some 60,000 tokens); Apple's takes less
# (Wijmans et al. 2024)
FUSED_PLAN = GIB // 2
# around the loss, in hidden widths of the number format: the last hidden states, normed, and their gradients
_AROUND_LOSS = 4


class Moment(NamedTuple):
    """Bytes held at one moment of a step."""

    activations: int
    logits: int

    @property
    def total(self) -> int:
        return self.activations + self.logits


def highest_moment(spec: ModelSpec, workload: Workload, logits: int) -> Moment:
    """The moment at which most is held; what is freed before it is reused by what comes after.

    At the loss: everything that is kept, and the logits. In the backward pass: everything that is kept, and
    one layer (with checkpointing it is computed again). A loss in pieces stays reserved beside the layer.
    """
    tokens = tokens_computed(spec, workload)
    layer = layer_cost(spec, workload)
    kept = _kept(spec, workload, tokens)
    edge = round(tokens * spec.hidden * workload.bits / 8 * _AROUND_LOSS)
    again = 0 if workload.checkpointing == "none" else layer.kept * tokens + layer.square * pairs(workload)
    loss = Moment(round(kept + edge), logits)
    passing = layer.passing * tokens + layer.square * pairs(workload)
    stays = fused(workload) or workload.backend == "unsloth"
    backward = Moment(round(kept + again + passing), logits if stays else 0)
    return max(loss, backward, key=lambda moment: moment.total)


def _kept(spec: ModelSpec, workload: Workload, tokens: int) -> float:
    """What lies on the card from the forward to the backward pass of all layers, in bytes.

    Checkpointing (Chen et al. 2016) keeps the input of each layer; Unsloth's, and offloading, in the host's
    memory (unsloth_zoo/gradient_checkpointing.py). LoHa and LoKr keep each layer's whole update.
    """
    if workload.checkpointing != "none":
        return checkpoints_bytes(spec, workload) if workload.checkpointing == "hf" else 0.0
    layer = layer_cost(spec, workload)
    every_layer = layer.kept * tokens + layer.square * pairs(workload)
    return every_layer * spec.layers + _whole_updates(spec, workload)


def checkpoints_bytes(spec: ModelSpec, workload: Workload) -> int:
    """The input of each layer, in the format of the maths: layers × tokens × hidden."""
    return round(spec.layers * tokens_computed(spec, workload) * spec.hidden * workload.bits / 8)


def _whole_updates(spec: ModelSpec, workload: Workload) -> int:
    if workload.kind not in ("loha", "lokr"):
        return 0
    return 4 * sum(linear.parameters for linear in targets(spec, workload))


def tokens_computed(spec: ModelSpec, workload: Workload) -> int:
    """The batch's tokens, with those that a prompt puts before each row."""
    before = workload.virtual_tokens if workload.kind in SOFT_PROMPTS and workload.kind != "prefix" else 0
    return workload.tokens + before * workload.tokens // workload.length


def pairs(workload: Workload) -> int:
    """Pairs of tokens that one layer's attention looks at."""
    return workload.tokens * workload.length


def fused(workload: Workload) -> bool:
    """Whether the loss is computed piece by piece, without all logits at once."""
    return workload.backend == "unsloth" if workload.fused_loss is None else workload.fused_loss


def logits_bytes(spec: ModelSpec, workload: Workload, on_cpu: bool = False) -> int:
    """The loss's tensors: in pieces, or all at once."""
    whole = tokens_computed(spec, workload) * spec.vocab
    if fused(workload):
        return min(FUSED_PLAN, UNFUSED_LATELY * whole)
    if on_cpu:
        # there our own loss makes them only where a token is trained (core.train.batches)
        return round(UNFUSED_LATELY * whole * workload.trained_share)
    if workload.backend == "unsloth":
        return UNFUSED_UNSLOTH * whole * workload.bits // 16
    return UNFUSED * whole
