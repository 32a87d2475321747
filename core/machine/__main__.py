"""`python -m core.machine`: this machine's raw answers as JSON, for LORA_GARAGE_PROBE or a report."""

import json

from core.machine import ask_machine

if __name__ == "__main__":
    print(json.dumps(ask_machine(), indent=1))
