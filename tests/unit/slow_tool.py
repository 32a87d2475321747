"""A tool for the set-up tests: notes that it began, takes `argv[2]` seconds, notes that it ended."""

import sys
import time
from pathlib import Path

folder, seconds = Path(sys.argv[1]), float(sys.argv[2])
with open(folder / "began", "a", encoding="utf-8") as file:
    file.write("began\n")
print("working", flush=True)
time.sleep(seconds)
(folder / "ended").write_text("ended", encoding="utf-8")
