"""Real datasets as their makers published them: five shapes of one FAQ, thousands of chats, demo files."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from core.base.files import sha256_file
from core.base.home import APP_FOLDER
from core.data.cleaned import save_cleaned
from core.data.scan import scan
from core.data.store import Store
from core.setup.downloads import unpack_chosen
from tests.corpus.case import pair
from tests.corpus.judge import judge

pytestmark = pytest.mark.slow

FAQ = (
    "zaragoza-construction-faq",
    "1.2.1",
    "716a1999dd5ad8494c6a4e47d3510f017aa767ea9e55d3b348b0ad70b0e8d3d7",
)
CHITCHAT = ("chitchat-dataset", "0.9.0", "7bf89f36645e2d5ec87d53370c8e851b5a688479c7beb7079cb4c87fc5acea3e")
FACTORY = ("llamafactory", "0.9.5", "1702c0bfb864e80577a59521d2edcacd2aab05ec6aee06188fcba335a589681f")
# what pip says when there is no way to the index, or nothing at its end
NO_INDEX = (
    "NewConnectionError",
    "Network is unreachable",
    "Name or service not known",
    "Max retries exceeded",
)
COMMAND = "import sys, app; sys.exit(app.run_inside(app.parse(sys.argv[1:])))"
FAQ_SHAPES = ("faq-alpaca.jsonl", "faq-sharegpt.jsonl", "faq.jsonl", "faq.json", "faq.csv")
ENGLISH_SHAPES = ("faq-en-alpaca.jsonl", "faq-en-sharegpt.jsonl", "faq-en.jsonl", "faq-en.json", "faq-en.csv")


def downloaded(package: tuple[str, str, str], folder: Path, *how: str) -> Path:
    """The package's file with exactly that hash, downloaded on first use; nothing is installed."""
    name, version, sha256 = package
    wanted = f"{name.replace('-', '_')}-{version}*"
    if not any(sha256_file(path) == sha256 for path in folder.glob(wanted)):
        pin = folder / f"{name}.txt"
        pin.write_text(f"{name}=={version} --hash=sha256:{sha256}\n", "utf-8")
        _pip("download", "--no-deps", "--require-hashes", *how, "-r", str(pin), "-d", str(folder))
    return next(folder.glob(wanted))


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--retries", "1", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if done.returncode and any(words in done.stdout + done.stderr for words in NO_INDEX):
        pytest.skip("the package index can't be reached")
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def cache(request: pytest.FixtureRequest) -> Path:
    """Where downloads are kept from one test run to the next."""
    assert request.config.cache is not None
    return request.config.cache.mkdir("real-data")


@pytest.fixture(scope="module")
def faq(cache: Path) -> Path:
    """A folder with the ten files of the FAQ."""
    wheel = downloaded(FAQ, cache, "--only-binary", ":all:")
    return _unzipped(wheel, "zaragoza_construction_faq/data/", cache / "faq")


@pytest.fixture(scope="module")
def chitchat(cache: Path) -> Path:
    """A folder with the one file of chats."""
    wheel = downloaded(CHITCHAT, cache, "--only-binary", ":all:")
    return _unzipped(wheel, "chitchat_dataset/dataset.json", cache / "chitchat")


@pytest.fixture(scope="module")
def factory(cache: Path) -> Path:
    """The folder `data` of LLaMA-Factory's source: nothing else of it is unpacked."""
    source = downloaded(FACTORY, cache, "--no-binary", "llamafactory")
    folder = cache / "llamafactory"
    if not (folder / "data").is_dir():
        unpack_chosen(source, "", ("data/",), folder)
    return folder / "data"


def _unzipped(wheel: Path, prefix: str, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.namelist():
            if member.startswith(prefix):
                (folder / Path(member).name).write_bytes(archive.read(member))
    return folder


def check_data(*arguments: str | Path) -> tuple[int, dict[str, Any]]:
    """(exit code, report) of `python app.py check-data … --json`, without the set-up."""
    command = [sys.executable, "-c", COMMAND, "check-data", *map(str, arguments), "--json"]
    done = subprocess.run(command, cwd=APP_FOLDER, capture_output=True, text=True, timeout=120)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout.splitlines()[-1])


def cleaned(path: Path, folder: Path, fixes: tuple[str, ...] = ()) -> bytes:
    """The cleaned copy of a file, as `--fix` writes it."""
    store = scan([path], folder / path.name)
    out = folder / f"{path.name}.cleaned.jsonl"
    save_cleaned(store, fixes, out)
    return out.read_bytes()


@pytest.mark.parametrize("shapes", [FAQ_SHAPES, ENGLISH_SHAPES], ids=["Swedish", "English"])
def test_five_shapes_of_one_faq_are_the_same_rows(shapes: tuple[str, ...], faq: Path, tmp_path: Path) -> None:
    for name in shapes:
        told = judge(faq / name, tmp_path / f"stores-{name}")
        assert told["rows_read"] == told["rows_usable"] == 503, name
        assert told["verdict"] in ("accept", "warn"), (name, told["problems"])
    copies = {name: cleaned(faq / name, tmp_path) for name in shapes}
    assert len(set(copies.values())) == 1
    rows = [json.loads(line) for line in copies[shapes[0]].splitlines()]
    published = json.loads((faq / shapes[3]).read_text("utf-8"))["questions"]
    wanted = [{"messages": pair(row["q"], row["a"])} for row in published]
    assert rows == wanted


def test_the_command_writes_the_same_rows_from_two_shapes(
    faq: Path, tiny_model: Path, tmp_path: Path
) -> None:
    copies = []
    for name in ("faq.csv", "faq-sharegpt.jsonl"):
        out = tmp_path / f"{name}.jsonl"
        code, told = check_data(faq / name, "--model", tiny_model, "--fix", out)
        assert code == 0, told
        assert told["verdict"] in ("accept", "warn")
        assert told["rows_read"] == told["rows_usable"] == 503
        assert told["sha256"] == sha256_file(faq / name)
        copies.append(out.read_bytes())
    assert copies[0] == copies[1]
    assert copies[0].count(b"\n") == 503


def test_thousands_of_chats_load_without_a_lost_row(chitchat: Path, tmp_path: Path) -> None:
    told = judge(chitchat / "dataset.json", tmp_path)
    assert told["verdict"] in ("accept", "warn"), told["problems"]
    assert told["rows_read"] == told["rows_usable"] == 7168
    published = json.loads((chitchat / "dataset.json").read_text("utf-8"))
    said = [chat["messages"] for chat in published.values()]
    for row, turns in zip(Store.open(tmp_path / "data").read(), said, strict=True):
        spoken = "".join(part["text"] for turn in turns for part in turn)
        assert squeezed("".join(message["content"] for message in row.messages)) == squeezed(spoken)


def squeezed(text: str) -> str:
    """The text without white space, which joins what was said in one go."""
    return "".join(text.split())


def test_alpaca_rows_of_a_peer_load_without_a_lost_row(factory: Path, tmp_path: Path) -> None:
    told = judge(factory / "alpaca_en_demo.json", tmp_path)
    assert told["verdict"] in ("accept", "warn"), told["problems"]
    assert told["rows_read"] == told["rows_usable"] == 999
    published = json.loads((factory / "alpaca_en_demo.json").read_text("utf-8"))
    for row, alpaca in zip(Store.open(tmp_path / "data").read(), published, strict=True):
        asked = "\n\n".join(filter(None, (alpaca["instruction"], alpaca["input"])))
        assert row.messages == pair(asked, alpaca["output"])


# what a peer's own demo files are: usable, or refused for a reason that is named
DEMOS = {
    "alpaca_zh_demo.json": None,
    "identity.json": None,
    "c4_demo.jsonl": None,
    "wiki_demo.txt": None,
    "dpo_en_demo.json": "preference pairs",
    "glaive_toolcall_en_demo.json": "tool calls",
    "mllm_demo.json": "images",
    "mllm_audio_demo.json": "images",
    "mllm_video_demo.json": "images",
    "mllm_demo_data/1.jpg": "unreadable file",
    "mllm_demo_data/1.mp3": "unreadable file",
    "mllm_demo_data/2.avi": "unreadable file",
    "v1_dpo_demo.yaml": "unreadable file",
}


@pytest.mark.parametrize("name", DEMOS)
def test_demo_files_of_a_peer(name: str, factory: Path, tmp_path: Path) -> None:
    told = judge(factory / name, tmp_path)
    errors = {entry["kind"] for entry in told["problems"] if entry["severity"] == "error"}
    if DEMOS[name] is None:
        assert not errors and told["rows_usable"] > 50
    else:
        assert DEMOS[name] in errors and told["verdict"] == "reject"
