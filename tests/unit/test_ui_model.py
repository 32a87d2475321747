"""The Model step: the catalogue with its verdicts, what lies on this machine, the hub and its words."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from core.base.errors import UserError
from core.base.files import write_json
from core.base.jobs import JobState
from core.fit import Lengths, MemoryEstimate
from core.models.catalogue import load_catalogue
from tests.ui_page import act, edit, recipe, shown
from tests.unit.hub_server import Hub, Repo
from ui import frame
from ui.bench import Bench
from ui.render import ENVIRONMENT
from ui.scene import scene_of
from ui.steps.model import basis_words, catalogue_rows, suggestions
from ui.words import context

PROBES = Path(__file__).parents[1] / "data" / "probes"
LAPTOP = "windows_rtx_3070_ti_laptop"
CLOSED = 'id="lg-next-model" class="lg-primary" disabled'


@pytest.fixture
def bench(bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Bench:
    """A laptop with an 8 GB card, and an empty Hugging Face cache."""
    monkeypatch.setenv("LORA_GARAGE_PROBE", str(PROBES / f"{LAPTOP}.json"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    return bench


def cached_model(cache: Path, tiny_model: Path, name: str) -> Path:
    """The little model as huggingface_hub keeps what it has downloaded."""
    snapshot = cache / f"models--{name.replace('/', '--')}" / "snapshots" / "0a1b2c3d"
    snapshot.parent.mkdir(parents=True)
    snapshot.symlink_to(tiny_model, target_is_directory=True)
    return snapshot


def download_state(bench: Bench, name: str, **state: object) -> None:
    """The job of a download as its worker has left it."""
    folder = bench.home.models / ".downloads" / name.replace("/", "--")
    write_json(folder / "state.json", {"pid": 2**22 + 1, "born": 1.0, **state})


# ----- catalogue


def test_every_model_says_whether_it_fits_and_what_its_licence_forbids(bench: Bench) -> None:
    bench.choose(model_kind="catalogue")
    page = shown(bench, "model-list")
    assert {row.estimate.verdict for row in catalogue_rows(scene_of(bench))} == {"fits", "tight", "no"}
    for item in load_catalogue():
        (row,) = (unescape(label) for label in page.split("<label ") if f'value="{item.id}"' in label)
        free = item.licence in ("Apache-2.0", "MIT")
        assert (f"{item.licence}: free for any use" if free else f"{item.licence}. Forbids ") in row
        assert ("lg-model-note" in row) == (not free) and (">Gated<" in row) == item.gated
        assert item.languages in row and item.size in row


def test_suggested_models_stand_first_then_what_fits_from_small_to_large(bench: Bench) -> None:
    rows = catalogue_rows(scene_of(bench))
    first = suggestions(scene_of(bench))
    assert tuple(row.model.id for row in rows[: len(first)]) == first
    order = {"fits": 0, "tight": 1, "no": 2}
    keys = [(order[row.estimate.verdict], row.model.parameters) for row in rows[len(first) :]]
    assert keys == sorted(keys)


def test_the_catalogue_starts_with_what_suits_the_hardware(bench: Bench) -> None:
    edit(bench, "model", "model", "catalogue")
    assert bench.choices().model == suggestions(scene_of(bench))[0]
    page = shown(bench, "model-list")
    assert page.count('type="radio"') == len(load_catalogue()) and page.count(" checked>") == 1
    assert "on the RTX 3070 Ti Laptop GPU can be used" in page


def test_a_verdict_is_a_sign_a_word_and_gigabytes(bench: Bench) -> None:
    edit(bench, "model", "model", "catalogue")
    page = shown(bench, "model-list")
    for sign, word in (("✓", "Fits"), ("!", "Tight"), ("✗", "Doesn’t fit")):
        assert f'<span aria-hidden="true">{sign}</span> {word}' in page
    assert re.search(r"<small>\d+\.\d+ of \d+\.\d GB</small>", page)


def verdicts(bench: Bench) -> dict[str, MemoryEstimate]:
    return {row.model.id: row.estimate for row in catalogue_rows(scene_of(bench))}


def test_verdicts_are_computed_once_while_nothing_changes(bench: Bench) -> None:
    first = verdicts(bench)
    assert all(estimate is first[name] for name, estimate in verdicts(bench).items())
    bench.choose(changes={"max_length": 512})
    assert sum(item.total for item in verdicts(bench).values()) < sum(item.total for item in first.values())


def test_short_data_takes_less(bench: Bench) -> None:
    bench.choose(changes={"max_length": 4096})
    before = verdicts(bench)
    bench.lengths[bench.choices().data] = Lengths(p95=80, p99=90, longest=100)
    assert all(estimate.total < before[name].total for name, estimate in verdicts(bench).items())
    assert "The longest row of your data has 100." in basis_words(scene_of(bench))


def test_a_model_too_large_may_be_chosen_and_says_what_would_help(bench: Bench) -> None:
    bench.choose(changes={"max_length": 32768, "micro_batch": 4, "checkpointing": "none"})
    edit(bench, "model", "catalogue", "Qwen/Qwen3-4B-Instruct-2507")
    assert recipe(bench).model == "Qwen/Qwen3-4B-Instruct-2507"
    page = shown(bench, "model-panel")
    assert "Doesn’t fit as it is" in page
    assert "It would fit with" in page and "“Make it fit” in the Preset step" in page


def test_what_no_setting_makes_fit_names_a_model_that_does(bench: Bench) -> None:
    edit(bench, "model", "catalogue", "Qwen/Qwen3-32B")
    page = shown(bench, "model-panel")
    assert "No setting makes it fit here." in page
    assert re.search(r"The largest of its family that fits is Qwen3", page)


def test_the_chosen_model_tells_its_size_before_and_its_terms(bench: Bench) -> None:
    edit(bench, "model", "catalogue", "meta-llama/Llama-3.2-1B-Instruct")
    page = shown(bench, "model-panel")
    assert "About 2.5 GB to download, once" in page and "free." in page
    assert "Built with Llama" in page and "700 million" in page
    assert CLOSED in page and "Download the model first." in page


def test_a_small_disk_is_said_before(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Bench, "hardware", replace(bench.hardware, disk_free=10**9))
    edit(bench, "model", "catalogue", "Qwen/Qwen3-8B")
    page = shown(bench, "model-panel")
    assert "Make room first" in page


def test_the_chosen_model_can_be_left_behind_the_filter(bench: Bench) -> None:
    bench.choose(model_kind="catalogue", catalogue="nobody/knows-this")
    assert "nobody/knows-this" in shown(bench, "model-panel")
    assert " checked>" not in shown(bench, "model-list")


def test_nonsense_in_the_choices_is_the_starter(bench: Bench) -> None:
    bench.choose(model_kind="none of these")
    assert "Unpacking" in shown(bench, "model-panel")
    assert shown(bench, "model-list") == ""


# ----- on this machine


def test_models_of_the_home_folder_and_the_cache_are_listed(
    bench: Bench, tiny_model: Path, tmp_path: Path
) -> None:
    (bench.home.models / "owner--mine").symlink_to(tiny_model, target_is_directory=True)
    snapshot = cached_model(tmp_path / "cache", tiny_model, "owner/theirs")
    bench.choose(model_kind="folder")
    page = shown(bench, "model-list")
    assert page.index("owner/mine") < page.index("owner/theirs")
    assert "Home folder" in page and "Hugging Face cache" in page and "✓" in page
    edit(bench, "model", "folder", str(snapshot))
    assert "LlamaForCausalLM" in shown(bench, "model-panel")
    assert 'href="#data"' in shown(bench, "model-panel")
    assert frame.model_words(bench.choices()) == "theirs"
    # a listed model is marked in the list, not typed into the field for others
    assert 'id="model-folder" type="text" data-name="folder" value=""' in shown(bench, "model-list")


def test_a_damaged_folder_says_why_and_nothing_else_suffers(bench: Bench, tiny_model: Path) -> None:
    bad = bench.home.models / "bad--<b>model"
    bad.mkdir()
    write_json(bad / "config.json", {"model_type": "llama\nimport os", "architectures": ["X"]})
    (bench.home.models / "good").symlink_to(tiny_model, target_is_directory=True)
    bench.choose(model_kind="folder")
    page = shown(bench, "model-list")
    assert "line break or control character" in page and "&lt;b&gt;model" in page and "<b>model" not in page
    assert page.count("Fits") == 1
    edit(bench, "model", "folder", str(bad))
    assert CLOSED in shown(bench, "model-panel")


def test_an_empty_machine_says_where_else_to_look(bench: Bench) -> None:
    bench.choose(model_kind="folder")
    assert "choose one from the catalogue" in shown(bench, "model-list")
    assert CLOSED in shown(bench, "model-panel")


def test_a_catalogue_model_in_the_cache_needs_no_download(
    bench: Bench, tiny_model: Path, tmp_path: Path
) -> None:
    snapshot = cached_model(tmp_path / "cache", tiny_model, "Qwen/Qwen3-0.6B")
    edit(bench, "model", "catalogue", "Qwen/Qwen3-0.6B")
    assert [row.model.id for row in catalogue_rows(scene_of(bench)) if row.here] == ["Qwen/Qwen3-0.6B"]
    page = shown(bench, "model-panel")
    assert "nothing has to be downloaded" in page and 'data-act="download"' not in page
    act(bench, "model", "use-folder", str(snapshot))
    assert bench.choices().model == str(snapshot)
    assert 'href="#data"' in shown(bench, "model-panel")


def test_a_damaged_download_can_be_fetched_again(bench: Bench) -> None:
    folder = bench.home.models / "Qwen--Qwen3-0.6B"
    folder.mkdir()
    edit(bench, "model", "catalogue", "Qwen/Qwen3-0.6B")
    page = shown(bench, "model-panel")
    assert 'data-act="download"' in page and CLOSED in page


# ----- the hub


def wait_for(bench: Bench, words: str, panel: str = "model-list") -> str:
    """What the page shows once the hub has answered."""
    for _ in range(600):
        page = shown(bench, panel)
        if words in page:
            return page
        time.sleep(0.02)
    raise AssertionError(page)


def test_words_are_searched_for_and_an_id_is_chosen(bench: Bench, hub: Hub) -> None:
    about = {"config": {"architectures": ["Qwen3ForCausalLM"]}, "tags": [], "downloads": 1234}
    counts = {"parameters": {"BF16": 596_049_920}, "total": 596_049_920}
    hub.models["Qwen/Qwen3-0.6B"] = Repo({}, about={**about, "safetensors": counts})
    hub.models["owner/qwen-gated"] = Repo({}, gated=True, about=about)
    edit(bench, "model", "model", "hub")
    edit(bench, "model", "hub", "qwen")
    page = wait_for(bench, "2 models for “qwen”")
    assert "1,234 downloads a month" in page and "1.2 GB of weights" in page and "Gated" in page
    assert "✓" in page, "a model of the catalogue has its verdict here too"
    assert bench.choices().hub == ""
    edit(bench, "model", "hub-found", "owner/qwen-gated")
    assert bench.choices().model == "owner/qwen-gated"
    edit(bench, "model", "hub", "https://huggingface.co/Qwen/Qwen3-0.6B/tree/main")
    assert bench.choices().hub == "Qwen/Qwen3-0.6B" and "2 models" not in shown(bench, "model-list")


def test_a_hub_model_tells_size_and_fit_before_its_download(bench: Bench, hub: Hub, tiny_model: Path) -> None:
    files = {file.name: file.read_bytes() for file in tiny_model.iterdir() if file.is_file()}
    hub.models["owner/tiny"] = Repo(files, gated=True)
    hub.token = ""
    edit(bench, "model", "hub", "owner/tiny")
    page = wait_for(bench, "to download, once", "model-panel")
    assert "LlamaForCausalLM" in page or "Whether it fits can be said once it is here" in page
    assert "its makers want their terms accepted" in page


def test_offline_is_said_and_can_be_tried_again(bench: Bench, hub: Hub) -> None:
    hub.status = 503
    edit(bench, "model", "model", "hub")
    edit(bench, "model", "hub", "qwen")
    assert "Search again" in wait_for(bench, "The hub could not be asked")
    hub.status = 200
    act(bench, "model", "search")
    wait_for(bench, "The hub has no model for “qwen”")


def test_a_wrong_token_is_said_and_a_login_is_seen(
    bench: Bench, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(bench, "model", "catalogue", "meta-llama/Llama-3.2-1B-Instruct")
    page = shown(bench, "model-panel")
    assert 'type="password"' in page and f"{hub.address}/settings/tokens" in page
    with pytest.raises(UserError, match="Paste the token"):
        act(bench, "model", "log-in")
    edit(bench, "model", "hub-token", "hf_wrong")
    wait_for(bench, "The login did not work", "model-panel")
    monkeypatch.setenv("HF_TOKEN", hub.token)
    page = shown(bench, "model-panel")
    assert "You are logged in" in page and 'type="password"' not in page and hub.token not in page


def test_nothing_is_asked_of_the_hub_for_a_model_of_the_catalogue(bench: Bench, hub: Hub) -> None:
    edit(bench, "model", "model", "catalogue")
    shown(bench, "model-list")
    shown(bench, "model-panel")
    assert hub.asked == []


# ----- downloads


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (JobState("running", stage="asking the hub"), "Download: asking the hub"),
        (
            JobState(
                "running",
                stage="downloading",
                progress=0.5,
                fields={"bytes": 4 * 10**9, "total": 8 * 10**9, "rate": 10**8, "left_s": 40},
            ),
            "Downloading: 4.0 GB of 8.0 GB, 100 MB/s, 40 s left",
        ),
        (JobState("running", stage="checking file 2 of 3"), "Checking file 2 of 3 against the hub’s"),
        (JobState("stopped", message="Stopped."), "Go on with the download"),
        (JobState("failed", message="No connection."), "Download again"),
    ],
)
def test_a_download_says_how_it_goes(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, state: JobState, words: str
) -> None:
    monkeypatch.setattr("ui.steps.model.read_download", lambda home, name: state)
    edit(bench, "model", "catalogue", "Qwen/Qwen3-0.6B")
    page = shown(bench, "model-panel")
    assert words in page
    assert ("Stop the download" in page) == state.active


def test_a_download_that_arrived_whole_says_so(bench: Bench, tiny_model: Path) -> None:
    (bench.home.models / "owner--tiny").symlink_to(tiny_model, target_is_directory=True)
    download_state(bench, "owner/tiny", status="done")
    bench.choose(model_kind="hub", hub="owner/tiny")
    page = shown(bench, "model-panel")
    assert "every file has the hub’s size and hash" in page and 'href="#data"' in page


def test_other_downloads_are_found_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    states = {"a--one": JobState("running", stage="downloading", progress=0.2), "b--two": JobState("done")}
    for name in states:
        download_state(bench, name, status="running")
    monkeypatch.setattr("ui.steps.model.read_job", lambda folder: states[folder.name])
    page = shown(bench, "model-loads")
    assert "a/one" in page and 'data-value="a/one"' in page and "b/two" not in page
    bench.choose(model_kind="hub", hub="a/one")
    assert shown(bench, "model-loads") == ""


# ----- small things


def test_a_row_is_text_whatever_stands_in_it() -> None:
    nasty = '"><script>alert(1)</script>'
    macros: Any = ENVIRONMENT.get_template("model/rows.html").module
    page = macros.row("folder", nasty, nasty, "", nasty, nasty, [nasty], [nasty], nasty)
    assert "<script>" not in page and page.count("&lt;script&gt;") == 7


def test_lengths_are_said_as_publishers_do() -> None:
    assert [context(count) for count in (32768, 1_000_000)] == ["32k tokens", "1,000,000 tokens"]


def test_a_cpu_counts_its_own_memory(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORA_GARAGE_PROBE", str(PROBES / "container_without_gpu.json"))
    assert scene_of(bench).place.gpu is None
    edit(bench, "model", "model", "catalogue")
    assert "of this computer’s memory can be used" in shown(bench, "model-list")
