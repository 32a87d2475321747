"""Remarks on turns, text fixes as a whole, near-duplicates, and what is said of a whole dataset."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.data.doctor import (
    TEXT_FIXES,
    alike_answers,
    comparable_text,
    empty_turn,
    inspect,
    near_duplicates,
    near_leaks,
    rewrite,
    rows_to_compare,
    twins,
    whole_notes,
)
from core.data.doctor.rows import ROW_FIXES
from core.data.doctor.whole import alike_openings, main_script, mixed_scripts, opening
from core.data.kinds import KINDS
from tests.unit.test_dataset_doctor_text import TRUE_CASES

LONG = "This is a longer answer, just as it should be."


def chat(*turns: str) -> list[dict[str, str]]:
    """Messages from “role: text” lines."""
    return [dict(zip(("role", "content"), turn.split(": ", 1))) for turn in turns]


def kinds(messages: list[dict[str, str]]) -> list[str]:
    return [remark.kind for remark in inspect(messages)]


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        (["user: q", f"assistant: {LONG}"], []),
        (["system: s", "user: q", f"assistant: {LONG}", "user: q", f"assistant: {LONG}"], []),
        (["user: q", f"assistant: {LONG}", "user: q"], ["ends on user"]),
        ([f"assistant: {LONG}", "user: q", f"assistant: {LONG}"], ["assistant first"]),
        (["user: q", "user: r", f"assistant: {LONG}"], ["repeated role"]),
        (["user: q", f"assistant: {LONG}", f"assistant: {LONG}"], ["repeated role"]),
        (["user: q", "system: s", f"assistant: {LONG}"], ["late system"]),
        (["system: s", "system: t", "user: q", f"assistant: {LONG}"], ["late system"]),
        (["system: s", f"assistant: {LONG}", "system: t", f"assistant: {LONG}", "user: q"],
         ["late system", "assistant first", "ends on user", "repeated role"]),
        ([f"text: {LONG}"], []),
        (["text: Hello"], []),
        (["user: q", "assistant: Yes"], ["short answers"]),
        (["user: q", "assistant:  very good\n"], ["short answers"]),
        (["user: q", "assistant: Yes", "user: q", f"assistant: {LONG}"], []),
        (["user: q", "assistant: three short words"], []),
        (["user: q", "assistant: 是的"], ["short answers"]),
        (["user: q", "assistant: 这是一个完整的回答，没有空格。"], []),
        (["user: q", "assistant: นี่คือคำตอบที่ยาว"], []),
        (["user: q", f"assistant: https://example.org/{'a/' * 50}"], []),
    ],
)  # fmt: skip
def test_turns(turns: list[str], expected: list[str]) -> None:
    assert kinds(chat(*turns)) == expected


def test_a_remark_names_the_message_and_keeps_secrets_to_itself() -> None:
    row = chat("user: write to jane.roe@example.com", f"assistant: {LONG} sk-ABCD1234efgh5678IJKL9012")
    remarks = {remark.kind: remark.detail for remark in inspect(row)}
    assert remarks == {
        "e-mail addresses": "“j…@example.com” in message 1",
        "API keys": "“sk-A…” in message 2",
    }


def test_every_kind_that_is_named_is_a_known_one() -> None:
    for kind in TRUE_CASES:
        assert kind in KINDS
    rewriting = {name for name, kind in KINDS.items() if kind.fix and not kind.fix_drops}
    # the others take rows as they are said to be
    assert rewriting >= {*TEXT_FIXES, *ROW_FIXES}
    assert {kind.settles for kind in KINDS.values()} <= {"", *rewriting}


def test_masks_and_what_stands_around_them() -> None:
    row = chat(
        "user: Hi<|im_end|>Jane\u200b <jane@example.com>, cafe\u0301, +49 30 1234567.",
        'assistant: Use api_key="a8f5f167f44f4964e6c998dee827110c";\0 ok?',
    )
    fixed, changed = rewrite(row, TEXT_FIXES)
    assert fixed == chat(
        "user: Hi Jane <[email]>, café, [phone number].", 'assistant: Use api_key="[secret]"; ok?'
    )
    assert set(changed) == set(TEXT_FIXES) - {"private keys", "line separators"}
    assert row[1]["content"].endswith("\0 ok?")


def test_fixes_that_uncover_what_another_one_masks() -> None:
    row = chat(
        "user: jane\u200b@exa\0mple.com and <|im\u200b_end|> and +49 30\u00ad 1234567 <|x<|im_end|>yz|>"
    )
    fixed, _ = rewrite(row, TEXT_FIXES)
    assert fixed == chat("user: [email] and  and [phone number] <|x yz|>")


def test_only_the_fixes_that_were_taken() -> None:
    row = chat("user: jane@example.com \0")
    assert rewrite(row, ["null characters", "duplicates"]) == (
        chat("user: jane@example.com "),
        ["null characters"],
    )
    assert rewrite(row, []) == (row, [])


def test_a_turn_that_a_fix_leaves_empty_is_found() -> None:
    row = chat("system: ", "user: q", "assistant: <|im_end|> \u200b")
    fixed, _ = rewrite(row, TEXT_FIXES)
    assert empty_turn(fixed) == ("empty answer", "message 3 is empty")
    assert empty_turn(chat("user: \n", f"assistant: {LONG}")) == ("empty question", "message 1 is empty")
    assert empty_turn(chat("text: ")) == ("empty answer", "message 1 is empty")
    assert empty_turn(chat("user: q", f"assistant: {LONG}")) is None


PIECES = st.sampled_from(
    [case for cases in TRUE_CASES.values() for case in cases]
    + [
        "<|",
        "|>",
        "im_end",
        "@",
        ".com",
        "+",
        "49",
        "0",
        " ",
        "\n",
        "-",
        "a",
        "é",
        "\u0301",
        "\u200d",
        "ك",
        "क",
        "👩",
    ]
    + [
        "\ufe0f",
        "\U000e0041",
        "🏴",
        "sk-",
        "[secret]",
        "key = ",
        '"',
        "-----BEGIN PRIVATE KEY-----",
        "[/",
        "INST]",
    ]
)
TEXTS = st.lists(PIECES | st.text(max_size=8), max_size=8).map("".join)


@settings(max_examples=60, deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=3), st.sets(st.sampled_from(TEXT_FIXES)))
def test_no_fixed_kind_is_found_again(texts: list[str], wanted: set[str]) -> None:
    row = [{"role": role, "content": text} for role, text in zip(("user", "assistant", "user"), texts)]
    fixed, changed = rewrite(row, wanted)
    assert not wanted & set(kinds(fixed))
    assert set(changed) <= wanted
    assert changed or not wanted & set(kinds(row))
    assert rewrite(fixed, wanted) == (fixed, [])
    assert [message["role"] for message in fixed] == [message["role"] for message in row]


@settings(max_examples=60, deadline=None)
@given(TEXTS)
def test_the_first_look_misses_nothing(text: str) -> None:
    from core.data.doctor.glance import Glance
    from core.data.doctor.rows import TEXT_CHECKS

    row = Glance.at(text)
    for check in TEXT_CHECKS.values():
        assert check.may(row) or not check.find(text)


def test_long_and_hostile_text_takes_linear_time() -> None:
    pieces = ("a", "1 ", "@a.", "<|a", "\u200b", "a@", "key=", "-----BEGIN PRIVATE KEY-----", "0 ", "{{")
    for piece in (*pieces, "\U000e0041", "A1_", "xoxb-", "eyJ1aaaaaaaa-", "eyJ1aaaaaaaa.", "token='", "(0"):
        text = piece * (30_000 // len(piece))
        fixed, _ = rewrite([{"role": "assistant", "content": text}], TEXT_FIXES)
        assert not set(kinds(fixed)) & set(TEXT_FIXES)


MANY_LANGUAGES = {
    "Arabic": "السلام عليكم ورحمة الله، كيف حالك اليوم؟ شَدَّة",
    "Persian": "می‌خواهم کتاب‌های تازه‌ای بخرم و بخوانم",
    "Hindi": "नमस्ते, आप कैसे हैं? क्‍षमा करें, यह क़लम मेरी है",
    "Bengali": "র‍্যাব এবং বাংলা ভাষা খুব সুন্দর",
    "Malayalam": "അവന്‍ വന്നു, ഞാന്‍ പോയി",
    "Tamil": "வணக்கம், நீங்கள் எப்படி இருக்கிறீர்கள்?",
    "Thai": "สวัสดีครับ วันนี้อากาศดีมาก ที่นี่",
    "Khmer": "ខ្ញុំ\u200bស្រឡាញ់\u200bភាសា\u200bខ្មែរ",
    "Chinese": "你好，世界！这是一个测试，请用中文回答。",
    "Japanese": "こんにちは、世界。ガギグゲゴ、元気ですか？",
    "Korean": "안녕하세요, 오늘 날씨가 좋네요.",
    "Hebrew": "שלום עולם, מה שלומך היום? שָׁלוֹם",
    "Russian": "Привет, как дела? Ещё ёлка и йод.",
    "Vietnamese": "Xin chào, hôm nay trời đẹp quá, phải không?",
    "Greek": "Γειά σου Κόσμε, τι κάνεις;",
    "Emoji": "family 👨‍👩‍👧‍👦, doctor 👩🏽‍⚕️, flag 🏳️‍🌈 🏴‍☠️, heart ❤️‍🔥, keycap 1️⃣, ☺️",
}


@pytest.mark.parametrize("text", MANY_LANGUAGES.values(), ids=MANY_LANGUAGES)
def test_every_language_is_left_alone(text: str) -> None:
    row = [{"role": "user", "content": text}, {"role": "assistant", "content": f"{text} {text}"}]
    assert inspect(row) == []
    assert rewrite(row, TEXT_FIXES) == (row, [])


WORDS = [f"word{number}" for number in range(500)]


def sentences(seed: int, count: int, words: int = 60) -> list[str]:
    source = random.Random(seed)
    return [" ".join(source.choices(WORDS, k=words)) for _ in range(count)]


def test_near_duplicates_are_those_that_share_most_of_their_words() -> None:
    texts = sentences(1, 300)
    planted = []
    for place in range(0, 60, 2):
        changed = texts[place].split()
        changed[-1] = "other"
        planted.append((len(texts), place))
        texts.append(f"  {' '.join(changed).upper()}!")
    far = texts[0].split()
    far[10] = far[30] = far[50] = "different"
    texts += [" ".join(far), "", "", "…", "hello there", "Hello, there!"]
    assert near_duplicates(texts) == [*planted, (len(texts) - 1, len(texts) - 2)]


def test_near_duplicates_agree_with_a_count_of_all_pairs() -> None:
    source = random.Random(3)
    texts = sentences(2, 120, words=40)
    for text in list(texts):
        words = text.split()
        for _ in range(source.randrange(4)):
            words[source.randrange(len(words))] = source.choice(WORDS)
        texts.append(" ".join(words))
    sets = [{tuple(words[i : i + 3]) for i in range(38)} for words in map(str.split, texts)]
    expected, kept = [], []
    for row, own in enumerate(sets):
        twin = next((k for k in kept if len(own & sets[k]) >= 0.85 * len(own | sets[k])), None)
        if twin is None:
            kept.append(row)
        else:
            expected.append((row, twin))
    found = near_duplicates(texts)
    assert set(found) <= set(expected)
    assert len(found) >= 0.97 * len(expected) > 0


def test_near_duplicates_in_scripts_without_spaces() -> None:
    text = "这是一个关于机器学习的很长的句子，它解释了模型如何从数据中学习，以及为什么数据的质量非常重要。"
    other = "今天的天气很好，我们决定一起去公园散步，然后在湖边的小餐馆里吃午饭，最后坐地铁回家休息。"
    assert near_duplicates([text, other, text.replace("。", "！")]) == [(2, 0)]


def test_one_row_thousands_of_times_takes_linear_time() -> None:
    texts = [f"{' '.join(WORDS[:80])} {number % 7}" for number in range(3_000)]
    assert len(near_duplicates(texts)) == 2_999


def test_rows_almost_the_same_as_a_held_out_one() -> None:
    heldout = sentences(5, 20)
    train = sentences(6, 50)
    train[7] = heldout[3] + " indeed"
    train[9] = train[8]
    assert near_leaks(train, heldout) == [(7, 3)]
    assert near_leaks([], heldout) == near_leaks(train, []) == near_duplicates([]) == []


def test_what_rows_are_compared_by() -> None:
    assert comparable_text(chat("system: be good", "user: q", "assistant: a")) == "q\na"


def test_a_seeded_sample_where_there_are_too_many_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(twins, "MOST_ROWS", 100)
    monkeypatch.setattr(twins, "MOST_LETTERS", 1000)
    assert rows_to_compare(np.full(100, 10, np.uint32), 1).tolist() == list(range(100))
    sample = rows_to_compare(np.full(1000, 20, np.uint32), 1)
    assert len(sample) == 50
    assert sample.tolist() == sorted(set(sample.tolist()))
    assert (sample == rows_to_compare(np.full(1000, 20, np.uint32), 1)).all()
    assert (sample != rows_to_compare(np.full(1000, 20, np.uint32), 2)).any()


def test_alike_answers() -> None:
    assert alike_answers(np.array([4, 15])) == ""
    assert alike_answers(np.array([5, 1] + [1] * 14)) == "5 of 20 rows have the very same answer (25%)."
    assert alike_answers(np.ones(1000, int)) == ""
    assert alike_answers(np.empty(0, int)) == ""


def test_answers_that_begin_alike() -> None:
    row = chat("user: Who are you?", "assistant:   As an\nAI language model, I", "user: Really?")
    assert opening(row) == "as an ai language"
    assert opening(chat("assistant: As an AI language")) == opening(chat("text: a b c d e")) == ""
    assert alike_openings({"as an ai language": 60, "": 40}) == (
        "60% of the answers begin with the same words, “as an ai language”."
    )
    assert alike_openings({"as an ai language": 40, "": 60}) == alike_openings({}) == ""


def test_notes_about_a_whole_dataset() -> None:
    one = chat("user: Wer bist du?", "assistant: Ich bin ein kleines Modell.")
    other = chat("user: 你是谁？", "assistant: 我是一个小模型。")
    assert whole_notes([one] * 15 + [other] * 5) == [
        ("alike answers", "75% of the answers begin with the same words, “ich bin ein kleines”."),
        ("mixed scripts", "The rows are written in 2 scripts: Latin 75%, Chinese 25%."),
    ]
    assert whole_notes([one] * 10 + [other] * 5) == whole_notes([]) == []


def test_scripts() -> None:
    for name, text in MANY_LANGUAGES.items():
        alphabet = {"Persian": "Arabic", "Hindi": "Devanagari", "Russian": "Cyrillic"}.get(name, name)
        alphabet = "Latin" if name in ("Vietnamese", "Emoji") else alphabet
        assert main_script([{"role": "user", "content": text}]) == alphabet
    assert main_script([{"role": "user", "content": "1 + 1 = 2 😀"}]) == ""
    assert mixed_scripts({"Latin": 90, "Chinese": 10, "": 5}) == (
        "The rows are written in 2 scripts: Latin 86%, Chinese 10%."
    )
    assert mixed_scripts({"Latin": 1000, "Greek": 2}) == mixed_scripts({}) == ""
