"""Single terms of the estimate: weights, what is trained, its optimizer, the loss, the place."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from core.fit import Place, estimate_memory
from core.fit.activations import FUSED_PLAN, logits_bytes
from core.fit.terms import dequantization_bytes, linear_bytes, optimizer_bytes, rest_bytes
from core.fit.training import Foreign, Training
from core.machine import GIB, Gpu, Hardware
from core.methods.method import methods
from core.models import ModelSpec, spec_of_config
from core.models.spec import Linear
from core.recipe import parse_recipe
from tests.trainings import ON_A100, training

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
ON_T4 = Place(T4, T4.total, 64 * GIB)


def qlora(spec: ModelSpec, engine: str = "unsloth", **knobs: Any) -> Training:
    return training(spec, method="qlora", engine=engine, **knobs)


def test_nf4_takes_half_a_byte_and_its_constants() -> None:
    double, plain = qlora(SPEC), qlora(SPEC, "peft", double_quantization=False)
    assert linear_bytes(double) / SPEC.linear_parameters == pytest.approx(0.5159, abs=1e-4)
    assert linear_bytes(plain) / SPEC.linear_parameters == 0.5625
    assert rest_bytes(double) == 2 * SPEC.other_parameters


def test_a_quantized_repository_takes_what_its_files_hold() -> None:
    stored = qlora(replace(SPEC, file_bytes=3_000_000_000, stored="nf4"))
    assert linear_bytes(stored) + rest_bytes(stored) == 3_000_000_000


def test_towers_are_quantized_by_transformers_and_left_whole_by_unsloth() -> None:
    eye = Linear("q_proj", 1000, 1000, 27, path="model.vision_tower.encoder.layers.{}.self_attn.q_proj")
    seeing = replace(SPEC, vision=(eye,), parameters=SPEC.parameters + eye.parameters)
    assert rest_bytes(qlora(seeing)) - rest_bytes(qlora(SPEC)) == 2 * eye.parameters
    assert linear_bytes(qlora(seeing)) == linear_bytes(qlora(SPEC))
    assert rest_bytes(qlora(seeing, "peft")) == rest_bytes(qlora(SPEC, "peft"))
    packed = linear_bytes(qlora(seeing, "peft")) - linear_bytes(qlora(SPEC, "peft"))
    assert packed == pytest.approx(0.5159 * 27e6, rel=1e-3)
    stored = qlora(replace(seeing, file_bytes=3_000_000_000, stored="nf4"), "peft")
    assert linear_bytes(stored) + rest_bytes(stored) == 3_000_000_000


def test_unsloth_leaves_mamba_whole() -> None:
    mixer = Linear("in_proj", 1000, 4000, 10, path="model.layers.{}.mamba.in_proj")
    hybrid = replace(SPEC, linears=(mixer,))
    assert linear_bytes(qlora(hybrid)) == 2 * mixer.parameters
    assert linear_bytes(qlora(hybrid, "peft")) < 0.52 * mixer.parameters
    assert dequantization_bytes(qlora(hybrid)) == 0


def test_a_tied_embedding_is_not_offloaded() -> None:
    assert rest_bytes(training(SPEC, offload_embedding=True)) == 2 * SPEC.other_parameters
    untied = spec_of_config({**LLAMA_3B, "tie_word_embeddings": False})
    rest = rest_bytes(training(untied, offload_embedding=True))
    assert rest == 2 * (untied.other_parameters - untied.embedding)


def test_only_a_quantized_base_is_unpacked() -> None:
    assert dequantization_bytes(training(SPEC)) == 0
    largest = 3072 * 8192
    assert dequantization_bytes(qlora(SPEC)) == largest * 2 + largest // 16


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
    own = {"method_settings": changes} if "virtual_tokens" in changes else changes
    work = training(SPEC, method=method, target_modules=["q_proj", "v_proj"], **own)
    assert work.method.parameters(SPEC, work.recipe) == count


@pytest.mark.parametrize("method", [method.name for method in methods()])
def test_every_method_has_an_estimate_and_says_whether_it_trains(method: str) -> None:
    recipe = parse_recipe({"method": method})
    found = estimate_memory(recipe, SPEC, ON_A100)
    assert 0 < found.trainable < SPEC.parameters / 10 or method == "full"
    work = training(SPEC, method=method)
    refused = work.method.refuses(recipe, ON_A100.device)
    assert bool(refused) != (method in ("lora", "qlora"))
    assert not refused or "lora, qlora" in refused


def states(**knobs: Any) -> tuple[int, int, int]:
    """Trained parameters, bytes of the optimizer on the card and on the host."""
    foreign = Foreign(optimizer=knobs.pop("foreign", ""))
    work = training(SPEC, foreign=foreign, **knobs)
    trained = work.method.parameters(SPEC, work.recipe)
    return (trained, *optimizer_bytes(work, trained))


def test_eight_bits_and_paging() -> None:
    trained, state, paged = states(optimizer="adamw_8bit")
    assert paged == 0
    assert state / trained == pytest.approx(2.03125)
    _, on_card, on_host = states(optimizer="paged_adamw_8bit")
    assert on_card + on_host == state
    assert 0 < on_host < state
    assert states(foreign="adamw_bnb_8bit") == (trained, state, 0)
    assert states(foreign="adamw")[1] == states()[1] == 8 * trained


def test_an_8_bit_optimizer_keeps_the_embedding_in_32_bits() -> None:
    trained, state, _ = states(method="full", optimizer="adamw_8bit")
    assert state == pytest.approx(8 * SPEC.embedding + 2.03125 * (trained - SPEC.embedding), rel=1e-6)


def test_small_tensors_stay_in_32_bits() -> None:
    trained, state, _ = states(optimizer="adamw_8bit", rank=1)
    small = 28 * (3072 * 9 + 1024 * 2)
    assert state == pytest.approx(small * 8 + (trained - small) * 2 * (1 + 4 / 256), rel=1e-6)


def test_whole_logits_and_pieces() -> None:
    assert logits_bytes(training(SPEC, max_length=4096, engine="peft")) == 16 * 4096 * 128256
    assert logits_bytes(training(SPEC, max_length=4096)) == FUSED_PLAN
    pieces = training(SPEC, foreign=Foreign(pieces=True), max_length=4096, engine="peft")
    assert logits_bytes(pieces) == FUSED_PLAN


@pytest.mark.parametrize(("longest", "tokens"), [(None, 2048), (100, 800), (5000, 2048)])
def test_short_rows_fill_the_room_of_long_ones(longest: int | None, tokens: int) -> None:
    work = training(SPEC, longest=longest, max_length=1024, micro_batch=2, accumulate=4)
    assert work.tokens == tokens


def test_gemma_3_is_computed_in_32_bits_without_bfloat16() -> None:
    gemma = spec_of_config({**LLAMA_3B, "model_type": "gemma3_text"})
    assert training(gemma, ON_T4).bits == 32
    assert training(replace(SPEC, model_type="gemma4_text"), ON_T4).bits == 32
    assert training(SPEC, ON_T4).bits == training(gemma).bits == 16
    there = estimate_memory(parse_recipe({"method": "qlora"}), gemma, ON_T4)
    assert there.term("unquantized") == rest_bytes(qlora(gemma))
    assert any("bfloat16" in note for note in there.notes)


def test_on_a_cpu_unsloth_has_no_kernels() -> None:
    work = training(SPEC, Place(None, 28 * GIB, 32 * GIB), engine="unsloth")
    assert (work.engine, work.recipe.engine, work.bits) == ("peft", "unsloth", 32)


def hardware(system: str, *gpus: Gpu) -> Hardware:
    return Hardware(gpus, "CPU", 8, 32 * GIB, 30 * GIB, 500 * GIB, system)


def test_a_desktop_takes_its_part_of_the_card() -> None:
    card = Gpu("NVIDIA GeForce RTX 4070", 12 * GIB, 11 * GIB, (8, 9), "610.00", display=True)
    assert Place.of(hardware("Windows 11", card)).usable == 11 * GIB
    assert 11 * GIB < Place.of(hardware("Linux", card)).usable < 12 * GIB
    assert Place.of(hardware("Linux", replace(card, display=False))).usable == 12 * GIB


def test_a_mac_lends_its_card_a_part_of_the_memory() -> None:
    card = Gpu("Apple M3", 24 * GIB, 20 * GIB, None, "", vendor="apple", unified=True)
    assert Place.of(hardware("Darwin", card), card).usable == 16 * GIB


def test_without_a_card_the_machine_keeps_some_memory_for_itself() -> None:
    place = Place.of(hardware("Linux"))
    assert place.gpu is None
    assert 24 * GIB < place.usable < 31 * GIB
