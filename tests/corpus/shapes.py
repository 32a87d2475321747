"""The shapes of instruction data, their variants, and what is recognised but not supported."""

from __future__ import annotations

import json
from typing import Any

from tests.corpus.case import (
    CHAT,
    OTHER_CHAT,
    ROWS,
    accept,
    chats,
    jsonl,
    judged,
    pair,
    reject,
    table,
    usable,
    warn,
)

QUESTION, ANSWER = ROWS[0]["instruction"], ROWS[0]["output"]
SHAREGPT_ROLES = {"system": "system", "user": "human", "assistant": "gpt"}
PARTS = [
    [{"role": turn["role"], "content": [{"type": "text", "text": turn["content"]}]} for turn in chat]
    for chat in (CHAT, OTHER_CHAT)
]
HISTORY = [["What is a penguin?", "A bird that swims and does not fly."]]
CALL = {"id": "1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}


def renamed(question: str, answer: str, **more: Any) -> bytes:
    """The good rows under other column names."""
    return jsonl({question: row["instruction"], answer: row["output"], **more} for row in ROWS)


def sharegpt(who: str = "from", says: str = "value", column: str = "conversations", **more: Any) -> bytes:
    return jsonl(
        {column: [{who: SHAREGPT_ROLES[turn["role"]], says: turn["content"]} for turn in chat], **more}
        for chat in (CHAT, OTHER_CHAT)
    )


def roles(**names: str) -> bytes:
    """Two chats with their roles called otherwise."""
    return chats(
        *(
            [{**turn, "role": names.get(turn["role"], turn["role"])} for turn in chat]
            for chat in (CHAT, OTHER_CHAT)
        )
    )


def third(row: Any) -> bytes:
    """Two good rows and this one."""
    return jsonl([*ROWS[:2], row])


def third_chat(messages: Any) -> bytes:
    """Two good chats and this one."""
    return chats(CHAT, OTHER_CHAT, messages)


def _flat_turns() -> bytes:
    """One list of turns a file, not one a row."""
    return json.dumps(CHAT).encode()


ACCEPTED = [
    accept(
        "alpaca.jsonl",
        jsonl([{**row, "input": "Answer in one sentence."} for row in ROWS]),
        texts=[QUESTION + "\n\nAnswer in one sentence.", ANSWER],
    ),
    accept(
        "alpaca-system.jsonl",
        jsonl([{**row, "system": "Be brief."} for row in ROWS]),
        texts=["Be brief.", QUESTION, ANSWER],
    ),
    accept(
        "alpaca-history.jsonl",
        jsonl([{**row, "history": HISTORY} for row in ROWS]),
        texts=[*HISTORY[0], QUESTION, ANSWER],
    ),
    accept(
        "alpaca-empty-history.jsonl",
        jsonl([{**row, "history": [], "input": ""} for row in ROWS]),
        texts=[QUESTION, ANSWER],
    ),
    accept(
        "alpaca-history.csv",
        table([{**row, "history": json.dumps(HISTORY)} for row in ROWS]),
        texts=[*HISTORY[0], QUESTION, ANSWER],
    ),
    accept("sharegpt.jsonl", sharegpt(), texts=[turn["content"] for turn in CHAT]),
    accept("sharegpt.json", b"[" + sharegpt().strip().replace(b"\n", b",\n") + b"]", read=2),
    accept(
        "sharegpt-system-column.jsonl",
        jsonl(
            [
                {
                    "system": "Be brief.",
                    "conversations": [
                        {"from": "human", "value": row["instruction"]},
                        {"from": "gpt", "value": row["output"]},
                    ],
                }
                for row in ROWS
            ]
        ),
        texts=["Be brief.", QUESTION, ANSWER],
    ),
    accept(
        "sharegpt-user-chatgpt.jsonl",
        sharegpt().replace(b'"human"', b'"user"').replace(b'"gpt"', b'"chatgpt"'),
    ),
    accept("sharegpt-conversation.jsonl", sharegpt(column="conversation")),
    accept("messages.jsonl", chats(CHAT, OTHER_CHAT), texts=[turn["content"] for turn in CHAT]),
    accept(
        "messages-named-conversations.jsonl", jsonl([{"conversations": CHAT}, {"conversations": OTHER_CHAT}])
    ),
    accept(
        "kiln-chat.jsonl",
        jsonl(
            {
                "messages": [
                    {"role": "system", "content": "You answer questions."},
                    *pair(row["instruction"], row["output"]),
                ]
            }
            for row in ROWS
        ),
        texts=["You answer questions.", QUESTION, ANSWER],
    ),
    accept(
        "kiln-hugging-face.jsonl",
        jsonl(
            {
                "conversations": [
                    {"role": "system", "content": "You answer questions."},
                    *pair(row["instruction"], row["output"]),
                ]
            }
            for row in ROWS
        ),
        texts=["You answer questions.", QUESTION, ANSWER],
    ),
    accept("roles-capitals.jsonl", roles(user="User", assistant="Assistant", system="SYSTEM")),
    accept("roles-user-gpt.jsonl", roles(user="User", assistant="gpt")),
    accept("roles-human-model.jsonl", roles(user="human", assistant="model")),
    accept("roles-bot.jsonl", roles(user="human", assistant="bot")),
    accept("roles-developer.jsonl", roles(system="developer")),
    accept("parts.jsonl", chats(*PARTS), texts=[turn["content"] for turn in CHAT]),
    accept("text-then-parts.jsonl", chats(CHAT, PARTS[1]), read=2),
    accept(
        "several-parts.jsonl",
        third_chat(
            [
                {
                    "role": "user",
                    "content": [{"type": "text", "text": "Add one "}, {"type": "text", "text": "and two!"}],
                },
                {"role": "assistant", "content": "That is three."},
            ]
        ),
    ),
    accept("prompt-completion.jsonl", renamed("prompt", "completion"), texts=[QUESTION, ANSWER]),
    accept("prompt-response.jsonl", renamed("prompt", "response")),
    accept(
        "prompt-completion-messages.jsonl",
        jsonl({"prompt": chat[:-1], "completion": chat[-1:]} for chat in (CHAT, OTHER_CHAT)),
        texts=[turn["content"] for turn in CHAT],
    ),
    accept("question-answer.jsonl", renamed("question", "answer"), texts=[QUESTION, ANSWER]),
    accept("question-answer-capitals.jsonl", renamed("Question", "Answer")),
    accept("q-a.csv", table([{"q": row["instruction"], "a": row["output"]} for row in ROWS])),
    accept("query-response.jsonl", renamed("query", "response")),
    accept("instruction-response.jsonl", renamed("instruction", "response")),
    accept("input-output.jsonl", renamed("input", "output"), texts=[QUESTION, ANSWER]),
    accept("user-assistant.jsonl", renamed("user", "assistant")),
    accept("question-context.jsonl", renamed("question", "answer", context="Think of birds first."), read=3),
    accept("text-column.jsonl", jsonl({"text": row["output"]} for row in ROWS), read=3),
    accept(
        "mapped-columns.jsonl",
        renamed("alpha", "beta"),
        columns={"alpha": "user", "beta": "assistant"},
        texts=[QUESTION, ANSWER],
    ),
    accept(
        "mapped-columns.csv",
        table(
            [{"Frage": row["instruction"], "Antwort": row["output"], "Nr": n} for n, row in enumerate(ROWS)]
        ),
        columns={"Frage": "user", "Antwort": "assistant", "Nr": "ignore"},
        texts=[QUESTION, ANSWER],
    ),
    usable("notes.txt", b"".join(row["output"].encode() + b"\n\n" for row in ROWS)),
    usable("notes.md", b"# Birds\n\n" + b"".join(b"- " + row["output"].encode() + b"\n\n" for row in ROWS)),
]

WARNED = [
    warn(
        "two-shapes.jsonl",
        jsonl([*ROWS, {"messages": CHAT}, {"messages": OTHER_CHAT}]),
        {"mixed shapes": 5},
        read=5,
        usable=5,
    ),
    warn(
        "number-in-message.jsonl",
        third_chat(
            [{"role": "user", "content": "What is six times seven?"}, {"role": "assistant", "content": 42}]
        ),
        {"not text": [3]},
    ),
    judged(
        "list-of-answers.jsonl", jsonl([{"question": "Name one!", "answer": ["the first", "the second"]}] * 2)
    ),
    judged("answer-object.jsonl", jsonl([{"question": "Name one!", "answer": {"text": "the first"}}] * 2)),
    judged(
        "unpaired-preferences.jsonl",
        jsonl({"prompt": row["instruction"], "completion": row["output"], "label": True} for row in ROWS),
    ),
    judged("flat-turns.json", _flat_turns()),
    judged("system-and-text.jsonl", jsonl([{"system": "Be brief.", "text": row["output"]} for row in ROWS])),
]

REFUSED = [
    reject(
        "unknown-columns.jsonl", renamed("alpha", "beta"), "alpha", {"unknown columns": 3}, read=3, usable=0
    ),
    reject(
        "unknown-columns-once.jsonl",
        third({"alpha": "a question", "beta": "an answer of words"}),
        "alpha",
        {"unknown columns": [3]},
        usable=2,
    ),
    reject("only-questions.jsonl", jsonl({"question": row["instruction"]} for row in ROWS), "", None),
    reject(
        "preference-pairs.jsonl",
        jsonl(
            {"prompt": row["instruction"], "chosen": row["output"], "rejected": "No idea."} for row in ROWS
        ),
        "chosen",
        {"preference pairs": 3},
    ),
    reject(
        "preference-messages.jsonl",
        jsonl({"chosen": CHAT, "rejected": OTHER_CHAT} for _ in range(2)),
        "chosen",
        {"preference pairs": 2, "duplicates": [2]},
    ),
    reject(
        "tool-calls.jsonl",
        third_chat(
            [
                {"role": "user", "content": "Is it warm?"},
                {"role": "assistant", "content": None, "tool_calls": [CALL]},
                {"role": "tool", "content": "21 degrees"},
                {"role": "assistant", "content": "It is 21 degrees."},
            ]
        ),
        "tool",
        {"tool calls": [3]},
    ),
    reject(
        "tool-role.jsonl",
        third_chat(
            [
                {"role": "user", "content": "Is it warm?"},
                {"role": "tool", "content": "21 degrees"},
                {"role": "assistant", "content": "It is 21 degrees."},
            ]
        ),
        "tool",
        {"tool calls": [3]},
    ),
    reject(
        "tools-column.jsonl",
        jsonl([{"messages": CHAT, "tools": [CALL]}, {"messages": OTHER_CHAT, "tools": [CALL]}]),
        "tool",
        {"tool calls": 2},
    ),
    reject(
        "function-call.jsonl",
        sharegpt().replace(b'"from": "gpt"', b'"from": "function_call"', 1),
        "tool",
        {"tool calls": [1], "few rows": 1},
    ),
    reject(
        "observation.jsonl",
        sharegpt().replace(b'"from": "human"', b'"from": "observation"', 1),
        "tool",
        {"tool calls": [1], "few rows": 1},
    ),
    reject(
        "image-parts.jsonl",
        third_chat(
            [
                {
                    "role": "user",
                    "content": [
                        {"type": "image_url", "image_url": {"url": "a.png"}},
                        {"type": "text", "text": "What is it?"},
                    ],
                },
                {"role": "assistant", "content": "It is a bird."},
            ]
        ),
        "image",
        {"images": [3]},
    ),
    reject("images-column.jsonl", third({**ROWS[2], "images": ["a.png"]}), "image", {"images": [3]}),
    reject(
        "sound-parts.jsonl",
        third_chat(
            [
                {"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": ""}}]},
                {"role": "assistant", "content": "It is a bird."},
            ]
        ),
        "",
        {"images": [3]},
    ),
    reject(
        "unknown-role.jsonl",
        third_chat([{"role": "narrator", "content": "Once upon a time."}, *CHAT]),
        "narrator",
        {"unknown role": [3]},
        usable=2,
    ),
    reject(
        "empty-role.jsonl",
        third_chat([{"role": "", "content": "Once upon a time."}, *CHAT]),
        "role",
        {"unknown role": [3]},
    ),
    reject(
        "null-role.jsonl",
        third_chat([{"role": None, "content": "Once upon a time."}, *CHAT]),
        "role",
        {"unknown role": [3]},
    ),
    reject(
        "number-role.jsonl",
        third_chat([{"role": 1, "content": "Once upon a time."}, *CHAT]),
        "role",
        {"unknown role": [3]},
    ),
    reject(
        "missing-role.jsonl",
        third_chat([{"content": "Once upon a time."}, *CHAT]),
        "role",
        {"unknown role": [3]},
    ),
    reject(
        "unknown-sharegpt-role.jsonl",
        sharegpt().replace(b'"from": "human"', b'"from": "narrator"', 1),
        "narrator",
        {"unknown role": [1], "few rows": 1},
    ),
    reject(
        "system-only.jsonl",
        third_chat([{"role": "system", "content": "You are a teacher."}]),
        "",
        {"no answer": [3]},
    ),
    reject(
        "system-only-all.jsonl",
        chats(*([{"role": "system", "content": f"You are {who}."}] for who in ("a teacher", "a cook"))),
        "",
        {"no answer": 2},
    ),
    reject(
        "user-only.jsonl",
        third_chat([{"role": "user", "content": "Is anybody there?"}]),
        "",
        {"no answer": [3]},
    ),
    reject("no-messages.jsonl", third_chat([]), "empty", {"no messages": [3]}),
    reject("null-messages.jsonl", third_chat(None), "", None),
    reject("text-messages.jsonl", third_chat("user: hello there"), "", {"bad message": [3]}),
    reject("number-messages.jsonl", third_chat(7), "", {"bad message": [3]}),
    reject(
        "messages-of-text.jsonl", third_chat(["hello there", "how are you today?"]), "", {"bad message": [3]}
    ),
    reject("messages-of-null.jsonl", third_chat([None]), "", {"bad message": [3]}),
    reject(
        "null-content.jsonl",
        third_chat([{"role": "user", "content": "Who is it?"}, {"role": "assistant", "content": None}]),
        "",
        {"missing content": [3]},
    ),
    reject(
        "missing-content.jsonl",
        third_chat([{"role": "user", "content": "Who is it?"}, {"role": "assistant"}]),
        "",
        {"missing content": [3]},
    ),
    reject(
        "object-content.jsonl",
        third_chat([{"role": "user", "content": "Who is it?"}, {"role": "assistant", "content": {"a": 1}}]),
        "",
        {"bad message": [3]},
    ),
    reject(
        "list-content.jsonl",
        third_chat([{"role": "user", "content": "Who is it?"}, {"role": "assistant", "content": [[1]]}]),
        "",
        {"bad message": [3]},
    ),
    reject(
        "null-part.jsonl",
        third_chat(
            [
                {"role": "user", "content": "Who is it?"},
                {"role": "assistant", "content": [{"type": "text", "text": None}]},
            ]
        ),
        "",
        {"missing content": [3]},
    ),
    warn(
        "null-answer.jsonl",
        third({"instruction": "Who is it?", "output": None}),
        {"empty answer": [3]},
        usable=2,
    ),
    reject("missing-answer.jsonl", third({"instruction": "Who is it?"}), "", None),
    warn(
        "null-question.jsonl",
        third({"instruction": None, "output": "an answer to nothing"}),
        {"empty question": [3]},
        usable=2,
    ),
    reject("answer-of-nothing-usable.jsonl", jsonl([{"instruction": "Who?", "output": ""}] * 3), "", None),
    reject("bad-history.jsonl", third({**ROWS[2], "history": "what we said before"}), "", None),
    reject("history-of-three.jsonl", third({**ROWS[2], "history": [["a", "b", "c"]]}), "", None),
    reject(
        "broken-messages.csv",
        table([{"messages": json.dumps(CHAT)}, {"messages": json.dumps(OTHER_CHAT)[:-9]}]),
        "",
        {"bad message": [3], "few rows": 1},
    ),
]

CASES = [*ACCEPTED, *WARNED, *REFUSED]
