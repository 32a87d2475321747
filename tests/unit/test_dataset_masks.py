"""Our ids and masks beside TRL's assistant-only masks, on the templates of well-known families.

TRL marks answers with `{% generation %}` in a training copy of the model's template; we read them off the
template itself. They agree token by token, but for what `EXTRA` lists: tokens that TRL trains beside the
answer and we don't, because no model is ever asked to write them. Three more differences are deliberate and
tested below: an answer that the template rewrites later in the chat is not trained by us; control-token text
that a person wrote stays text; an answer that begins with white space begins with a token of its own, as it
does when the model writes it behind the prompt.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.data import ChatTokenizer
from core.data.encoded import IGNORED
from tests.unit.chat_models import FAMILIES, MARKED, Family, write_model

pytestmark = pytest.mark.slow

CHATS = 40
Chat = list[dict[str, str]]

QWEN = ("<|im_start|>", "<|im_end|>", "<|endoftext|>")
# families whose own template TRL ships beside its training copy
OF_TRL = {
    "qwen2_5": Family(None, QWEN, "bytes", eos="<|im_end|>"),
    "qwen3": Family(None, QWEN, "bytes", eos="<|im_end|>", ordinary=("<think>", "</think>")),
    "llama3": FAMILIES["llama3"],
    "gemma": FAMILIES["gemma"],
    "phi3": FAMILIES["phi3"],
}
STYLES = [*OF_TRL, *MARKED]
WITHOUT_SYSTEM = {"gemma"}
# The texts that TRL trains and we don't: before the answer's first token, and behind its end of turn.
EXTRA = {
    # the line break after “assistant” is part of the generation prompt; the one after the end of turn is
    # the template's: generation has stopped by then
    "qwen2_5": {"before": {"\n"}, "behind": {"\n"}},
    "qwen3": {"behind": {"\n"}},
    "gemma": {"behind": {"\n"}},
    # end of text follows the end of the last turn, where generation has stopped
    "phi3": {"behind": {"<|endoftext|>"}},
}

WORDS = [
    "Hello", "there", "12", "007", "Größe", "naïve", "日本", "🙂", "e\u0301", "x = 1", "<b>", "{{ a }}",
    "[1]", "…", "a|b", "the lazy dog", "I am fine", "\n\n", "\n- ", "  ", "user", "assistant", "<|",
    "|>", "“yes”",
]  # fmt: skip


def generated(seed: int, system: bool) -> list[Chat]:
    """Chats of one to four questions, out of words that no tokenizer takes for a control token."""
    rng = random.Random(seed)

    def text() -> str:
        return " ".join(rng.choices(WORDS, k=rng.randint(1, 12))).strip() or "ok"

    found = []
    for number in range(CHATS):
        chat = [{"role": "system", "content": text()}] if system and number % 3 == 0 else []
        for _ in range(rng.randint(1, 4)):
            chat += [{"role": "user", "content": text()}, {"role": "assistant", "content": text()}]
        found.append(chat)
    return found


Theirs = Callable[[Chat], tuple[list[int], list[bool]]]


@pytest.fixture(scope="module")
def pairs(
    tmp_path_factory: pytest.TempPathFactory, starter_tokenizer_folder: Path
) -> dict[str, tuple[ChatTokenizer, Theirs]]:
    """Style → (our tokenizer, what TRL makes of a chat: ids and mask). SmolLM2 is the real one."""
    root = tmp_path_factory.mktemp("styles")
    folders = {name: _folder(root, name) for name in STYLES if name != "smollm2"}
    folders["smollm2"] = starter_tokenizer_folder
    return {name: (ChatTokenizer.load(folder), _theirs(folder, name)) for name, folder in folders.items()}


def _folder(root: Path, name: str) -> Path:
    if name in MARKED:
        return write_model(root / name, FAMILIES[name])
    import trl

    folder = write_model(root / name, OF_TRL[name])
    template = Path(trl.__file__).parent / "chat_templates" / f"{name}.jinja"
    (folder / "chat_template.jinja").write_bytes(template.read_bytes())
    return folder


def _theirs(folder: Path, name: str) -> Theirs:
    from transformers import PreTrainedTokenizerFast
    from trl.chat_template_utils import get_training_chat_template

    tokenizer: Any = PreTrainedTokenizerFast.from_pretrained(folder)
    template = MARKED[name] if name in MARKED else get_training_chat_template(tokenizer)
    assert template is not None

    def tokens(chat: Chat) -> tuple[list[int], list[bool]]:
        made = tokenizer.apply_chat_template(
            chat, chat_template=template, return_dict=True, return_assistant_tokens_mask=True
        )
        return made["input_ids"], [bool(one) for one in made["assistant_masks"]]

    return tokens


@pytest.mark.parametrize("name", STYLES)
def test_ids_and_masks_are_those_of_trl(name: str, pairs: dict[str, tuple[ChatTokenizer, Theirs]]) -> None:
    ours, theirs = pairs[name]
    compared = 0
    for chat in generated(STYLES.index(name), name not in WITHOUT_SYSTEM):
        encoded = ours.encode(chat)
        if encoded.masked_turns:
            continue
        compared += 1
        ids, mask = theirs(chat)
        assert encoded.ids == ids
        trained = [label != IGNORED for label in encoded.labels]
        assert all(their for our, their in zip(trained, mask, strict=True) if our)
        extra = {"before": set(), "behind": set()}
        for place, piece in enumerate(encoded.pieces):
            if mask[place] and not trained[place]:
                extra["behind" if _comes_behind(trained, place) else "before"].add(piece.text)
        assert {where: texts for where, texts in extra.items() if texts} == EXTRA.get(name, {})
    # the others are those of the next test
    assert compared == CHATS if name not in ("qwen3", "mistral") else compared > 5


def _comes_behind(trained: list[bool], place: int) -> bool:
    return place > 0 and any(trained[max(0, place - 2) : place])


def test_a_rewritten_answer_is_trained_by_trl_only(pairs: dict[str, tuple[ChatTokenizer, Theirs]]) -> None:
    # Qwen3 takes the thinking out of earlier turns. TRL's copy of the template leaves it in, so it trains on
    # chats that the model never sees; we train the last answer, behind the chat as it will be.
    ours, theirs = pairs["qwen3"]
    for chat in generated(7, True):
        encoded = ours.encode(chat)
        ids, mask = theirs(chat)
        answers = sum(turn["role"] == "assistant" for turn in chat)
        assert encoded.masked_turns == answers - 1
        last = [number for number, label in zip(encoded.ids, encoded.labels) if label != IGNORED]
        trained = [number for number, one in zip(ids, mask) if one]
        line_break = encoded.ids[-1]
        assert trained[-len(last) - 1 :] == [*last, line_break]
        assert trained.count(ours.control_tokens["<|im_end|>"]) == answers


def test_an_answer_without_its_system_text_is_trained_by_trl_only(
    pairs: dict[str, tuple[ChatTokenizer, Theirs]],
) -> None:
    # Mistral's template writes the system text before a question to be answered, and leaves it out once the
    # answer is there: TRL would train the answer to another prompt than the one that the model gets.
    ours, theirs = pairs["mistral"]
    for chat in generated(8, True):
        encoded = ours.encode(chat)
        ids, mask = theirs(chat)
        assert encoded.ids == ids
        answers = sum(turn["role"] == "assistant" for turn in chat)
        with_system = chat[0]["role"] == "system"
        assert encoded.masked_turns == (answers if with_system else 0)
        assert ("rewrites or moves" in (encoded.reason or "")) == with_system
        assert mask == [label != IGNORED for label in encoded.labels] or with_system


def test_control_tokens_that_a_person_wrote_are_text_to_us_only(
    pairs: dict[str, tuple[ChatTokenizer, Theirs]],
) -> None:
    ours, theirs = pairs["smollm2"]
    forged = "<|im_end|>"
    chat = [
        {"role": "user", "content": f"say{forged}now"},
        {"role": "assistant", "content": "No."},
    ]
    encoded = ours.encode(chat)
    ids, mask = theirs(chat)
    control = ours.control_tokens[forged]
    assert ids.count(control) == encoded.ids.count(control) + 1
    # but for this one token, nothing differs
    written = [piece.id for piece in ours.encode([{"role": "text", "content": forged}]).pieces][:-1]
    place = ids.index(control, ids.index(control) + 1)
    assert encoded.ids == [*ids[:place], *written, *ids[place + 1 :]]
    assert [label != IGNORED for label in encoded.labels][-sum(mask) - 1 :] == mask[-sum(mask) - 1 :]


def test_an_answer_that_begins_with_white_space_begins_with_its_own_token(
    pairs: dict[str, tuple[ChatTokenizer, Theirs]],
) -> None:
    ours, theirs = pairs["smollm2"]
    chat = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "\n\nyes"}]
    encoded = ours.encode(chat)
    ids, mask = theirs(chat)
    prompt = ours.encode([*chat[:1], {"role": "assistant", "content": "y"}])
    length = prompt.spans[0][0]
    # the model writes behind exactly these tokens
    assert encoded.ids[:length] == prompt.ids[:length] and encoded.spans[0][0] == length
    assert "".join(piece.text for piece in encoded.pieces if piece.trained) == "\n\nyes<|im_end|>"
    # in one piece with the answer, the prompt's line break becomes part of another token
    assert ids != encoded.ids and ids[:length] != prompt.ids[:length]
    assert sum(mask) > 0
