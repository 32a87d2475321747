"""Token counts: what the table says of a maximum length is what encoding with it would say."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.base.errors import UserError
from core.data import ChatTokenizer, Conversation
from core.data import measure as measuring
from core.data.measure import SAMPLE, TokenTable, measure, sample_rows
from tests.unit.test_dataset_tokenize import chat_of, chats

QUIET = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def rows_of(chat_list: list[list[dict[str, str]]]) -> list[tuple[int, Conversation]]:
    """Numbered with gaps, as rows that were selected."""
    return [(3 * number, Conversation(chat, f"line {number}")) for number, chat in enumerate(chat_list)]


def words(length: int) -> list[dict[str, str]]:
    return chat_of("x", "a" * length)


TEXTS = st.text("ab <|im_end|>\n", min_size=1, max_size=40).map(
    lambda text: [{"role": "text", "content": text}]
)


@QUIET
@given(
    name=st.sampled_from(["chatml", "qwen3", "gemma"]),
    data=st.lists(st.one_of(chats(), chats(system=False), TEXTS), min_size=1, max_size=6),
    max_length=st.integers(1, 160),
)
def test_the_table_says_what_encoding_says(
    name: str, toy_tokenizers: dict[str, ChatTokenizer], data: list[Any], max_length: int
) -> None:
    tokenizer = toy_tokenizers[name]
    rows = rows_of(data)
    table = measure(tokenizer, rows)
    facts = table.at(max_length)
    encoded = {number: tokenizer.encode(row.messages, max_length) for number, row in rows}
    whole = {number: tokenizer.encode(row.messages) for number, row in rows}
    usable = [one for one in encoded.values() if one.reason is None]
    assert table.row.tolist() == list(encoded)
    assert table.length.tolist() == [one.length for one in whole.values()]
    assert table.trained.tolist() == [one.trained for one in whole.values()]
    assert table.trained_within(max_length).tolist() == [one.trained for one in encoded.values()]
    assert facts.rows_measured == len(rows) and facts.rows_kept == len(usable)
    assert facts.total == sum(len(one.ids) for one in usable)
    assert facts.trained == sum(one.trained for one in usable)
    assert facts.cut.tolist() == [number for number, one in encoded.items() if one.cut]
    assert facts.zero.tolist() == [number for number, one in whole.items() if one.reason is not None]
    dropped = sorted([*facts.lost, *facts.zero])
    assert dropped == [number for number, one in encoded.items() if one.reason is not None]
    assert table.rewritten.tolist() == [number for number, one in whole.items() if one.masked_turns]
    assert table.lost_characters.tolist() == [number for number, one in whole.items() if one.lost]
    assert [table.reason(number) for number in whole] == [one.reason or "" for one in whole.values()]
    assert table.reason(-1) == table.reason(1) == ""


def test_rows_encoded_together_are_those_encoded_alone(toy_tokenizers: dict[str, ChatTokenizer]) -> None:
    data = [words(n) for n in (1, 9, 3)] + [chat_of("c", "d", system="e"), [{"role": "user", "content": "?"}]]
    for name in ("chatml", "qwen3", "gemma"):
        tokenizer = toy_tokenizers[name]
        together = tokenizer.encode_many(data, 30)
        alone = [tokenizer.encode(chat, 30) for chat in data]
        assert together == alone
        assert [one.pieces for one in together] == [one.pieces for one in alone]


def test_the_suggestion_keeps_almost_all_rows_whole(toy_tokenizers: dict[str, ChatTokenizer]) -> None:
    tokenizer = toy_tokenizers["chatml"]
    table = measure(tokenizer, rows_of([words(4)] * 198 + [words(200), words(4000)]))
    length, reason = table.suggested_max_length()
    needed = np.sort(table.length)[197]
    assert length % 64 == 0 and length - 64 < needed <= length
    assert reason == f"{length:,} tokens keep 99% of the rows whole; the longest has {table.length.max():,}."
    everything = measure(tokenizer, rows_of([words(4)] * 50))
    assert "every row whole" in everything.suggested_max_length()[1]
    assert "Nothing" in TokenTable().suggested_max_length()[1]


def test_percentiles_are_lengths_of_rows(toy_tokenizers: dict[str, ChatTokenizer]) -> None:
    table = measure(toy_tokenizers["chatml"], rows_of([words(n) for n in range(1, 101)]))
    facts = table.at(10_000)
    ordered = sorted(table.length.tolist())
    assert (facts.p50, facts.p95, facts.p99, facts.max) == (
        ordered[49],
        ordered[94],
        ordered[98],
        ordered[99],
    )


def test_a_table_is_kept_in_a_file(toy_tokenizers: dict[str, ChatTokenizer], tmp_path: Path) -> None:
    data = [words(3), chat_of("a", "b", system="c"), chat_of("a", "b", "c", "d\x04")]
    table = measure(toy_tokenizers["gemma"], rows_of(data))
    table.save(tmp_path / "kept" / "tokens.npz")
    again = TokenTable.load(tmp_path / "kept" / "tokens.npz")
    for name in TokenTable.__dataclass_fields__:
        assert getattr(again, name).tolist() == getattr(table, name).tolist()
    refused = "the model's chat template refuses it: System role not supported"
    assert again.reasons.tolist() == [refused] and again.reason(3) == refused
    assert list((tmp_path / "kept").iterdir()) == [tmp_path / "kept" / "tokens.npz"]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no", b"\x93NUMPY"])
def test_a_damaged_file_is_a_sentence(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "tokens.npz").write_bytes(content)
    with pytest.raises(UserError, match="Count again"):
        TokenTable.load(tmp_path / "tokens.npz")
    with pytest.raises(UserError, match="Count again"):
        TokenTable.load(tmp_path / "none.npz")


def test_the_sample_is_seeded_ordered_and_without_repeats() -> None:
    numbers = np.arange(10, 50_010)
    picked = sample_rows(numbers)
    assert len(picked) == SAMPLE == len(set(picked.tolist()))
    assert (np.diff(picked) > 0).all() and set(picked.tolist()) <= set(numbers.tolist())
    assert picked.tolist() == sample_rows(numbers).tolist() != sample_rows(numbers, seed=1).tolist()
    assert sample_rows(numbers[:5]).tolist() == numbers[:5].tolist()


def test_counting_is_told_and_can_be_stopped(toy_tokenizers: dict[str, ChatTokenizer]) -> None:
    told: list[int] = []
    endless = ((number, Conversation(words(3), "")) for number in count())
    table = measure(toy_tokenizers["chatml"], endless, say=told.append, stop=lambda: len(told) == 3)
    assert told == sorted(told) and told[-1] == table.rows_measured == len(table.row)
    assert len(table.spans) == len(table.row) + 1


@pytest.mark.slow
def test_two_processes_count_the_same(
    toy_tokenizers: dict[str, ChatTokenizer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "SMALL", 10)
    rows = rows_of([words(1 + number % 50) for number in range(1500)])
    alone, told = measure(toy_tokenizers["qwen3"], rows), []
    shared = measure(toy_tokenizers["qwen3"], rows, total=len(rows), say=told.append)
    for name in TokenTable.__dataclass_fields__:
        assert getattr(shared, name).tolist() == getattr(alone, name).tolist()
    assert told[-1] == 1500 and len(told) > 3
