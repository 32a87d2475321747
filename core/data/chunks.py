"""Cuts a laid-out chat into chunks that are encoded alone: at control tokens, and where training begins."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import pairwise

from core.data.controls import Control, ControlToken, Layout, Span

Chunk = tuple[str, str, bool, ControlToken | None]


class Chunks:
    """Cuts a layout into chunks that cover its whole text in order: (text, place, trained, control token).

    place: “start” of the text, “after” a control token, or “inside” running text.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._spans = _united(layout.trained)
        self._starts = [start for start, _ in layout.trained]
        self._borders = sorted({border for span in layout.trained for border in span})
        self.found: list[Chunk] = []
        position, place = 0, "start"
        for control in layout.controls:
            first, last = self._reach(control, position)
            self._text(position, first, place)
            trained = self._is_trained(control.start, control.end)
            self.found.append((layout.text[first:last], "after", trained, control.token))
            position, place = last, "after"
        self._text(position, len(layout.text), place)

    def _reach(self, control: Control, position: int) -> tuple[int, int]:
        """What the control token swallows; white space that an answer begins with is the answer's."""
        first, last = control.first, control.last
        if first < control.start:
            first = max([first, position, *(start for start in self._starts if start <= control.start)])
        if last > control.end:
            last = min([last, *(start for start in self._starts if start >= control.end)])
        return first, last

    def _text(self, start: int, end: int, place: str) -> None:
        inside = self._borders[bisect_right(self._borders, start) : bisect_left(self._borders, end)]
        for one, two in pairwise([start, *inside, end]):
            if one < two:
                self.found.append((self._layout.text[one:two], place, self._is_trained(one, two), None))
                place = "inside"

    def _is_trained(self, start: int, end: int) -> bool:
        number = bisect_right(self._spans, (start, len(self._layout.text))) - 1
        return number >= 0 and end <= self._spans[number][1]


def _united(spans: list[Span]) -> list[Span]:
    """The spans in order, those that overlap made one."""
    united: list[Span] = []
    for start, end in sorted(spans):
        if united and start < united[-1][1]:
            start, end = united[-1][0], max(end, united.pop()[1])
        united.append((start, end))
    return united
