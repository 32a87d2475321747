"""How text may be written in bytes: marks, encodings, line ends."""

from __future__ import annotations

import codecs
import json

from tests.corpus.case import ROWS, Problems, accept, between, good, jsonl, lines, reject, table

LINES = jsonl(ROWS)
TEXT = LINES.decode()
CAFE = [*ROWS[:2], {"instruction": "Où est le café ?", "output": "Le café est à côté de la fenêtre."}]
JAPANESE = [*ROWS[:2], {"instruction": "空はなぜ青いのですか。", "output": "空気が青い光を散らすからです。"}]


def _mixed_ends() -> bytes:
    one, two, three = (json.dumps(row).encode() for row in ROWS)
    return one + b"\r\n" + two + b"\n" + three + b"\r"


OTHER: Problems = {"other encoding": 1}
CASES = [
    accept("plain.jsonl", LINES, read=3, usable=3),
    accept("bom.jsonl", codecs.BOM_UTF8 + LINES, read=3),
    accept("bom.csv", codecs.BOM_UTF8 + table(), read=3),
    accept("bom-quoted-header.csv", codecs.BOM_UTF8 + b'"instruction","output"\n' + table()[19:], read=3),
    accept("bom-array.json", codecs.BOM_UTF8 + json.dumps(ROWS, indent=1).encode(), read=3),
    accept("utf16-le.jsonl", codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le"), read=3),
    accept("utf16-be.jsonl", codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"), read=3),
    accept("utf16-array.json", codecs.BOM_UTF16_LE + json.dumps(ROWS).encode("utf-16-le"), read=3),
    accept(
        "utf16-excel.txt.tsv",
        codecs.BOM_UTF16_LE + table(delimiter="\t", end="\r\n").decode().encode("utf-16-le"),
    ),
    accept(
        "utf16-emoji.jsonl",
        codecs.BOM_UTF16_BE
        + (TEXT + jsonl([{"instruction": "Greet me!", "output": "Hello and welcome 🙂"}]).decode()).encode(
            "utf-16-be"
        ),
        read=4,
    ),
    accept("crlf.jsonl", LINES.replace(b"\n", b"\r\n"), read=3),
    accept("cr-only.jsonl", LINES.replace(b"\n", b"\r"), read=3),
    accept("crlf.csv", table(end="\r\n"), read=3),
    accept("cr-only.csv", table(end="\r"), read=3),
    accept("mixed-line-ends.jsonl", _mixed_ends, read=3),
    accept(
        "mixed-line-ends.csv",
        table().replace(b"\n", b"\r\n", 1).replace(b"near it.\n", b"near it.\r"),
        read=3,
    ),
    accept("no-final-newline.jsonl", LINES.rstrip(), read=3),
    accept("no-final-newline.csv", table().rstrip(), read=3),
    accept("blank-lines.jsonl", b"\n\n" + LINES.replace(b"\n", b"\n \t\n\n"), read=3),
    accept("blank-lines.csv", b"\n" + table().replace(b"\n", b"\n\n"), read=3),
    accept("accents.jsonl", jsonl(CAFE), read=3),
    accept("japanese.jsonl", jsonl(JAPANESE), read=3),
    accept("escaped-japanese.jsonl", "\n".join(json.dumps(row) for row in JAPANESE).encode(), read=3),
    accept(
        "line-separators-in-text.jsonl",
        lines(
            good(0),
            good(1),
            '{"instruction": "Two lines?", "output": "one line\u2028and a second\u0085and a third"}',
        ),
        read=3,
    ),
    reject("utf16-no-bom-le.jsonl", TEXT.encode("utf-16-le"), "UTF-16"),
    reject("utf16-no-bom-be.csv", table().decode().encode("utf-16-be"), "UTF-16"),
    reject("utf16-cut.jsonl", codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le")[:-3], ""),
    reject(
        "utf16-lone-surrogate.jsonl", codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le") + b"\x00\xd8\n\x00", ""
    ),
    reject("utf32.jsonl", codecs.BOM_UTF32_LE + TEXT.encode("utf-32-le"), "UTF-32"),
    reject("utf32-be.jsonl", codecs.BOM_UTF32_BE + TEXT.encode("utf-32-be"), "UTF-32"),
    reject("latin-1.jsonl", jsonl(CAFE).decode().encode("latin-1"), "looks like cp1252", OTHER),
    reject("latin-1.json", json.dumps(CAFE, ensure_ascii=False).encode("latin-1"), "“côté”", OTHER),
    reject("latin-1.csv", table(CAFE).decode().encode("latin-1"), "“fenêtre.”", OTHER),
    reject(
        "latin-1-late.jsonl",
        jsonl(ROWS * 3000) + b'{"instruction": "caf\xe9?", "output": "a cup of it"}\n',
        "“café?”",
    ),
    reject(
        "windows-1252.csv",
        table([*ROWS, {"instruction": "Say “yes”", "output": "“Yes” – with dashes…"}])
        .decode()
        .encode("cp1252"),
        "“dashes…”",
        OTHER,
    ),
    reject("shift-jis.jsonl", jsonl(JAPANESE).decode().encode("shift-jis"), "looks like cp932", OTHER),
    reject(
        "gbk.csv",
        table([*ROWS, {"instruction": "天空为什么是蓝色的？", "output": "因为空气散射蓝光。"}])
        .decode()
        .encode("gbk"),
        "looks like gb18030",
        OTHER,
    ),
    reject("utf8-cut-character.jsonl", jsonl(JAPANESE)[:-6], "line 3"),
    reject(
        "overlong-utf8.jsonl",
        LINES + b'{"instruction": "\xc0\xaf", "output": "a slash in two bytes"}\n',
        "line 4",
    ),
    reject(
        "cesu-8.jsonl",
        LINES + b'{"instruction": "\xed\xa0\xbd\xed\xb9\x82", "output": "a face in six"}\n',
        "line 4",
    ),
    reject("bom-in-the-middle.jsonl", LINES + codecs.BOM_UTF8 + LINES, "line 4"),
    reject("empty.jsonl", b"", "empty"),
    reject("white-space.csv", b" \n\t\r\n \n", "empty"),
    reject("only-bom.jsonl", codecs.BOM_UTF8, "empty"),
    reject("only-bom-utf16.csv", codecs.BOM_UTF16_LE, "empty"),
    reject("zeros.jsonl", bytes(5000), ""),
    reject(
        "nul-byte.jsonl", between('{"instruction": "a\0b", "output": "nothing at all"}'), "control character"
    ),
]
