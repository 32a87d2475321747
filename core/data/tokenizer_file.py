"""What a tokenizer.json says, and tokenizers made of it that take control-token text as plain text."""

from __future__ import annotations

import json
from typing import Any

from tokenizers import Tokenizer

from core.base.errors import UserError
from core.data.layout import ControlToken, ControlTokens


def added_texts(definition: dict[str, Any]) -> set[str]:
    return {token["content"] for token in definition.get("added_tokens") or []}


def control_token(token: dict[str, Any]) -> ControlToken:
    return ControlToken(token["content"], token["id"], token["lstrip"], token["rstrip"])


def plain_tokenizers(definition: dict[str, Any], controls: ControlTokens) -> tuple[Tokenizer, Tokenizer]:
    """(tokenizer of text that begins a section, tokenizer of text that continues one).

    They differ where the model's own puts a space before the first word. Both take control-token text as
    plain text.
    """
    added = [
        {**token, "special": token["special"] or token["content"] in controls.by_text}
        for token in definition.get("added_tokens") or []
    ]
    _check_merges(definition["model"])
    definition = {**definition, "added_tokens": added}
    continued = {
        **definition,
        "normalizer": _without_prefix(definition.get("normalizer")),
        "pre_tokenizer": _without_prefix(definition.get("pre_tokenizer")),
    }
    leading = _plain_tokenizer(definition)
    return leading, leading if continued == definition else _plain_tokenizer(continued)


def _check_merges(model: dict[str, Any]) -> None:
    """A merge's second half has the prefix of what continues a word: tokenizers 0.23 cuts it off unseen.

    Where it was none, the library makes texts that are no texts, and aborts the whole process.
    """
    prefix = model.get("continuing_subword_prefix") or ""
    halves = (merge.split(" ") if isinstance(merge, str) else merge for merge in model.get("merges") or ())
    if prefix and not all(half[-1].startswith(prefix) for half in halves):
        raise UserError("The model's tokenizer.json contradicts itself in its merges. Choose another model.")


def _plain_tokenizer(definition: dict[str, Any]) -> Tokenizer:
    try:
        tokenizer = Tokenizer.from_str(json.dumps(definition))
    except Exception as error:  # the library raises bare Exception
        raise UserError(
            f"The model's tokenizer.json can't be used: {error}. Choose another model."
        ) from error
    tokenizer.encode_special_tokens = True
    return tokenizer


def _without_prefix(part: dict[str, Any] | None) -> dict[str, Any] | None:
    """A normalizer or pre-tokenizer without the space that it puts before the first word."""
    if part is None or part["type"] == "Prepend":
        return None
    if part["type"] == "Metaspace":
        return {**part, "prepend_scheme": "never", "add_prefix_space": False}
    if part["type"] == "ByteLevel":
        return {**part, "add_prefix_space": False}
    if part["type"] == "Sequence":
        key = "normalizers" if "normalizers" in part else "pretokenizers"
        inner = [_without_prefix(item) for item in part[key]]
        return {**part, key: [item for item in inner if item is not None]}
    return part


def prefixes_only_first(definition: dict[str, Any]) -> bool:
    """Whether the space before the first word is put at the text's very start only, not after each token."""
    part: dict[str, Any] = definition.get("pre_tokenizer") or {"type": ""}
    parts: list[dict[str, Any]] = part.get("pretokenizers", [part])
    return any(item["type"] == "Metaspace" and item.get("prepend_scheme") == "first" for item in parts)


def unknown_id(definition: dict[str, Any], tokenizer: Tokenizer) -> int | None:
    model = definition["model"]
    if model.get("unk_token") is not None:
        return tokenizer.token_to_id(model["unk_token"])
    return model.get("unk_id")


def adds_bos(definition: dict[str, Any], bos: str | None) -> bool:
    """Whether the tokenizer puts the begin-of-text token before a text by itself."""
    return bos is not None and json.dumps(bos) in json.dumps(definition.get("post_processor"))
