"""The report on checked data, which a person decides by: problems with rows and fixes, numbers, a verdict.

`report(store, …)` judges; `Report.to_json` is what `check-data --json` prints and what a run notes beside its
copy of the data. The sentences are made for many rows, or said of one, with the first row's reason.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import asdict, dataclass, field, replace
from itertools import zip_longest
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.base.errors import UserError
from core.data.compare import leaked
from core.data.doctor import alike_answers
from core.data.kinds import KINDS, Severity
from core.data.measure import TokenFacts, TokenTable
from core.data.store import PLACES_KEPT, FileFacts, Store, Tally, sha256_of

FEW = 20
_RANK = {"error": 0, "warning": 1, "note": 2}
Numbers = NDArray[np.int64]
_ONE = {
    "have": "has",
    "hold": "holds",
    "stand": "stands",
    "are": "is",
    "begin": "begins",
    "end": "ends",
    "lose": "loses",
    "name": "names",
    "write": "writes",
    "their": "its",
}
_PLURAL = re.compile(rf"(?<!that )\b({'|'.join(_ONE)})\b")
_BARE_PLACE = re.compile(r"[a-z]+ \d+")
_VERBS = {"has", "holds", "is", "begins", "ends", "names", "lacks", "can't", "stands", "opens", "was"}

# what `check-data --json` prints, in this order
_PRINTED = (
    *("verdict", "format", "encoding", "shape", "rows_read", "rows_usable", "rows_dropped", "problems"),
    *("tokens", "tokens_measured", "max_length", "suggested_max_length", "suggested_reason", "sha256"),
    *("files", "unused_columns", "fixes"),
)

Verdict = Literal["accept", "warn", "reject"]


class RowPlace(NamedTuple):
    """A row of a problem: where it stands in its file, what exactly is wrong with it (may be empty), and its
    number in the store, None where it could not be made a row.
    """

    where: str
    reason: str = ""
    number: int | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """One kind of problem: how many rows have it, where the first ones stand, and what is said about it.

    `fix` is what one click would do, `taken` whether it is done already.
    """

    kind: str
    severity: Severity
    count: int
    places: list[RowPlace]
    message: str
    fix: str | None
    taken: bool = False

    @property
    def rows(self) -> list[str]:
        """Where the first rows stand."""
        return [place.where for place in self.places]

    def to_json(self) -> dict[str, Any]:
        names = ("kind", "severity", "count", "rows", "message", "fix", "taken")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, slots=True)
class Report:
    """Everything about a dataset that a person decides by. `rows_usable` rows would be trained.

    tokens: None while nothing was measured; over `tokens_measured` rows, its totals are for all usable ones.
    """

    verdict: Verdict
    shape: str
    files: list[FileFacts]
    rows_read: int
    rows_usable: int
    problems: list[Problem]
    fixes: list[str]
    max_length: int
    tokens: dict[str, int] | None = None
    tokens_measured: int = 0
    suggested_max_length: int | None = None
    suggested_reason: str = ""
    unused: dict[str, int] = field(default_factory=dict)

    @property
    def rows_dropped(self) -> int:
        return self.rows_read - self.rows_usable

    @property
    def format(self) -> str:
        return _joined(file.format for file in self.files)

    @property
    def encoding(self) -> str:
        return _joined(file.encoding for file in self.files)

    @property
    def sha256(self) -> str:
        return sha256_of(self.files)

    @property
    def first_error(self) -> str:
        """The sentence of the first problem that rejects the data; empty if none does."""
        return next(
            (item.message for item in self.problems if item.severity == "error" and not item.taken), ""
        )

    def to_json(self) -> dict[str, Any]:
        """What `check-data --json` prints."""
        special = {
            "problems": [item.to_json() for item in self.problems],
            "files": [_without_path(file) for file in self.files],
            "unused_columns": self.unused,
        }
        return {name: special[name] if name in special else getattr(self, name) for name in _PRINTED}


def _without_path(file: FileFacts) -> dict[str, Any]:
    """What may be shown to others: the name, not where it lies."""
    return {name: value for name, value in asdict(file).items() if name != "path"}


def _joined(words: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(filter(None, words)))


def report(
    store: Store,
    *,
    tokens: TokenTable | None = None,
    max_length: int,
    fixes: Collection[str] = (),
    heldout: Store | None = None,
) -> Report:
    """Judge what the store holds, as it would be trained with the fixes that were taken."""
    check_fixes(fixes)
    summary = store.summary
    usable = store.select(fixes)
    settled = {*fixes, *(KINDS[kind].settles for kind in fixes)}
    problems = [
        _problem(kind, tally, _numbers(store, kind), taken=kind in settled)
        for kind, tally in summary.tallies.items()
    ]
    if heldout is not None:
        leaks = leaked(store, heldout, usable, fixes)
        usable = np.setdiff1d(usable, leaks, assume_unique=True)
        problems += _heldout_problems(heldout, max_length, fixes)
        problems += _row_problems(store, "held-out leak", leaks)
    problems += _whole_problems(store, usable)
    facts, suggested, why = None, None, ""
    if tokens is not None:
        facts = tokens.at(max_length)
        problems += _token_problems(store, tokens, facts, max_length)
        if tokens.rows_measured >= len(store):
            usable = np.setdiff1d(usable, np.union1d(facts.lost, facts.zero))
        if tokens.rows_measured:
            suggested, why = tokens.suggested_max_length()
    problems += _scarcity(problems, summary.rows_read, len(usable))
    order = list(KINDS)
    problems.sort(key=lambda item: (_RANK[item.severity], order.index(item.kind)))
    return Report(
        verdict=_verdict(problems),
        shape=shape_in_words(summary.shapes),
        files=summary.files,
        rows_read=summary.rows_read,
        rows_usable=len(usable),
        problems=problems,
        fixes=list(fixes),
        max_length=max_length,
        tokens=None if facts is None else _token_numbers(facts, len(usable)),
        tokens_measured=0 if facts is None else facts.rows_measured,
        suggested_max_length=suggested,
        suggested_reason=why,
        unused=summary.unused,
    )


def check_fixes(fixes: Collection[str]) -> None:
    """A UserError unless every name is that of a kind of problem with a fix."""
    for kind in fixes:
        if kind not in KINDS or KINDS[kind].fix is None:
            fixable = ", ".join(name for name, entry in KINDS.items() if entry.fix)
            raise UserError(f"There is no fix called “{kind}”. Choose among: {fixable}.")


def offered_fixes(problems: Iterable[Problem]) -> list[str]:
    """Every fix that these problems offer; of two answers to one question, the first."""
    return [item.kind for item in problems if item.fix is not None and not KINDS[item.kind].settles]


def _verdict(problems: Iterable[Problem]) -> Verdict:
    standing = {item.severity for item in problems if not item.taken}
    return "reject" if "error" in standing else "warn" if "warning" in standing else "accept"


def _problem(kind: str, tally: Tally, rows: Numbers, taken: bool = False) -> Problem:
    """The problem of a kind; `rows` are the numbers of those rows in the tally that the store has."""
    numbers = [*map(int, rows[: len(tally.places)])]
    places = [RowPlace(*place) for place in zip_longest(tally.places, tally.reasons, numbers)]
    message = sentence_of(kind, tally)
    return Problem(kind, KINDS[kind].severity, tally.count, places, message, KINDS[kind].fix, taken)


def _numbers(store: Store, kind: str) -> Numbers:
    """The rows of a kind in the order in which the scan noted them; refused rows have no number."""
    return store.near[:, 0] if kind == "near-duplicates" else store.having(kind)


def _no_detail(row: int) -> str:
    return ""


def _row_problems(
    store: Store, kind: str, rows: Numbers, detail: Callable[[int], str] = _no_detail
) -> list[Problem]:
    """The problem of these rows, if there are any; `detail` says what exactly is wrong with one."""
    first = [int(row) for row in rows[:PLACES_KEPT]]
    tally = Tally(len(rows), [store.where(row) for row in first], [detail(row) for row in first])
    return [_problem(kind, tally, rows)] if first else []


def _whole(kind: str, count: int, sentence: str) -> Problem:
    """A problem of the data as a whole."""
    return Problem(kind, KINDS[kind].severity, count, [], sentence, KINDS[kind].fix)


def _heldout_problems(heldout: Store, max_length: int, fixes: Collection[str]) -> list[Problem]:
    refusal = report(heldout, max_length=max_length, fixes=fixes).first_error
    if not refusal:
        return []
    names = ", ".join(file.name for file in heldout.summary.files)
    sentence = refusal if names in refusal else f"In the held-out file {names}: {refusal}"
    return [_whole("bad held-out file", 1, sentence)]


def _whole_problems(store: Store, usable: Numbers) -> list[Problem]:
    """What can only be said about the data as a whole."""
    shapes, notes = store.summary.shapes, dict(store.summary.notes)
    alike = alike_answers(np.unique(store.answer[usable], return_counts=True)[1])
    if alike:
        notes["alike answers"] = alike
    problems = [_whole(kind, len(usable), sentence) for kind, sentence in notes.items()]
    if len(shapes) > 1:
        sentence = f"The rows have {len(shapes)} different shapes, {shape_in_words(shapes)}."
        problems.append(_whole("mixed shapes", sum(shapes.values()), sentence))
    return problems


def _scarcity(problems: Iterable[Problem], read: int, usable: int) -> list[Problem]:
    """What is to be said when hardly any row is left to train on."""
    if usable == 1:
        return [_whole("few rows", 1, "Only 1 row can be used; a few dozen teach a style.")]
    if 0 < usable < FEW:
        sentence = f"Only {usable} rows can be used; a few dozen teach a style, a few hundred a skill."
        return [_whole("little data", usable, sentence)]
    if usable or any(item.severity == "error" and not item.taken for item in problems):
        return []
    reasons = [item for item in problems if KINDS[item.kind].drops or item.taken]
    why = max(reasons, key=lambda item: item.count).message if reasons else ""
    return [
        _whole("nothing usable", read, f"No row is left to train on among {counted(read)}. {why}".strip())
    ]


def _token_problems(store: Store, tokens: TokenTable, facts: TokenFacts, max_length: int) -> list[Problem]:
    """What the model's tokenizer and template make of the rows that were measured."""

    def length(row: int) -> str:
        return f"{tokens.length[np.searchsorted(tokens.row, row)]:,} tokens"

    if len(facts.lost) and not facts.rows_kept:
        sentence = (
            f"Every row loses its whole answer to the maximum length of {max_length:,} tokens, so there is "
            f"nothing to learn. Choose a longer one: {tokens.suggested_max_length()[1]}"
        )
        problems = [_whole("every answer cut away", len(facts.lost), sentence)]
    else:
        problems = _row_problems(store, "answer cut away", facts.lost, length)
    problems += _row_problems(store, "over-long", facts.cut, length)
    problems += _row_problems(store, "nothing trained", facts.zero, tokens.reason)
    problems += _row_problems(store, "rewritten answers", tokens.rewritten)
    problems += _row_problems(store, "lost characters", tokens.lost_characters)
    if facts.rows_measured == len(store):
        return problems
    after = f" This was counted in a sample of {counted(facts.rows_measured)}."
    return [replace(item, message=item.message + after) for item in problems]


def _token_numbers(facts: TokenFacts, usable: int) -> dict[str, int]:
    """The totals are those of all usable rows: of a sample, its mean row times their number."""
    share = usable / facts.rows_kept if facts.rows_kept else 0.0
    return {
        "total": round(facts.total * share),
        "trained": round(facts.trained * share),
        "p50": facts.p50,
        "p95": facts.p95,
        "p99": facts.p99,
        "max": facts.max,
    }


def sentence_of(kind: str, tally: Tally) -> str:
    """What is said about one kind: how many rows, and the first one with its reason."""
    if not KINDS[kind].about_rows:
        return " ".join(tally.reasons)
    first = _first(tally)
    if tally.count > 1:
        return f"{counted(tally.count)} {KINDS[kind].says}. {first}"
    if KINDS[kind].drops:
        return first
    return f"1 row {_singular(KINDS[kind].says)}. {first}"


def _first(tally: Tally) -> str:
    """The first row and its reason: “Line 3 has no answer.”, “Line 3: “a@b.c”.” or “The first is line 3.”"""
    place, reason = tally.places[0], tally.reasons[0]
    if not reason:
        return f"The first is {place}."
    # “line 3” begins a sentence with a capital letter, the name of a file does not
    begin = place.capitalize() if _BARE_PLACE.fullmatch(place) else place
    between = " " if reason.split(" ", 1)[0] in _VERBS else ": "
    return f"{begin}{between}{reason}{'' if reason.endswith('.') else '.'}"


def _singular(says: str) -> str:
    """Words made for many rows, said of one."""
    return _PLURAL.sub(lambda match: _ONE[match[0]], says)


def counted(rows: int) -> str:
    """“1 row”, “12 rows”."""
    return "1 row" if rows == 1 else f"{rows:,} rows"


def shape_in_words(shapes: dict[str, int]) -> str:
    """The one shape, or all of them with their numbers."""
    if len(shapes) < 2:
        return next(iter(shapes), "")
    ordered = sorted(shapes.items(), key=lambda item: -item[1])
    return "mixed: " + ", ".join(f"{shape} ({counted(count)})" for shape, count in ordered)
