"""Counts a model's shapes with Transformers' own class on PyTorch's meta device: exact, without a weight.

`python -m core.models.shapes_worker JOB_FOLDER` reads config.json there (checked before, core.models.config)
and writes shapes.json beside it. No code that comes with a model is run, nothing is fetched, and a config
that takes too long or too much memory ends the process. `--catalogue` writes presets/shapes.json anew.
"""

from __future__ import annotations

import json
import os
import re
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from core.base.errors import UserError
from core.base.files import read_json, write_atomic, write_json
from core.base.jobs import Worker
from core.models.catalogue import SHAPES, load_catalogue
from core.models.dense import is_dense
from core.models.spec import Linear, LinearKind, ModelSpec, spec_to_json

LIMIT_S = 90.0
_LIMIT_BYTES = 3 << 30
_LOOK_S = 0.25
_NUMBER = re.compile(r"\.(\d+)(?=\.|$)")
_ATTENTION = re.compile(r"attn|attention|mamba|\.conv\.|\.mixer\.(in|out|[qkvo])_proj")
_MLP = re.compile(r"mlp|feed_forward|ffn|\.fc\d|(up|down|gate)_proj|shared_expert")
_ROUTER = re.compile(r"router|\.(gate|wg|shared_expert_gate)$")
_OF_HEADS = re.compile(r"\.(q|k|query|key)_?(layer)?norm$")
_USED = ("num_experts_per_tok", "moe_topk", "top_k_experts", "moe_k", "num_experts_per_token")
# what is of no account for shapes, and makes a class look for kernels or quantizers
_LEFT_OUT = ("quantization_config", "auto_map", "dtype", "torch_dtype", "transformers_version")


def shapes_of(config: dict[str, Any]) -> ModelSpec:
    """The shapes of the model that Transformers builds from a config for training."""
    model, whole = _models({key: value for key, value in config.items() if key not in _LEFT_OUT})
    text = model.config.get_text_config(decoder=True)
    names = {part: name for name, part in model.named_modules()}
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    inside = names[embedding].rpartition(".")[0] + "."
    linears = list(_grouped(model, head))
    decoder = tuple(linear for linear in linears if linear.path.startswith(inside))
    counted = {name: parameter.numel() for name, parameter in model.named_parameters()}
    total = sum(counted.values())
    beside = sum(
        size for name, size in counted.items() if not name.startswith((inside, f"{names.get(head)}."))
    )
    layers, heads = int(text.num_hidden_layers), int(_first(text, "num_attention_heads", "num_heads") or 1)
    vocab, hidden = embedding.weight.shape
    hidden = int(_first(text, "hidden_size") or hidden)
    size = _one(_first(text, "qk_head_dim", "head_dim")) or max(1, hidden // heads)
    of_layers = [name for name in _norms(model, hidden) if name.startswith(inside) and _NUMBER.search(name)]
    norms = [name for name in of_layers if not _OF_HEADS.search(name)]
    normed = sum(bool(_OF_HEADS.search(name)) for name in names.values() if name.startswith(inside))
    experts, idle = _experts(model, text)
    return ModelSpec(
        name="",
        architecture="",
        model_type="",
        hidden=hidden,
        layers=layers,
        heads=heads,
        kv_heads=_kv_heads(decoder, text, heads, size),
        head_dim=size,
        vocab=int(vocab),
        tied=head is not None and head.weight is embedding.weight,
        linears=decoder,
        parameters=whole or total,
        active=(whole or total) - idle,
        experts=experts,
        vision=tuple(replace(linear, kind="other") for linear in linears if linear not in decoder),
        vision_parameters=beside + (whole - total if whole else 0),
        embedding_path=names[embedding],
        head_path=names.get(head, "lm_head"),
        norms=round(len(norms) / layers, 3),
        normed_heads=round(normed / 2 / layers, 3),
    )


def _models(config: dict[str, Any]) -> tuple[Any, int]:
    """The causal language model; where that leaves parts of the config out, also the count of the whole."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText

    settings = AutoConfig.for_model(**config)
    kinds = [
        kind
        for kind in (AutoModelForCausalLM, AutoModelForImageTextToText)
        if type(settings) in kind._model_mapping
    ]
    if not kinds:
        raise UserError(f"Transformers has no language model of the type {config['model_type']}.")
    with torch.device("meta"):
        model = kinds[0].from_config(settings)
        whole = kinds[-1].from_config(AutoConfig.for_model(**config)) if len(kinds) > 1 else model
    more = type(whole) is not type(model)
    return model, sum(parameter.numel() for parameter in whole.parameters()) if more else 0


def _grouped(model: Any, head: Any) -> Iterator[Linear]:
    """All matrices but the head, those of one name and shape together."""
    groups: dict[tuple[str, int, int, bool, int], list[int]] = {}
    for path, inputs, outputs, fused, each in _matrices(model, head):
        number = _NUMBER.search(path)
        key = (_NUMBER.sub(".{}", path, count=1), inputs, outputs, fused, each)
        groups.setdefault(key, []).extend([int(number[1])] if number else [])
    for (path, inputs, outputs, fused, each), layers in groups.items():
        name, count = path.rpartition(".")[2], max(1, len(layers)) * each
        kind = "expert" if each > 1 else _kind(path)
        yield Linear(name, inputs, outputs, count, kind, fused, path, tuple(layers))


def _matrices(model: Any, head: Any) -> Iterator[tuple[str, int, int, bool, int]]:
    """Path, inputs, outputs, whether it is a bare parameter, and how many lie in it."""
    import torch
    from transformers.pytorch_utils import Conv1D

    plain = (torch.nn.Embedding, torch.nn.modules.conv._ConvNd, torch.nn.MultiheadAttention)
    for path, part in model.named_modules():
        if isinstance(part, torch.nn.Linear):
            if part is not head:
                yield path, part.in_features, part.out_features, False, 1
        elif isinstance(part, Conv1D):
            yield path, part.nx, part.nf, False, 1
        elif not isinstance(part, plain) and _NUMBER.search(path):
            for name, parameter in part.named_parameters(recurse=False):
                shape = tuple(parameter.shape)
                if len(shape) in (2, 3) and min(shape) > 1 and not name.endswith(("bias", "A_log")):
                    sides = shape[-2:] if _turned(name, shape, model) else shape[:-3:-1]
                    full = path if name == "weight" else f"{path}.{name}"
                    yield full, *sides, True, shape[0] if len(shape) == 3 else 1


def _turned(name: str, shape: tuple[int, ...], model: Any) -> bool:
    """Whether a parameter is stored (inputs, outputs): the hidden width tells."""
    hidden = model.config.get_text_config(decoder=True).hidden_size
    return len(shape) == 3 and shape[-2 if "down" not in name else -1] == hidden and shape[-2] != shape[-1]


def _kind(path: str) -> LinearKind:
    if re.search(r"\.experts\.", path):
        return "expert"
    if _ROUTER.search(path):
        return "other"
    return "attention" if _ATTENTION.search(path) else "mlp" if _MLP.search(path) else "other"


def _norms(model: Any, width: int) -> Iterator[str]:
    """The names of the norms over the hidden width; some have no weights."""
    for name, part in model.named_modules():
        if "Norm" in type(part).__name__:
            weight = getattr(part, "weight", None)
            shape = getattr(part, "normalized_shape", ()) if weight is None else weight.shape
            if shape and shape[-1] == width:
                yield name


def _experts(model: Any, text: Any) -> tuple[int, int]:
    """How many experts a layer has, and the parameters of those that a token is not sent to."""
    number = _one(_first(text, "num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"))
    inside = [
        part
        for name, part in model.named_modules()
        if name.endswith(".experts") or type(part).__name__.endswith("ParallelExperts")
    ]
    size = sum(parameter.numel() for part in inside for parameter in part.parameters())
    used = min(number, _one(_first(text, *_USED)) or 2)
    return (number, size * (number - used) // number) if number and size else (0, 0)


def _kv_heads(linears: tuple[Linear, ...], text: Any, heads: int, size: int) -> int:
    """By the matrices of keys, or of queries, keys and values in one; the config may mean it otherwise."""
    for linear in linears:
        if linear.name == "k_proj" and linear.kind == "attention" and linear.outputs % size == 0:
            return linear.outputs // size
        if linear.name in ("query_key_value", "qkv_proj", "Wqkv", "c_attn"):
            return max(1, (linear.outputs // size - heads) // 2)
    return _one(_first(text, "num_key_value_heads")) or heads


def _first(config: Any, *names: str) -> Any:
    """The first of these that a config has; for one with layers of their own sizes, that of most layers."""
    values = ((config.__dict__.get(config.attribute_map.get(name, name))) for name in names)
    return next((value for value in values if value is not None), None)


def _one(value: Any) -> int:
    """A number, or the first of a number for each layer."""
    return int(value[0] if isinstance(value, (list, tuple)) else value or 0)


def _watch(worker: Worker, most: int, over: threading.Event) -> None:
    """Ends the process where a config asks for a model beyond any measure: `most` resident bytes, or time."""
    for _ in range(round(LIMIT_S / _LOOK_S)):
        if over.wait(_LOOK_S):
            return
        if psutil.Process().memory_info().rss > most:
            break
    sentence = "Its config.json describes a model that is too large to be counted. Get the config again."
    worker.update(status="failed", message=sentence, error="UserError")
    os._exit(2)


def count(worker: Worker) -> None:
    """Write the shapes of the job's config beside it."""
    import torch  # noqa: F401
    import transformers

    transformers.logging.set_verbosity_error()
    over, most = threading.Event(), psutil.Process().memory_info().rss + _LIMIT_BYTES
    threading.Thread(target=_watch, args=(worker, most, over), daemon=True).start()
    try:
        spec = shapes_of(read_json(worker.folder / "config.json"))
    except UserError:
        raise
    except Exception as error:
        # classes refuse a config in their own ways
        reason = " ".join(str(error).split())[:160]
        raise UserError(f"Transformers can't build a model from its config.json: {reason}") from error
    finally:
        over.set()
    write_json(worker.folder / "shapes.json", spec_to_json(spec))


def write_catalogue() -> None:
    """The shapes of the catalogue's models that are no ordinary dense decoders, a line each."""
    models = [model for model in load_catalogue() if not is_dense(model.config)]
    lines = [
        f"{json.dumps(model.id)}: {json.dumps(spec_to_json(shapes_of(model.config)))}" for model in models
    ]
    write_atomic(SHAPES, "{\n" + ",\n".join(lines) + "\n}\n")


def main() -> None:
    os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1")
    if sys.argv[1] == "--catalogue":
        write_catalogue()
    else:
        with Worker(Path(sys.argv[1])) as worker:
            count(worker)


if __name__ == "__main__":
    main()
