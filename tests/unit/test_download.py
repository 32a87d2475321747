"""Downloads from a small hub with the real client: progress, going on after a kill, damage, refusals."""

from __future__ import annotations

import json
import shutil
import time
from collections import deque, namedtuple
from pathlib import Path

import numpy as np
import psutil
import pytest
from safetensors.numpy import save

from core.base.errors import UserError
from core.base.files import read_json
from core.base.home import Home
from core.base.jobs import JobState, Worker, read_job, read_state_file, request_stop, wait_job
from core.models import inspect_model, local_models, model_folder
from core.models.download import (
    PARTS,
    Transfer,
    check_room,
    download,
    download_job,
    partial_folder,
    progress,
    read_download,
    start_download,
)
from core.models.download import fetch as fetch_files
from core.models.hub import read_remote
from core.models.hub_files import HubFile, HubRepo
from core.models.hub_search import hub_repo
from tests.unit.hub_server import Hub, Repo, hub_server
from tests.waiting import wait_until

NAME = "owner/tiny"
UNWANTED = {
    "adapter_config.json": b"{}",
    "consolidated.safetensors": b"x" * 20_000,
    "model.py": b"raise SystemExit",
    "pytorch_model.bin": b"\x80",
}


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    """What a model's repository holds; the weights are small."""
    return model_files(200_000)


def model_files(size: int) -> dict[str, bytes]:
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}
    weights = np.random.default_rng(0).integers(0, 256, size, np.uint8)
    return {
        "config.json": json.dumps(config).encode(),
        "tokenizer.json": b"{}",
        "README.md": b"# About",
        "model.safetensors": save({"weights": weights}),
    }


def fetch(home: Home, name: str = NAME) -> Path:
    job = download_job(home, name)
    job.mkdir(parents=True, exist_ok=True)
    worker = Worker(job)
    download(worker, "model", name, model_folder(home, name))
    return model_folder(home, name)


def test_a_model_arrives_whole_without_its_programs(hub: Hub, home: Home, files: dict[str, bytes]) -> None:
    hub.models[NAME] = Repo(files | UNWANTED)
    folder = fetch(home)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == files
    assert inspect_model(folder).parameters > 0
    state = read_json(download_job(home, NAME) / "state.json")
    assert state["bytes"] == state["total"] == sum(map(len, files.values()))


def test_damage_on_the_way_is_found_and_fetched_again(hub: Hub, home: Home, files: dict[str, bytes]) -> None:
    hub.models[NAME] = Repo(files)
    hub.damage["model.safetensors"] = hub.damage["config.json"] = 1
    folder = fetch(home)
    assert (folder / "model.safetensors").read_bytes() == files["model.safetensors"]
    assert hub.sent["model.safetensors"] == 2 * len(files["model.safetensors"])


def test_a_connection_that_breaks_is_taken_up_again(
    hub: Hub, home: Home, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    hub.models[NAME] = Repo(files)
    hub.cut["model.safetensors"] = 3
    assert (fetch(home) / "model.safetensors").read_bytes() == files["model.safetensors"]
    assert hub.sent["model.safetensors"] == len(files["model.safetensors"])


@pytest.mark.parametrize("left", [100_000, 300_000])
def test_what_a_killed_worker_left_is_taken_up(
    hub: Hub, home: Home, files: dict[str, bytes], left: int
) -> None:
    hub.models[NAME] = Repo(files)
    weights = hub_repo(NAME).files[-1]
    part = partial_folder(model_folder(home, NAME)) / PARTS / weights.key
    part.parent.mkdir(parents=True)
    part.write_bytes(files[weights.path][:left].ljust(left, b"x"))
    assert (fetch(home) / weights.path).read_bytes() == files[weights.path]
    # a part that is too long can't be one of this file
    assert hub.sent[weights.path] == weights.size - (left if left < weights.size else 0)


def test_a_token_goes_to_the_hub_alone(
    hub: Hub, home: Home, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files lie in a store of another address, which the hub names; that one gets no token."""
    monkeypatch.setenv("HF_TOKEN", hub.token)
    hub.models[NAME] = Repo(files, gated=True)
    with hub_server(Hub(models={NAME: Repo(files)})) as store:
        hub.elsewhere = store.address
        assert read_remote(NAME)[1]
        assert inspect_model(fetch(home)).parameters > 0
        assert hub.tokens == {hub.token} and store.tokens == {""} and store.sent["model.safetensors"]


def test_ranges_that_are_ignored_and_bodies_that_never_end(
    hub: Hub, home: Home, files: dict[str, bytes]
) -> None:
    hub.models[NAME] = Repo(files)
    hub.whole.add("model.safetensors")
    part = partial_folder(model_folder(home, NAME)) / PARTS / hub_repo(NAME).files[-1].key
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x" * 1000)
    assert (fetch(home) / "model.safetensors").read_bytes() == files["model.safetensors"]
    hub.endless.add("README.md")
    hub.models[NAME] = Repo(files | {"README.md": b"# Longer"})
    with pytest.raises(UserError, match=r"README\.md of owner/tiny arrived damaged twice"):
        fetch(home)
    # the one that was complete is still there
    assert inspect_model(model_folder(home, NAME)).parameters > 0


def test_a_folder_that_cant_be_written_is_named(
    hub: Hub, home: Home, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.models[NAME] = Repo(files)

    def in_use(source: Path, target: Path) -> None:
        if source.is_dir():
            raise PermissionError(13, "it is in use", str(target))
        source.replace(target)

    monkeypatch.setattr("core.models.download.replace", in_use)
    with pytest.raises(UserError, match=r"owner--tiny: permission was denied\. .*already is kept"):
        fetch(home)


def test_damage_that_stays_is_said(hub: Hub, home: Home, files: dict[str, bytes]) -> None:
    hub.models[NAME] = Repo(files)
    hub.damage["model.safetensors"] = 9
    with pytest.raises(UserError, match=r"model\.safetensors of owner/tiny arrived damaged twice"):
        fetch(home)
    assert not list(home.models.rglob("model.safetensors"))
    # its config has come, but it is no model
    assert not model_folder(home, NAME).exists() and local_models(home) == []


def test_gated_is_refused_before_anything_comes(hub: Hub, home: Home, files: dict[str, bytes]) -> None:
    hub.models[NAME] = Repo(files, gated=True)
    with pytest.raises(UserError, match=r"owner/tiny is gated: .*/settings/tokens") as said:
        fetch(home)
    assert f"Open {hub.address}/owner/tiny, log in and accept" in str(said.value)
    assert not hub.sent


def test_gated_with_a_token(
    hub: Hub, home: Home, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.models[NAME] = Repo(files, gated=True)
    monkeypatch.setenv("HF_TOKEN", "hf_of_somebody_else")
    with pytest.raises(UserError, match="your account has not been let in"):
        fetch(home)
    monkeypatch.setenv("HF_TOKEN", hub.token)
    assert inspect_model(fetch(home)).parameters > 0


def test_a_config_that_is_refused_costs_no_gigabytes(hub: Hub, home: Home, files: dict[str, bytes]) -> None:
    config = json.loads(files["config.json"]) | {"model_type": "llama\nimport os"}
    hub.models[NAME] = Repo(files | {"config.json": json.dumps(config).encode()})
    with pytest.raises(UserError, match=r"config\.json"):
        fetch(home)
    assert not hub.sent["model.safetensors"] and not model_folder(home, NAME).exists()


def test_a_second_download_takes_the_place_of_the_first(
    hub: Hub, home: Home, files: dict[str, bytes]
) -> None:
    hub.models[NAME] = Repo(files)
    folder = fetch(home)
    (folder / "left-over.txt").write_text("old")
    hub.models[NAME] = Repo(files | {"README.md": b"# New"})
    assert (fetch(home) / "README.md").read_bytes() == b"# New"
    assert not (folder / "left-over.txt").exists()
    assert [path.name for path in home.models.iterdir() if not path.name.startswith(".")] == [folder.name]


def test_what_the_hub_has_no_more_does_not_stay(hub: Hub, home: Home, files: dict[str, bytes]) -> None:
    hub.models[NAME] = Repo(files)
    partial = partial_folder(model_folder(home, NAME))
    partial.mkdir(parents=True)
    (partial / "model-00001-of-00002.safetensors").write_bytes(b"of an earlier version")
    (partial / "config.json").write_bytes(b"{}")
    assert {path.name: path.read_bytes() for path in fetch(home).iterdir()} == files


def test_a_disk_without_room_is_said_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repo = HubRepo(NAME, "model", "", False, (HubFile("a", 3 << 30), HubFile("b", 2 << 30)))
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(9 << 30, 5 << 30, 4 << 30))
    with pytest.raises(UserError, match=r"needs 5\.0 GiB more on the disk, and 4\.0 GiB are free at "):
        check_room(repo, tmp_path)
    with open(tmp_path / "a", "wb") as file:
        file.truncate(3 << 30)
    check_room(repo, tmp_path)


def test_a_disk_that_becomes_full_is_said(hub: Hub, little_disk: Path) -> None:
    files = model_files(2_000_000)
    hub.models[NAME] = Repo(files)
    repo = HubRepo(
        NAME, "model", "0" * 40, False, (HubFile("model.safetensors", len(files["model.safetensors"])),)
    )

    with pytest.raises(UserError, match="owner/tiny could not be written: the disk is full. Free some space"):
        fetch_files(Transfer(Worker(little_disk / "job"), repo, little_disk / "m"), list(repo.files))


def test_speed_and_time_left_are_those_of_the_last_seconds(tmp_path: Path) -> None:
    transfer = Transfer(
        Worker(tmp_path / "job"), HubRepo(NAME, "model", "", False, (HubFile("a", 1000),)), tmp_path / "m"
    )
    transfer.folder.mkdir()
    seen: deque[tuple[float, int]] = deque()
    said = []
    for now, size in ((0.0, 100), (1.0, 200), (21.0, 400), (22.0, 500)):
        (transfer.folder / "a").write_bytes(b"x" * size)
        said.append(progress(transfer, seen, now))
    assert said[0]["left_s"] is None and said[0]["progress"] == 0.1
    assert (said[1]["rate"], said[1]["left_s"]) == (100, 8)
    # the first second is long ago
    assert (said[3]["rate"], said[3]["left_s"], said[3]["bytes"]) == (100, 5, 500)


@pytest.mark.slow
def test_killed_and_stopped_it_goes_on_where_it_was(
    hub: Hub, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = model_files(8_000_000)
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    hub.models[NAME] = Repo(files)
    size = len(files["model.safetensors"])
    hub.bytes_a_second = size / 6
    job = start_download(home, NAME)
    here = wait_for_bytes(home, size // 10)
    assert here.fields["total"] == sum(map(len, files.values()))
    psutil.Process(read_job(job).pid).kill()
    assert wait_job(job, timeout_s=30).status == "died"
    wait_until(lambda: read_state_file(job)["status"] == "died")

    start_download(home, NAME)
    wait_for_bytes(home, size // 4)
    request_stop(job)
    state = wait_job(job, timeout_s=30)
    assert (state.status, state.message) == (
        "stopped",
        "Download stopped. Start it again to go on where it was.",
    )
    assert not model_folder(home, NAME).exists()

    hub.bytes_a_second = 0
    start_download(home, NAME)
    assert wait_job(job, timeout_s=60).status == "done"
    assert (model_folder(home, NAME) / "model.safetensors").read_bytes() == files["model.safetensors"]
    # what was on its way when a worker ended is sent twice: it fills the socket's buffers
    assert hub.sent["model.safetensors"] < 1.6 * size


def wait_for_bytes(home: Home, count: int) -> JobState:
    wait_until(
        lambda: read_download(home, NAME).active and read_download(home, NAME).fields.get("bytes", 0) >= count
    )
    return read_download(home, NAME)
