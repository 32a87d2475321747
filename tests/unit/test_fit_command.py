"""`fit`: a bare config.json is enough, the JSON keeps its promises, errors are sentences, it loads little."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from core.base.home import APP_FOLDER, Home
from core.commands import dispatch
from core.fit.data import tokenizer_folder
from core.fit.learned import Measured, note_measured
from core.models.catalogue import catalogue_model
from core.presets import preset_named

QWEN = "Qwen/Qwen3-8B"
HEAVY = ("torch", "transformers", "peft", "gradio", "pyarrow", "numpy", "httpx", "tokenizers")
KEYS = {
    "total_gib",
    "usable_gib",
    "verdict",
    "terms",
    "host_ram_gib",
    "disk_gib",
    "parameters",
    "suggestions",
}


@pytest.fixture
def fit(capsys: pytest.CaptureFixture[str]):
    """Runs the command: (exit code, JSON, everything printed before it)."""

    def run(*words: str) -> tuple[int, dict[str, Any], str]:
        code = dispatch.run("fit", [*words, "--json"])
        *text, last = capsys.readouterr().out.strip().splitlines()
        return code, json.loads(last), "\n".join(text)

    return run


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "Qwen3-8B" / "config.json"
    file.parent.mkdir()
    file.write_text(json.dumps(catalogue_model(QWEN).config))
    return file


def test_a_bare_config_is_enough(fit: Any, config: Path) -> None:
    code, found, text = fit("--model", str(config), "--gpu", "12")
    assert code == 0 and found.keys() >= KEYS
    assert found["parameters"] == {"total": 8_190_735_360, "trainable": 43_646_976}
    assert found["usable_gib"] == 12 and found["verdict"] == "fits" and found["suggestions"] == []
    assert sum(found["terms"].values()) == pytest.approx(found["total_gib"], abs=0.01)
    assert "it fits" in text and "43,646,976" in text
    by_id = fit("--model", QWEN, "--gpu", "12")[1]
    assert {key: by_id[key] for key in KEYS} == {key: found[key] for key in KEYS}


def test_what_does_not_fit_is_an_answer(fit: Any) -> None:
    words = ("--gpu", "8", "--batch", "4", "--accumulate", "4", "--max-length", "4096")
    code, found, text = fit("--model", QWEN, *words)
    assert (code, found["verdict"]) == (0, "no")
    assert found["suggestions"] and "Make it fit" in text
    assert {"change", "total_gib"} <= found["suggestions"][0].keys()
    assert found["suggestions"][-1]["total_gib"] < 8 < found["total_gib"]
    assert found["settings"]["micro_batch"] * found["settings"]["accumulate"] == 16


def test_every_argument_counts(fit: Any, config: Path) -> None:
    text = "--gpu 24 --method lora --rank 32 --max-length 1024 --batch 2 --accumulate 8 --backend peft "
    text += (
        "--optimizer adamw_torch --checkpointing hf --target-modules q,v --attention eager --precision fp16"
    )
    words = text.split()
    settings = fit("--model", str(config), *words)[1]["settings"]
    wanted = {
        **{"method": "lora", "quantization": "none", "rank": 32, "max_length": 1024, "micro_batch": 2},
        **{"accumulate": 8, "optimizer": "adamw_torch", "checkpointing": "hf", "engine": "peft"},
        **{"attention": "eager", "bits": 16, "target_modules": ["q", "v"]},
    }
    assert {key: settings[key] for key in wanted} == wanted
    packed = ("--model", str(config), "--gpu", "24")
    assert fit(*packed, "--no-double-quantization")[1]["total_gib"] > fit(*packed)[1]["total_gib"]
    plain = (*packed, "--backend", "peft", "--checkpointing", "none")
    assert fit(*plain, "--dropout", "0.05")[1]["total_gib"] > fit(*plain)[1]["total_gib"]


def test_what_cannot_be_done_is_estimated_as_it_is_done_instead(fit: Any) -> None:
    asked = ("--model", "starter", "--optimizer", "adamw_8bit", "--gpu", "M3 Max")
    assert fit(*asked)[1]["settings"]["optimizer"] == "adamw_torch"


def test_what_is_left_out_is_the_presets_and_counts_as_a_run_does(fit: Any) -> None:
    settings = fit("--model", QWEN, "--gpu", "12")[1]["settings"]
    preset = preset_named("gpu-12gb").recipe()
    assert {key: settings[key] for key in ("accumulate", "max_length", "heldout_share")} == {
        "accumulate": preset.accumulate,
        "max_length": preset.max_length,
        "heldout_share": preset.heldout_share,
    }


def test_a_methods_own_settings_count(fit: Any) -> None:
    words = ("--model", QWEN, "--gpu", "24", "--method", "prompt", "--virtual-tokens")
    few, many = (fit(*words, number)[1]["parameters"]["trainable"] for number in ("10", "40"))
    assert many == 4 * few


def test_a_method_that_cannot_be_trained_says_so(fit: Any) -> None:
    code, found, text = fit("--model", QWEN, "--gpu", "24", "--method", "dora")
    assert code == 0 and "not trained yet" in found["untrained"] and "not trained yet" in text
    assert fit("--model", QWEN, "--gpu", "24")[1]["untrained"] is None


def test_without_a_card_it_is_this_machine(fit: Any) -> None:
    found = fit("--model", "starter")[1]
    assert found["total_gib"] == found["host_ram_gib"]
    assert found["settings"]["method"] in ("lora", "qlora")


def test_data_brings_lengths_time_and_energy(fit: Any, home: Home, tiny_model: Path, tmp_path: Path) -> None:
    words = ("--model", str(tiny_model), "--gpu", "RTX 3060", "--max-length", "2048")
    data = tmp_path / "rows.jsonl"
    rows = [{"instruction": f"Say {number}.", "output": "word " * number} for number in range(1, 101)]
    data.write_text("\n".join(map(json.dumps, rows)))
    code, found, text = fit(*words, "--data", str(data))
    assert code == 0 and found["data"]["rows"] == 84  # 16 of 100 are held out, as in a run
    assert found["data"]["p95"] <= found["data"]["p99"] <= found["data"]["max"] < 200
    assert found["time"]["steps"] == 33
    assert found["time"]["minutes"]["low"] < found["time"]["minutes"]["likely"]
    assert found["time"]["kwh"]["likely"] > 0 and " Wh (" in text
    # short rows need less than the maximum
    assert found["total_gib"] <= fit(*words)[1]["total_gib"]


def test_the_tokenizer_of_a_cached_model_counts(
    home: Home, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    snapshot = tmp_path / "models--me--tiny" / "snapshots" / "abc"
    shutil.copytree(tiny_model, snapshot)
    assert tokenizer_folder(home, "me/tiny") == snapshot
    assert tokenizer_folder(home, str(tiny_model / "config.json")) == tiny_model
    assert tokenizer_folder(home, "me/other") is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--model", "/no/such/folder"), "/no/such/folder"),
        (("--model", QWEN, "--gpu", "RTX 9999"), "No card"),
        (("--model", QWEN, "--target-modules", "q,foo"), "foo"),
        (("--model", QWEN, "--optimizer", "adamax"), "adamax"),
        (("--model", QWEN, "--method", "magic"), "magic"),
        (("--model", QWEN, "--rank", "0"), "“rank”"),
        (("--model", QWEN, "--method", "prefix", "--virtual-tokens", "0"), "“virtual_tokens”"),
        (("--model", QWEN, "--method", "lora", "--virtual-tokens", "9"), "no settings of its own"),
        (("--model", QWEN, "--max-length", "0"), "“max_length”"),
        (("--model", QWEN, "--accumulate", "5000"), "“accumulate”"),
        (("--model", QWEN, "--gpu", ""), "No card"),
        (("--model", QWEN, "--dropout", "1"), "“dropout”"),
        (("--model", QWEN, "--epochs", "0"), "“epochs”"),
        (("--model", QWEN, "--batch", "-1"), "“micro_batch”"),
        (("--model", QWEN, "--data", "/no/such/file"), "/no/such/file"),
    ],
)
def test_errors_are_sentences(fit: Any, words: tuple[str, ...], said: str) -> None:
    code, found, _ = fit(*words)
    assert code == 2 and said in found["error"]


def test_names_may_be_written_large(fit: Any) -> None:
    small, large = (
        ("--method", "qlora", "--optimizer", "adamw_8bit"),
        ("--method", "QLoRA", "--optimizer", "AdamW_8bit"),
    )
    card = ("--model", QWEN, "--gpu", "12")
    assert fit(*card, *large)[1]["settings"] == fit(*card, *small)[1]["settings"]


def test_it_says_why_a_card_in_this_machine_is_not_used(fit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    probes = APP_FOLDER / "tests" / "data" / "probes"
    monkeypatch.setenv("LORA_GARAGE_PROBE", str(probes / "linux_rx_6600_and_ryzen_gpu.json"))
    _, found, text = fit("--model", "starter")
    assert found["place"] == "CPU" and any("is RDNA2" in note for note in found["notes"])
    assert "Note: AMD Radeon RX 6600 is RDNA2" in text
    assert not fit("--model", "starter", "--gpu", "12")[1]["notes"]


def test_the_cpu_can_be_asked_for(fit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = APP_FOLDER / "tests" / "data" / "probes" / "linux_rtx_3060.json"
    monkeypatch.setenv("LORA_GARAGE_PROBE", str(recording))
    assert fit("--model", "starter")[1]["place"] == "NVIDIA GeForce RTX 3060"
    found = fit("--model", "starter", "--gpu", "cpu")[1]
    assert found["place"] == "CPU" and found["total_gib"] == found["host_ram_gib"]


@pytest.mark.parametrize("method", ["full", "prefix", "qlora"])
def test_every_line_fits_a_terminal(fit: Any, method: str) -> None:
    words = ("--gpu", "16", "--method", method, "--target-modules", "q,k,v,o,gate,up,down")
    text = fit("--model", QWEN, *words, "--batch", "8", "--max-length", "8192")[2]
    assert max(map(len, text.splitlines())) < 80
    assert ("of rank 16" in text) == (method == "qlora")


def test_all_weights_are_given_up_for_an_adapter(fit: Any) -> None:
    found = fit("--model", QWEN, "--gpu", "12", "--method", "full")[1]
    assert [step["settings"] for step in found["suggestions"]] == [{"method": "lora", "quantization": "nf4"}]
    assert found["suggestions"][0]["total_gib"] == fit("--model", QWEN, "--gpu", "12")[1]["total_gib"]


def test_a_large_batch_is_searched_at_once(fit: Any) -> None:
    found = fit("--model", QWEN, "--gpu", "12", "--batch", "512", "--accumulate", "1023")[1]
    assert found["suggestions"][0]["total_gib"] < 12


def test_where_nothing_helps_it_says_so(fit: Any) -> None:
    text = fit("--model", "starter", "--gpu", "0.5")[2]
    assert "It does not fit here in any way: take a smaller model or a larger card." in text


def test_a_folder_s_name_sends_the_terminal_nothing(fit: Any, config: Path) -> None:
    odd = config.parent.rename(config.parent.with_name("red\x1b[31m"))
    assert fit("--model", str(odd), "--gpu", "12")[2].splitlines()[0].startswith("red?[31m: ")


def test_data_without_a_row_is_refused(fit: Any, tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("\n")
    code, found, _ = fit("--model", QWEN, "--data", str(tmp_path / "empty.jsonl"))
    assert code == 2 and "empty.jsonl" in found["error"]


def test_a_config_that_names_code_is_refused(fit: Any, config: Path) -> None:
    values = json.loads(config.read_text())
    config.write_text(json.dumps({**values, "model_type": "qwen3\nimport os"}))
    assert fit("--model", str(config))[0] == 2


def test_a_bad_card_is_refused_with_the_reason(fit: Any) -> None:
    code, found, text = fit("--model", QWEN, "--gpu", "RX 6800 XT")
    assert (code, found["verdict"]) == (0, "no") and "RDNA2" in found["refusal"]
    assert "can't train" in text and not found["suggestions"] and not found["room"]
    assert "tokens/s" not in text


def test_the_correction_is_shown_and_can_be_taken_back(fit: Any, home: Home) -> None:
    words = ("--model", QWEN, "--gpu", "RTX 3060")
    plain = fit(*words)[1]
    entry = Measured(
        **{"run": "r", "day": "2026-11-22", "model": "m", "parameters": 1, "quantization": "nf4"},
        **{"checkpointing": "unsloth", "backend": "unsloth", "max_length": 2048},
        **{"card": "NVIDIA GeForce RTX 3060", "estimated": 1000, "measured": 1100},
    )
    note_measured(home, entry)
    code, found, text = fit(*words)
    assert code == 0 and found["total_gib"] == pytest.approx(1.1 * plain["total_gib"], abs=0.01)
    assert sum(found["terms"].values()) == pytest.approx(found["total_gib"], abs=0.01)
    assert found["correction"]["runs"] == 1 and "Corrected" in text
    assert fit(*words, "--forget-measured")[1]["total_gib"] == plain["total_gib"]


def test_help_can_be_read_on_every_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        dispatch.run("fit", ["--help"])
    assert capsys.readouterr().out.isascii()


def test_nothing_heavy_is_loaded(config: Path, home_folder: Path) -> None:
    code = (
        "import sys; from core.commands import dispatch;"
        f"code = dispatch.run('fit', ['--model', {str(config)!r}, '--gpu', '6']);"
        f"print(code, sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=APP_FOLDER, capture_output=True, text=True)
    assert done.stdout.strip().splitlines()[-1] == "0 []", done.stderr
