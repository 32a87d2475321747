"""The served app: our routes, the page's head, no torch in its process, no address but its own."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from core.base.errors import UserError
from core.base.home import SAMPLE_DATA, Home
from core.data.check import ensure_store
from core.data.read import all_formats
from core.recipe import Recipe
from ui.bench import Bench
from ui.files import ASSETS, dataset_name
from ui.server import build_app, listen

ROOT = Path(__file__).resolve().parents[2]
# an address that a browser would load: src, href, url(…) or a meta tag's content that names another host
FOREIGN = re.compile(rb"""(?:src|href|url|content)\s*[=(]\s*["']?\s*(?:https?:)?//[^"')\s]+""")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> tuple[TestClient, Home]:
    from core.base.home import open_home

    home = open_home(tmp_path_factory.mktemp("home"))
    return TestClient(build_app(Bench(home), max_upload_mb=1), base_url="http://127.0.0.1:7860"), home


def test_the_page_has_our_head_and_no_foreign_address(served: tuple[TestClient, Home]) -> None:
    client, _ = served
    page = client.get("/")
    assert page.status_code == 200
    assert b"/garage/assets/garage.css" in page.content
    assert b"og:image" not in page.content
    assert FOREIGN.findall(page.content) == []


def test_our_assets_and_the_theme_name_no_foreign_address(served: tuple[TestClient, Home]) -> None:
    client, _ = served
    assert FOREIGN.findall(client.get("/theme.css").content) == []
    for path in ASSETS.iterdir():
        content = path.read_bytes().replace(b"http://www.w3.org/2000/svg", b"")
        assert not re.search(rb"https?://", content), path.name


def test_a_foreign_host_gets_nothing(served: tuple[TestClient, Home]) -> None:
    assert served[0].get("/", headers={"host": "evil.example"}).status_code == 403


def test_an_upload_lands_in_the_home_folder_under_a_free_name(served: tuple[TestClient, Home]) -> None:
    client, home = served
    names = [client.post("/garage/upload?name=../a b.jsonl", content=b"{}").json()["name"] for _ in range(2)]
    assert names == ["a b.jsonl", "a b (2).jsonl"]
    assert sorted(path.name for path in home.datasets.iterdir()) == ["a b (2).jsonl", "a b.jsonl"]


def test_whatever_is_read_can_be_brought(served: tuple[TestClient, Home]) -> None:
    endings = [ending for kind in all_formats() for ending in kind.endings]
    assert ".ndjson" in endings
    for ending in (*endings, ".jsonl.gz", ".zip"):
        assert served[0].post(f"/garage/upload?name=a{ending}", content=b"{}").json()["name"] == f"a{ending}"


@pytest.mark.parametrize(
    ("name", "body", "status", "says"),
    [
        ("x.exe", b"MZ", 422, "not a data file"),
        ("", b"x", 422, "not a data file"),
        ("empty.csv", b"", 422, "is empty"),
        ("big.csv", b"x" * (1 << 20) + b"x", 413, "larger than the limit"),
    ],
)
def test_a_bad_upload_is_refused_in_words(
    served: tuple[TestClient, Home], name: str, body: bytes, status: int, says: str
) -> None:
    client, home = served
    answer = client.post(f"/garage/upload?name={name}", content=body)
    assert answer.status_code == status
    assert says in answer.text
    assert not [path for path in home.datasets.iterdir() if path.name.startswith(".") or path.name == name]


@pytest.mark.parametrize(
    "name", ["../../etc/passwd.csv", "C:\\x\\y.csv", "con\x00.csv", "a\n.csv", "..x.csv"]
)
def test_a_name_is_never_a_path(name: str) -> None:
    safe = dataset_name(name)
    assert not re.search(r"[\\/\x00\n:]", safe)
    assert not safe.startswith(".")


def test_a_result_is_sent_from_the_run_and_nothing_else_is(served: tuple[TestClient, Home]) -> None:
    client, home = served
    run = home.runs / "r"
    (run / "export").mkdir(parents=True)
    Recipe().save(run / "recipe.yaml")
    (run / "export" / "m.gguf").write_bytes(b"GGUF0123")
    assert client.get("/garage/runs/r/export/m.gguf").content == b"GGUF0123"
    part = client.get("/garage/runs/r/export/m.gguf", headers={"range": "bytes=4-5"})
    assert (part.status_code, part.content) == (206, b"01")
    for path in ("r/export/..%2Frecipe.yaml", "r/export/.state", "..%2Fr/export/m.gguf", "no/export/m.gguf"):
        assert client.get(f"/garage/runs/{path}").status_code == 404


def test_the_cleaned_copy_and_its_changes_are_sent(served: tuple[TestClient, Home]) -> None:
    client, home = served
    for name in ("train", "heldout"):
        ensure_store(home, [SAMPLE_DATA / f"{name}.jsonl"])
    copy = client.get("/garage/data/cleaned.jsonl")
    assert 'filename="train.cleaned.jsonl"' in copy.headers["content-disposition"]
    assert all(json.loads(line).keys() == {"messages"} for line in copy.text.splitlines())
    assert client.get("/garage/data/changes.jsonl").text == ""
    assert client.get("/garage/data/other.jsonl").status_code == 404


def test_losses_come_as_csv(served: tuple[TestClient, Home]) -> None:
    client, home = served
    run = home.runs / "csv"
    run.mkdir()
    Recipe().save(run / "recipe.yaml")
    events = [
        {"kind": "log", "step": 1, "loss": 2.5},
        {"kind": "eval", "step": 1, "loss": 2.25},
        {"kind": "stage"},
    ]
    (run / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    text = client.get("/garage/runs/csv/losses.csv").text
    assert text == "kind,step,loss\ntrain,1,2.5\nheld-out,1,2.25\n"


def test_assets_stay_in_their_folder(served: tuple[TestClient, Home]) -> None:
    assert served[0].get("/garage/assets/..%2F..%2Fapp.py").status_code == 404


def test_a_taken_port_is_said_and_without_a_wish_the_next_one_is_found() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(UserError, match="taken"):
            listen(other.getsockname()[1])
    with listen(None) as found:
        assert found.getsockname()[0] == "127.0.0.1"


def test_a_nonsense_upload_limit_is_a_sentence(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORA_GARAGE_MAX_UPLOAD_MB", "lots")
    with pytest.raises(UserError, match="LORA_GARAGE_MAX_UPLOAD_MB"):
        build_app(Bench(home))


def test_the_app_with_every_step_rendered_never_loads_torch(home: Home) -> None:
    """In a process of its own: build the app, render every step, and look at what is loaded."""
    code = (
        "import sys\n"
        "from core.base.home import open_home\n"
        "from ui.bench import Bench\n"
        "from ui.server import build_app\n"
        "from ui import frame\n"
        "from ui.scene import scene_of\n"
        "from ui.step import steps\n"
        f"bench = Bench(open_home({str(home.root)!r}))\n"
        "build_app(bench)\n"
        "scene = scene_of(bench)\n"
        "assert frame.header(scene) and frame.card(scene)\n"
        "assert all(any(step.html(part, scene) for part in step.parts) for step in steps())\n"
        "heavy = {'torch', 'transformers', 'unsloth', 'trl', 'peft', 'llama_cpp', 'datasets'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1] == "[]"
