"""Merge, convert to GGUF and quantize a run."""

from __future__ import annotations

import argparse
from typing import Any

from core.base.errors import WorkerFailed
from core.base.home import Home
from core.commands.follow import follow
from core.export.quants import DEFAULT_QUANT, QUANTS
from core.export.service import Export, export_job, newest_export, start_export
from core.runs.run import Run, open_run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="name or folder of a run")
    sizes = ", ".join(QUANTS)
    parser.add_argument("--quant", default=DEFAULT_QUANT, help=f"{sizes} (default: {DEFAULT_QUANT})")


def run(home: Home, args: argparse.Namespace) -> dict[str, Any]:
    """Merge, convert and quantize a trained run."""
    return export(home, open_run(home, args.run), args.quant).to_json()


def export(home: Home, trained: Run, quant: str) -> Export:
    """One file of a trained run; what its worker says is printed. WorkerFailed when it left none."""
    follow(export_job(trained), lambda: start_export(home, trained, quant))
    file = newest_export(trained, quant)
    if file is None:
        raise WorkerFailed("The export left no file.", export_job(trained) / "worker.log")
    print(f"GGUF {file.file} ({file.bytes / 1e6:.0f} MB, sha256 {file.sha256[:12]}…)", flush=True)
    return file
