"""Chats that were written out as one text, by a template or with “### Human:”, taken apart into turns."""

from __future__ import annotations

import re
from dataclasses import dataclass

from core.data.shapes.names import ROLES, TOOL_ROLES
from core.data.shapes.outcome import Message, Unusable
from core.data.shapes.text import TOOLS

# what may stand before the first turn, and after any
_BEGIN = re.compile(r"\s*(?:(?:<s>|<bos>|<\|begin_of_text\|>|<\|endoftext\|>|<｜begin▁of▁sentence｜>)\s*)*")
_ENDS = (
    *("<|im_end|>", "<|eot_id|>", "<|end_of_text|>", "<end_of_turn>", "<eos>", "</s>", "<s>", "<|end|>"),
    *("<|endoftext|>", "<｜end▁of▁sentence｜>"),
)
_END = re.compile("|".join(map(re.escape, _ENDS)))
_WORDS = {
    "instruction": "user",
    "input": "input",
    "response": "assistant",
    "inst": "user",
    "/inst": "assistant",
}
_SYSTEM = re.compile(r"\s*<<SYS>>\s*(.*?)\s*<</SYS>>\s*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Style:
    """One way to write a chat: what opens a turn (its group is the role), and whether text may precede."""

    name: str
    opening: re.Pattern[str]
    preamble: bool = False


_STYLES = (
    _Style("ChatML", re.compile(r"<\|im_start\|>[ ]*(\w+)[ ]*\n?")),
    _Style("Llama 3", re.compile(r"<\|start_header_id\|>\s*(\w+)\s*<\|end_header_id\|>\s*")),
    _Style("Gemma", re.compile(r"<start_of_turn>[ ]*(\w+)[ ]*\n?")),
    _Style("Llama 2 or Mistral", re.compile(r"\[(/?INST)\]")),
    _Style("Zephyr or Phi", re.compile(r"<\|(system|user|assistant)\|>[ ]*\n?")),
    _Style("DeepSeek", re.compile(r"<｜(User|Assistant)｜>")),
    _Style("### Human", re.compile(r"###[ ]*(Human|User|Assistant|System|GPT|Bot)[ ]*:[ ]*", re.IGNORECASE)),
    _Style(
        "### Instruction",
        re.compile(r"(?:^|(?<=\n))###[ ]*(Instruction|Input|Response|System)s?[ ]*:[ ]*"),
        True,
    ),
    _Style("USER and ASSISTANT", re.compile(r"(?:^|(?<=\s)|(?<=</s>))(USER|ASSISTANT):[ ]*"), True),
    _Style("Human and Assistant", re.compile(r"(?:^|(?<=\n))(Human|Assistant):[ ]*")),
)
# cheap and never wrong when it says no
_MAY = re.compile(r"<\||<start_of_turn>|\[INST\]|<｜|###|\bUSER:|\bHuman:")


def rendered_as(messages: list[Message]) -> str:
    """How a row's chat was written out as text, in words; empty where it was not."""
    found = _parse(messages)
    return f"{found[0]}, {len(found[1])} turns" if found else ""


def apart(messages: list[Message]) -> list[Message] | None:
    """The turns of a chat that is written out as plain text, or as a question that opens its answer.

    None where it is none. Raises Unusable when a turn is a tool's.
    """
    found = _parse(messages)
    return found[1] if found else None


def _parse(messages: list[Message]) -> tuple[str, list[Message]] | None:
    roles = [message["role"] for message in messages]
    if roles not in (["text"], ["user", "assistant"]) or not _MAY.search(messages[0]["content"]):
        return None
    text = messages[0]["content"]
    for style in _STYLES:
        if not style.opening.search(text):
            continue
        turns = _turns(style, text)
        if roles != ["text"] and turns:
            # a question that holds a chat is a chat only where it ends with the opening of the answer
            opens = turns[-1]["role"] == "assistant" and not turns[-1]["content"]
            turns = _turns(style, text + messages[1]["content"]) if opens else None
        if turns and turns[-1] == {"role": "assistant", "content": ""}:
            turns.pop()
        if turns and {"user", "assistant"} <= {turn["role"] for turn in turns}:
            return style.name, turns
    return None


def _turns(style: _Style, text: str) -> list[Message] | None:
    """All turns of the text in this style; None where anything would be lost or isn't understood."""
    openings = list(style.opening.finditer(text))
    before = _BEGIN.sub("", text[: openings[0].start()], count=1).strip()
    if before and not style.preamble:
        return None
    turns: list[Message] = [{"role": "system", "content": before}] if before else []
    borders = [*(opening.start() for opening in openings[1:]), len(text)]
    for opening, end in zip(openings, borders):
        said = opening[1].lower()
        if said in TOOL_ROLES:
            raise Unusable("tool calls", TOOLS)
        role = _WORDS.get(said) or ROLES.get(said)
        content = _content(text[opening.end() : end])
        if role is None or content is None:
            return None
        if role == "input":
            if not turns or turns[-1]["role"] != "user":
                return None
            turns[-1]["content"] += f"\n\n{content}"
            continue
        system = _SYSTEM.match(content) if role == "user" else None
        if system:
            turns.append({"role": "system", "content": system[1]})
            content = content[system.end() :]
        turns.append({"role": role, "content": content})
    return turns


def _content(text: str) -> str | None:
    """What a turn says, without the marks at its end; None where more text follows these."""
    end = _END.search(text)
    if end and _END.sub("", text[end.start() :]).strip():
        return None
    return text[: end.start() if end else len(text)].strip()
