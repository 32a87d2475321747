"""Small model folders for tests: chat templates of well-known families with toy tokenizers that fit them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

SENTENCES = [
    "Hello there, how are you today?",
    "I am fine, thank you. And you?",
    "The quick brown fox jumps over the lazy dog.",
    "You are a helpful assistant. Answer in one sentence.",
    "What is the capital of France? Paris is the capital of France.",
    "user assistant system model [INST] [/INST] think",
] * 4

CHATML = """{% for message in messages %}<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""

# As Qwen3 does: thinking is kept, and an empty one written, only after the last question.
QWEN3 = """{%- set ns = namespace(last=-1) -%}
{%- for message in messages -%}
{% if message.role == 'user' %}{% set ns.last = loop.index0 %}{% endif %}{% endfor -%}
{%- for message in messages -%}
{%- if message.role == 'assistant' -%}
{%- set content = message.content -%}{%- set thought = '' -%}
{%- if '</think>' in content -%}
{%- set thought = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') -%}
{%- set content = content.split('</think>')[-1].lstrip('\\n') -%}
{%- endif -%}
{{- '<|im_start|>assistant\\n' -}}
{%- if loop.index0 > ns.last -%}{{- '<think>\\n' + thought.strip('\\n') + '\\n</think>\\n\\n' -}}{%- endif -%}
{{- content.lstrip('\\n') + '<|im_end|>\\n' -}}
{%- else -%}
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"""

LLAMA3 = """{% for message in messages %}{% set content = '<|start_header_id|>' + message['role'] \
+ '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' %}\
{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}\
{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"""

GEMMA = """{{ bos_token }}\
{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}\
{% endif %}{% for message in messages %}\
{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}\
{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}\
{% if message['role'] == 'assistant' %}{% set role = 'model' %}\
{% else %}{% set role = message['role'] %}{% endif %}\
{{ '<start_of_turn>' + role + '\\n' + message['content'] | trim + '<end_of_turn>\\n' }}{% endfor %}\
{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"""

LLAMA2 = """{% if messages[0]['role'] == 'system' %}\
{% set rest = messages[1:] %}{% set system = messages[0]['content'] %}\
{% else %}{% set rest = messages %}{% set system = false %}{% endif %}{% for message in rest %}\
{% if loop.index0 == 0 and system != false %}\
{% set content = '<<SYS>>\\n' + system + '\\n<</SYS>>\\n\\n' + message['content'] %}\
{% else %}{% set content = message['content'] %}{% endif %}\
{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}\
{% elif message['role'] == 'assistant' %}{{ ' ' + content.strip() + ' ' + eos_token }}\
{% endif %}{% endfor %}"""

# As Phi-3 does: the turn tokens swallow the line break after them.
PHI3 = """{% for message in messages %}\
{{ '<|' + message['role'] + '|>\\n' + message['content'] + '<|end|>\\n' }}\
{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% else %}{{ eos_token }}{% endif %}"""

SMOLLM2 = """{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}\
{{ '<|im_start|>system\\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face' }}\
{{ '<|im_end|>\\n' }}\
{% endif %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}\
{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""

# As Mistral 7B v0.3 does: the system text goes into the last message if that is a question.
MISTRAL = """{% if messages[0]['role'] == 'system' %}\
{% set system = messages[0]['content'] %}{% set rest = messages[1:] %}\
{% else %}{% set rest = messages %}{% endif %}{{ bos_token }}{% for message in rest %}\
{% if message['role'] == 'user' %}{% if loop.last and system is defined %}\
{{ '[INST] ' + system + '\\n\\n' + message['content'] + '[/INST]' }}\
{% else %}{{ '[INST] ' + message['content'] + '[/INST]' }}{% endif %}\
{% elif message['role'] == 'assistant' %}{{ ' ' + message['content'] + eos_token }}{% endif %}{% endfor %}"""

# The same templates with their answers marked, as trainers with assistant-only masks need them.
_ANSWER = "{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}{{ '\\n' }}"
MARKED = {
    "smollm2": SMOLLM2.replace(
        "{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}",
        "{{'<|im_start|>' + message['role'] + '\\n'}}{% if message['role'] == 'assistant' %}"
        f"{_ANSWER}{{% else %}}{{{{ message['content'] + '<|im_end|>' + '\\n' }}}}{{% endif %}}",
    ),
    "mistral": MISTRAL.replace(
        "{{ ' ' + message['content'] + eos_token }}",
        "{% generation %}{{ ' ' + message['content'] + eos_token }}{% endgeneration %}",
    ),
}


@dataclass(frozen=True)
class Family:
    """A kind of model: its template, its control tokens, and how its tokenizer treats spaces."""

    template: str | None
    tokens: tuple[str, ...]
    spaces: str
    bos: str | None = None
    eos: str | None = None
    ordinary: tuple[str, ...] = ()
    rstrip: bool = False


FAMILIES = {
    "chatml": Family(CHATML, ("<|im_start|>", "<|im_end|>"), "bytes", eos="<|im_end|>"),
    "qwen3": Family(
        QWEN3, ("<|im_start|>", "<|im_end|>"), "bytes", eos="<|im_end|>", ordinary=("<think>", "</think>")
    ),
    "llama3": Family(
        LLAMA3,
        ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
        "bytes",
        bos="<|begin_of_text|>",
        eos="<|eot_id|>",
    ),
    "gemma": Family(
        GEMMA,
        ("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"),
        "replace",
        bos="<bos>",
        eos="<eos>",
    ),
    "llama2-first": Family(LLAMA2, ("<s>", "</s>"), "metaspace-first", bos="<s>", eos="</s>"),
    "llama2-always": Family(LLAMA2, ("<s>", "</s>"), "metaspace-always", bos="<s>", eos="</s>"),
    "llama2-prepend": Family(LLAMA2, ("<s>", "</s>"), "prepend", bos="<s>", eos="</s>"),
    "phi3": Family(
        PHI3,
        ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>", "<|endoftext|>"),
        "bytes",
        eos="<|endoftext|>",
        rstrip=True,
    ),
    "smollm2": Family(SMOLLM2, ("<|im_start|>", "<|im_end|>"), "bytes", eos="<|im_end|>"),
    "mistral": Family(MISTRAL, ("<s>", "</s>", "[INST]", "[/INST]"), "replace", bos="<s>", eos="</s>"),
    "ordinary-turns": Family(
        "{% for message in messages %}<turn:{{ message.role }}>{{ message.content }}<turn:end>{% endfor %}"
        "{% if add_generation_prompt %}<turn:assistant>{% endif %}",
        ("<eos>",),
        "bytes",
        eos="<eos>",
        ordinary=("<turn:user>", "<turn:assistant>", "<turn:system>", "<turn:end>"),
    ),
    "base": Family(None, ("<s>", "</s>"), "bytes", bos="<s>", eos="</s>"),
    "base-chatml": Family(None, ("<|im_start|>", "<|im_end|>"), "bytes", eos="<|im_end|>"),
}


def write_model(folder: Path, family: Family) -> Path:
    """Write tokenizer.json, tokenizer_config.json and chat_template.jinja of a toy model to `folder`."""
    tokenizer = toy_tokenizer(family)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": family.bos, "eos_token": family.eos}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), "utf-8")
    if family.template is not None:
        (folder / "chat_template.jinja").write_text(family.template, "utf-8")
    return folder


def toy_tokenizer(family: Family) -> Tokenizer:
    """A BPE tokenizer of a few hundred words that puts spaces where the family does."""
    tokenizer = Tokenizer(models.BPE(unk_token=None, byte_fallback=family.spaces != "bytes"))
    alphabet: list[str] = []
    if family.spaces == "bytes":
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
    elif family.spaces.startswith("metaspace"):
        scheme = family.spaces.removeprefix("metaspace-")
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=False)
    else:
        steps = [normalizers.Replace(" ", "▁")]
        if family.spaces == "prepend":
            steps.insert(0, normalizers.Prepend("▁"))
        tokenizer.normalizer = normalizers.Sequence(steps)
    if family.spaces != "bytes":
        tokenizer.decoder = decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
        )
        alphabet = [chr(code) for code in range(33, 127)] + ["▁", "\n"]
    byte_words = [] if family.spaces == "bytes" else [f"<0x{code:02X}>" for code in range(256)]
    special = [AddedToken(token, normalized=False, rstrip=family.rstrip) for token in family.tokens]
    trainer = trainers.BpeTrainer(
        vocab_size=700, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    tokenizer = _with_words(tokenizer, byte_words)
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in family.ordinary])
    return tokenizer


def _with_words(tokenizer: Tokenizer, words: list[str]) -> Tokenizer:
    definition = json.loads(tokenizer.to_str())
    vocabulary = definition["model"]["vocab"]
    for word in words:
        vocabulary.setdefault(word, len(vocabulary))
    return Tokenizer.from_str(json.dumps(definition))
