"""Operations a second that hardware reaches while it trains, before anything was measured on it."""

from __future__ import annotations

from core.machine import Gpu

# measured: LoRA in float32, SmolLM2 135M, 114 tokens/s on two cores of a server, 4 operations a weight
A_CORE = 114 * 135e6 * 4 / 2
# Peak of 16-bit tensor operations with 32-bit sums over board power, TFLOP/s a watt, of one card each, from
# the makers' data sheets: V100 125/300, RTX 2080 Ti 54/250, A100 312/400, RTX 3090 71/350, RTX 4090 165/450,
# H100 989/700, RTX 5090 209/575, B200 2250/1000; RX 7900 XTX 123/355, RX 9070 XT 195/304, Arc A770 138/225.
_BY_CAPABILITY = {
    (7, 0): 0.42,
    (7, 5): 0.22,
    (8, 0): 0.78,
    (8, 6): 0.20,
    (8, 9): 0.37,
    (9, 0): 1.41,
    (10, 0): 2.25,
    (12, 0): 0.36,
}
_BY_VENDOR = {"amd": 0.35, "intel": 0.6, "apple": 0.25}
# the share of it that LoRA training reaches, our guess: 35 % with CUDA, 15 % elsewhere
_REACHED = {"nvidia": 0.35}
_REACHED_ELSEWHERE = 0.15
# board power where the card is not known, watts: a middle-class card of its kind
_USUAL_POWER = 170
_USUAL_LAPTOP_POWER = 90
_USUAL_APPLE_POWER = 40
_TERA = 1e12


def card_rate(gpu: Gpu) -> float:
    """Operations a second that a card of this class reaches; may be wrong by a factor of 3."""
    reached = _REACHED.get(gpu.vendor, _REACHED_ELSEWHERE)
    return _peak_a_watt(gpu) * card_power(gpu) * reached * _TERA


def card_power(gpu: Gpu) -> float:
    """Board power in watts: the card's own limit, else what is usual for its kind."""
    if gpu.power:
        return gpu.power
    if gpu.vendor == "apple":
        return _USUAL_APPLE_POWER
    return _USUAL_LAPTOP_POWER if gpu.laptop else _USUAL_POWER


def _peak_a_watt(gpu: Gpu) -> float:
    """TFLOP/s a watt, from the newest known compute capability that is not newer than the card's."""
    if gpu.vendor != "nvidia" or gpu.capability is None:
        return _BY_VENDOR.get(gpu.vendor, min(_BY_CAPABILITY.values()))
    known = [level for level in _BY_CAPABILITY if level <= gpu.capability]
    return _BY_CAPABILITY[max(known, default=min(_BY_CAPABILITY))]
