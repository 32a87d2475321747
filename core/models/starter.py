"""The embedded default: SmolLM2-135M-Instruct as a Hugging Face folder, rebuilt from its GGUF file.

`python -m core.models.starter HOME` makes it. Needs numpy and tokenizers, not torch.
"""

from __future__ import annotations

import json
import sys
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.base.errors import UserError
from core.base.files import replacement, sha256_file, sweep, write_atomic, write_json
from core.base.home import STARTER_GGUF, STARTER_SHA256, Home, open_home
from core.base.records import read_if_whole
from core.models.converter import gguf as gguf_package
from core.models.gguf_header import GgufHeader, GgufTensor, read_header
from core.models.tensors import TensorWriter

if TYPE_CHECKING:
    import numpy

NAME = "SmolLM2-135M-Instruct"
MANIFEST = "starter.json"
CONTROL = 3  # llama.cpp's token type of a control token

_GLOBAL = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}
_IN_BLOCK = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def ensure_starter(home: Home) -> Path:
    """The starter model's folder below `home.models`, built on first use (a few seconds).

    Safe when two processes ask at once. A folder whose files no longer have their noted hashes is built anew.
    """
    folder = home.models / NAME
    if is_intact(folder):
        return folder
    sweep(home.models)
    check_gguf(STARTER_GGUF)
    with replacement(folder, keep=is_intact) as temporary:
        build_starter(STARTER_GGUF, temporary)
    return folder


def is_intact(folder: Path) -> bool:
    """Whether every file that the build noted is there with its SHA-256."""
    manifest = read_if_whole(folder / MANIFEST, dict[str, str]) or {}
    try:
        return bool(manifest) and all(
            sha256_file(folder / name) == digest for name, digest in manifest.items()
        )
    except OSError:
        return False


def check_gguf(gguf: Path) -> None:
    """A UserError unless `gguf` is exactly the file that set-up fetches."""
    if not gguf.is_file():
        raise UserError(
            f"The starter model's file {gguf} is missing. Start `python app.py` once to fetch it."
        )
    if sha256_file(gguf) != STARTER_SHA256:
        raise UserError(
            f"{gguf} is damaged: its SHA-256 is not the known one. Delete it and start `python app.py`."
        )


def build_starter(gguf: Path, folder: Path) -> None:
    """Write config, weights (fp16), tokenizer and generation config of a Llama-shaped GGUF into `folder`."""
    header = read_header(gguf, arrays=True)
    folder.mkdir(parents=True, exist_ok=True)
    config = _config(header)
    write_json(folder / "config.json", config)
    ends = {key: config[key] for key in ("bos_token_id", "eos_token_id", "pad_token_id")}
    write_json(folder / "generation_config.json", {"_from_model_config": True, **ends})
    _write_card(header, folder)
    write_tokenizer(header, folder)
    _write_weights(header, config, folder / "model.safetensors")
    write_json(folder / MANIFEST, {path.name: sha256_file(path) for path in sorted(folder.iterdir())})


def _config(header: GgufHeader) -> dict[str, Any]:
    def number(name: str) -> Any:
        return header.metadata[f"llama.{name}"]

    heads, hidden = number("attention.head_count"), number("embedding_length")
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "attention_bias": False,
        "bos_token_id": header.metadata["tokenizer.ggml.bos_token_id"],
        "eos_token_id": header.metadata["tokenizer.ggml.eos_token_id"],
        "pad_token_id": header.metadata["tokenizer.ggml.unknown_token_id"],
        "head_dim": hidden // heads,
        "hidden_act": "silu",
        "hidden_size": hidden,
        "initializer_range": hidden**-0.5,
        "intermediate_size": number("feed_forward_length"),
        "max_position_embeddings": number("context_length"),
        "mlp_bias": False,
        "num_attention_heads": heads,
        "num_hidden_layers": number("block_count"),
        "num_key_value_heads": number("attention.head_count_kv"),
        # a float32 in the file: 9.999999747378752e-06 was 1e-05
        "rms_norm_eps": float(f"{number('attention.layer_norm_rms_epsilon'):.6g}"),
        "rope_theta": number("rope.freq_base"),
        "tie_word_embeddings": True,
        "torch_dtype": "float16",
        "vocab_size": number("vocab_size"),
    }


def _write_card(header: GgufHeader, folder: Path) -> None:
    """Where it comes from and its licence; converters carry the licence over into GGUF files."""
    maker, licence = header.metadata["general.organization"], header.metadata["general.license"]
    card = f"---\nlicense: {licence}\n---\n{NAME} by {maker}, its weights read from a Q4_1 GGUF file.\n"
    write_atomic(folder / "README.md", card)


def write_tokenizer(header: GgufHeader, folder: Path) -> None:
    """Rebuild the tokenizer of a SmolLM2 GGUF: token ids equal to llama.cpp's, readable by transformers."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    names: list[str] = header.metadata["tokenizer.ggml.tokens"]
    kinds: list[int] = header.metadata["tokenizer.ggml.token_type"]
    merges = [tuple(merge.split(" ")) for merge in header.metadata["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE(vocab={name: i for i, name in enumerate(names)}, merges=merges))
    digits = pre_tokenizers.Digits(individual_digits=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [digits, pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    control = [name for name, kind in zip(names, kinds) if kind == CONTROL]
    tokenizer.add_special_tokens([AddedToken(name, normalized=False, special=True) for name in control])
    tokenizer.save(str(folder / "tokenizer.json"))
    _write_tokenizer_config(header, names, control, folder)


def _write_tokenizer_config(header: GgufHeader, names: list[str], control: list[str], folder: Path) -> None:
    def token(role: str) -> str:
        return names[header.metadata[f"tokenizer.ggml.{role}_token_id"]]

    # padding must differ from the end of a turn, or masking it out would also hide the end from training
    roles = {
        "bos_token": token("bos"),
        "eos_token": token("eos"),
        "unk_token": token("unknown"),
        "pad_token": token("unknown"),
    }
    template: str = header.metadata["tokenizer.chat_template"]
    settings = {
        # not GPT2Tokenizer: transformers would replace the pre-tokenizer by GPT-2's own
        "tokenizer_class": "PreTrainedTokenizerFast",
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": header.metadata["llama.context_length"],
        **roles,
        "additional_special_tokens": [name for name in control if name not in roles.values()],
        "added_tokens_decoder": {
            str(names.index(name)): {
                "content": name,
                "lstrip": False,
                "normalized": False,
                "rstrip": False,
                "single_word": False,
                "special": True,
            }
            for name in control
        },
        "chat_template": template,
    }
    write_json(folder / "tokenizer_config.json", settings)
    write_json(folder / "special_tokens_map.json", roles)
    write_atomic(folder / "chat_template.jinja", template)


def _write_weights(header: GgufHeader, config: dict[str, Any], path: Path) -> None:
    from numpy import float16

    tensors = {_hf_name(tensor.name): tensor for tensor in header.tensors}
    layout = {name: ("F16", tensor.shape) for name, tensor in tensors.items()}
    with TensorWriter(path, layout) as writer:
        for name, tensor in tensors.items():
            weight = _dequantized(header.file, tensor)
            heads = _rotary_heads(name, config)
            weight = weight if heads is None else _unpermute(weight, heads)
            writer.write(name, [weight.astype(float16).tobytes()])


def _dequantized(file: Path, tensor: GgufTensor) -> numpy.ndarray:
    """The tensor's float32 values."""
    from numpy import fromfile, uint8

    gguf = gguf_package()
    kind = gguf.GGMLQuantizationType(tensor.type)
    # quantized rows are blocks of bytes: the last dimension is counted in these
    shape = gguf.quant_shape_to_byte_shape(tensor.shape, kind)
    raw = fromfile(file, uint8, count=prod(shape), offset=tensor.start)
    return gguf.dequantize(raw.reshape(shape), kind).reshape(tensor.shape)


def _hf_name(name: str) -> str:
    if name in _GLOBAL:
        return _GLOBAL[name]
    _, block, part, _ = name.split(".")
    return f"model.layers.{block}.{_IN_BLOCK[part]}.weight"


def _rotary_heads(name: str, config: dict[str, Any]) -> int | None:
    if name.endswith("q_proj.weight"):
        return config["num_attention_heads"]
    return config["num_key_value_heads"] if name.endswith("k_proj.weight") else None


def _unpermute(weight: numpy.ndarray, heads: int) -> numpy.ndarray:
    """Undo the converter's row order for rotary embeddings: interleaved pairs back to two halves per head."""
    rows = weight.shape[0] // heads // 2
    return weight.reshape(heads, rows, 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


if __name__ == "__main__":
    try:
        print(json.dumps({"folder": str(ensure_starter(open_home(sys.argv[1])))}))
    except UserError as problem:
        print(problem, file=sys.stderr)
        sys.exit(2)
