"""The commands without a screen: run one, and turn how it ended into an exit code and, if asked, JSON.

What a command needs is imported when it runs: `fit` answers before the others have loaded their libraries.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import traceback
from importlib import import_module
from pathlib import Path
from typing import Any

from core.base.errors import UserError, WorkerFailed
from core.base.home import Home, open_home

# command → (module, function); the function takes the home folder and the arguments, and returns plain values
COMMANDS = {
    "demo": ("core.commands.walk", "demo"),
    "train": ("core.commands.walk", "train"),
    "export": ("core.commands.walk", "export"),
    "chat": ("core.commands.walk", "chat"),
    "check-data": ("core.commands.check_data", "check_data"),
    "fit": ("core.commands.fit", "fit"),
}


def run(args: argparse.Namespace) -> int:
    """Carry out `args.command`: 0 when done, 2 for a user's error or rejected data, 1 for ours (the log)."""
    home: Home | None = None
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # what the terminal has no character for is no reason to fail
            stream.reconfigure(errors="backslashreplace")
    try:
        home = open_home(args.home)
        module, function = COMMANDS[args.command]
        result = getattr(import_module(module), function)(home, args)
    except UserError as error:
        return _fail(args, 2, str(error))
    except WorkerFailed as error:
        return _fail(args, 1, str(error), error.log)
    except KeyboardInterrupt:
        return _fail(args, 2, "Stopped.")
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _nobody_reads():
            return 0
        log = _write_crash(home)
        return _fail(args, 1, f"An unexpected error: {type(error).__name__}: {error}.", log)
    if args.json:
        _print_json(result)
    return 2 if result.get("verdict") == "reject" else 0


def _fail(args: argparse.Namespace, code: int, sentence: str, log: Path | None = None) -> int:
    where = f" The log: {log}" if log else ""
    print(sentence + where, file=sys.stderr, flush=True)
    if args.json:
        _print_json({"error": sentence, "log": str(log) if log else None})
    return code


def _nobody_reads() -> bool:
    """Whether the output's reader (`| head`) has gone; then the rest goes nowhere, to the very end."""
    try:
        print(flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return False


def _print_json(value: dict[str, Any]) -> None:
    """One line; escaped where the terminal can't write every character."""
    plain = (sys.stdout.encoding or "").lower() not in ("utf-8", "utf8")
    print(json.dumps(value, ensure_ascii=plain), flush=True)


def _write_crash(home: Home | None) -> Path | None:
    """The log with what went wrong; on the screen where no log can be written."""
    from core.base.events import now

    told = traceback.format_exc()
    try:
        if home is not None:
            log = home.root / "commands.log"
            with open(log, "a", encoding="utf-8") as file:
                file.write(f"\n--- {now()}\n{told}")
            return log
    except OSError as error:
        told += f"The log can't be written either: {error}\n"
    print(told, file=sys.stderr, end="", flush=True)
    return None
