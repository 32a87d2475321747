"""What Transformers' config classes take where a config.json leaves a field out: class_defaults.json.

`python -m tests.class_defaults --write` makes the file from the installed Transformers.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

DEFAULTS = Path(__file__).with_name("class_defaults.json")
# what every complete config.json says of itself: without it a file is cut off or another model's
_SIZES = {"hidden_size", "n_embd", "d_model", "vocab_size", "num_hidden_layers", "n_layer", "n_layers"}
_SIZES |= {"num_layers", "num_attention_heads", "n_head", "n_heads", "num_heads", "ffn_dim"}


def class_defaults(kind: str, part: bool) -> dict[str, Any]:
    """The defaults of the config class of `kind`.

    Transformers writes all sizes of a model into its config.json, but of a `part` of one only those that
    differ from the class's (PreTrainedConfig.to_diff_dict).
    """
    found = _table().get(kind, {})
    if part:
        return found
    # a mixture of experts may have no dense layer, so its config may have no width of one
    dense = {"intermediate_size"} if not any("experts" in name for name in found) else set()
    return {name: value for name, value in found.items() if name not in _SIZES | dense}


@cache
def _table() -> dict[str, dict[str, Any]]:
    return json.loads(DEFAULTS.read_bytes())
