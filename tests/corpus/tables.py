"""CSV and TSV as spreadsheets, scripts and people write them."""

from __future__ import annotations

import csv
import json

from tests.corpus.case import CHAT, OTHER_CHAT, ROWS, accept, judged, reject, table, usable, warn

HEADER = "instruction,output\n"
FIRST = 'Where do penguins live?,"Most of them live in Antarctica, on its coasts."\n'
LAST = "What do bees make?,They make honey and wax for us.\n"
CELLS = [
    {"instruction": "Which letters stand for “not applicable”?", "output": "NA"},
    {"instruction": "What does Python call nothing?", "output": "None"},
    {"instruction": "Which number has the famous spy?", "output": "007"},
    {"instruction": "How is a hundred thousand written?", "output": "1e5"},
    {"instruction": "What is a missing number in R?", "output": "NaN"},
    {"instruction": "What is null in SQL?", "output": "NULL"},
    {"instruction": "When was the leap day?", "output": "2024-02-29"},
    {"instruction": "Is it true?", "output": "TRUE"},
    {"instruction": "How cold is it outside?", "output": "-5"},
    {"instruction": "What is the country code?", "output": "+47"},
]
DECIMALS = [
    {"instruction": "Wie viel ist die Hälfte von drei?", "output": "Das sind 1,5; also anderthalb."},
    {"instruction": "Wie groß ist Pi?", "output": "Ungefähr 3,14159 ist der Wert."},
]
LISTS = [
    {"instruction": "Name two fruits!", "output": "- apples\n- pears"},
    {"instruction": "Name two tools!", "output": "* hammer\n* saw"},
    {"instruction": "What did the mail say?", "output": "Thanks!\n-- \nThe gardener"},
]


def _text(*parts: str) -> bytes:
    return "".join(parts).encode()


def _between(bad: str) -> bytes:
    """A bad record on line 3, between good ones."""
    return _text(HEADER, FIRST, bad, LAST)


def _wide_header() -> bytes:
    return _text(
        "instruction,output," + ",".join(f"c{n}" for n in range(100_000)), "\n", "a,b" + "," * 100_000, "\n"
    )


def _long_cell(words: int) -> bytes:
    return _text(HEADER, FIRST, LAST, 'Tell it all!,"', "word, " * words, '"\n')


CASES = [
    accept("plain.csv", table(), read=3, usable=3),
    accept("semicolons.csv", table(delimiter=";"), read=3),
    accept("tabs.tsv", table(delimiter="\t"), read=3),
    accept("tabs.csv", table(delimiter="\t"), read=3),
    accept("pipes.csv", table(delimiter="|"), read=3),
    accept("table.txt", table(), read=3),
    accept("table.jsonl", table(), read=3),
    accept("all-quoted.csv", table(quoting=csv.QUOTE_ALL), read=3),
    accept(
        "header-padded-instruction.csv",
        table().replace(b"instruction,output", b" Instruction , Output "),
        read=3,
    ),
    accept("header-upper-case.csv", table().replace(b"instruction,output", b"INSTRUCTION,OUTPUT"), read=3),
    accept(
        "embedded-newlines.csv",
        _text(HEADER, 'Write a haiku!,"An old silent pond\n\nA frog jumps in,\r\nsplash"\n', LAST),
        read=2,
    ),
    accept(
        "embedded-quotes.csv",
        _text(HEADER, 'Quote him!,"He said ""live in Antarctica, all of you"" and left."\n', LAST),
        read=2,
    ),
    accept(
        "quote-inside-cell.csv", _text(HEADER, 'How long is it?,About 5" or maybe 6" in all\n', LAST), read=2
    ),
    accept(
        "semicolons-inside-quotes.csv",
        _text(HEADER, 'List them!,"one; two; three; four; five"\n', LAST),
        read=2,
    ),
    accept(
        "quoted-header-with-commas.csv",
        b'"instruction";"output"\n"a, b, c or d?";"It is the one, the other, the third."\n'
        b'"Which is it?";"It is the last, I think."\n',
        read=2,
    ),
    accept("decimal-commas.csv", table(DECIMALS, delimiter=";"), read=2),
    accept("sep-line.csv", b"sep=;\r\n" + table(delimiter=";", end="\r\n"), read=3),
    accept("kept-as-text.csv", table(CELLS), read=10, usable=10),
    accept("kept-as-text.tsv", table(CELLS, delimiter="\t"), read=10, usable=10),
    accept("lists-and-signatures.csv", table(LISTS), read=3),
    accept("blank-lines-inside.csv", _text(HEADER, "\n", FIRST, " \n", LAST, "\n\n"), read=2),
    accept(
        "messages-as-text.csv", table([{"messages": json.dumps(chat)} for chat in (CHAT, OTHER_CHAT)]), read=2
    ),
    accept(
        "quotes-inside.tsv",
        _text("question\tanswer\n", 'How long?\tA 5" pipe, or 6"\n', "What is it?\tA tool for the garden\n"),
        read=2,
    ),
    accept(
        "padded-cells.csv",
        _text(HEADER, "Where do penguins live? , On the coasts of Antarctica. \n", LAST),
        read=2,
    ),
    accept("cell-of-9-MB.csv", lambda: _long_cell(1_500_000), read=3),
    accept("extra-columns.csv", table([{"id": n, **row, "topic": "nature"} for n, row in enumerate(ROWS)])),
    warn(
        "formula-cells.csv",
        _text(HEADER, FIRST, "Sum it up!,=SUM(A1:A9)\n", "=1+1,It makes two in the end\n", LAST),
        {"formula cells": [3, 4]},
        usable=4,
    ),
    warn(
        "formula-commands.csv",
        _text(
            HEADER, FIRST, "Run it!,\"@SUM(1+1)*cmd|' /C calc'!A0\"\n", "Again?,+cmd|' /C calc'!A0\n", LAST
        ),
        {"formula cells": [3, 4]},
    ),
    warn(
        "empty-answers.csv",
        _text(HEADER, FIRST, "No answer here?,\n", 'Nor here?,"  "\n', LAST),
        {"empty answer": [3, 4]},
        read=4,
        usable=2,
    ),
    warn("one-row.csv", _text(HEADER, FIRST), {"few rows": 1}, read=1),
    reject("header-only.csv", _text(HEADER), "no rows"),
    reject("header-only-no-newline.csv", HEADER.rstrip().encode(), ""),
    reject(
        "header-twice-named.csv", b"instruction,output,output\na b,c d,e f\ng h,i j,k l\n", "“output” twice"
    ),
    judged("header-twice-named-case.csv", b"instruction,output,Output \na b,c d,e f\ng h,i j,k l\n"),
    usable("header-without-name.csv", b"instruction,,output\na,b,c\nd,e,f\n", read=2),
    accept("header-blank-at-end.csv", b"instruction,output,\na b,c d,\ne f,g h,\n", usable=2),
    usable("index-of-pandas.csv", b",instruction,output\n0,a b,c d\n1,e f,g h\n", read=2),
    reject("header-missing.csv", _text(FIRST, LAST), "line 1 reads like data", {"no header": 1}, read=2),
    reject(
        "lists-of-python.csv",
        table([{"messages": str(CHAT)}, {"messages": str(OTHER_CHAT)}]),
        "as Python writes it",
        {"Python lists": [2, 3]},
        usable=2,
    ),
    reject(
        "ragged-short.csv",
        _between("only one cell\n"),
        "has 1 cells",
        {"unreadable row": [3]},
        read=3,
        usable=2,
    ),
    reject(
        "ragged-long.csv", _between("one,two,three\n"), "line 3", {"unreadable row": [3]}, read=3, usable=2
    ),
    reject(
        "ragged-trailing-comma.csv",
        _between("one or two,they are three,\n"),
        "line 3",
        {"unreadable row": [3]},
    ),
    reject(
        "ragged-after-newlines.csv",
        _text(HEADER, 'a,"b\nc\nd"\n', "only one cell\n", LAST),
        "line 5",
        {"unreadable row": [5]},
    ),
    reject(
        "unquoted-comma.csv", _between("Where?,There, over the hill\n"), "line 3", {"unreadable row": [3]}
    ),
    reject(
        "unclosed-quote.csv",
        _text(HEADER, FIRST, 'Who said it?,"Nobody ever did\n', LAST),
        "line 3: a quote is opened",
    ),
    reject("unclosed-quote-early.csv", _text(HEADER, 'Who?,"Nobody\n', LAST * 5000), "line 2"),
    reject("unclosed-quote-header.csv", b'instruction,"output\na,b\nc,d\n', "line 1"),
    reject("backslash-quotes.csv", _between('Quote him!,"He said \\"yes\\" and left"\n'), "line 3"),
    reject("text-after-quote.csv", _between('Quote him!,"He said yes" and left\n'), "line 3"),
    reject("cell-of-12-MB.csv", lambda: _long_cell(2_100_000), "line 4"),
    reject("unknown-columns.csv", b"alpha,beta\none two,three four\nfive six,seven eight\n", "alpha"),
    reject("numbers-only.csv", b"".join(b"%d,%d,%d\n" % (n, n * n, n**3) for n in range(1, 50)), ""),
    reject("comment-lines.csv", _text("# made by a script\n", HEADER, FIRST, LAST), ""),
    reject(
        "markdown-table.csv", b"| instruction | output |\n|---|---|\n| What is it? | It is a table |\n", ""
    ),
    judged("quote-at-start.tsv", b'question\tanswer\nWho?\t"Me" said the fox\nWhat?\tA hen from the yard\n'),
    judged("tildes.csv", table(delimiter="~")),
    judged("colons.csv", table(delimiter=":")),
    judged("header-of-100000.csv", _wide_header),
    judged("nul-in-cell.csv", _between("a\0b,what is this here\n")),
    judged("one-column.csv", b"text\nThe first of the texts.\nThe second of the texts.\n"),
    judged("commas-only.csv", b",,,\n,,,\n,,,\n"),
    judged("quotes-only.csv", b'"' * 10_001),
]
