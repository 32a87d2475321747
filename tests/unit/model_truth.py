"""A process that counts models with core.models.shapes_worker and lets PEFT adapt them, for the tests.

Reads a JSON list of {config, targets: [{target_modules, rank}]} from stdin; prints for each
{shapes, parameters, trainable}.
"""

from __future__ import annotations

import json
import sys
import warnings
from typing import Any

from core.models.shapes_worker import shapes_of
from core.models.spec import spec_to_json


def main() -> None:
    warnings.filterwarnings("ignore")
    print(json.dumps([_count(case["config"], case["targets"]) for case in json.load(sys.stdin)]))


def _count(config: dict[str, Any], targets: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "shapes": spec_to_json(shapes_of(config)),
        "parameters": sum(parameter.numel() for parameter in _model(config).parameters()),
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
            task_type="CAUSAL_LM",
        )
        try:
            model = get_peft_model(_model(config), lora)
        except ValueError:
            return "refused"
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


if __name__ == "__main__":
    main()
