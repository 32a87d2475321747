"""The table of families, by `model_type`, as the model code of Transformers 5.17 builds them."""

from __future__ import annotations

from dataclasses import replace

from core.models.families import Family
from core.models.fields import Fields
from core.models.gemma import GEMMAS
from core.models.hybrids import HYBRIDS
from core.models.mixtures import MIXTURES
from core.models.older import OLDER
from core.models.shapes import FUSED_GATE, Attention, Mlp, Parts, Sizes, sinks
from core.models.states import STATES

_ALL_BIASED = Attention(bias="attention_bias", out_bias="attention_bias")
_UNGATED = Mlp(into=(("up_proj", 1),), bias="mlp_bias")
_LLAMA = Family(attention=_ALL_BIASED, mlp=Mlp(bias="mlp_bias"))
_MISTRAL = Family()
_GEMMA = Family(attention=_ALL_BIASED)
_OLMO2 = Family(attention=replace(_ALL_BIASED, norm="full"))
_COHERE = Family(attention=replace(_ALL_BIASED, norm="full", norm_if="use_qk_norm"), norms=1)
_GLM = Family(attention=Attention(bias="attention_bias"), mlp=Mlp(into=FUSED_GATE))


def _bitnet(parts: Parts, fields: Fields, sizes: Sizes) -> None:
    # a norm more on each matrix's way out
    parts.extra(sizes.hidden + sizes.intermediate, sizes.layers)


def _diffllama(parts: Parts, fields: Fields, sizes: Sizes) -> None:
    # four vectors that weigh one attention against the other (Ye et al. 2024, section 2.1)
    parts.extra(4 * sizes.head_dim, sizes.layers)


def _stablelm(parts: Parts, fields: Fields, sizes: Sizes) -> None:
    if not fields.flag("use_parallel_residual"):
        parts.extra(2 * sizes.hidden, sizes.layers)


def _phi(parts: Parts, fields: Fields, sizes: Sizes) -> None:
    if fields.flag("qk_layernorm"):
        parts.extra(4 * sizes.head_dim, sizes.layers)


def _apertus(parts: Parts, fields: Fields, sizes: Sizes) -> None:
    # the two learned numbers of its activation, xIELU
    parts.extra(2, sizes.layers)


DENSE: dict[str, Family] = {
    "llama": _LLAMA,
    "cwm": _MISTRAL,
    "mistral": _MISTRAL,
    "ministral": _MISTRAL,
    "ministral3": _MISTRAL,
    "granite": _LLAMA,
    "smollm3": _LLAMA,
    "bitnet": Family(attention=_ALL_BIASED, more=_bitnet),
    "diffllama": Family(attention=_ALL_BIASED, more=_diffllama),
    "granite_swa": replace(_LLAMA, more=sinks),
    "helium": Family(attention=Attention(bias="attention_bias", square=True), mlp=Mlp(bias="mlp_bias")),
    "seed_oss": Family(
        attention=Attention(bias="attention_bias", out_bias="attention_out_bias"),
        mlp=Mlp(bias="mlp_bias"),
    ),
    "ernie4_5": Family(attention=Attention(bias="use_bias", out_bias="use_bias"), mlp=Mlp(bias="use_bias")),
    "qwen2": Family(attention=Attention(bias=True)),
    "qwen3": Family(attention=replace(_ALL_BIASED, norm="head")),
    "hunyuan_v1_dense": Family(attention=replace(_ALL_BIASED, norm="head")),
    "exaone4": Family(attention=Attention(norm="head")),
    "arcee": Family(attention=_ALL_BIASED, mlp=_UNGATED),
    "apertus": Family(attention=replace(_ALL_BIASED, norm="head"), mlp=_UNGATED, more=_apertus),
    "jais2": Family(attention=_ALL_BIASED, mlp=_UNGATED, norm_bias=True),
    "nanochat": Family(
        attention=_ALL_BIASED, mlp=Mlp(into=(("fc1", 1),), down="fc2"), norms=0, final_norm=False
    ),
    "nemotron": Family(attention=_ALL_BIASED, mlp=_UNGATED, norm_bias=True),
    "gemma": _GEMMA,
    "gemma2": replace(_GEMMA, norms=4),
    "gemma3_text": replace(_GEMMA, attention=replace(_ALL_BIASED, norm="head"), norms=4),
    "vaultgemma": _GEMMA,
    "olmo": Family(attention=_ALL_BIASED, norms=0, final_norm=False),
    "olmo2": _OLMO2,
    "olmo3": _OLMO2,
    "cohere": _COHERE,
    "cohere2": replace(_COHERE, attention=_ALL_BIASED),
    "glm": _GLM,
    "glm4": replace(_GLM, norms=4),
    "phi": Family(
        attention=Attention(out="dense", bias=True, out_bias=True),
        mlp=Mlp(into=(("fc1", 1),), down="fc2", bias=True),
        norms=1,
        norm_bias=True,
        head_bias=True,
        inner=4,
        more=_phi,
    ),
    "phi3": Family(attention=Attention(fused="qkv_proj"), mlp=Mlp(into=FUSED_GATE)),
    "starcoder2": Family(
        attention=Attention(bias="use_bias", out_bias="use_bias"),
        mlp=Mlp(into=(("c_fc", 1),), down="c_proj", bias="use_bias"),
        norm_bias=True,
    ),
    "stablelm": Family(
        attention=Attention(bias="use_qkv_bias", norm="full", norm_if="qk_layernorm"),
        norms=1,
        norm_bias=True,
        more=_stablelm,
    ),
}

FAMILIES: dict[str, Family] = {**DENSE, **OLDER, **MIXTURES, **HYBRIDS, **STATES, **GEMMAS}
