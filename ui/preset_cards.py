"""Step 3, the presets as cards: the chosen one in sight, the others by class of hardware folded away."""

from __future__ import annotations

from core.machine import Hardware
from core.presets import Preset, choose_preset, load_presets, suggested_models
from ui.bench import Bench
from ui.fit_words import memory, short_name
from ui.html import checks, choice_cards, esc, fold

_CLASSES = {
    "nvidia": "NVIDIA",
    "amd": "AMD",
    "intel": "Intel",
    "apple": "Apple",
    "cpu": "No graphics card",
    "": "Your own",
}
_SUGGESTED = 4


def cards_html(bench: Bench) -> str:
    """The chosen preset with models that suit it, the matched one first among the others."""
    chosen, suited = bench.preset()[0], choose_preset(bench.hardware)[0]
    first = choice_cards("preset", "Chosen preset", [_card(chosen, suited)], chosen.key)
    others = [item for item in load_presets(bench.home) if item.key != chosen.key]
    folded = fold("other-presets", "Other presets", _by_class(others, suited))
    return first + _mismatch_html(bench.hardware, chosen) + _suggested_html(bench, chosen) + folded


def _by_class(presets: list[Preset], suited: Preset) -> str:
    """A fold of cards for each class; that of this machine first and open, in it the matched preset first."""
    order = sorted(_CLASSES, key=lambda vendor: (vendor != suited.vendor, vendor != ""))
    groups = []
    for vendor in order:
        group = sorted(
            (item for item in presets if item.vendor == vendor), key=lambda item: item.key != suited.key
        )
        if group:
            cards = choice_cards("preset", _CLASSES[vendor], [_card(item, suited) for item in group], "")
            title = f"{esc(_CLASSES[vendor])} <small>{len(group)}</small>"
            one = fold(f"presets-{vendor or 'own'}", title, cards)
            opened = vendor == suited.vendor or not vendor
            groups.append(one.replace("<details ", "<details open ", 1) if opened else one)
    return "".join(groups)


def _card(preset: Preset, suited: Preset) -> tuple[str, str, str]:
    mark = " · for this machine" if preset.key == suited.key else ""
    return preset.key, preset.title + mark, preset.about


def _mismatch_html(hardware: Hardware, preset: Preset) -> str:
    """A warning where the chosen preset is made for hardware that is not here."""
    gpu, made_for = hardware.training_gpu, preset.hardware
    if made_for is None or made_for.vendor == "cpu":
        return ""
    if gpu is None:
        return checks([("warn", "This preset is made for a graphics card, and none here can train.")])
    if made_for.vendor != gpu.vendor:
        return checks([("warn", f"This preset is made for {_CLASSES[made_for.vendor]} cards.")])
    if gpu.total_gib < made_for.from_gib:
        less = f"{short_name(gpu.name)} has {memory(gpu.total)}, less than this preset is made for."
        return checks([("warn", f"{less} Memory may run out.")])
    return ""


def _suggested_html(bench: Bench, preset: Preset) -> str:
    """Models of the catalogue that this preset was made for."""
    models = [name.rsplit("/", 1)[-1] for name in suggested_models(preset, bench.hardware.best_gpu)]
    if not models:
        return ""
    # “and 1 more” is longer than most names
    shown = models if len(models) <= _SUGGESTED + 1 else models[:_SUGGESTED]
    names = ", ".join(shown) + (f" and {len(models) - len(shown)} more" if shown != models else "")
    return (
        f'<p class="lg-help lg-suits">Models that suit it: {esc(names)}. <a href="#model">Choose one</a></p>'
    )
