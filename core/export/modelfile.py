"""The Modelfile for Ollama: its Go template worked out from the model's own chat template, and checked.

Ollama doesn't run Jinja. The template of nearly every chat model is a fixed frame around each role's text, so
the frame is read off rendered conversations, and trusted only if it renders several others, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from core.base.errors import UserError
from core.base.files import read_json
from core.data import ChatTokenizer
from core.models.gguf_header import GgufHeader
from core.runs.run import Run

Messages = list[dict[str, str]]
Render = Callable[[Messages, bool], str]
Rendered = Callable[..., str | None]

MIN_CONTEXT = 2048
_SYSTEM, _FIRST, _ANSWER, _SECOND = "Xsystem7X", "Xfirst7X", "Xanswer7X", "Xsecond7X"


@dataclass(frozen=True)
class Frame:
    """What a chat template puts around each text, beginning-of-text left out.

    `bare` opens a conversation without a system text (the model's default one may stand in it). `system` says
    where a given one goes: a turn of its own, into the first user turn, or nowhere ("refused").
    """

    bare: str
    user_open: str
    answer_open: str
    answer_close: str
    generation: str
    system: Literal["own turn", "in user turn", "refused"] = "refused"
    system_open: str = ""
    system_close: str = ""
    default_system: str = ""

    def render(self, messages: Messages) -> str:
        """The prompt that the Go template makes of `messages`, whose last one is the user's."""
        with_system = messages[0]["role"] == "system"
        text, glued = "" if with_system else self.bare, ""
        for message in messages:
            role, content = message["role"], message["content"]
            if role == "system":
                framed = self.system_open + content + self.system_close
                text, glued = (text + framed, "") if self.system == "own turn" else (text, framed)
            elif role == "user":
                text, glued = text + self.user_open + glued + content, ""
            else:
                text += self.answer_open + content + self.answer_close
        return text + self.generation

    def go_template(self) -> str:
        """The same as a Go template. Ollama puts the system text into `.Messages` by itself."""
        content = "{{ .Content }}"
        first, system, user = (
            "",
            f"{self.system_open}{content}{self.system_close}",
            f"{self.user_open}{content}",
        )
        if self.system == "in user turn":
            first, system = '{{ $s := "" }}', "{{ $s = .Content }}"
            glued = f'{self.system_open}{{{{ $s }}}}{self.system_close}{{{{ $s = "" }}}}'
            user = f"{self.user_open}{{{{ if $s }}}}{glued}{{{{ end }}}}{content}"
        branches = [
            f'{{{{ if eq .Role "user" }}}}{user}',
            f'{{{{ else if eq .Role "assistant" }}}}{self.answer_open}{content}{self.answer_close}',
        ]
        if self.system != "refused":
            branches.append(f'{{{{ else if eq .Role "system" }}}}{system}')
        bare = f"{{{{ if not .System }}}}{self.bare}{{{{ end }}}}" if self.bare else ""
        turns = "{{ range .Messages }}" + "".join(branches) + "{{ end }}{{ end }}"
        return bare + first + turns + self.generation


def find_frame(render: Render, bos: str = "", controls: Iterable[str] = ()) -> Frame | None:
    """The frame of a chat template, or None when it has none that holds for every conversation tried.

    `render(messages, add_generation_prompt)` is the model's template and may raise for what it refuses;
    `bos` is its beginning-of-text token, which llama.cpp adds by itself; `controls` are its control tokens.
    """

    def text(messages: Messages, generation: bool = True) -> str | None:
        try:
            return render(messages, generation).removeprefix(bos)
        except UserError:
            return None

    frame = _frame(text, tuple(controls))
    if frame is None or any(mark in str(part) for part in vars(frame).values() for mark in ("{{", '"""')):
        return None
    return frame if _holds(frame, text) else None


def _frame(text: Rendered, controls: tuple[str, ...]) -> Frame | None:
    talk = _cut(text(_turns(_FIRST, _ANSWER, _SECOND)), _FIRST, _ANSWER, _SECOND)
    ended = _cut(text(_turns(_FIRST, _ANSWER), False), _FIRST, _ANSWER)
    if talk is None or ended is None:
        return None
    start, answer_open, between, generation = talk
    cut = _turn_border(between, ended[-1], start, controls)
    if cut is None:
        return None
    answer_close, user_open = between[:cut], between[cut:]
    frame = Frame(start.removesuffix(user_open), user_open, answer_open, answer_close, generation)
    return _with_system(frame, text)


def _turn_border(between: str, ending: str, start: str, controls: tuple[str, ...]) -> int | None:
    """Where in `between` the answer's end stops and the next user turn begins.

    What lies before also ends a finished conversation, what lies after also begins one. Several places may
    fit; the latest that begins with a control token is how a person would cut.
    """
    fits = [
        k for k in range(len(between) + 1) if ending.startswith(between[:k]) and start.endswith(between[k:])
    ]
    tidy = [k for k in fits if between[k:].startswith(controls)] if controls else []
    return max(tidy or fits, default=None)


def _with_system(frame: Frame, text: Rendered) -> Frame:
    system = {"role": "system", "content": _SYSTEM}
    pieces = _cut(text([system, *_turns(_FIRST)]), _SYSTEM, _FIRST)
    if pieces is None:
        return frame
    before, after, _ = pieces
    if frame.user_open and after.endswith(frame.user_open):
        close = after.removesuffix(frame.user_open)
        own = replace(frame, system="own turn", system_open=before, system_close=close)
        return replace(own, default_system=_default_system(own))
    opening = frame.bare + frame.user_open
    if before.startswith(opening) and not frame.bare:
        return replace(
            frame, system="in user turn", system_open=before.removeprefix(opening), system_close=after
        )
    return frame


def _default_system(frame: Frame) -> str:
    """The system text that the model assumes when nobody gives one."""
    bare = frame.bare
    if bare.startswith(frame.system_open) and bare.endswith(frame.system_close):
        return bare[len(frame.system_open) : len(bare) - len(frame.system_close)]
    return ""


def _turns(*contents: str) -> Messages:
    roles = ("user", "assistant")
    return [{"role": roles[i % 2], "content": content} for i, content in enumerate(contents)]


def _cut(text: str | None, *marks: str) -> list[str] | None:
    """The pieces of `text` around the marks, or None unless each stands there once, in order."""
    if text is None:
        return None
    pieces = []
    for mark in marks:
        before, separator, text = text.partition(mark)
        if not separator or mark in text:
            return None
        pieces.append(before)
    return [*pieces, text]


def _holds(frame: Frame, text: Rendered) -> bool:
    talks = [
        _turns("Hi"),
        _turns("One", "Two", "Three"),
        _turns("One", "Two", "Three\n\nlines", "Four", "Five"),
    ]
    if frame.system != "refused":
        talks += [[{"role": "system", "content": "Be brief."}, *talk] for talk in talks]
    return all(frame.render(talk) == text(talk) for talk in talks)


@dataclass(frozen=True)
class ModelfileFacts:
    """What the Modelfile says besides the frame. `stops` are the tokens that end a turn."""

    gguf_name: str
    tag: str
    trained_length: int
    context: int | None
    frame: Frame | None
    stops: list[str] = field(default_factory=list)
    license: str = ""


def context_length(trained: int, limit: int | None) -> int:
    """num_ctx: the trained length, but at least 2048 tokens, and never more than the model was built for.

    Rows cut at 512 tokens don't make a model forget a talk after 512: the base model knows longer ones.
    """
    wanted = max(trained, MIN_CONTEXT)
    return min(wanted, limit) if limit else wanted


def modelfile(facts: ModelfileFacts) -> str:
    """The text of the Modelfile. It belongs beside the GGUF file."""
    file = Path(facts.gguf_name).with_suffix(".Modelfile")
    lines = [
        f"# {facts.tag}: run `ollama create {facts.tag} -f {file}` in this folder.",
        f"FROM ./{facts.gguf_name}",
        "",
    ]
    if facts.frame is None:
        lines += [
            "# TEMPLATE is left out: the model's chat template has no fixed frame that Go could repeat.",
            "# Ollama then guesses from the file. Compare an answer with the one in LoRA Garage's chat.",
        ]
    else:
        lines += [f'TEMPLATE """{facts.frame.go_template()}"""']
        if facts.frame.system == "refused":
            lines += ["# The model takes no system text: one that is given is left out."]
        if facts.frame.default_system:
            lines += [f"SYSTEM {_quoted(facts.frame.default_system)}"]
    lines += [f"PARAMETER stop {_stop(stop)}" for stop in facts.stops]
    lines += [
        f"# Trained on rows of at most {facts.trained_length} tokens; a talk needs room for several turns.",
        f"PARAMETER num_ctx {context_length(facts.trained_length, facts.context)}",
    ]
    if facts.license:
        lines += [f"LICENSE {_quoted(facts.license)}"]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return f'"""{text.replace(chr(34) * 3, chr(39) * 3)}"""'


def _stop(token: str) -> str:
    return '"' + token.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def tokenizer_of(run: Run, base: Path) -> ChatTokenizer:
    """The tokenizer and chat template that the run was trained with."""
    return ChatTokenizer.load(base, run.recipe.chat_template, run.recipe.day)


def modelfile_of(run: Run, base: Path, header: GgufHeader, tag: str) -> str:
    """The Modelfile for an exported run."""
    tokenizer = tokenizer_of(run, base)
    bos = tokenizer.special_tokens.get("bos_token", "") if _adds_bos(header) else ""
    facts = ModelfileFacts(
        gguf_name=header.file.name,
        tag=tag,
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
    ends = [tokenizer.turn_end, tokenizer.special_tokens.get("eos_token"), *listed]
    return list(dict.fromkeys(token for token in ends if token))


def _license(base: Path, header: GgufHeader) -> str:
    if (base / "LICENSE").is_file():
        return (base / "LICENSE").read_text("utf-8", errors="replace")
    return str(header.metadata.get("general.license", ""))
