"""The report on a store: every problem with its count, places and fix, the token numbers, and a verdict."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from core.base.errors import UserError
from core.data.compare import leaked
from core.data.doctor import alike_answers
from core.data.kinds import KINDS
from core.data.measure import TokenFacts, TokenTable
from core.data.sentences import counted, sentence_of, shape_in_words
from core.data.store import PLACES_KEPT, Found, Store
from core.data.verdict import Problem, Report, Verdict

FEW = 20
_RANK = {"error": 0, "warning": 1, "note": 2}


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
    left = store.select(fixes)
    leaks = leaked(store, heldout, left, fixes) if heldout is not None else left[:0]
    usable = np.setdiff1d(left, leaks, assume_unique=True)
    problems = [
        *_found_problems(store, fixes),
        *_leak_problems(store, leaks, heldout, fixes, max_length),
        *_whole_problems(store, usable),
    ]
    facts = None
    if tokens is not None:
        facts = tokens.at(max_length)
        problems += _token_problems(store, tokens, facts, max_length)
        if tokens.rows_measured >= len(store):
            usable = np.setdiff1d(usable, np.union1d(facts.lost, facts.zero))
    return _put_together(store, problems, usable, fixes, max_length, tokens, facts)


def check_fixes(fixes: Collection[str]) -> None:
    """A UserError unless every name is that of a kind of problem with a fix."""
    for kind in fixes:
        if kind not in KINDS or KINDS[kind].fix is None:
            known = ", ".join(name for name, entry in KINDS.items() if entry.fix)
            raise UserError(f"There is no fix called “{kind}”. Choose among: {known}.")


def offered_fixes(problems: Iterable[Problem]) -> list[str]:
    """Every fix that these problems offer."""
    return [item.kind for item in problems if item.fix is not None]


def _put_together(
    store: Store,
    problems: list[Problem],
    usable: NDArray[np.int64],
    fixes: Collection[str],
    max_length: int,
    tokens: TokenTable | None,
    facts: TokenFacts | None,
) -> Report:
    summary = store.summary
    if not len(usable) and not any(item.severity == "error" and item.stands for item in problems):
        reasons = [item for item in problems if KINDS[item.kind].drops or item.taken]
        why = max(reasons, key=lambda item: item.count).message if reasons else ""
        sentence = f"No row is left to train on among {counted(summary.rows_read)}. {why}".strip()
        problems.append(_whole("nothing usable", summary.rows_read, sentence))
    elif len(usable) == 1:
        problems.append(_whole("few rows", 1, "Only 1 row can be used; a few dozen teach a style."))
    elif 0 < len(usable) < FEW:
        sentence = f"Only {len(usable)} rows can be used; a few dozen teach a style, a few hundred a skill."
        problems.append(_whole("little data", len(usable), sentence))
    order = list(KINDS)
    problems.sort(key=lambda item: (_RANK[item.severity], order.index(item.kind)))
    suggested, reason = None, ""
    if tokens is not None and tokens.rows_measured:
        suggested, reason = tokens.suggested_max_length()
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
        suggested_reason=reason,
        unused=summary.unused,
    )


def _verdict(problems: Iterable[Problem]) -> Verdict:
    standing = {item.severity for item in problems if item.stands}
    return "reject" if "error" in standing else "warn" if "warning" in standing else "accept"


def _found_problems(store: Store, fixes: Collection[str]) -> list[Problem]:
    """What the scan noted about files and rows."""
    return [
        Problem(
            kind=kind,
            severity=KINDS[kind].severity,
            count=found.count,
            rows=found.places,
            message=sentence_of(kind, found),
            fix=KINDS[kind].fix,
            taken=kind in fixes,
        )
        for kind, found in store.summary.found.items()
    ]


def _leak_problems(
    store: Store, leaks: NDArray[np.int64], heldout: Store | None, fixes: Collection[str], max_length: int
) -> list[Problem]:
    if heldout is None:
        return []
    problems = []
    refusal = report(heldout, max_length=max_length, fixes=fixes).first_error
    if refusal:
        names = ", ".join(file.name for file in heldout.summary.files)
        sentence = refusal if names in refusal else f"In the held-out file {names}: {refusal}"
        problems.append(_whole("bad held-out file", 1, sentence))
    if len(leaks):
        problems.append(_row_problem(store, "held-out leak", leaks, _no_detail))
    return problems


def _whole_problems(store: Store, usable: NDArray[np.int64]) -> list[Problem]:
    """What can only be said about the data as a whole."""
    shapes = store.summary.shapes
    problems = []
    if len(shapes) > 1:
        sentence = f"The rows have {len(shapes)} different shapes, {shape_in_words(shapes)}."
        problems.append(_whole("mixed shapes", sum(shapes.values()), sentence))
    notes = store.summary.notes | _alike(store, usable)
    problems += [_whole(kind, len(usable), sentence) for kind, sentence in notes.items()]
    return problems


def _alike(store: Store, usable: NDArray[np.int64]) -> dict[str, str]:
    alike = alike_answers(np.unique(store.answer[usable], return_counts=True)[1])
    return {"alike answers": alike} if alike else {}


def _token_problems(store: Store, tokens: TokenTable, facts: TokenFacts, max_length: int) -> list[Problem]:
    """What the model's tokenizer and template make of the rows that were measured."""

    def length(row: int) -> str:
        return f"{tokens.length[np.searchsorted(tokens.row, row)]:,} tokens"

    problems = []
    if len(facts.lost) and not facts.rows_kept:
        sentence = (
            f"Every row loses its whole answer to the maximum length of {max_length:,} tokens, so there is "
            f"nothing to learn. Choose a longer one: {tokens.suggested_max_length()[1]}"
        )
        problems.append(_whole("every answer cut away", len(facts.lost), sentence))
    else:
        problems.append(_row_problem(store, "answer cut away", facts.lost, length))
    problems += [
        _row_problem(store, "over-long", facts.cut, length),
        _row_problem(store, "nothing trained", facts.zero, tokens.reason),
        _row_problem(store, "rewritten answers", tokens.rewritten, _no_detail),
        _row_problem(store, "lost characters", tokens.lost_characters, _no_detail),
    ]
    sampled = facts.rows_measured < len(store)
    after = f" This was counted in a sample of {counted(facts.rows_measured)}." if sampled else ""
    return [replace(item, message=item.message + after) for item in problems if item.count]


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


def _row_problem(store: Store, kind: str, rows: NDArray[np.int64], detail: Callable[[int], str]) -> Problem:
    """A problem of rows that are in the store; `detail` says what is said about the first."""
    places = [store.where(int(row)) for row in rows[:PLACES_KEPT]]
    found = Found(len(rows), places, [detail(int(row)) for row in rows[:1]])
    message = sentence_of(kind, found) if places else ""
    return Problem(kind, KINDS[kind].severity, len(rows), places, message, KINDS[kind].fix)


def _no_detail(row: int) -> str:
    return ""


def _whole(kind: str, count: int, sentence: str) -> Problem:
    return Problem(kind, KINDS[kind].severity, count, [], sentence, KINDS[kind].fix)
