"""The order of turns, and turns that are empty."""

from __future__ import annotations

from tests.corpus.case import CHAT, OTHER_CHAT, ROWS, accept, chats, jsonl, pair, reject, warn
from tests.corpus.shapes import sharegpt, third_chat

USER, ANSWER = CHAT[:2]
LATE = {"role": "system", "content": "From here on, be brief."}

CASES = [
    accept("system-first.jsonl", chats(OTHER_CHAT, [LATE, *CHAT]), read=2),
    accept(
        "many-turns.jsonl",
        third_chat(
            [
                turn
                for n in range(40)
                for turn in pair(f"And what is {n} plus one?", f"That would be {n + 1}.")
            ]
        ),
        read=3,
    ),
    warn(
        "user-user.jsonl",
        third_chat([USER, {**USER, "content": "Hello? Are you there?"}, ANSWER]),
        {"repeated role": [3]},
        usable=3,
    ),
    warn(
        "assistant-assistant.jsonl",
        third_chat([*CHAT, {**ANSWER, "content": "And sometimes they eat jellyfish."}]),
        {"repeated role": [3]},
        usable=3,
    ),
    warn(
        "assistant-first.jsonl",
        third_chat([{**ANSWER, "content": "Hello, how can I help you?"}, *CHAT]),
        {"assistant first": [3]},
        usable=3,
    ),
    warn(
        "sharegpt-gpt-first.jsonl",
        sharegpt().replace(b'"from": "human"', b'"from": "gpt"', 1),
        {"assistant first": [1], "repeated role": [1]},
    ),
    warn("only-an-answer.jsonl", third_chat([ANSWER]), {"assistant first": [3]}),
    warn(
        "ends-on-user.jsonl",
        third_chat([*CHAT, {"role": "user", "content": "Thanks! And the chicks?"}]),
        {"ends on user": [3]},
        usable=3,
    ),
    warn("ends-on-user-all.jsonl", chats(CHAT[:3], [*OTHER_CHAT, USER]), {"ends on user": 2}, usable=2),
    warn("system-late.jsonl", third_chat([*CHAT[:2], LATE, *CHAT[2:]]), {"late system": [3]}, usable=3),
    warn("system-last.jsonl", third_chat([*CHAT, LATE]), {"late system": [3]}),
    warn(
        "two-systems.jsonl",
        third_chat([LATE, {**LATE, "content": "You are kind."}, *CHAT]),
        {"late system": [3]},
    ),
    warn(
        "empty-answer.jsonl",
        jsonl([*ROWS, {"instruction": "Who is it?", "output": ""}]),
        {"empty answer": [4]},
        read=4,
        usable=3,
    ),
    warn(
        "blank-answer.jsonl",
        jsonl([*ROWS, {"instruction": "Who is it?", "output": " \n\t\u00a0\u3000"}]),
        {"empty answer": [4]},
        usable=3,
    ),
    warn(
        "empty-turn.jsonl",
        third_chat([*CHAT[:3], {**ANSWER, "content": ""}]),
        {"empty answer": [3]},
        usable=2,
    ),
    warn(
        "empty-question.jsonl",
        jsonl([*ROWS, {"instruction": " ", "output": "An answer to nothing at all."}]),
        {"empty question": [4]},
        usable=3,
    ),
    reject(
        "empty-parts.jsonl",
        third_chat([USER, {"role": "assistant", "content": []}]),
        "",
        {"missing content": [3]},
        usable=2,
    ),
    warn(
        "several-at-once.jsonl",
        third_chat([ANSWER, USER, USER]),
        {"assistant first": [3], "ends on user": [3], "repeated role": [3]},
        usable=3,
    ),
]
