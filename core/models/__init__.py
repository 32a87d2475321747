"""Base models: find one, check it, and read its shapes without loading it."""

from core.models.adapter import lora_parameters, lora_targets
from core.models.config import check_config, spec_of_config
from core.models.folder import (
    HUB_ID,
    STARTER,
    STARTER_NAME,
    ModelInfo,
    inspect_model,
    is_hub_id,
    local_models,
    model_folder,
    read_config,
    resolve_model,
    safetensors_header,
    weight_files,
)
from core.models.spec import Linear, ModelSpec

__all__ = [
    "HUB_ID",
    "STARTER",
    "STARTER_NAME",
    "Linear",
    "ModelInfo",
    "ModelSpec",
    "check_config",
    "inspect_model",
    "is_hub_id",
    "local_models",
    "lora_parameters",
    "lora_targets",
    "model_folder",
    "read_config",
    "resolve_model",
    "safetensors_header",
    "spec_of_config",
    "weight_files",
]
