"""Our colours: as Gradio's theme and as CSS properties. Sizes and layout are in assets/ui/garage.css."""

from __future__ import annotations

import inspect

from gradio.themes import Base
from gradio.themes.utils import sizes

FONT = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "Liberation Sans", "sans-serif"]
MONO = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "Liberation Mono", "monospace"]

# name: (light, dark)
COLOURS = {
    "ground": ("#FAFAF8", "#161513"),
    "surface": ("#FFFFFF", "#1F1E1B"),
    "ink": ("#1C1B19", "#F2EFEA"),
    "muted": ("#5F5B55", "#B0AAA1"),
    "line": ("#E4E1DB", "#38352F"),
    "accent": ("#B4480F", "#F08A4B"),
    "on-accent": ("#FFFFFF", "#1C1B19"),
    "second": ("#1F5FA8", "#7DB7F0"),
    "ok": ("#1B7F4B", "#5CC98D"),
    "warn": ("#8A5A00", "#E3B341"),
    "bad": ("#B91C1C", "#FF7B72"),
}
_VARIABLES = {
    "body_background_fill": "ground",
    "body_text_color": "ink",
    "body_text_color_subdued": "muted",
    "background_fill_primary": "surface",
    "background_fill_secondary": "ground",
    "block_background_fill": "surface",
    "block_border_color": "line",
    "block_label_background_fill": "surface",
    "block_label_text_color": "muted",
    "block_info_text_color": "muted",
    "block_title_text_color": "ink",
    "border_color_primary": "line",
    "border_color_accent": "accent",
    "color_accent": "accent",
    "color_accent_soft": "ground",
    "input_background_fill": "surface",
    "input_border_color": "line",
    "input_border_color_focus": "accent",
    "input_placeholder_color": "muted",
    "button_primary_background_fill": "accent",
    "button_primary_background_fill_hover": "accent",
    "button_primary_text_color": "on-accent",
    "button_primary_text_color_hover": "on-accent",
    "button_primary_border_color": "accent",
    "button_secondary_background_fill": "surface",
    "button_secondary_background_fill_hover": "ground",
    "button_secondary_text_color": "ink",
    "button_secondary_text_color_hover": "ink",
    "button_secondary_border_color": "line",
    "button_cancel_background_fill": "surface",
    "button_cancel_background_fill_hover": "ground",
    "button_cancel_text_color": "bad",
    "button_cancel_text_color_hover": "bad",
    "button_cancel_border_color": "bad",
    "checkbox_background_color": "surface",
    "checkbox_border_color": "muted",
    "checkbox_background_color_selected": "accent",
    "checkbox_border_color_selected": "accent",
    "slider_color": "accent",
    "link_text_color": "accent",
    "link_text_color_hover": "accent",
    "link_text_color_active": "accent",
    "link_text_color_visited": "accent",
    "error_text_color": "bad",
    "error_border_color": "bad",
    "error_background_fill": "surface",
    "error_icon_color": "bad",
    "code_background_fill": "ground",
}


def garage_theme() -> Base:
    """Our colours, light and dark, on Gradio's plainest theme; system fonts only."""
    both = {}
    for variable, name in _VARIABLES.items():
        light, dark = COLOURS[name]
        both[variable] = light
        if f"{variable}_dark" in _known():
            both[f"{variable}_dark"] = dark
    theme = Base(font=FONT, font_mono=MONO, radius_size=sizes.radius_md)
    return theme.set(**both, block_shadow="none", block_border_width="1px", button_large_text_weight="600")


def colour_css() -> str:
    """The colours as custom properties, `--lg-ink` and so on, for garage.css and the chart."""
    light = "".join(f"--lg-{name}:{pair[0]};" for name, pair in COLOURS.items())
    dark = "".join(f"--lg-{name}:{pair[1]};" for name, pair in COLOURS.items())
    return f":root{{color-scheme:light;{light}}}.lg-dark,.dark{{color-scheme:dark;{dark}}}"


def _known() -> frozenset[str]:
    return frozenset(inspect.signature(Base.set).parameters)
