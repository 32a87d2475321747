"""The parts that see and hear, beside the text model: what they weigh, and their linear layers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from core.models.fields import Fields
from core.models.shapes import Parts

Shapes = Mapping[str, tuple[int, int]]
Add = Callable[[Parts, Fields, int], None]


@dataclass(frozen=True)
class Wrapper:
    """A model around a text model. `text`: the type of that where its config doesn't say.

    `alone`: loaded as a causal language model, Transformers takes the text model only
    (`AutoModelForCausalLM`), so that an adapter finds no layers of the others.
    """

    text: str
    vision: Add | None = None
    audio: Add | None = None
    alone: bool = False


def add_towers(parts: Parts, wrapper: Wrapper, fields: Fields, hidden: int) -> bool:
    """Everything beside the text model; whether all of it is known."""
    known = True
    for name, add in (("vision_config", wrapper.vision), ("audio_config", wrapper.audio)):
        if not isinstance(fields.values.get(name), dict):
            continue
        if add:
            add(parts, fields.part(name), hidden)
        known = known and add is not None
    return known


def _linears(
    parts: Parts, at: str, shapes: dict[str, tuple[int, int]], layers: Iterable[int], bias: bool
) -> None:
    numbers = tuple(layers)
    for name, (inputs, outputs) in shapes.items():
        parts.linear(f"{at}.{name}", inputs, outputs, numbers, bias=bias)


def _siglip(parts: Parts, fields: Fields, hidden: int) -> None:
    """SigLIP and Gemma 3's projector (modeling_siglip.py, modeling_gemma3.py)."""
    own, wide = fields.whole("hidden_size", default=768), fields.whole("intermediate_size", default=3072)
    layers, patch = fields.whole("num_hidden_layers", default=12), fields.whole("patch_size", default=16)
    side = fields.whole("image_size", default=224) // patch
    parts.extra(own * fields.whole("num_channels", default=3) * patch * patch + own + side * side * own)
    parts.extra(4 * own, layers)
    parts.extra(2 * own)
    at = "model.vision_tower"
    square = {f"self_attn.{name}": (own, own) for name in ("k_proj", "v_proj", "q_proj", "out_proj")}
    mlp = {"mlp.fc1": (own, wide), "mlp.fc2": (wide, own)}
    _linears(parts, f"{at}.encoder.layers.{{}}", {**square, **mlp}, range(layers), True)
    if fields.get("vision_use_head") is not False:
        _linears(parts, f"{at}.head", {"attention.out_proj": (own, own), **mlp}, (), True)
        # a probe, a joined input matrix that is no linear layer, a norm
        parts.extra(own + 3 * own * own + 3 * own + 2 * own)
    parts.extra(own * hidden + own)


def _qwen_vision(parts: Parts, fields: Fields, hidden: int) -> None:
    """Qwen 3.5's vision tower (modeling_qwen3_5.py)."""
    own, wide = fields.whole("hidden_size", default=1152), fields.whole("intermediate_size", default=4304)
    layers, patch = fields.whole("depth", default=27), fields.whole("patch_size", default=16)
    time, channels = fields.whole("temporal_patch_size", default=2), fields.whole("in_channels", default=3)
    positions = fields.whole("num_position_embeddings", default=2304)
    parts.extra(own * channels * time * patch * patch + own + positions * own)
    parts.extra(4 * own, layers)
    shapes = {
        "attn.qkv": (own, 3 * own),
        "attn.proj": (own, own),
        "mlp.linear_fc1": (own, wide),
        "mlp.linear_fc2": (wide, own),
    }
    _linears(parts, "model.visual.blocks.{}", shapes, range(layers), True)
    merged = own * fields.whole("spatial_merge_size", default=2) ** 2
    out = fields.whole("out_hidden_size", default=3584)
    parts.extra(2 * own)
    _linears(
        parts, "model.visual.merger", {"linear_fc1": (merged, merged), "linear_fc2": (merged, out)}, (), True
    )


def _pixtral(parts: Parts, fields: Fields, hidden: int) -> None:
    """Pixtral and Mistral 3's projector (modeling_pixtral.py, modeling_mistral3.py)."""
    own, wide = fields.whole("hidden_size", default=1024), fields.whole("intermediate_size", default=4096)
    layers, patch = fields.whole("num_hidden_layers", default=24), fields.whole("patch_size", default=16)
    parts.extra(own * fields.whole("num_channels", default=3) * patch * patch + 2 * own)
    parts.extra(2 * own, layers)
    square = {f"attention.{name}": (own, own) for name in ("k_proj", "v_proj", "q_proj", "o_proj")}
    mlp = {"gate_proj": (own, wide), "up_proj": (own, wide), "down_proj": (wide, own)}
    shapes = {**square, **{f"feed_forward.{name}": shape for name, shape in mlp.items()}}
    _linears(parts, "model.vision_tower.transformer.layers.{}", shapes, range(layers), False)
    # Mistral 3 merges 2 × 2 patches; no published config says otherwise
    projector = {"patch_merger.merging_layer": (4 * own, own), "linear_1": (own, hidden)}
    projector["linear_2"] = (hidden, hidden)
    _linears(parts, "model.multi_modal_projector", projector, (), False)


def _gemma4_vision(parts: Parts, fields: Fields, hidden: int) -> None:
    """Gemma 4's vision tower (modeling_gemma4.py); its linear layers lie inside clipping ones."""
    own, wide = fields.whole("hidden_size", default=768), fields.whole("intermediate_size", default=3072)
    layers, patch = fields.whole("num_hidden_layers", default=16), fields.whole("patch_size", default=16)
    heads, size = fields.whole("num_attention_heads", default=12), fields.whole("head_dim", default=64)
    keys = fields.whole("num_key_value_heads", default=heads)
    parts.extra(2 * fields.whole("position_embedding_size", default=10240) * own)
    parts.extra(4 * own + 2 * size, layers)
    at = "model.vision_tower"
    parts.linear(f"{at}.patch_embedder.input_proj", 3 * patch * patch, own)
    shapes = {
        "self_attn.q_proj": (own, heads * size),
        "self_attn.k_proj": (own, keys * size),
        "self_attn.v_proj": (own, keys * size),
        "self_attn.o_proj": (heads * size, own),
        "mlp.gate_proj": (own, wide),
        "mlp.up_proj": (own, wide),
        "mlp.down_proj": (wide, own),
    }
    inner = {f"{name}.linear": shape for name, shape in shapes.items()}
    _linears(parts, f"{at}.encoder.layers.{{}}", inner, range(layers), False)
    parts.linear("model.embed_vision.embedding_projection", own, hidden)


def _gemma4_eye(parts: Parts, fields: Fields, hidden: int) -> None:
    """Gemma 4 12B looks at pixels without a tower (modeling_gemma4_unified.py)."""
    own, out = fields.whole("mm_embed_dim", default=3840), fields.whole("output_proj_dims", default=3840)
    side = fields.whole("patch_size", default=16) * fields.whole("pooling_kernel_size", default=3)
    pixels = 3 * side * side
    # three norms, and a place in each direction
    parts.extra(2 * pixels + 4 * own + 2 * own * fields.whole("mm_posemb_size", default=1120))
    parts.linear("model.embed_vision.patch_dense", pixels, own, bias=True)
    parts.linear("model.embed_vision.multimodal_embedder.embedding_projection", out, hidden)


def _gemma4_raw_ear(parts: Parts, fields: Fields, hidden: int) -> None:
    """Gemma 4 12B hears samples without a tower."""
    wide = fields.whole("audio_embed_dim", default=640)
    parts.linear("model.embed_audio.embedding_projection", wide, hidden)


def _gemma4_audio(parts: Parts, fields: Fields, hidden: int) -> None:
    """Gemma 4's conformer for sound (modeling_gemma4.py)."""
    own, layers = fields.whole("hidden_size", default=1024), fields.whole("num_hidden_layers", default=12)
    heads = fields.whole("num_attention_heads", default=8)
    channels = fields.numbers("subsampling_conv_channels") or (128, 32)
    first, second = channels[0], channels[-1]
    out = fields.whole("output_proj_dims", default=1536)
    parts.extra(first * 9 + first + second * first * 9 + second)
    at, block = "model.audio_tower", "model.audio_tower.layers.{}"
    # 128 mel bins, halved twice by the convolutions
    parts.linear(f"{at}.subsample_conv_projection.input_proj_linear", second * 32, own)
    wide = {"ffw_layer_1.linear": (own, 4 * own), "ffw_layer_2.linear": (4 * own, own)}
    shapes = {f"feed_forward{half}.{name}": shape for half in (1, 2) for name, shape in wide.items()}
    shapes |= {f"self_attn.{name}.linear": (own, own) for name in ("q_proj", "k_proj", "v_proj", "post")}
    shapes |= {"self_attn.relative_k_proj": (own, own), "lconv1d.linear_start.linear": (own, 2 * own)}
    shapes |= {"lconv1d.linear_end.linear": (own, own)}
    _linears(parts, block, shapes, range(layers), False)
    kernel = fields.whole("conv_kernel_size", default=5)
    parts.extra(9 * own + own // heads + own * kernel, layers)
    parts.linear(f"{at}.output_proj", own, out, bias=True)
    parts.linear("model.embed_audio.embedding_projection", out, hidden)


WRAPPERS: dict[str, Wrapper] = {
    "gemma3": Wrapper("gemma3_text", _siglip),
    # its towers come from another library (timm): counted from the weights' headers only
    "gemma3n": Wrapper("gemma3n_text"),
    "gemma4": Wrapper("gemma4_text", _gemma4_vision, _gemma4_audio),
    "gemma4_unified": Wrapper("gemma4_unified_text", _gemma4_eye, _gemma4_raw_ear),
    "mistral3": Wrapper("mistral", _pixtral),
    "qwen3_5": Wrapper("qwen3_5_text", _qwen_vision, alone=True),
    "qwen3_5_moe": Wrapper("qwen3_5_moe_text", _qwen_vision, alone=True),
}
