"""Base models: find one, check it, and read its shapes without loading it."""

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
    "inspect_model",
    "is_hub_id",
    "local_models",
    "model_folder",
    "read_config",
    "resolve_model",
    "safetensors_header",
    "weight_files",
]
