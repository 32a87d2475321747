"""API keys and private keys in text: found by their known beginnings or by what they are assigned to."""

from __future__ import annotations

import math
import re
import string
from collections import Counter
from collections.abc import Iterator

from core.data.doctor.glance import Glance

MASK = "[secret]"

# whoever makes such keys gave them a beginning of their own; those without an underscore have digits
_KNOWN = re.compile(
    rb"(?<![A-Za-z0-9_])(?:"
    rb"(?:sk|rk)_(?:live|test)_[A-Za-z0-9]{10,}|whsec_[A-Za-z0-9+/=]{20,}"  # Stripe
    rb"|sk-(?=[A-Za-z_-]{0,40}\d)[A-Za-z0-9_-]{20,}"  # OpenAI, Anthropic, DeepSeek, OpenRouter
    rb"|hf_[A-Za-z0-9]{30,}|api_org_[A-Za-z0-9]{30,}"  # Hugging Face
    rb"|gh[opusr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{22,}"  # GitHub
    rb"|glpat-(?=[A-Za-z_-]{0,40}\d)[A-Za-z0-9_-]{20,}"  # GitLab
    rb"|(?:AKIA|ASIA|ABIA|ACCA)(?=[A-Z]{0,15}\d)[A-Z0-9]{16}(?![A-Za-z0-9])"  # AWS
    rb"|(?:AIza|ya29\.|GOCSPX-)(?=[A-Za-z_-]{0,40}\d)[A-Za-z0-9_-]{20,}"  # Google
    rb"|xox[abeoprs]-(?=[A-Za-z-]{0,40}\d)[A-Za-z0-9-]{10,}|xapp-\d-[A-Za-z0-9-]{10,}"  # Slack
    rb"|eyJ(?=[A-Za-z_-]{0,80}\d)[A-Za-z0-9_-]{8,500}\.eyJ[A-Za-z0-9_-]{8,4000}\.[A-Za-z0-9_-]{8,}"  # JWT
    rb"|SG\.[A-Za-z0-9_-]{16,64}\.(?=[A-Za-z_-]{0,40}\d)[A-Za-z0-9_-]{16,}"  # SendGrid
    rb"|npm_[A-Za-z0-9]{36}|pypi-(?=[A-Za-z_-]{0,40}\d)[A-Za-z0-9_-]{50,}"
    rb"|gsk_[A-Za-z0-9]{30,}|xai-(?=[A-Za-z]{0,40}\d)[A-Za-z0-9]{30,}|r8_[A-Za-z0-9]{30,}"
    rb"|nvapi-(?=[A-Za-z_-]{0,40}\d)[A-Za-z0-9_-]{30,}"
    rb")"
)
_ASSIGNED = re.compile(
    rb"(?:(?:api|access|secret|private|auth|encryption|account)[ _-]?key(?:[ _-]?id)?"
    rb"|(?:api|access|auth|refresh|bearer|id|secret|client)?[ _-]?(?:token|secret)|passw(?:or)?d)"
    rb"[\"'`]{0,2}\s{0,3}(?::=|=>|[=:])\s{0,3}(?P<quote>[\"'`]?)(?P<value>[A-Za-z0-9_+/=.~-]{16,4000})(?P=quote)"
    rb"|\bbearer\s{1,3}(?P<bearer>[A-Za-z0-9_+/=.~-]{20,4000})",
    re.IGNORECASE,
)
_LONGEST_NAME = 60
_LEAST_ENTROPY = 3.0
# letters, digits and what else keys are made of become one letter, the rest spaces
_KEY_LETTERS = (string.ascii_letters + string.digits + "_+/=.~-").encode()
_TO_KEY_LETTERS = bytes(0x61 if place in _KEY_LETTERS else 0x20 for place in range(256))
_SHORTEST = b"a" * 15
_PRIVATE = re.compile(
    r"-----BEGIN (?P<name>[A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?)-----"
    r"(?:(?:(?!-----)[\s\S]){0,20000}-----END (?P=name)-----|(?:[\s\\nr]{0,8}[A-Za-z0-9+/=]{16,})+)"
)


def may_have_key(glance: Glance) -> bool:
    """Cheap and never wrong when it says no."""
    return (glance.has_digit() or glance.has("_")) and _SHORTEST in glance.raw.translate(_TO_KEY_LETTERS)


def api_key(text: str) -> str:
    """The first API key's first letters."""
    raw = _raw(text)
    start = next((start for start, _ in _keys(raw)), None)
    return "" if start is None else f"“{raw[start : start + 4].decode()}…”"


def without_api_keys(text: str) -> str:
    """The text with every API key masked; the name that it is assigned to stays."""
    raw = _raw(text)
    pieces = []
    done = 0
    for start, end in sorted(_keys(raw)):
        if end > done:
            pieces += [raw[done:start], MASK.encode()] if start >= done else []
            done = end
    return b"".join([*pieces, raw[done:]]).decode("utf-8", "surrogatepass")


def private_key(text: str) -> str:
    """The first private key's name."""
    found = _PRIVATE.search(text)
    return f"a {found['name'].lower()}" if found else ""


def without_private_keys(text: str) -> str:
    """The text with every private key masked."""
    return _PRIVATE.sub(MASK, text)


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _keys(raw: bytes) -> Iterator[tuple[int, int]]:
    """(start, end) of what looks like a key; some may overlap."""
    for start, end in _long_words(raw):
        for known in _KNOWN.finditer(raw, start, end):
            yield known.span()
        # one more for a closing quote
        for assigned in _ASSIGNED.finditer(raw, max(0, start - _LONGEST_NAME), end + 1):
            group = "value" if assigned["value"] else "bearer"
            if _is_random(assigned[group]):
                yield assigned.span(group)


def _long_words(raw: bytes) -> Iterator[tuple[int, int]]:
    """Where something as long as a key stands without a space; searched as bytes, which is much faster."""
    mapped = raw.translate(_TO_KEY_LETTERS)
    start = mapped.find(_SHORTEST)
    while start >= 0:
        end = mapped.find(b" ", start)
        end = len(mapped) if end < 0 else end
        yield start, end
        start = mapped.find(_SHORTEST, end)


def _is_random(value: bytes) -> bool:
    """Letters and at least two digits in no order: not a name, a path or a word repeated."""
    digits = sum(0x30 <= letter <= 0x39 for letter in value)
    if digits < 2 or digits == len(value) or b"//" in value:
        return False
    counts = Counter(value).values()
    entropy = -sum(count / len(value) * math.log2(count / len(value)) for count in counts)
    return entropy >= _LEAST_ENTROPY
