"""E-mail addresses and phone numbers in text: found with few false alarms, and masked."""

from __future__ import annotations

import re

EMAIL_MASK = "[email]"
PHONE_MASK = "[phone number]"

_EMAIL = re.compile(
    r"(?<![\w.+%-])[\w.+%-]{1,64}@(?:[^\W_](?:[\w-]{0,62}[^\W_])?\.){1,8}"
    r"(?!(?:png|jpe?g|gif|svg|webp|ico|avif|bmp|css|js|json|py|html?)\b)[^\W\d_]{2,24}(?![\w@])"
)
# an address for machines, as in git@host.org:team/repository
_NOT_A_PERSON = ("git@", "hg@")

_COUNTRY = (
    r"(?:1|7|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]"
    r"|2[1-689]\d|3[578]\d|42\d|50\d|59\d|6[789]\d|80\d|85\d|88\d|96\d|97\d|99\d)"
)
_GAP = r"(?:[ \u00a0\u202f.\-‐‑/]|\) ?-?| ?\()?"
_NOT_BEFORE = r"(?<!\d:)(?<![A-Za-z0-9_.,#$€£/=+\-])"
_NOT_AFTER = r"(?![A-Za-z0-9_%]|[.,:/\-]\d| ?[€$£])"
# every form has digits only, apart from the signs between them, so that a match can be judged by its digits
_INTERNATIONAL = re.compile(
    rf"(?<![\w+.,])(?:\+|(?<![/-])00 ?){_COUNTRY}(?:{_GAP}\d){{6,13}}{_NOT_AFTER}", re.ASCII
)
_NATIONAL = re.compile(
    _NOT_BEFORE
    + r"(?:"
    # North America: 415-555-2671, (415) 555-2671, 1-800-555-0199
    + r"(?:1[ .\-])?(?:\([2-9]\d\d\) ?|[2-9]\d\d-|[2-9]\d\d\.(?=\d{3}\.))[2-9]\d\d[ .\-]\d{4}"
    # a zero to leave the town: 030 1234567, 0171/123 45 67, 020 7946 0958, 01 23 45 67 89, 03-1234-5678
    + r"|\(?0[1-9]\d{0,3}(?:\) ?| ?[/–] ?|[ .\-])\d{2,8}(?:(?P<gap>[ .\-])\d{2,5}(?:(?P=gap)\d{2,5}){0,3})?"
    # the town in brackets: (11) 91234-5678, (55) 1234 5678
    + r"|\((?!19|20\d\d)\d{2,4}\) ?\d{3,5}[ \-]\d{3,4}"
    # China: 138-1234-5678
    + r"|1[3-9]\d(?P<dash>[ \-])\d{4}(?P=dash)\d{4}"
    + r")"
    + _NOT_AFTER,
    re.ASCII,
)
# anything with seven digits or more counts when the words before it say what it is
_ANY_NUMBER = re.compile(rf"(?<!\d:)(?<![A-Za-z0-9_.,+])\(?\d(?:{_GAP}\d){{6,12}}{_NOT_AFTER}", re.ASCII)
_SAID = re.compile(
    r"(?:\b(?:tele?ph?one?|te?le?f(?:on)?|tel|phone|mobile?|mob|cell|fax|whats\s?app|call|sms|dial|ring|handy"
    r"|tel[ée]f(?:ono|one)|t[ée]l(?:[ée]phone)?|m[óo]vil|celular|cel|ll[aá]m\w{1,5}|appel\w{1,3}|ruf\w{0,3}"
    r"|телефон\w?|тел|тлф)|電話(?:番号)?|电话(?:号码)?|手机(?:号码?)?|전화(?:번호)?|फ़ोन|هاتف|الهاتف|तेलीफोन)"
    r"[\s.:#=(–-]{0,3}"
    r"(?:(?:us|me|him|her|them|at|on|is|to|the|number|no|nr|num|n[°º]|al|el|es|en|au|le|il|est|unter|an|ist|是|は)"
    r"[\s.:#=-]{1,2}){0,3}\(?$",
    re.IGNORECASE,
)
_SAID_BEFORE = 40
_DATE = re.compile(r"\D?(?:\d{1,2}([ ./-])\d{1,2}\1(?:19|20)\d\d|(?:19|20)\d\d([ ./-])\d{1,2}\2\d{1,2})\b")
# of the American north-east
_ZIP_CODE = re.compile(r"0\d{4}-\d{4}$")
_YEARS = re.compile(r"(?:1[5-9]|20)\d\d\D(?:1[5-9]|20)\d\d$")
_ROUND = re.compile(r"\d{1,3}(?:[ .\u00a0\u202f]\d00)+$")
_ADDRESS = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}$")


def email_address(text: str) -> str:
    """The first e-mail address, shortened: a report must not spread it."""
    for found in _EMAIL.finditer(text):
        if _is_email(found):
            local, _, domain = found[0].partition("@")
            return f"“{local[0]}…@{domain}”"
    return ""


def without_emails(text: str) -> str:
    """The text with every e-mail address masked."""
    return _EMAIL.sub(lambda found: EMAIL_MASK if _is_email(found) else found[0], text)


def _is_email(found: re.Match[str]) -> bool:
    return not found[0].lower().startswith(_NOT_A_PERSON)


def phone_number(text: str) -> str:
    """The first phone number, shortened."""
    for pattern, is_phone in _FORMS:
        for found in pattern.finditer(text):
            if is_phone(found):
                return f"“{found[0][:4]}…{found[0][-2:]}”"
    return ""


def without_phones(text: str) -> str:
    """The text with every phone number masked."""
    for pattern, is_phone in _FORMS:
        text = pattern.sub(lambda found, is_phone=is_phone: PHONE_MASK if is_phone(found) else found[0], text)
    return text


def _digits(found: re.Match[str]) -> int:
    return sum(map(str.isdigit, found[0]))


def _is_international(found: re.Match[str]) -> bool:
    number = found[0]
    if number.startswith("00") and number.isdigit() and not _said_before(found):
        return False
    # +48.8566140 is a place on a map
    if number.count(".") == 1 and sum(number.count(sign) for sign in " -/()") == 0:
        return False
    return 8 <= _digits(found) - (2 if number.startswith("00") else 0) <= 15


def _is_national(found: re.Match[str]) -> bool:
    if _DATE.match(found[0]) or _ZIP_CODE.match(found[0]):
        return False
    return 9 <= _digits(found) <= 11


def _is_said(found: re.Match[str]) -> bool:
    number = found[0]
    if _DATE.match(number) or _YEARS.match(number) or _ROUND.match(number) or _ADDRESS.match(number):
        return False
    return _said_before(found)


def _said_before(found: re.Match[str]) -> bool:
    before = found.string[max(0, found.start() - _SAID_BEFORE) : found.start()]
    return _SAID.search(before) is not None


_FORMS = ((_INTERNATIONAL, _is_international), (_NATIONAL, _is_national), (_ANY_NUMBER, _is_said))
