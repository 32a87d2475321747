"""A child for tests: `python -m tests.unit.child_process talk|fail|sleep [NOTE]|work FOLDER SECONDS`."""

import os
import sys
import time
from pathlib import Path

from core.base.process import die_with_parent

if __name__ == "__main__":
    die_with_parent()
    if sys.argv[1] == "talk":
        print("begin")
        print("10%\r20%\r", end="")
        print("end")
    if sys.argv[1] == "fail":
        print("ValueError: Model FooForCausalLM is not supported\nbye")
        sys.exit(7)
    if sys.argv[1] == "sleep":
        if len(sys.argv) > 2:
            Path(sys.argv[2]).write_text(str(os.getpid()))
        time.sleep(60)
    if sys.argv[1] == "work":
        with open(Path(sys.argv[2], "began"), "a", encoding="utf-8") as file:
            file.write("began\n")
        time.sleep(float(sys.argv[3]))
        Path(sys.argv[2], "ended").touch()
