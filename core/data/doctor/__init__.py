"""The dataset doctor: what stands out in a row, in rows beside each other and in the whole set, and fixes."""

from core.data.doctor.rows import TEXT_FIXES, inspect, rewrite
from core.data.doctor.turns import empty_turn
from core.data.doctor.twins import comparable_text, near_duplicates, near_leaks, rows_to_compare
from core.data.doctor.whole import alike_answers, whole_notes

__all__ = [
    "TEXT_FIXES",
    "alike_answers",
    "comparable_text",
    "empty_turn",
    "inspect",
    "near_duplicates",
    "near_leaks",
    "rewrite",
    "rows_to_compare",
    "whole_notes",
]
