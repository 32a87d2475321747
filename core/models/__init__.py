"""Base models: find one, check it, and read its shapes without loading it."""

from core.models.adapter import lora_parameters, lora_targets
from core.models.cache import cached_model, hf_cache_models
from core.models.checks import check_config
from core.models.config import spec_of_config
from core.models.find import find_spec, resolve_model, spec_of_file, spec_of_folder, spec_of_hub
from core.models.folder import (
    HUB_ID,
    STARTER,
    STARTER_NAME,
    ModelInfo,
    inspect_model,
    is_hub_id,
    local_models,
    model_folder,
    model_name,
    read_config,
    weight_files,
)
from core.models.headers import safetensors_header
from core.models.spec import Linear, ModelSpec

__all__ = [
    "HUB_ID",
    "STARTER",
    "STARTER_NAME",
    "cached_model",
    "check_config",
    "find_spec",
    "hf_cache_models",
    "inspect_model",
    "is_hub_id",
    "local_models",
    "lora_parameters",
    "lora_targets",
    "model_folder",
    "model_name",
    "read_config",
    "resolve_model",
    "safetensors_header",
    "spec_of_config",
    "spec_of_file",
    "spec_of_folder",
    "spec_of_hub",
    "weight_files",
    "Linear",
    "ModelInfo",
    "ModelSpec",
]
