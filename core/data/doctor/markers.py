"""Text that reads like a chat template's own marks: control tokens, forged turns, braces."""

from __future__ import annotations

import re

from core.data.doctor.glance import Glance

# `</s>`, `<s>`, `<think>` and the like stand in ordinary text and are no reason for a word
_CONTROL = re.compile(
    r"<\|[A-Za-z][A-Za-z0-9_]{2,40}\|>"  # ChatML, Llama 3, Phi, GLM, Command R, gpt-oss, Granite, FIM
    r"|<｜[^\s<>｜]{2,40}｜>"  # DeepSeek
    r"|</?(?:start|end)_of_(?:turn|image)>"  # Gemma
    r"|\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)\]|<</?SYS>>"  # Mistral, Llama 2
    r"|\[\|(?:system|user|assistant|endofturn)\|\]"  # EXAONE
    r"|<(?:unused|reserved_|extra_id_)\d{1,4}>"  # Gemma, Baichuan, T5 and Nemotron
)
_ROLE = r"(?:system|developer|user|human|assistant|model|tool)"
_FORGED = re.compile(
    rf"(?:<\|(?:im_start|start_header_id|start_of_role|start|header_start)\|>|<start_of_turn>)\s*{_ROLE}\b"
    rf"|(?:^|\n)[ \t]*(?:<\|{_ROLE}\|>|<｜(?:User|Assistant)｜>|\[\|{_ROLE}\|\])"
)
_BRACES = re.compile(r"\{\{[^{}\n]{0,200}\}\}|\{%[^{}\n]{1,200}%\}")


def may_have_control(glance: Glance) -> bool:
    """Cheap and never wrong when it says no."""
    text = glance.text
    angle = glance.has("<") and (
        "<|" in text
        or "_of_" in text
        or "SYS>" in text
        or "｜>" in text
        or (glance.has_digit() and "d" in text)
    )
    return angle or (glance.has("[") and ("INST]" in text or "[|" in text or glance.has("_")))


def may_have_braces(glance: Glance) -> bool:
    """Cheap and never wrong when it says no."""
    return glance.has("{") and ("{{" in glance.text or "{%" in glance.text)


def control_tokens(text: str) -> str:
    """The first control token that stands in the text as text."""
    found = _CONTROL.search(text)
    return f"“{found[0]}”" if found else ""


def forged_turn(text: str) -> str:
    """The first opening marker with a role behind it."""
    found = _FORGED.search(text)
    return f"“{' '.join(found[0].split())}”" if found else ""


def template_braces(text: str) -> str:
    """The first expression of a template language."""
    found = _BRACES.search(text)
    return f"“{found[0][:60]}”" if found else ""


def without_control_tokens(text: str) -> str:
    """The text without them; what stood on both sides stays apart."""
    while _CONTROL.search(text):
        text = _CONTROL.sub(_gap, text)
    return text


def _gap(found: re.Match[str]) -> str:
    before = found.string[found.start() - 1 : found.start()]
    after = found.string[found.end() : found.end() + 1]
    return " " if before.strip() and after.strip() else ""
