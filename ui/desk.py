"""What the Data step works on: the check of the chosen data, its report, the row in sight.

Everything that matters lies on disk; what is kept here only saves reading it again at every tick.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from core.base.home import Home
from core.data import ChatTokenizer, Encoded
from core.data.check import CheckState, Question, read_check, start_check, stop_check
from core.data.cleaned import Changes, save_cleaned
from core.data.measure import TokenFacts, TokenTable
from core.data.report import Problem, Report, report
from core.data.sight import RowInSight, worst_rows
from core.data.store import Store
from core.fit.estimate import RunTime
from core.recipe import Recipe
from ui.data_problems import Entry, Place

PLACES = 8
_REPORTS = 4
_SEARCHES = 8
# all views of one tick read the same state
_TICK_S = 0.3
_REST_S = 3.0
_TIME_S = 30.0
Found = TypeVar("Found")


@dataclass(frozen=True)
class _Known:
    """A check's state as it was read at `at`. One that can't change any more is good for longer."""

    question: Question
    state: CheckState
    at: float

    def holds(self, question: Question) -> bool:
        age = time.monotonic() - self.at
        return self.question == question and age < (_TICK_S if self.state.missing else _REST_S)


@dataclass(frozen=True)
class _Made:
    """A report and what it was made of."""

    parts: tuple[Any, ...]
    terms: tuple[Any, ...]
    report: Report


class Desk:
    """One per app process."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.row = 0
        self.drafts: dict[str, dict[str, str]] = {}
        self._exact: set[str] = set()
        self._known: _Known | None = None
        self._reports: list[_Made] = []
        self._cleaned: tuple[Any, Changes] | None = None
        self._cleaning = threading.Lock()
        self._entries: tuple[Report, list[Entry]] | None = None
        self._encoded: tuple[Any, Encoded] | None = None
        self._facts: tuple[TokenTable, int, TokenFacts] | None = None
        self._searched: dict[Any, Any] = {}
        self._answers: dict[Any, tuple[float, Any]] = {}
        self._run_time: tuple[Any, float, RunTime] | None = None

    def check(self, question: Question) -> CheckState:
        """How the check goes. A new question starts one; what was stopped or failed stays so."""
        known = self._known
        if known is not None and known.holds(question):
            return known.state
        if known is not None and known.state.job.active and known.question.paths != question.paths:
            # nobody waits for the data that was chosen before
            stop_check(self.home, known.question)
        state = read_check(self.home, question)
        if state.missing and not state.asked and not state.job.active:
            start_check(self.home, question)
            state = read_check(self.home, question)
        if question.exact and state.tokens is None:
            # the sample's numbers stay on the page while all rows are measured
            state = replace(state, tokens=read_check(self.home, replace(question, exact=False)).tokens)
        self._known = _Known(question, state, time.monotonic())
        return state

    def start(self, question: Question) -> None:
        """Check again what was stopped or has failed."""
        self._known = None
        start_check(self.home, question)

    def stop(self, question: Question) -> None:
        self._known = None
        stop_check(self.home, question)

    def measure_all(self, data: str) -> None:
        """From now on every row of this data is measured, not a sample."""
        self._exact.add(data)

    def measure_sample(self, data: str) -> None:
        self._exact.discard(data)

    def exact(self, data: str) -> bool:
        return data in self._exact

    def report(self, state: CheckState, recipe: Recipe) -> Report | None:
        """The report on what was checked, as the recipe would train it."""
        if state.store is None:
            return None
        parts = (state.store, state.heldout, state.tokens)
        terms = (recipe.max_length, tuple(recipe.fixes))
        for known in self._reports:
            if known.terms == terms and all(one is two for one, two in zip(known.parts, parts)):
                return known.report
        made = report(
            state.store,
            tokens=state.tokens,
            max_length=recipe.max_length,
            fixes=recipe.fixes,
            heldout=state.heldout,
        )
        self._reports = [*self._reports, _Made(parts, terms, made)][-_REPORTS:]
        return made

    def entries(self, made: Report) -> list[Entry]:
        """The problems of a report as the page shows them, with the rows that can be looked at."""
        if self._entries is None or self._entries[0] is not made:
            self._entries = (made, [_entry(problem) for problem in made.problems])
        return self._entries[1]

    def token_facts(self, tokens: TokenTable, max_length: int) -> TokenFacts:
        """The lengths of the measured rows; counted once while neither they nor the maximum change."""
        known = self._facts
        if known is None or known[0] is not tokens or known[1] != max_length:
            known = self._facts = (tokens, max_length, tokens.at(max_length))
        return known[2]

    def run_time(self, question: Hashable, estimate: Callable[[], RunTime]) -> RunTime:
        """How long such a run takes; earlier runs are asked now and then."""
        known = self._run_time
        if known is None or known[0] != question or time.monotonic() > known[1]:
            known = self._run_time = (question, time.monotonic() + _TIME_S, estimate())
        return known[2]

    def at_once(self, question: Hashable, answer: Callable[[], Found]) -> Found:
        """The answer that all views of one moment share."""
        known = self._answers.get(question)
        if known is None or time.monotonic() > known[0]:
            known = (time.monotonic() + _TICK_S, answer())
            self._answers = dict([*self._answers.items(), (question, known)][-_SEARCHES:])
        return known[1]

    def forget(self) -> None:
        """What was kept for a moment is wrong from now on."""
        self._answers = {}

    def searched(self, question: Hashable, search: Callable[[], Found]) -> Found:
        """The answer of a search over the settings; searched once while the question stays the same."""
        if question not in self._searched:
            self._searched = dict([*self._searched.items(), (question, search())][-_SEARCHES:])
        return self._searched[question]

    def encoded(self, tokenizer: ChatTokenizer, row: RowInSight, max_length: int) -> Encoded:
        """The row as the trainer will get it, encoded once while it stays in sight."""
        terms = (tokenizer, row.messages, max_length)
        if self._encoded is None or self._encoded[0] != terms:
            self._encoded = (terms, tokenizer.encode(row.messages, max_length))
        return self._encoded[1]

    def cleaned(self, store: Store, fixes: Collection[str]) -> Changes:
        """The cleaned copy for these fixes; the last one is kept beside the store."""
        folder = store.folder.parent / "cleaned"
        terms = (store.folder, tuple(fixes))
        with self._cleaning:
            if self._cleaned is None or self._cleaned[0] != terms or not self._cleaned[1].file.is_file():
                folder.mkdir(exist_ok=True)
                self._cleaned = (terms, save_cleaned(store, fixes, folder / "cleaned.jsonl"))
            return self._cleaned[1]

    def turn_to(self, number: int, total: int) -> None:
        self.row = min(max(0, number), max(0, total - 1))

    def turn_to_any(self, total: int) -> None:
        """Any other row."""
        if total > 1:
            self.row = (self.row + random.randrange(1, total)) % total

    def turn_to_worst(self, store: Store, facts: TokenFacts | None) -> None:
        """The row with the most problems; from there the next worst."""
        order = worst_rows(store, facts)
        self.row = order[(order.index(self.row) + 1) % len(order)] if self.row in order else order[0]


def _entry(problem: Problem) -> Entry:
    places = [Place(*place) for place in problem.places[:PLACES]]
    return Entry(problem.kind, problem.severity, problem.count, problem.message, problem.fix or "", places)
