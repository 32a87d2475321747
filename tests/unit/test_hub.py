"""The hub: search, sizes and refusals, asked with the real client of a small hub on this machine."""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.base.errors import UserError
from core.models.hub import hub_words
from core.models.hub_files import KINDS, HubFile, check_complete, wanted
from core.models.hub_search import hub_repo, search_hub
from tests.unit.hub_server import Hub, Repo

LLAMA = {"architectures": ["LlamaForCausalLM"]}
WEIGHTS = b"\x00" * 20_000
FILES = {"config.json": b"{}", "tokenizer.json": b"{}", "model.safetensors": WEIGHTS, "README.md": b"# It"}


def about(**more: object) -> dict[str, object]:
    return {"config": LLAMA, "tags": ["license:apache-2.0"], "downloads": 1, **more}


def test_search_tells_size_downloads_and_gate(hub: Hub) -> None:
    counts = {"parameters": {"BF16": 1000, "F32": 10, "F8_E4M3": 8}, "total": 1018}
    hub.models["owner/Qwen-1B"] = Repo({}, about=about(safetensors=counts))
    hub.models["owner/qwen-2b"] = Repo({}, gated=True, about=about(downloads=7))
    hub.models["owner/other"] = Repo({}, about=about())
    first, second = search_hub(" qwen ")
    assert (first.id, first.gated, first.downloads, first.size) == ("owner/qwen-2b", True, 7, None)
    assert (second.size, second.parameters, second.licence) == (2000 + 40 + 8, 1018, "apache-2.0")


def test_search_leaves_out_what_cannot_be_trained(hub: Hub) -> None:
    hub.models["owner/adapter"] = Repo({}, about=about(config={"peft": {}}))
    hub.models["owner/encoder"] = Repo({}, about=about(config={"architectures": ["BertModel"]}))
    hub.models["owner/own-code"] = Repo({}, about=about(tags=["custom_code"]))
    hub.models["owner/odd"] = Repo({}, about=about(config={"architectures": [["LlamaForCausalLM"]]}))
    hub.models["owner/../odd"] = Repo({}, about=about())
    assert search_hub("owner") == []


def test_nothing_to_search_for() -> None:
    with pytest.raises(UserError, match="Type a part"):
        search_hub("  ")


def test_the_size_is_that_of_what_would_come(hub: Hub) -> None:
    twice = {
        "consolidated.safetensors": WEIGHTS,
        "original/model.safetensors": WEIGHTS,
        "a.bin": b"1",
        "b.py": b"",
    }
    hub.models["owner/m"] = Repo(FILES | twice)
    repo = hub_repo("owner/m")
    assert {file.path for file in repo.files} == set(FILES)
    assert repo.bytes == sum(map(len, FILES.values()))
    assert repo.files[-1].sha256 and repo.files[0].git_sha1
    assert not any("resolve" in asked for asked in hub.asked)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"adapter_config.json": b"", "adapter_model.safetensors": b""}, "is an adapter"),
        ({"config.json": b"", "tokenizer.json": b"", "pytorch_model.bin": b""}, "no safetensors weights"),
        ({"config.json": b"", "model.safetensors": b""}, "has no tokenizer.json"),
        ({"model.safetensors": b""}, "has no config.json and no tokenizer.json"),
        ({"Config.json": b"", **FILES}, "differ only in capitals"),
    ],
)
def test_a_repository_without_what_training_needs(hub: Hub, files: dict[str, bytes], words: str) -> None:
    hub.models["owner/m"] = Repo(files)
    with pytest.raises(UserError, match=words):
        hub_repo("owner/m")


def test_unknown_names(hub: Hub) -> None:
    with pytest.raises(UserError, match="knows no model owner/none"):
        hub_repo("owner/none")
    with pytest.raises(UserError, match="knows no data set owner/none"):
        hub_repo("owner/none", "dataset")
    with pytest.raises(UserError, match="is not a hub id"):
        hub_repo("../etc")


@pytest.mark.parametrize(
    ("status", "words"), [(429, "too many requests"), (503, "fault of its own"), (403, "token")]
)
def test_when_the_hub_does_not_want_to(hub: Hub, status: int, words: str) -> None:
    hub.status = status
    with pytest.raises(UserError, match=words):
        search_hub("qwen")


@pytest.mark.parametrize(
    "answer", [b"<html>Log in</html>", b"[1, 2]", b'{"siblings": 3}', b'{"siblings": [{}]}']
)
def test_an_answer_that_is_not_the_hubs(hub: Hub, answer: bytes) -> None:
    hub.instead = answer
    with pytest.raises(UserError, match="no answer of a hub.*login page"):
        hub_repo("owner/m")


def test_sizes_that_cannot_be(hub: Hub) -> None:
    sibling = {"rfilename": "config.json", "size": -1, "blobId": "0"}
    others = [{"rfilename": name, "size": 1} for name in ("tokenizer.json", "model.safetensors")]
    hub.instead = json.dumps({"id": "owner/m", "sha": "0", "siblings": [sibling, *others]}).encode()
    with pytest.raises(UserError, match=r"doesn't say how large config\.json is"):
        hub_repo("owner/m")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left"), "owner/m could not be written: the disk is full"),
        (
            OSError(errno.EFBIG, "File too large"),
            "owner/m could not be written: ",
        ),
        (PermissionError(errno.EACCES, "Denied", "/models"), "owner/m could not be written to .*models: "),
        (ConnectionResetError(errno.ECONNRESET, "Reset"), "can't be reached"),
        (socket.gaierror(-2, "Name or service not known"), "can't be reached"),
    ],
)
def test_a_fault_of_the_disk_is_none_of_the_connection(error: OSError, words: str) -> None:
    with pytest.raises(UserError, match=words), hub_words("owner/m", "model"):
        raise error


def test_offline(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match=r"so owner/m was not downloaded\. HF_HUB_OFFLINE is set"):
        hub_repo("owner/m")
    with pytest.raises(UserError, match="the models on this machine need no connection"):
        search_hub("qwen")


def test_nobody_answers(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    # a port that nothing listens at
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError, match="can't be reached, so owner/m was not downloaded"):
        hub_repo("owner/m")


_ACCOUNT = """
import sys
from pathlib import Path
from core.base.errors import UserError
from core.models.hub import log_in, logged_in
def kept():
    files = [path for path in Path(sys.argv[1]).rglob("*") if path.is_file()]
    return sorted(str(path.parent.relative_to(sys.argv[1])) for path in files if "hf_acc" in path.read_text())
print(logged_in())
for token in ("hf_wrong", "two words", " hf_accepted "):
    try:
        print(log_in(token))
    except UserError as error:
        print(error)
print(logged_in(), set(kept()))
"""


@pytest.mark.slow
def test_a_token_is_kept_by_huggingface_hub_alone(hub: Hub, tmp_path: Path) -> None:
    # huggingface_hub reads its settings once, so this needs a process of its own
    there = {"HF_ENDPOINT": hub.address, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "0"}
    command = [sys.executable, "-c", _ACCOUNT, str(tmp_path)]
    said = subprocess.run(command, env={**os.environ, **there}, capture_output=True, text=True, check=True)
    before, wrong, none, name, inside = said.stdout.splitlines()
    assert "doesn't take the token" in wrong and "is no token" in none and name == "someone"
    assert (before, inside) == ("False", "True {'hf'}")


@settings(max_examples=30)
@given(st.sampled_from(KINDS), st.text(st.characters(codec="utf-8"), max_size=30))
def test_no_program_and_nothing_outside_is_ever_fetched(kind: str, stem: str) -> None:
    for ending in (".py", ".pkl", ".pt", ".bin", ".sh", ".zip", ".so", ".exe"):
        assert not wanted(kind, stem + ending, (".json",))  # type: ignore[arg-type]
    for path in (
        f"../{stem}.json",
        f"a/../../{stem}.json",
        f"/{stem}.json",
        f"C:{stem}.json",
        f"a\\{stem}.json",
        f"{stem}\0.json",
        f"{stem}\ud800.json",
        f"{stem}/con.json",
        f"NUL.{stem}/x.json",
        f"{stem}./x.json",
        f"{stem}{'x' * 300}.json",
    ):
        assert not wanted(kind, path, (".json",))  # type: ignore[arg-type]


def test_whole_or_not(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"hello\n")
    sha256 = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
    # what `git hash-object` says of it
    git_sha1 = "ce013625030ba8dba906f756967f9e9ca394464a"
    assert HubFile("a", 6, sha256).is_whole(tmp_path / "a") and HubFile("a", 6, "", git_sha1).is_whole(
        tmp_path / "a"
    )
    assert HubFile("a", 6).is_whole(tmp_path / "a") and not HubFile("a", 5).is_whole(tmp_path / "a")
    assert not HubFile("a", 6, git_sha1[:-1].ljust(64, "0")).is_whole(tmp_path / "a")
    assert not HubFile("a", 6, "", git_sha1[::-1]).is_whole(tmp_path / "a")
    assert not HubFile("b", 6).is_whole(tmp_path / "b")


def test_a_data_set_may_be_only_data() -> None:
    check_complete("owner/d", "dataset", ["data/train.jsonl", "README.md"], (".md", ".jsonl"))
    with pytest.raises(UserError, match="no data files"):
        check_complete("owner/d", "dataset", ["README.md", "dataset_info.json"], (".md", ".json"))
