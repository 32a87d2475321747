"""Parquet as different writers leave it."""

from __future__ import annotations

import datetime
import io
from collections.abc import Callable
from typing import Any

from tests.corpus.case import CHAT, OTHER_CHAT, ROWS, accept, jsonl, reject, warn
from tests.corpus.packed import packed, zipped

QUESTIONS = [row["instruction"] for row in ROWS]
ANSWERS = [row["output"] for row in ROWS]
DATES = [datetime.date(2024, 2, day) for day in (27, 28, 29)]
MANY = 5000


def _write(columns: dict[str, Any], **options: Any) -> bytes:
    """The bytes of a Parquet file; a column may be a list or an Arrow array."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    out = io.BytesIO()
    pq.write_table(pa.table(columns), out, **options)
    return out.getvalue()


def parquet(answers: Any = None, more: dict[str, Any] | None = None, **options: Any) -> Callable[[], bytes]:
    columns = {"instruction": QUESTIONS, "output": ANSWERS if answers is None else answers, **(more or {})}
    return lambda: _write(columns, **options)


def _typed(kind: str) -> Callable[[], bytes]:
    """The good rows with their text in another Arrow type."""

    def write() -> bytes:
        import pyarrow as pa

        if kind == "dictionary":
            arrays = [pa.array(texts).dictionary_encode() for texts in (QUESTIONS, ANSWERS)]
        elif kind == "string_view":
            arrays = [pa.array(texts).cast(pa.string_view()) for texts in (QUESTIONS, ANSWERS)]
        else:
            arrays = [pa.array(texts, getattr(pa, kind)()) for texts in (QUESTIONS, ANSWERS)]
        return _write({"instruction": arrays[0], "output": arrays[1]})

    return write


def _many() -> bytes:
    numbers = range(MANY)
    return _write(
        {
            "question": [f"What is twice {n}?" for n in numbers],
            "answer": [f"It is {2 * n}, which is more than {n}." if n % 3 else str(2 * n) for n in numbers],
        },
        row_group_size=700,
    )


def _binary() -> bytes:
    import pyarrow as pa

    return _write(
        {"instruction": QUESTIONS, "output": pa.array([b"\xff\xfe" + text.encode() for text in ANSWERS])}
    )


def _empty() -> bytes:
    import pyarrow as pa

    return _write({"instruction": pa.array([], pa.string()), "output": pa.array([], pa.string())})


def _pictures() -> bytes:
    picture = [{"bytes": b"\x89PNG\r\n\x1a\n", "path": "a.png"}] * 3
    return _write({"image": picture, "instruction": QUESTIONS, "output": ANSWERS})


WHOLE = parquet()

CASES = [
    accept("plain.parquet", WHOLE, read=3, usable=3),
    accept("parquet-named.csv", WHOLE, read=3),
    accept("parquet-named.jsonl", WHOLE, read=3),
    accept("large-string.parquet", _typed("large_string"), read=3),
    accept("dictionary.parquet", _typed("dictionary"), read=3),
    accept("string-view.parquet", _typed("string_view"), read=3),
    accept("zstd.parquet", parquet(compression="zstd"), read=3),
    accept("gzip-inside.parquet", parquet(compression="gzip"), read=3),
    accept("uncompressed.parquet", parquet(compression="none"), read=3),
    accept("packed.parquet.gz", lambda: packed(WHOLE()), read=3),
    accept("parquet-in.zip", lambda: zipped({"train.parquet": WHOLE()}), read=3),
    accept("row-groups.parquet", _many, read=MANY, usable=MANY),
    accept("messages.parquet", lambda: _write({"messages": [CHAT, OTHER_CHAT]}), read=2),
    accept(
        "parts.parquet",
        lambda: _write(
            {
                "messages": [
                    [
                        {"role": turn["role"], "content": [{"type": "text", "text": turn["content"]}]}
                        for turn in chat
                    ]
                    for chat in (CHAT, OTHER_CHAT)
                ]
            }
        ),
        read=2,
    ),
    accept("null-input.parquet", parquet(more={"input": ["", None, None]}), read=3),
    accept("dates-as-answers.parquet", parquet(["2024-02-29", "It was on 2024-02-28.", "1999"]), read=3),
    accept("dates-beside.parquet", parquet(more={"day": DATES}), read=3),
    warn("numbers-beside.parquet", parquet(more={"score": [0.5, 1.0, 2.5]}), {"extra columns": 3}, read=3),
    warn("number-answers.parquet", parquet([1, 2, 3]), {"not text": 3}, read=3, usable=3),
    accept("date-answers.parquet", parquet(DATES), texts=[QUESTIONS[0], "2024-02-27"], usable=3),
    warn(
        "one-row.parquet",
        lambda: _write({"question": ["Who is there?"], "answer": ["It is only the wind."]}),
        {"few rows": 1},
    ),
    warn(
        "null-answer.parquet",
        parquet([ANSWERS[0], None, ANSWERS[2]]),
        {"empty answer": [2]},
        read=3,
        usable=2,
    ),
    reject("binary-answer.parquet", _binary, ""),
    reject("binary-beside.parquet", parquet(more={"blob": [b"\x00\xff", b"\x01", b""]}), "blob"),
    reject(
        "text-of-12-MB.parquet",
        parquet([*ANSWERS[:2], "word " * 2_600_000]),
        "record 3",
        {"unreadable row": [3]},
        usable=2,
    ),
    reject("pictures.parquet", _pictures, "the column “image” holds binary values"),
    reject("no-rows.parquet", _empty, "no rows"),
    reject("unknown-columns.parquet", lambda: _write({"alpha": QUESTIONS, "beta": ANSWERS}), "alpha"),
    reject("cut.parquet", lambda: WHOLE()[:-30], "cut off or damaged"),
    reject("cut-half.parquet", lambda: _many()[:20_000], "cut off or damaged"),
    reject("only-magic.parquet", b"PAR1", ""),
    reject("magic-twice.parquet", b"PAR1PAR1", "Parquet"),
    reject("footer-too-long.parquet", b"PAR1" + bytes(40) + b"\xff\xff\xff\x7fPAR1", ""),
    reject("zeroed-middle.parquet", lambda: _zeroed(_many()), ""),
    reject("encrypted-footer.parquet", lambda: b"PARE" + WHOLE()[4:-4] + b"PARE", ""),
    reject("text-named.parquet", lambda: jsonl(ROWS)[:-20], ""),
    accept("lines-named.parquet", jsonl(ROWS), read=3),
]


def _zeroed(raw: bytes) -> bytes:
    return raw[:2000] + bytes(6000) + raw[8000:]
