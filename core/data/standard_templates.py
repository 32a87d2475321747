"""Chat templates for models that have none of their own, by name."""

from __future__ import annotations

from dataclasses import dataclass

AUTO = "auto"

_CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] "
    "+ '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
_ALPACA = (
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ message['content'] + '\n\n' }}"
    "{% elif message['role'] == 'user' %}{{ '### Instruction:\n' + message['content'] + '\n\n' }}"
    "{% else %}{{ '### Response:\n' + message['content'] + eos_token + '\n\n' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '### Response:\n' }}{% endif %}"
)
_LLAMA3 = (
    "{% for message in messages %}{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' "
    "+ message['content'] | trim + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
_VICUNA = (
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ message['content'] + '\n\n' }}"
    "{% elif message['role'] == 'user' %}{{ 'USER: ' + message['content'] + '\n' }}"
    "{% else %}{{ 'ASSISTANT: ' + message['content'] + eos_token + '\n' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
_ZEPHYR = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>\n' + message['content'] + eos_token "
    "+ '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)


@dataclass(frozen=True)
class StandardTemplate:
    """One template. `help` is what a person needs to know before choosing it; `tokens` must be in the model's
    vocabulary; without any, end-of-text ends a turn.
    """

    title: str
    help: str
    source: str
    tokens: tuple[str, ...] = ()

    def fits(self, added: set[str], special_tokens: dict[str, str]) -> bool:
        """Whether a model can use it, by its added tokens and its named special tokens."""
        return added.issuperset(self.tokens) if self.tokens else "eos_token" in special_tokens

    def needs(self) -> str:
        """What a model must have, in words."""
        return f"the tokens {' and '.join(self.tokens)}" if self.tokens else "an end-of-text token"


_PLAIN = "Plain text, for every model with an end-of-text token."
TEMPLATES = {
    "alpaca": StandardTemplate(
        "Instruction / Response", f"### Instruction and ### Response. {_PLAIN}", _ALPACA
    ),
    "chatml": StandardTemplate(
        "ChatML",
        "<|im_start|> and <|im_end|>, as Qwen and SmolLM. Only for models that have these tokens.",
        _CHATML,
        ("<|im_start|>", "<|im_end|>"),
    ),
    "llama-3": StandardTemplate(
        "Llama 3",
        "<|start_header_id|> and <|eot_id|>. Only for models that have these tokens; "
        "a base model has them but never learned them, so “alpaca” is often the better start there.",
        _LLAMA3,
        ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
    ),
    "vicuna": StandardTemplate("Vicuna", f"USER: and ASSISTANT:. {_PLAIN}", _VICUNA),
    "zephyr": StandardTemplate("Zephyr", f"<|user|> and <|assistant|> written out. {_PLAIN}", _ZEPHYR),
}
# what “auto” takes for a model without a template: the first that fits
AUTO_ORDER = ("chatml", "alpaca")
