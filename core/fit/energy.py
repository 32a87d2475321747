"""What a training draws from the socket."""

from __future__ import annotations

from core.fit.rates import card_power
from core.machine import Gpu

# Our round numbers, in watts: the share of its board power that a card draws on average while it trains;
# the rest of a desktop, a laptop, an Apple machine; a busy CPU core. Power supplies lose a tenth.
_BUSY_SHARE = 0.85
_REST = {"desktop": 80, "laptop": 25, "apple": 15}
_A_CORE = 6
_SUPPLY = 1 / 0.9
# the sum may be wrong by this factor
SPREAD = 1.5
_SECONDS_AN_HOUR = 3600


def watts(gpu: Gpu | None, cores: int) -> float:
    """Average draw of the whole machine while it trains on this card, or on so many CPU cores."""
    if gpu is None:
        return (_REST["desktop"] + _A_CORE * cores) * _SUPPLY
    kind = "apple" if gpu.vendor == "apple" else "laptop" if gpu.laptop else "desktop"
    return (card_power(gpu) * _BUSY_SHARE + _REST[kind]) * _SUPPLY


def kilowatt_hours(draw: float, seconds: float) -> float:
    return draw * seconds / _SECONDS_AN_HOUR / 1000
