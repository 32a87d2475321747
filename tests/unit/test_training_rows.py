"""The training batch holds, bit for bit, what the preview shows. Needs torch, not transformers."""

from __future__ import annotations

import random
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.base.errors import Stopped
from core.base.home import Home
from core.base.jobs import Worker
from core.data import ChatTokenizer, Conversation, Encoded
from core.data.encoded import IGNORED
from core.recipe import Recipe
from core.runs.progress import read_progress
from core.runs.run import Run
from core.train import rows as training_rows
from core.train.batches import Collator, split_batch
from core.train.rows import Rows, tokenize_snapshot
from tests.training_runs import make_run
from tests.unit.chat_models import FAMILIES, write_model
from tests.unit.test_dataset_tokenize import chat_of, chats

QUIET = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
NAMES = ("chatml", "qwen3", "llama3", "gemma", "phi3", "llama2-first", "mistral", "base")
TEXTS = st.text(max_size=60).map(lambda text: [{"role": "text", "content": text}])


@pytest.fixture(scope="module")
def tokenizers(
    tmp_path_factory: pytest.TempPathFactory, starter_tokenizer_folder: Path
) -> dict[str, ChatTokenizer]:
    root = tmp_path_factory.mktemp("toys")
    toys = {name: ChatTokenizer.load(write_model(root / name, FAMILIES[name])) for name in NAMES}
    return {"starter": ChatTokenizer.load(starter_tokenizer_folder), **toys}


def tokenized(
    data: list[Any], tokenizer: ChatTokenizer, max_length: int, folder: Path, patch: pytest.MonkeyPatch
) -> Rows:
    """The rows that a run over `data` trains on."""
    conversations = [Conversation(messages, f"line {place}") for place, messages in enumerate(data)]
    patch.setattr(training_rows, "read_snapshot", lambda folder: (conversations, []))
    return tokenize_snapshot(Worker(folder), Run(folder), Recipe(max_length=max_length), tokenizer)[0]


def test_very_many_rows_are_counted_and_can_be_stopped(
    tokenizers: dict[str, ChatTokenizer], home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_rows, "_TELL_ROWS", 2)
    rows = [Conversation(chat_of("a", "b"), f"line {number}") for number in range(4)]
    monkeypatch.setattr(training_rows, "read_snapshot", lambda folder: (rows, []))
    folder = home.runs / "run"
    worker, tokenizer, shares = Worker(folder), tokenizers["starter"], []
    monkeypatch.setattr(worker, "update", lambda progress: shares.append(progress))
    assert len(tokenize_snapshot(worker, Run(folder), Recipe(), tokenizer)[0]) == 4
    assert shares == [0.0, 0.5, None]
    with pytest.raises(Stopped):
        tokenize_snapshot(worker, Run(folder), Recipe(), tokenizer, lambda: len(shares) == 5)
    assert shares[3:] == [0.0, 0.5]


def shown(encoded: Encoded) -> tuple[list[int], list[int]]:
    """Ids and labels as the pieces of the preview have them."""
    kept = [piece for piece in encoded.pieces if not piece.cut]
    return [piece.id for piece in kept], [piece.id if piece.trained else IGNORED for piece in kept]


@QUIET
@given(
    name=st.sampled_from(["starter", *NAMES]),
    data=st.lists(st.one_of(chats(), chats(system=False), TEXTS), min_size=1, max_size=6),
    max_length=st.integers(16, 200),
    budget=st.integers(1, 400),
    by_length=st.booleans(),
)
def test_a_batch_holds_what_the_preview_shows(
    name: str,
    data: list[Any],
    max_length: int,
    budget: int,
    by_length: bool,
    tokenizers: dict[str, ChatTokenizer],
    tmp_path: Path,
) -> None:
    tokenizer = tokenizers[name]
    windows = [window for messages in data for window in tokenizer.windows(messages, max_length)]
    previews = [tokenizer.encode(messages, max_length) for messages in windows]
    expected = [shown(one) for one in previews if one.reason is None]
    if not expected:
        return
    with pytest.MonkeyPatch.context() as patch:
        rows = tokenized(data, tokenizer, max_length, tmp_path, patch)
    assert [(row["input_ids"].tolist(), row["labels"].tolist()) for row in rows] == expected
    assert rows.lengths == [len(ids) for ids, _ in expected]

    order = random.Random(budget).sample(range(len(rows)), len(rows))
    pad = next((one for one in (tokenizer.pad_id, tokenizer.eos_id) if one is not None), 0)
    batch = Collator(pad)([rows[place] for place in order])
    fed = []
    for part in split_batch(batch, budget, by_length):
        for ids, labels, mask in zip(
            *(part[key].tolist() for key in ("input_ids", "labels", "attention_mask"))
        ):
            length = sum(mask)
            # padding stands behind the row, is not looked at and not trained, even where it is the turn end
            assert mask == [1] * length + [0] * (len(mask) - length)
            assert set(ids[length:]) <= {pad} and set(labels[length:]) <= {IGNORED}
            fed.append((ids[:length], labels[:length]))
    assert sorted(fed) == sorted(expected)


@pytest.mark.parametrize("name", ["starter", *NAMES])
def test_the_end_of_each_turn_is_trained_even_if_it_is_the_padding(
    name: str, tokenizers: dict[str, ChatTokenizer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = tokenizers[name]
    assert tokenizer.turn_end is not None
    end = tokenizer.control_tokens[tokenizer.turn_end]
    data = [
        chat_of("Hello", "I am fine"),
        chat_of("What is the capital of France?", "Paris.", "Sure?", "Yes."),
    ]
    rows = tokenized(data, tokenizer, 500, tmp_path, monkeypatch)
    batch = Collator(end)(list(rows))
    trained = [(labels == end).sum().item() for labels in batch["labels"]]
    # Qwen3 rewrites the first answer of two
    assert trained == [1, 1 if name == "qwen3" else 2]
    for labels, mask in zip(batch["labels"], batch["attention_mask"]):
        assert (labels[mask == 0] == IGNORED).all()


def test_rows_are_kept_in_eight_bytes_a_token() -> None:
    rows = Rows([([1, 2, 3], [IGNORED, 2, 3]), ([4], [4]), ([], [])])
    assert [row["input_ids"].tolist() for row in rows] == [[1, 2, 3], [4], []]
    assert [row["labels"].tolist() for row in rows] == [[IGNORED, 2, 3], [4], []]
    assert rows[-2]["input_ids"].tolist() == [4] and rows.lengths == [3, 1, 0]
    assert rows.ids.nbytes + rows.labels.nbytes == 8 * 4
    with pytest.raises(IndexError):
        rows[3]
    assert len(Rows()) == 0 and not Rows() and list(Rows()) == []


def test_plain_text_is_trained_whole(
    tokenizers: dict[str, ChatTokenizer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = [[{"role": "text", "content": "Once upon a time."}]]
    rows = tokenized(data, tokenizers["starter"], 100, tmp_path, monkeypatch)
    ids, labels = rows[0]["input_ids"].tolist(), rows[0]["labels"].tolist()
    assert ids[-1] == tokenizers["starter"].eos_id
    assert labels == [IGNORED, *ids[1:]]


def test_a_run_keeps_the_day_that_its_template_prints(home: Home, tiny_model: Path, tmp_path: Path) -> None:
    assert make_run(home, tiny_model).recipe.day == date.today()
    # the recipe of an earlier run gives the same rows again
    run = make_run(home, tiny_model, day="2020-02-02")
    assert Recipe.load(run.folder / "recipe.yaml").day == date(2020, 2, 2)
    folder = write_model(tmp_path, FAMILIES["chatml"])
    template = "{% for m in messages %}{{ strftime_now('%Y') + m.content }}<|im_end|>{% endfor %}"
    (folder / "chat_template.jinja").write_text(template)
    tokenizer = ChatTokenizer.load(folder, run.recipe.chat_template, run.recipe.day)
    assert tokenizer.render(chat_of("a", "b")) == "2020a<|im_end|>2020b<|im_end|>"


def test_lost_characters_are_said(
    tokenizers: dict[str, ChatTokenizer], home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = home.runs / "run"
    folder.mkdir()
    data = [chat_of("a", "b\x04"), chat_of("a", "b")]
    tokenized(data, tokenizers["starter"], 100, folder, monkeypatch)
    assert "1 training row(s) hold characters" in read_progress(Run(folder)).warnings[-1]
