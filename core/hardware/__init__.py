"""What is in this machine. Imports no torch, so the page can ask at any time."""

from core.hardware.machine import GIB, Gpu, Hardware, find_hardware, usable_cores

__all__ = ["GIB", "Gpu", "Hardware", "find_hardware", "usable_cores"]
