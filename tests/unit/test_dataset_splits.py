"""Files called train, valid and test are splits: by their names, in folders, zips and JSON documents; and the
numbers that are said before a run are those that it has.
"""

from __future__ import annotations

import json
import random
import zipfile
from pathlib import Path

import pytest

from core.base.errors import UserError
from core.base.home import Home
from core.base.jobs import Worker
from core.data import ChatTokenizer, read_snapshot
from core.data.check import Question, ensure_store, ensure_tokens
from core.data.read import expand, open_source, read_rows, split_files
from core.data.read.formats import json_document
from core.data.read.json_list import Window
from core.data.read.parts import split_of_name
from core.data.snapshot import count_rows, files_of
from core.recipe import Recipe
from core.runs.data import data_split, known_sources, prepare_data, scan_data
from core.runs.run import create_run
from core.train.rows import tokenize_snapshot
from tests.unit.datasets import pairs, write_rows


@pytest.mark.parametrize(
    ("names", "role"),
    [
        ("train training Train.JSONL train-00000-of-00002.parquet my_data.train.jsonl", "train"),
        ("train_sft-00000-of-00003 train-v1.1.json alpaca_train.json.gz trainset.csv train.zip", "train"),
        ("valid validation val dev eval evaluation held_out held-out.csv heldout.jsonl", "heldout"),
        ("validation-00000-of-00001-0123456789abcdef.parquet dev-v2.0.json my.valid.jsonl EVAL_1", "heldout"),
        ("test testing test.jsonl test_sft-00000-of-00001.parquet squad.test.json", "test"),
        ("data rows.jsonl contest.csv latest.jsonl devices.csv validated.json trainer.jsonl", ""),
        ("questions-for-test-engineers.jsonl data-00000-of-00001.arrow 2024.jsonl évaluer.csv", ""),
    ],
)
def test_what_a_name_says(names: str, role: str) -> None:
    assert {name: split_of_name(name) for name in names.split()} == dict.fromkeys(names.split(), role)


def told(root: Path, chosen: list[Path], by_name: bool = True) -> tuple[str, str, str]:
    """(train, held-out, aside), the names below `root`."""
    split = split_files(chosen, by_name)
    parts = (split.train, split.heldout, split.aside)
    train, heldout, aside = (" ".join(path.relative_to(root).as_posix() for path in part) for part in parts)
    return train, heldout, aside


@pytest.mark.parametrize(
    ("files", "train", "heldout", "aside"),
    [
        ("test.jsonl train.jsonl valid.jsonl", "train.jsonl", "valid.jsonl", "test.jsonl"),
        ("test.jsonl train.jsonl", "train.jsonl", "test.jsonl", ""),
        ("a.jsonl dev.jsonl", "a.jsonl", "dev.jsonl", ""),
        ("extra.csv test.csv train.csv val.csv", "extra.csv train.csv", "val.csv", "test.csv"),
        ("test/a.csv test/train_words.csv train/eval_words.csv", "train/eval_words.csv", "", ""),
        ("x/train.jsonl y/train.jsonl y/val.jsonl", "x/train.jsonl y/train.jsonl", "y/val.jsonl", ""),
        ("test/train.csv train/1.csv", ".", "", ""),
        ("test.jsonl", ".", "", ""),
        ("a.jsonl b.jsonl", ".", "", ""),
        ("test.jsonl valid.jsonl", ".", "", ""),
    ],
)
def test_files_of_a_folder(files: str, train: str, heldout: str, aside: str, tmp_path: Path) -> None:
    root = tmp_path / "test"  # the name of what was chosen says nothing
    for name in files.split():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        write_rows(root / name, pairs(2))
    if files.startswith("test/a"):
        heldout = "test/a.csv test/train_words.csv"
    assert told(root, [root]) == (train, heldout, aside)
    assert told(root, [root], by_name=False) == (".", "", "")
    whole = sorted(expand([root]))
    split = split_files([root])
    assert sorted([*expand(split.train), *split.heldout, *split.aside]) == whole


def test_files_that_are_chosen_one_by_one(tmp_path: Path) -> None:
    train, test = (write_rows(tmp_path / f"{name}.jsonl", pairs(2)) for name in ("train", "test"))
    assert told(tmp_path, [test]) == ("test.jsonl", "", "")
    assert told(tmp_path, [test, train]) == ("train.jsonl", "test.jsonl", "")
    gone = tmp_path / "gone.jsonl"
    assert split_files([gone, train]).train == [gone, train]


def lines(count: int, first: int = 0) -> str:
    return "\n".join(map(json.dumps, pairs(count, first)))


def test_files_in_a_zip(tmp_path: Path) -> None:
    archive = tmp_path / "set.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("README.md", "about")
        file.writestr("set/train.jsonl", lines(5))
        file.writestr("set/validation.jsonl", lines(2, 10))
        file.writestr("doc.json", json.dumps({"train": pairs(3, 20), "test": pairs(1, 30)}))
    split = split_files([archive])
    assert told(archive, [archive]) == (
        "doc.json/train set/train.jsonl",
        "set/validation.jsonl",
        "doc.json/test",
    )
    assert [len(list(read_rows(file))) for file in split.train] == [3, 5]
    sources = [open_source(file) for file in (*split.train, *split.heldout)]
    assert len({source.sha256 for source in sources}) == 3
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("/etc/train.jsonl", lines(5))
        file.writestr("test.jsonl", lines(5))
    assert expand([archive]) == [archive]
    with pytest.raises(UserError, match="leads out of its folder"):
        open_source(archive)
    with pytest.raises(UserError, match="leads out of its folder|holds no"):
        open_source(archive / "test.jsonl")


@pytest.mark.parametrize(
    ("document", "train", "heldout", "aside"),
    [
        ({"train": pairs(4), "test": pairs(2, 9)}, "train", "test", ""),
        ({"v": "1", "valid": pairs(2), "info": {"by": "us"}, "train": pairs(3)}, "train", "valid", ""),
        ({"train": pairs(4), "dev": pairs(2), "test": pairs(1)}, "train", "dev", "test"),
        ({"data": pairs(4), "labels": [{"id": 1}]}, "data", "", "labels"),
        ({"data": pairs(2), "examples": pairs(2, 5)}, ".", "", ""),
        ({"train": {"question": ["a?"], "answer": ["b"]}, "test": pairs(1)}, "train", "test", ""),
        ({"test": pairs(2)}, ".", "", ""),
        ({"data": pairs(2), "empty": []}, ".", "", ""),
    ],
)
@pytest.mark.parametrize("indent", [None, 1])
def test_lists_of_a_document(
    document: object, train: str, heldout: str, aside: str, indent: int | None, tmp_path: Path
) -> None:
    path = tmp_path / "set.json"
    path.write_text(json.dumps(document, indent=indent), "utf-8-sig")
    assert told(path, [path]) == (train, heldout, aside)
    rows = sum(len(list(read_rows(file))) for file in expand([path]))
    values = document.values() if isinstance(document, dict) else []
    assert rows == sum(len(value) if isinstance(value, list) else "question" in value for value in values)


def test_what_is_wrong_in_a_part_is_said_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "set.json"
    text = json.dumps({"train": pairs(3), "test": pairs(3, 5)}, indent=1)
    fault = text.rindex('"answer"')
    path.write_text(text[:fault] + "broken" + text[fault:], "utf-8")
    line = text[:fault].count("\n") + 1
    with pytest.raises(UserError, match=f"test, line {line}: record 3"):
        list(read_rows(path / "test"))


def test_no_list_is_dropped_where_they_can_not_be_taken_apart(tmp_path: Path) -> None:
    path = tmp_path / "set.json"
    path.write_text(json.dumps({"train": pairs(3), "a/b": pairs(3, 5)}), "utf-8")
    assert expand([path]) == [path]
    with pytest.raises(UserError, match="further list of rows, “a/b”"):
        list(read_rows(path))
    window = Window([(1, b'{"data": [{"a": 1}], "note": [{"role": "user"}]}')], "one.json")
    assert len([row for block in json_document._blocks(window) for row in block.rows()]) == 1


def folder_of(root: Path, **files: list[dict[str, str]]) -> Path:
    root.mkdir()
    for name, rows in files.items():
        write_rows(root / f"{name}.jsonl", rows)
    return root


def test_a_run_and_its_hashes_follow_the_names(home: Home, tmp_path: Path, tiny_model: Path) -> None:
    data = folder_of(tmp_path / "set", train=pairs(20), valid=pairs(4, 50), test=pairs(3, 80))
    recipe = Recipe(model=str(tiny_model), data=str(data))
    scan_data(home, recipe)
    run = create_run(home, recipe)
    assert run.recipe.hashes.keys() == {"source/data", "source/heldout"}
    assert run.recipe.hashes["source/data"] == open_source(data / "train.jsonl").sha256
    prepare_data(home, run.recipe, run.data)
    assert [*map(len, read_snapshot(run.data))] == [20, 4]
    write_rows(data / "test.jsonl", pairs(1))
    assert known_sources(home, recipe) == run.recipe.hashes  # what is left aside may change
    everything = recipe.with_changes(splits=False, heldout_share=0)
    prepare_data(home, everything, tmp_path / "all")
    assert [*map(len, read_snapshot(tmp_path / "all"))] == [25, 0]
    own = recipe.with_changes(heldout=str(data / "test.jsonl"))
    assert [len(part) for part in (data_split(own).heldout, data_split(own).aside)] == [1, 2]
    assert data_split(recipe.with_changes(heldout_share=0)).heldout == []


@pytest.mark.parametrize("seed", range(4))
def test_what_is_said_is_what_the_run_gets(seed: int, home: Home, tmp_path: Path, tiny_model: Path) -> None:
    chance = random.Random(seed)
    rows = pairs(chance.randrange(8, 70))
    rows += chance.choices(rows, k=chance.randrange(10))  # copies stay together
    rows += [{"question": "word " * chance.randrange(200), "answer": f"It is {n}."} for n in range(9)]
    data = write_rows(tmp_path / "data.jsonl", rows)
    recipe = Recipe(
        model=str(tiny_model),
        data=str(data),
        max_length=96,
        seed=seed,
        heldout_share=chance.choice([0.05, 0.3, 0.0]),
        fixes=chance.choice([[], ["duplicates"]]),
    )
    run = create_run(home, recipe)
    prepare_data(home, run.recipe, run.data)
    question = Question([data], model=tiny_model)
    store = ensure_store(home, [data])
    said = count_rows(
        store,
        tokens=ensure_tokens(home, question, store),
        share=recipe.heldout_share,
        seed=seed,
        fixes=recipe.fixes,
        max_length=recipe.max_length,
    )
    trained, held = tokenize_snapshot(Worker(run.folder), run, recipe, ChatTokenizer.load(tiny_model))
    assert (said.train, said.heldout, said.exact) == (len(trained), len(held), True)
    assert [(file.role, file.rows) for file in files_of(store)] == [("train", len(rows))]
