"""Check a dataset: what it is, what is wrong with it, what fits; and write a cleaned copy."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from core.base.errors import UserError
from core.base.home import STARTER, Home, data_path
from core.data.check import Question, check_columns, ensure_store, ensure_tokens
from core.data.cleaned import Changes, save_cleaned
from core.data.report import Report, offered_fixes, report
from core.data.scan import ScanProgress
from core.data.shapes import ROLES_OF_COLUMNS
from core.data.snapshot import FileRole, RowCounts, count_rows, files_of
from core.machine import find_hardware
from core.models import model_folder
from core.models.starter import ensure_starter
from core.presets import choose_preset
from core.runs.data import data_split

_SIGNS = {"error": "x", "warning": "!", "note": "-"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("files", nargs="+", metavar="FILE", help="data files or folders of them")
    add("--model", default=STARTER, help="model folder for the token counts (default: starter)")
    add("--max-length", type=int, help="maximum length in tokens (default: the preset's)")
    roles = f"what a column is: {', '.join(ROLES_OF_COLUMNS)}; as often as needed"
    add("--map", action="append", default=[], metavar="COL=ROLE", help=roles)
    add("--heldout", metavar="FILE", help="your own held-out file")
    share = "share of the rows that is held out, 0 for none (default: the preset's)"
    add("--heldout-share", type=float, metavar="SHARE", help=share)
    add("--all-files", action="store_true", help="train on files called valid or test, too")
    add("--fix", metavar="OUT.jsonl", help="take every fix and write a cleaned copy")
    add("--exact", action="store_true", help="count the tokens of every row, not of a sample")


def run(home: Home, args: argparse.Namespace) -> dict[str, Any]:
    """Check the files and print the report; with --fix also write what every offered fix leaves of them."""
    preset = choose_preset(find_hardware())[0]
    changes = {"max_length": args.max_length, "heldout_share": args.heldout_share}
    recipe = preset.recipe(
        **{name: value for name, value in changes.items() if value is not None},
        data=[str(data_path(name)) for name in args.files] if args.files != ["sample"] else "sample",
        heldout=args.heldout,
        splits=not args.all_files,
    )
    split = data_split(recipe)
    question = Question(
        paths=split.train,
        columns=dict(map(_mapping, args.map)),
        heldout=split.heldout,
        model=_model(home, args.model),
        exact=args.exact,
        aside=split.aside,
    )
    out = _out(args.fix, question.paths) if args.fix else None
    max_length = recipe.max_length
    line = _Line()
    store = ensure_store(home, question.paths, question.columns, line.reading)
    check_columns(store, question.columns)
    heldout, aside = (
        ensure_store(home, paths, question.columns, line.reading) if paths else None
        for paths in (question.heldout, question.aside)
    )
    tokens = ensure_tokens(home, question, store, line.measuring)
    held_tokens = ensure_tokens(home, question.of_heldout(), heldout, line.measuring) if heldout else None
    line.clear()
    judged = report(store, tokens=tokens, max_length=max_length, heldout=heldout)
    terms = {"share": recipe.heldout_share, "seed": recipe.seed, "max_length": max_length}
    counts = count_rows(store, heldout, tokens, held_tokens, **terms)
    files = files_of(store, heldout, aside)
    for sentence in _lines(judged, counts, files, split.named and recipe.splits):
        print(_printable(sentence), flush=True)
    printed = judged.to_json() | {"split": _split_json(counts, files)}
    if out is None:
        return printed
    fixes = offered_fixes(judged.problems)
    copy = save_cleaned(store, fixes, out)
    left = report(store, tokens=tokens, max_length=max_length, fixes=fixes, heldout=heldout)
    for sentence in _change_lines(copy, left):
        print(_printable(sentence), flush=True)
    return printed | {"cleaned": {**copy.to_json(), "verdict": left.verdict}}


def _out(name: str, paths: list[Path]) -> Path:
    """Where the cleaned copy goes: never onto the data itself."""
    out = data_path(name)
    if any(out.resolve() == path.resolve() for path in paths):
        raise UserError(f"--fix {name} names the data itself. Give the cleaned copy another name.")
    if not out.parent.is_dir():
        raise UserError(f"There is no folder {out.parent} for the cleaned copy. Make it first.")
    return out


def _printable(text: str) -> str:
    """Text from the data can't steer the terminal."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)


def _mapping(text: str) -> tuple[str, str]:
    """“question=user” as (column, role)."""
    column, equals, role = text.rpartition("=")
    if not equals or not column or role not in ROLES_OF_COLUMNS:
        roles = ", ".join(ROLES_OF_COLUMNS)
        raise UserError(f"--map {text} is not of the form COLUMN=ROLE. The roles: {roles}.")
    return column, role


def _model(home: Home, name: str) -> Path:
    if name == STARTER:
        return ensure_starter(home)
    folder = model_folder(home, name)
    if not folder.is_dir():
        raise UserError(f"There is no model folder {folder}. Give --model a folder, or leave it out.")
    return folder


class _Line:
    """One line on the terminal that says how far it is; none where nobody looks."""

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty()

    def reading(self, progress: ScanProgress) -> None:
        share = f"{progress.bytes / progress.total:4.0%}" if progress.total else ""
        self._show(f"{progress.stage} {share} {progress.rows:,} rows, {progress.rows_per_s:,.0f} a second")

    def measuring(self, done: int, total: int) -> None:
        self._show(f"measuring tokens, {done:,} of {total:,} rows")

    def clear(self) -> None:
        self._show("")

    def _show(self, text: str) -> None:
        if self._shown:
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def _split_json(counts: RowCounts, files: list[FileRole]) -> dict[str, Any]:
    said = [{"name": file.name, "role": file.role, "rows": file.rows} for file in files]
    return {"train": counts.train, "heldout": counts.heldout, "exact": counts.exact, "files": said}


def _lines(judged: Report, counts: RowCounts, files: list[FileRole], named: bool) -> Iterable[str]:
    names = ", ".join(file.name for file in judged.files) or "nothing"
    kind = ", ".join(filter(None, (judged.format, judged.encoding, judged.shape)))
    yield f"{names}{f' ({kind})' if kind else ''}"
    dropped = f", {judged.rows_dropped:,} left out" if judged.rows_dropped else ""
    yield f"{judged.rows_read:,} rows read, {judged.rows_usable:,} can be trained on{dropped}."
    if len(files) > len(judged.files):
        yield from (f"  {file.name}: {file.words}" for file in files)
    if named:
        yield "  By the names of the files. --all-files trains on all of them."
    if judged.rows_usable:
        yield f"Rows: {counts.words}."
    for problem in judged.problems:
        offer = f" Fix: {problem.fix}." if problem.fix else ""
        yield f"  {_SIGNS[problem.severity]} {problem.kind}: {problem.message}{offer}"
        if problem.kind == "unknown columns":
            yield f"      Or name them: --map COLUMN=ROLE. Roles: {', '.join(ROLES_OF_COLUMNS)}."
    if judged.tokens is not None and judged.tokens_measured:
        numbers = judged.tokens
        sampled = judged.tokens_measured < judged.rows_usable
        about = f", from a sample of {judged.tokens_measured:,} rows" if sampled else ""
        yield (
            f"Tokens: {numbers['total']:,} in one epoch, {numbers['trained']:,} of them trained{about}; "
            f"half of the rows have at most {numbers['p50']:,}, 95% at most {numbers['p95']:,}, "
            f"99% at most {numbers['p99']:,}, the longest {numbers['max']:,}."
        )
        yield f"Maximum length {judged.max_length:,}. Suggested: {judged.suggested_reason}"
    yield f"Verdict: {judged.verdict}"


def _change_lines(changes: Changes, left: Report) -> Iterable[str]:
    yield f"Cleaned copy: {changes.file} ({changes.rows:,} rows); what was changed: {changes.list}"
    for kind, count in changes.left_out.items():
        yield f"  left out: {count:,} for {kind}"
    for kind, count in changes.rewritten.items():
        yield f"  rewritten: {count:,} for {kind}"
    yield f"Verdict of the copy: {left.verdict}"
