"""The starter model: its tokenizer gives llama.cpp's ids, its weights are transformers', its folder heals."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from core.base.errors import UserError
from core.base.files import read_json
from core.base.home import STARTER_GGUF, open_home
from core.models.converter import gguf
from core.models.gguf_header import read_header
from core.models.starter import check_gguf, ensure_starter, is_intact, write_tokenizer
from tests.real_parts import starter_folder

HARD_STRINGS = [
    "",
    " ",
    "   three leading spaces and two trailing  ",
    "tabs\tand\nnew\n\n\nlines\r\nand a carriage return\r",
    "\u00a0no-break\u2003em space\u3000wide space\u200bzero width",
    "Crème brûlée à la française, Größe, İstanbul, ñandú, Łódź, ß",
    "combining: e\u0301 a\u0308 vs é ä",
    "日本語のテキスト 中文字符 한국어 ไทย العربية עברית हिन्दी",
    "emoji 😀 👨‍👩‍👧‍👦 🇩🇪 👍🏽 ❤️",
    "0 12 123 1234567890 3.14159 1e-9 0xFF 1,000,000 ½ ² ٣ 四",
    "don't I'll we've SHE'S they'd 'tis it’s",
    "camelCase snake_case kebab-case SCREAMING_CASE $VAR @user #tag",
    "def f(x: int) -> int:\n    return x ** 2  # squared\n\n\tif x != 0: pass",
    '{"key": [1, 2.5, null, true], "nested": {"a\\"b": "\\u00e9"}}',
    "<div class='x'>&amp;</div> https://example.com/a?b=c&d=%20#e",
    "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n",
    "half markers <|im_ |im_end|> < |im_start| >",
    "<|endoftext|><repo_name>x<file_sep>y<filename>z<empty_output>",
    "line<|im_end|>glued<|im_end|> spaced <|im_end|>\n",
    "\x00\x01\x1f control bytes \x7f",
    "a" * 300,
    "!!!???...---***___~~~```",
    "\U0001d54f \U0001f9ff \ufeff bom \ufffd",
]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(read_header(STARTER_GGUF, arrays=True), folder)
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


@pytest.fixture(scope="module")
def llama():
    import llama_cpp

    return llama_cpp.Llama(str(STARTER_GGUF), vocab_only=True, verbose=False)


@pytest.mark.parametrize("text", HARD_STRINGS, ids=range(len(HARD_STRINGS)))
def test_ids_equal_llama_cpp(text: str, tokenizer: Tokenizer, llama) -> None:
    ours = tokenizer.encode(text, add_special_tokens=False).ids
    theirs = llama.tokenize(text.encode(), add_bos=False, special=True) if text else []
    assert ours == theirs
    assert tokenizer.decode(ours, skip_special_tokens=False) == text


def test_transformers_reads_the_same_tokenizer(tokenizer: Tokenizer) -> None:
    from transformers import AutoTokenizer

    loaded = AutoTokenizer.from_pretrained(starter_folder())
    for text in HARD_STRINGS:
        assert loaded(text, add_special_tokens=False)["input_ids"] == tokenizer.encode(text).ids
    assert (loaded.bos_token_id, loaded.eos_token_id, loaded.pad_token_id) == (1, 2, 0)
    chat = [{"role": "user", "content": "Hi"}]
    text = loaded.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    assert text.startswith("<|im_start|>system\nYou are a helpful AI assistant named SmolLM")
    assert text.endswith("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")


@pytest.mark.slow
def test_weights_equal_transformers_own_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    import transformers.modeling_gguf_pytorch_utils as gguf_utils
    from transformers import AutoModelForCausalLM

    # transformers asks for an installed gguf package; the converter's own one does as well
    monkeypatch.setattr(gguf_utils, "is_gguf_available", lambda *_: True)
    gguf()
    ours = AutoModelForCausalLM.from_pretrained(starter_folder(), dtype=torch.float16)
    theirs = AutoModelForCausalLM.from_pretrained(
        STARTER_GGUF.parent, gguf_file=STARTER_GGUF.name, dtype=torch.float16
    )
    expected = theirs.state_dict()
    assert expected.keys() == ours.state_dict().keys()
    for name, weight in ours.state_dict().items():
        assert torch.equal(weight, expected[name]), name
    ids = torch.tensor([[1, 4093, 198, 19556, 2]])
    with torch.no_grad():
        assert torch.equal(ours(ids).logits, theirs(ids).logits)


def test_a_second_call_changes_nothing() -> None:
    folder = starter_folder()
    before = (folder / "config.json").stat().st_mtime_ns
    assert ensure_starter(open_home(folder.parent.parent)) == folder
    assert (folder / "config.json").stat().st_mtime_ns == before


@pytest.mark.slow
def test_damage_heals(tmp_path: Path) -> None:
    home = open_home(tmp_path)
    folder = home.models / "SmolLM2-135M-Instruct"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    assert not is_intact(folder)
    assert is_intact(ensure_starter(home))
    assert read_json(folder / "config.json")["hidden_size"] == 576
    assert [path.name for path in home.models.iterdir()] == [folder.name]


@pytest.mark.slow
def test_two_processes_at_once(tmp_path: Path) -> None:
    home = open_home(tmp_path)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        folders = pool.map(ensure_starter, [home, home])
    assert folders[0] == folders[1] and is_intact(folders[0])
    assert [path.name for path in home.models.iterdir()] == [folders[0].name]


def test_another_file_under_the_name_is_refused(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.gguf"
    wrong.write_bytes(b"GGUF")
    with pytest.raises(UserError, match="damaged"):
        check_gguf(wrong)
    with pytest.raises(UserError, match="missing"):
        check_gguf(tmp_path / "absent.gguf")
