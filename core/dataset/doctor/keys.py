"""API keys and private keys in text: found by their known beginnings or by what they are assigned to."""

from __future__ import annotations

import math
import re
from collections import Counter

MASK = "[secret]"

_START = r"(?<![A-Za-z0-9_])"
# whoever makes such keys gave them a beginning of their own; those without an underscore have digits
_KNOWN = re.compile(
    _START
    + r"(?:"
    + r"(?:sk|rk)_(?:live|test)_[A-Za-z0-9]{10,}|whsec_[A-Za-z0-9+/=]{20,}"  # Stripe
    + r"|sk-(?=[A-Za-z_-]{0,40}\d)[A-Za-z0-9_-]{20,}"  # OpenAI, Anthropic, DeepSeek, OpenRouter
    + r"|hf_[A-Za-z0-9]{30,}|api_org_[A-Za-z0-9]{30,}"  # Hugging Face
    + r"|gh[opusr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{22,}|glpat-[A-Za-z0-9_-]{20,}"  # GitHub, GitLab
    + r"|(?:AKIA|ASIA|ABIA|ACCA)(?=[A-Z]*\d)[A-Z0-9]{16}(?![A-Za-z0-9])"  # AWS
    + r"|AIza(?=[A-Za-z_-]*\d)[A-Za-z0-9_-]{30,}"
    + r"|(?:ya29\.|GOCSPX-)(?=[A-Za-z_-]*\d)[A-Za-z0-9_-]{20,}"  # Google
    + r"|xox[abeoprs]-(?=[A-Za-z-]*\d)[A-Za-z0-9-]{10,}|xapp-\d-[A-Za-z0-9-]{10,}"  # Slack
    + r"|eyJ(?=[A-Za-z_.-]*\d)[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"  # JSON web tokens
    + r"|SG\.(?=[A-Za-z_.-]*\d)[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}"  # SendGrid
    + r"|npm_[A-Za-z0-9]{36}|pypi-(?=[A-Za-z_-]*\d)[A-Za-z0-9_-]{50,}"  # npm, PyPI
    + r"|gsk_[A-Za-z0-9]{30,}|xai-(?=[A-Za-z]*\d)[A-Za-z0-9]{30,}|r8_[A-Za-z0-9]{30,}"  # Groq, xAI, Replicate
    + r"|nvapi-(?=[A-Za-z_-]*\d)[A-Za-z0-9_-]{30,}"
    + r")"
)
_ASSIGNED = re.compile(
    r"(?:(?:api|access|secret|private|auth|encryption|account)[ _-]?key(?:[ _-]?id)?"
    r"|(?:api|access|auth|refresh|bearer|id|secret|client)?[ _-]?(?:token|secret)|passw(?:or)?d)"
    r"[\"'`]{0,2}\s{0,3}(?::=|=>|[=:])\s{0,3}(?P<quote>[\"'`]?)(?P<value>[A-Za-z0-9_+/=.~-]{16,512})(?P=quote)"
    r"|\bbearer\s{1,3}(?P<bearer>[A-Za-z0-9_+/=.~-]{20,2048})",
    re.IGNORECASE,
)
_LEAST_ENTROPY = 3.0
_PRIVATE = re.compile(
    r"-----BEGIN (?P<name>[A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?)-----"
    r"(?:(?:(?!-----)[\s\S]){0,20000}-----END (?P=name)-----|(?:[\s\\nr]{0,8}[A-Za-z0-9+/=]{16,})+)"
)


def api_key(text: str) -> str:
    """The first API key, shortened."""
    found = _KNOWN.search(text)
    if found:
        return f"“{found[0][:6]}…”"
    assigned = next((one for one in _ASSIGNED.finditer(text) if _is_random(_value(one))), None)
    return f"“{' '.join(assigned[0].split())[:16]}…”" if assigned else ""


def without_api_keys(text: str) -> str:
    """The text with every API key masked; the name that it is assigned to stays."""
    text = _KNOWN.sub(MASK, text)
    return _ASSIGNED.sub(_mask_value, text)


def private_key(text: str) -> str:
    """The first private key's name."""
    found = _PRIVATE.search(text)
    return f"a {found['name'].lower()}" if found else ""


def without_private_keys(text: str) -> str:
    """The text with every private key masked."""
    while _PRIVATE.search(text):
        text = _PRIVATE.sub(MASK, text)
    return text


def _value(found: re.Match[str]) -> str:
    return found["value"] or found["bearer"]


def _mask_value(found: re.Match[str]) -> str:
    value = _value(found)
    return found[0].replace(value, MASK) if _is_random(value) else found[0]


def _is_random(value: str) -> bool:
    """Letters and at least two digits in no order: not a name, a path or a word repeated."""
    digits = sum(map(str.isdigit, value))
    if digits < 2 or digits == len(value) or "//" in value:
        return False
    counts = Counter(value).values()
    entropy = -sum(count / len(value) * math.log2(count / len(value)) for count in counts)
    return entropy >= _LEAST_ENTROPY
