"""A process that builds models on PyTorch's meta device and counts them, for the tests of core.models.

Reads a JSON list of {config, targets: [{target_modules, rank, rank_pattern}]} from stdin; prints for each
{parameters, linears, trainable}, and on a line before what the config classes take for missing fields.
"""

from __future__ import annotations

import json
import sys
from typing import Any


def main() -> None:
    import warnings

    from tests.class_defaults import class_defaults

    warnings.filterwarnings("ignore")
    print(json.dumps(class_defaults()))
    answers = [_count(case["config"], case["targets"]) for case in json.load(sys.stdin)]
    print(json.dumps(answers))


def _count(config: dict[str, Any], targets: list[dict[str, Any]]) -> dict[str, Any]:
    import torch
    from transformers.pytorch_utils import Conv1D

    model = _model(config)
    head = model.get_output_embeddings()
    kinds = (torch.nn.Linear, Conv1D)
    linears = [name for name, part in model.named_modules() if isinstance(part, kinds) and part is not head]
    return {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "linears": sorted(linears),
        "trainable": [_trainable(config, target) for target in targets],
    }


def _model(config: dict[str, Any]) -> Any:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(AutoConfig.for_model(**config))


def _trainable(config: dict[str, Any], target: dict[str, Any]) -> int | str:
    import torch
    from peft import LoraConfig, get_peft_model

    with torch.device("meta"):
        lora = LoraConfig(
            r=target["rank"],
            target_modules=target["target_modules"],
            rank_pattern=dict(target["rank_pattern"]),
            task_type="CAUSAL_LM",
        )
        try:
            model = get_peft_model(_model(config), lora)
        except ValueError:
            return "refused"
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


if __name__ == "__main__":
    main()
