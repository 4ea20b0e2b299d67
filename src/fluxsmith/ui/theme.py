"""The darkroom look: warm neutral greys, one accent, the system's own sans-serif.

Only what Gradio's widgets take from a theme is set here; everything else is in studio.css, which
reads the same values as custom properties. No web font: nothing is fetched from anywhere.
"""

from __future__ import annotations

from typing import Any

import gradio as gr
from gradio.themes.utils import colors, fonts, sizes

_GREY = colors.Color(
    name="darkroom",
    c50="#faf9f7",
    c100="#f4f2ef",
    c200="#e7e4df",
    c300="#d3cfc8",
    c400="#a39e96",
    c500="#78736b",
    c600="#5a564f",
    c700="#403d38",
    c800="#2b2926",
    c900="#1e1c1a",
    c950="#141312",
)
_SAFELIGHT = colors.Color(
    name="safelight",
    c50="#fff5ed",
    c100="#ffe7d3",
    c200="#fdcba5",
    c300="#fba76d",
    c400="#f98a42",
    c500="#ef6c1d",
    c600="#d9560f",
    c700="#b8430b",
    c800="#93370f",
    c900="#772f10",
    c950="#401506",
)
_SANS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Noto Sans", "sans-serif")
_MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")


def studio_theme() -> Any:
    """The theme of every page, dark and light."""
    theme = gr.themes.Base(
        primary_hue=_SAFELIGHT,
        secondary_hue=_GREY,
        neutral_hue=_GREY,
        text_size=sizes.text_md,
        spacing_size=sizes.spacing_md,
        radius_size=sizes.radius_md,
        font=[fonts.Font(name) for name in _SANS],
        font_mono=[fonts.Font(name) for name in _MONO],
    )
    return theme.set(
        body_background_fill="#faf9f7",
        body_background_fill_dark="#141312",
        body_text_color="#1e1c1a",
        body_text_color_dark="#ece9e4",
        body_text_color_subdued="#69645d",
        body_text_color_subdued_dark="#a39e96",
        background_fill_primary="#ffffff",
        background_fill_primary_dark="#1e1c1a",
        background_fill_secondary="#f4f2ef",
        background_fill_secondary_dark="#191816",
        border_color_primary="#e0dcd6",
        border_color_primary_dark="#34312d",
        color_accent="#b8430b",
        block_background_fill="transparent",
        block_background_fill_dark="transparent",
        block_border_width="0px",
        block_padding="0px",
        block_shadow="none",
        block_label_background_fill="transparent",
        block_label_background_fill_dark="transparent",
        block_title_text_color="#403d38",
        block_title_text_color_dark="#d3cfc8",
        block_title_text_weight="500",
        block_title_text_size="14px",
        block_info_text_color="#69645d",
        block_info_text_color_dark="#a39e96",
        block_info_text_size="13px",
        form_gap_width="0px",
        layout_gap="16px",
        input_background_fill="#ffffff",
        input_background_fill_dark="#191816",
        input_border_color="#cfcac2",
        input_border_color_dark="#403d38",
        input_border_width="1px",
        input_border_color_focus="#b8430b",
        input_border_color_focus_dark="#f98a42",
        input_shadow="none",
        input_shadow_focus="none",
        input_shadow_focus_dark="none",
        input_radius="6px",
        input_padding="9px 12px",
        input_text_size="15px",
        input_placeholder_color="#8d8880",
        input_placeholder_color_dark="#7d7870",
        slider_color="#b8430b",
        slider_color_dark="#f98a42",
        button_primary_background_fill="#b8430b",
        button_primary_background_fill_hover="#a33a08",
        button_primary_background_fill_dark="#f98a42",
        button_primary_background_fill_hover_dark="#fba76d",
        button_primary_text_color="#ffffff",
        button_primary_text_color_dark="#1f1106",
        button_secondary_background_fill="transparent",
        button_secondary_background_fill_dark="transparent",
        button_secondary_background_fill_hover="#efece8",
        button_secondary_background_fill_hover_dark="#2b2926",
        button_secondary_border_color="#cfcac2",
        button_secondary_border_color_dark="#403d38",
        button_border_width="1px",
        button_primary_border_color="transparent",
        button_primary_border_color_dark="transparent",
        button_large_radius="8px",
        button_large_text_size="16px",
        button_large_text_weight="600",
        checkbox_background_color_selected="#b8430b",
        checkbox_background_color_selected_dark="#f98a42",
        checkbox_border_color_selected="#b8430b",
        checkbox_border_color_selected_dark="#f98a42",
    )
