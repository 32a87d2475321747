"""What shows only when rows stand beside each other, or before a model: twins, leaks, lengths."""

from __future__ import annotations

import json

from tests.corpus.case import CHAT, OTHER_CHAT, ROWS, accept, chats, jsonl, reject, table, warn

LONG = "Penguins are birds that live in the south, dive well and cannot fly at all. " * 40
STORY = (
    "Once upon a time a small penguin left the colony to look for the warm side of the island. "
    "It walked for nine days over snow and stones and met a seal, who said that the sun stays longer there. "
)


def _late_column(filled: int = 1) -> bytes:
    rows = [
        {"instruction": f"What is {n} plus one?", "input": None, "output": f"That is {n + 1}, of course."}
        for n in range(30_000)
    ]
    late = [
        {
            "instruction": f"Say it again, {n}!",
            "input": "A text at last.",
            "output": f"It was said {n} times.",
        }
        for n in range(filled)
    ]
    return jsonl([*rows, *late])


def _questions(count: int, answer: str) -> bytes:
    return jsonl({"question": f"Is {n} a number?", "answer": answer} for n in range(count))


def _numbered(count: int) -> bytes:
    return jsonl({"question": f"Question {n}?", "answer": f"This is answer {n}."} for n in range(count))


def _distinct(count: int) -> bytes:
    words = [
        "river",
        "stone",
        "cloud",
        "garden",
        "winter",
        "copper",
        "violin",
        "harbour",
        "lantern",
        "meadow",
    ]
    return jsonl(
        {
            "question": f"Which word has number {n}?",
            "answer": f"The {words[n % 10]} of {words[n // 10 % 10]} {n}.",
        }
        for n in range(count)
    )


CASES = [
    accept("two-rows.jsonl", jsonl(ROWS[:2]), read=2, usable=2),
    accept(
        "same-question.jsonl",
        jsonl([ROWS[0], {**ROWS[0], "output": "In the far south, mostly on the ice shelf."}, ROWS[2]]),
        read=3,
    ),
    accept("numbered-rows.jsonl", _numbered(20), read=20, usable=20),
    accept("thousand-rows.jsonl", _distinct(1000), read=1000, usable=1000),
    accept(
        "long-rows-without-model.jsonl",
        jsonl([*ROWS, {"instruction": "Tell it all!", "output": LONG}]),
        read=4,
    ),
    accept(
        "other-heldout.jsonl",
        jsonl(ROWS),
        heldout=jsonl(
            [{"question": "Who swims?", "answer": "The fish in the pond do."}] * 1
            + [{"question": "Who flies?", "answer": "The gulls at the coast do."}]
        ),
    ),
    accept("short-enough.jsonl", jsonl(ROWS), max_length=512, read=3),
    warn("duplicates.jsonl", jsonl([*ROWS, ROWS[1], ROWS[1]]), {"duplicates": [4, 5]}, read=5),
    warn("duplicates.csv", table([*ROWS, ROWS[0]]), {"duplicates": [5]}, read=4),
    warn(
        "duplicates-in-shapes.jsonl",
        jsonl([*ROWS, {"question": ROWS[0]["instruction"], "answer": ROWS[0]["output"]}]),
        {"duplicates": [4], "mixed shapes": 4},
        read=4,
    ),
    warn("duplicate-chats.jsonl", chats(CHAT, OTHER_CHAT, CHAT), {"duplicates": [3]}, read=3),
    warn(
        "near-duplicates.jsonl",
        jsonl(
            [
                *ROWS,
                {"instruction": "Tell a story!", "output": STORY * 3},
                {"instruction": "Tell a story!", "output": STORY * 3 + "The end."},
            ]
        ),
        {"near-duplicates": [5]},
        read=5,
    ),
    warn(
        "leak.jsonl",
        jsonl(ROWS),
        {"held-out leak": [2]},
        heldout=jsonl([ROWS[1], {"question": "Who flies?", "answer": "The gulls at the coast do."}]),
        read=3,
        usable=2,
    ),
    warn(
        "leak-in-another-shape.jsonl",
        jsonl(ROWS),
        {"held-out leak": [2]},
        heldout=json.dumps(
            [
                {
                    "conversations": [
                        {"from": "human", "value": ROWS[1]["instruction"]},
                        {"from": "gpt", "value": ROWS[1]["output"]},
                    ]
                }
            ]
            * 1
            + [
                {
                    "conversations": [
                        {"from": "human", "value": "Who flies?"},
                        {"from": "gpt", "value": "The gulls at the coast do."},
                    ]
                }
            ]
        ).encode(),
    ),
    warn("null-30000-then-text.jsonl", _late_column, {"late column": [30_001]}, read=30_001, usable=30_001),
    warn(
        "alike-answers.jsonl",
        _questions(200, "I am sorry, but I can't help you with that."),
        {"alike answers": 1},
        read=200,
    ),
    warn(
        "over-long.jsonl",
        jsonl([*ROWS, {"instruction": "Tell it all!", "output": LONG}]),
        {"over-long": [4]},
        max_length=128,
        read=4,
        usable=4,
    ),
    warn(
        "answer-cut-away.jsonl",
        jsonl([*ROWS, {"instruction": LONG, "output": "That is all of it."}]),
        {"over-long": [4], "answer cut away": [4]},
        max_length=128,
        read=4,
        usable=3,
    ),
    reject(
        "every-answer-cut-away.jsonl",
        jsonl([{"instruction": f"{n}: {LONG}", "output": f"That is all of it, {n}."} for n in range(3)]),
        "",
        None,
        max_length=64,
    ),
    reject("leak-of-everything.jsonl", jsonl(ROWS), "", None, heldout=jsonl(ROWS)),
]
