"""What is streamed is always text: broken characters are replaced, cut ones wait for their rest."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from core.chat.markers import whole_characters


@given(st.text())
def test_text_stays_as_it_is(text: str) -> None:
    assert whole_characters(text.encode("utf-8")) == text.encode("utf-8")


@given(st.binary())
def test_only_a_cut_character_at_the_end_is_left_undecodable(raw: bytes) -> None:
    healed = whole_characters(raw)
    tails = [healed[: len(healed) - cut] for cut in range(4)]
    assert any(_is_text(tail) for tail in tails)


@given(st.text(), st.binary(min_size=1, max_size=3))
def test_what_comes_after_a_broken_character_is_text_again(text: str, broken: bytes) -> None:
    healed = whole_characters(broken + b"." + text.encode("utf-8"))
    assert healed.decode("utf-8").endswith("." + text)


def test_a_cut_character_waits() -> None:
    cut = "Arr 🏴".encode()[:-1]
    assert whole_characters(cut) == cut


def _is_text(raw: bytes) -> bool:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
