"""What a workload comes to on a place: formats that its hardware forces, and what an engine does there."""

from __future__ import annotations

from dataclasses import replace

from core.fit.workload import Workload
from core.machine import Gpu
from core.models.spec import ModelSpec

# beginnings of the types that overflow in float16, so Unsloth computes them in float32 where there is no
# bfloat16 (unsloth_zoo/model_lists.py, FORCE_FLOAT32, of 2026.10.9); the weights stay in 16 bits
_FLOAT32_FAMILIES = ("gemma3", "gemma4", "embedding_gemma2", "glm4_moe", "gpt_oss", "qwen3_5", "qwen3_moe")


def as_computed(spec: ModelSpec, workload: Workload, gpu: Gpu | None) -> Workload:
    """The workload with what the place changes of it."""
    if gpu is None:
        return _on_cpu(workload)
    if gpu.bf16 or workload.bits == 32:
        return workload
    if workload.trains_everything:
        # weights that are trained can't be float16: its steps are too coarse
        return replace(workload, bits=32)
    if workload.backend == "unsloth" and spec.model_type.startswith(_FLOAT32_FAMILIES):
        return replace(workload, bits=32, rest_bits=16)
    return workload


def _on_cpu(workload: Workload) -> Workload:
    """There Unsloth is Transformers and PEFT as they come, and 8-bit optimizers are not to be had.

    The Recipe's 8-bit optimizers become adamw_torch (core.methods.settle).
    """
    return replace(
        workload,
        backend="peft",
        fused_loss=False,
        optimizer="adamw_torch" if "8bit" in workload.optimizer else workload.optimizer,
        checkpointing="hf" if workload.checkpointing == "unsloth" else workload.checkpointing,
        offload_embedding=False,
    )
