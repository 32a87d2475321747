"""Base models: find one, check it, and read its shapes without loading it.

`find_spec` leads from what a person types to a ModelSpec, all that memory, time and adapters ask of a model.
Shapes come at once from the formula for ordinary dense decoders (dense: a new one is a row there), the
catalogue (presets/models.yaml and shapes.json) or an earlier count, else from Transformers in a process of
its own (shapes_worker). Imports only core.base; no config reaches a library before `check_config`.
"""

from core.models.adapter import lora_parameters, lora_targets
from core.models.config import check_config
from core.models.find import STARTER_ID, find_spec, resolve_model, spec_of_folder, spec_of_hub
from core.models.folder import (
    HUB_ID,
    ModelInfo,
    cached_model,
    hf_cache_models,
    inspect_model,
    is_hub_id,
    local_models,
    model_folder,
    model_name,
    read_config,
    require_config,
    weight_files,
)
from core.models.headers import safetensors_header
from core.models.shapes import Uncounted, spec_of_config
from core.models.spec import Linear, ModelSpec

__all__ = [
    "HUB_ID",
    "STARTER_ID",
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
    "require_config",
    "resolve_model",
    "safetensors_header",
    "spec_of_config",
    "spec_of_folder",
    "spec_of_hub",
    "weight_files",
    "Linear",
    "ModelInfo",
    "ModelSpec",
    "Uncounted",
]
