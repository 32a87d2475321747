"""The Modelfile of an exported run: what its recipe, its base model and the GGUF file say together."""

from __future__ import annotations

from pathlib import Path

from core.base.files import read_json
from core.data import ChatTokenizer
from core.export.modelfile import ModelfileFacts, find_frame, modelfile
from core.models.gguf_header import GgufHeader
from core.runs.run import Run


def tokenizer_of(run: Run, base: Path) -> ChatTokenizer:
    """The tokenizer and chat template that the run was trained with."""
    return ChatTokenizer.load(base, run.recipe.chat_template, run.recipe.day)


def modelfile_of(run: Run, base: Path, header: GgufHeader, name: str) -> str:
    """The Modelfile for an exported run."""
    tokenizer = tokenizer_of(run, base)
    bos = tokenizer.special_tokens.get("bos_token", "") if _adds_bos(header) else ""
    facts = ModelfileFacts(
        gguf_name=header.file.name,
        model_name=name,
        trained_length=run.recipe.max_length,
        context=header.context,
        frame=find_frame(tokenizer.render, bos, tokenizer.control_tokens),
        stops=_stops(tokenizer, base),
        license=_license(base, header),
    )
    return modelfile(facts)


def _adds_bos(header: GgufHeader) -> bool:
    """Whether llama.cpp puts the beginning-of-text token before every prompt by itself."""
    sentencepiece = header.metadata.get("tokenizer.ggml.model") == "llama"
    return bool(header.metadata.get("tokenizer.ggml.add_bos_token", sentencepiece))


def _stops(tokenizer: ChatTokenizer, base: Path) -> list[str]:
    """Every token that ends a turn: the template's, the tokenizer's and the generation config's."""
    by_id = {number: text for text, number in tokenizer.control_tokens.items()}
    ids = read_json(base / "generation_config.json", {}).get("eos_token_id")
    listed = [by_id.get(number) for number in (ids if isinstance(ids, list) else [ids])]
    found = [tokenizer.turn_end, tokenizer.special_tokens.get("eos_token"), *listed]
    return list(dict.fromkeys(token for token in found if token))


def _license(base: Path, header: GgufHeader) -> str:
    if (base / "LICENSE").is_file():
        return (base / "LICENSE").read_text("utf-8", errors="replace")
    return str(header.metadata.get("general.license", ""))
