"""Single terms of the estimate: weights, what is trained, its optimizer, the loss, the place."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from core.base.errors import UserError
from core.fit import Place, Workload, estimate_memory, place_of
from core.fit.adapter import known_optimizers, optimizer_bytes, trainable_parameters
from core.fit.computed import as_computed
from core.fit.phases import FUSED_PLAN, logits_bytes
from core.fit.weights import dequantization_bytes, linear_bytes, rest_bytes
from core.machine import GIB, Gpu, Hardware
from core.models import spec_of_config
from core.models.spec import Linear

LLAMA_3B: dict[str, Any] = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 3072,
    "num_hidden_layers": 28,
    "num_attention_heads": 24,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "intermediate_size": 8192,
    "vocab_size": 128256,
    "tie_word_embeddings": True,
}
SPEC = spec_of_config(LLAMA_3B, "Llama-3.2-3B")
T4 = Gpu("Tesla T4", 15 * GIB, 15 * GIB, (7, 5), "")
A100 = Gpu("NVIDIA A100", 80 * GIB, 80 * GIB, (8, 0), "")


def test_nf4_takes_half_a_byte_and_its_constants() -> None:
    double = Workload(quantization="nf4")
    plain = replace(double, double_quantization=False)
    assert linear_bytes(SPEC, double) / SPEC.linear_parameters == pytest.approx(0.5159, abs=1e-4)
    assert linear_bytes(SPEC, plain) / SPEC.linear_parameters == 0.5625
    assert rest_bytes(SPEC, double) == 2 * SPEC.other_parameters


def test_a_quantized_repository_takes_what_its_files_hold() -> None:
    stored = replace(SPEC, file_bytes=3_000_000_000, stored="nf4")
    work = Workload(quantization="nf4")
    assert linear_bytes(stored, work) + rest_bytes(stored, work) == 3_000_000_000


def test_towers_are_quantized_by_transformers_and_left_whole_by_unsloth() -> None:
    eye = Linear("q_proj", 1000, 1000, 27, path="model.vision_tower.encoder.layers.{}.self_attn.q_proj")
    seeing = replace(SPEC, vision=(eye,), parameters=SPEC.parameters + eye.parameters)
    work = Workload(quantization="nf4")
    plain = replace(work, backend="peft")
    assert rest_bytes(seeing, work) - rest_bytes(SPEC, work) == 2 * eye.parameters
    assert linear_bytes(seeing, work) == linear_bytes(SPEC, work)
    assert rest_bytes(seeing, plain) == rest_bytes(SPEC, plain)
    assert linear_bytes(seeing, plain) - linear_bytes(SPEC, plain) == pytest.approx(0.5159 * 27e6, rel=1e-3)
    stored = replace(seeing, file_bytes=3_000_000_000, stored="nf4")
    assert linear_bytes(stored, plain) + rest_bytes(stored, plain) == 3_000_000_000


def test_unsloth_leaves_mamba_whole() -> None:
    mixer = Linear("in_proj", 1000, 4000, 10, path="model.layers.{}.mamba.in_proj")
    hybrid = replace(SPEC, linears=(mixer,))
    work = Workload(quantization="nf4")
    assert linear_bytes(hybrid, work) == 2 * mixer.parameters
    assert linear_bytes(hybrid, replace(work, backend="peft")) < 0.52 * mixer.parameters
    assert dequantization_bytes(hybrid, work) == 0


def test_a_tied_embedding_is_not_offloaded() -> None:
    work = Workload(offload_embedding=True)
    assert rest_bytes(SPEC, work) == 2 * SPEC.other_parameters
    untied = spec_of_config({**LLAMA_3B, "tie_word_embeddings": False})
    assert rest_bytes(untied, work) == 2 * (untied.other_parameters - untied.embedding)


def test_only_a_quantized_base_is_unpacked() -> None:
    assert dequantization_bytes(SPEC, Workload()) == 0
    largest = 3072 * 8192
    assert dequantization_bytes(SPEC, Workload(quantization="nf4")) == largest * 2 + largest // 16


# trained parameters that PEFT's own comparison of methods publishes for this model (q and v)
@pytest.mark.parametrize(
    ("method", "changes", "count"),
    [
        ("lora", {"rank": 32}, 9_175_040),
        ("lora", {"rank": 64}, 18_350_080),
        ("loha", {"rank": 32}, 18_350_080),
        ("prefix", {"virtual_tokens": 50}, 2_867_200),
        ("prompt", {"virtual_tokens": 200}, 614_400),
        ("p_tuning", {"virtual_tokens": 20}, 28_382_208),
        ("full", {}, 3_212_749_824),
    ],
)
def test_trained_parameters_are_those_that_are_published(method: str, changes: Any, count: int) -> None:
    work = Workload(method=method, target_modules=("q_proj", "v_proj"), **changes)
    assert trainable_parameters(SPEC, work) == count


@pytest.mark.parametrize("method", ["qlora", "dora", "adalora", "lokr", "ia3"])
def test_every_method_has_an_estimate(method: str) -> None:
    found = estimate_memory(SPEC, Workload(method=method), Place(A100, A100.total, 64 * GIB))
    assert 0 < found.trainable < SPEC.parameters / 10


def test_an_unknown_method_is_a_users_error() -> None:
    with pytest.raises(UserError, match="vera"):
        trainable_parameters(SPEC, Workload(method="vera"))


def test_eight_bits_and_paging() -> None:
    work = Workload(optimizer="adamw_8bit")
    trained = trainable_parameters(SPEC, work)
    state, paged = optimizer_bytes(SPEC, work, trained)
    assert paged == 0
    assert state / trained == pytest.approx(2.03125)
    on_card, on_host = optimizer_bytes(SPEC, replace(work, optimizer="paged_adamw_8bit"), trained)
    assert on_card + on_host == state
    assert 0 < on_host < state
    assert {"adamw_torch", "adamw_8bit", "paged_adamw_8bit"} <= set(known_optimizers())


def test_an_8_bit_optimizer_keeps_the_embedding_in_32_bits() -> None:
    work = Workload(method="full", optimizer="adamw_8bit")
    trained = trainable_parameters(SPEC, work)
    state, _ = optimizer_bytes(SPEC, work, trained)
    assert state == pytest.approx(8 * SPEC.embedding + 2.03125 * (trained - SPEC.embedding), rel=1e-6)


@pytest.mark.parametrize(("optimizer", "states"), [("adamw_8bit", 2), ("lion_8bit", 1), ("ademamix_8bit", 3)])
def test_small_tensors_stay_in_32_bits(optimizer: str, states: int) -> None:
    work = Workload(optimizer=optimizer, rank=1)
    trained = trainable_parameters(SPEC, work)
    small = 28 * (3072 * 9 + 1024 * 2)
    state, _ = optimizer_bytes(SPEC, work, trained)
    each = states * (1 + 4 / 256)
    assert state == pytest.approx(small * 4 * states + (trained - small) * each, rel=1e-6)


def test_whole_logits_and_pieces() -> None:
    work = Workload(max_length=4096, backend="peft")
    assert logits_bytes(SPEC, work) == 16 * 4096 * 128256
    assert logits_bytes(SPEC, replace(work, backend="unsloth")) == FUSED_PLAN
    assert logits_bytes(SPEC, replace(work, fused_loss=True)) == FUSED_PLAN


def test_short_rows_fill_the_place_of_long_ones() -> None:
    work = Workload(max_length=1024, micro_batch=2, accumulate=4)
    assert work.tokens == 2048
    assert replace(work, longest=100).tokens == 800
    assert replace(work, longest=5000).tokens == 2048


def test_gemma_3_is_computed_in_32_bits_without_bfloat16() -> None:
    gemma = spec_of_config({**LLAMA_3B, "model_type": "gemma3_text"})
    work = Workload(quantization="nf4", checkpointing="unsloth")
    assert as_computed(gemma, work, T4).bits == 32
    assert as_computed(replace(SPEC, model_type="gemma4_text"), work, T4).bits == 32
    assert as_computed(SPEC, work, T4).bits == 16
    assert as_computed(gemma, work, A100).bits == 16
    there = estimate_memory(gemma, work, Place(T4, T4.total, 64 * GIB))
    assert there.term("unquantized") == rest_bytes(gemma, work)
    assert any("bfloat16" in note for note in there.notes)


def test_on_a_cpu_there_is_no_8_bit_optimizer_and_no_unsloth_kernel() -> None:
    work = as_computed(SPEC, Workload(bits=32, optimizer="adamw_8bit", checkpointing="unsloth"), None)
    assert (work.optimizer, work.checkpointing, work.backend) == ("adamw_torch", "hf", "peft")


def hardware(system: str, *gpus: Gpu) -> Hardware:
    return Hardware(gpus, "CPU", 8, 32 * GIB, 30 * GIB, 500 * GIB, system)


def test_a_desktop_takes_its_part_of_the_card() -> None:
    card = Gpu("NVIDIA GeForce RTX 4070", 12 * GIB, 11 * GIB, (8, 9), "610.00", display=True)
    assert place_of(hardware("Windows 11", card)).usable == 11 * GIB
    assert 11 * GIB < place_of(hardware("Linux", card)).usable < 12 * GIB
    assert place_of(hardware("Linux", replace(card, display=False))).usable == 12 * GIB


def test_a_mac_lends_its_card_a_part_of_the_memory() -> None:
    card = Gpu("Apple M3", 24 * GIB, 20 * GIB, None, "", vendor="apple", unified=True)
    assert place_of(hardware("Darwin", card), card).usable == 16 * GIB


def test_without_a_card_the_machine_keeps_some_memory_for_itself() -> None:
    place = place_of(hardware("Linux"))
    assert place.gpu is None
    assert 24 * GIB < place.usable < 31 * GIB
