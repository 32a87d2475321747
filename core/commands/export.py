"""Merge, convert to GGUF and quantize a run."""

from __future__ import annotations

import argparse
from typing import Any

from core.base.errors import WorkerFailed
from core.base.home import Home
from core.commands.follow import follow
from core.export.forms import default_form, forms
from core.export.record import Export, export_job, newest_export, start_export
from core.export.targets import target_named, targets
from core.runs.run import Run, open_run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="name or folder of a run")
    names, default = ", ".join(form.name for form in forms()), default_form().name
    parser.add_argument("--quant", default=default, help=f"{names} (default: {default})")
    programs = " or ".join(f"{target.name} ({target.title})" for target in targets())
    parser.add_argument("--to", metavar="PROGRAM", help=f"then hand the file to a program: {programs}")


def run(home: Home, args: argparse.Namespace) -> dict[str, Any]:
    """Merge, convert and quantize a trained run, and hand the file over if that was asked for."""
    target = target_named(args.to) if args.to else None
    file = export(home, open_run(home, args.run), args.quant)
    if target is not None:
        print(target.place(file), flush=True)
    return file.to_json()


def export(home: Home, trained: Run, quant: str) -> Export:
    """One file of a trained run; what its worker says is printed. WorkerFailed when it left none."""
    follow(export_job(trained), lambda: start_export(home, trained, quant))
    file = newest_export(trained, quant)
    if file is None:
        raise WorkerFailed("The export left no file.", export_job(trained) / "worker.log")
    print(f"GGUF {file.file} ({file.bytes / 1e6:.0f} MB, sha256 {file.sha256[:12]}…)", flush=True)
    return file
