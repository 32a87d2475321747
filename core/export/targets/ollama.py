"""Ollama: one command beside the Modelfile."""

from __future__ import annotations

import shutil
import subprocess

from core.base.errors import UserError
from core.base.process import telling_line
from core.export.record import Export
from core.export.targets import Target

_CREATE_TIMEOUT_S = 1800


class Ollama(Target):
    name = "ollama"
    title = "Ollama"
    order = 10
    help = "A Modelfile stands beside the file: template, stop words, context."
    button = "Add it to Ollama"
    doing = "Ollama takes the model in"

    def missing(self) -> str:
        return "" if shutil.which("ollama") else "Ollama was not found on this machine."

    def command(self, export: Export) -> str:
        # with the whole path it works from any folder and in any shell
        return f'ollama create {export.tag} -f "{export.modelfile}"' if export.modelfile.is_file() else ""

    def place(self, export: Export) -> str:
        """Run `ollama create` beside the Modelfile; it copies the model."""
        program = shutil.which("ollama")
        if program is None:
            raise UserError("Ollama was not found. Install it, start it once, then try again.")
        if not export.modelfile.is_file():
            raise UserError(f"{export.file.name} has no Modelfile of its own. Make the file again.")
        if not export.file.is_file():
            # Ollama would take its name for a model to download
            raise UserError(f"{export.file} is gone. Make it again.")
        try:
            done = subprocess.run(
                [program, "create", export.tag, "-f", export.modelfile.name],
                cwd=export.modelfile.parent,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_CREATE_TIMEOUT_S,
            )
        except subprocess.TimeoutExpired as error:
            raise UserError(
                "Ollama did not finish within half an hour. Is it running, and the disk free?"
            ) from error
        if done.returncode != 0:
            reason = telling_line((done.stdout + b"\n" + done.stderr).decode("utf-8", "replace"))
            raise UserError(
                f"Ollama could not take the model: “{reason}”. Is Ollama running? Start it and try again."
            )
        return f"Talk to it with: ollama run {export.tag}"
