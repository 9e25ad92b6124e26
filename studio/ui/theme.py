"""The Gradio theme: maps the design tokens of ``assets/css/tokens.css`` to Gradio's theme variables.

The stylesheet is the only place that holds a colour, a size or a font file. Every value here is a reference to one
of its custom properties, so Gradio's light and dark values are the same text.
"""

from __future__ import annotations

import gradio as gr
from gradio.themes.utils.colors import Color
from gradio.themes.utils.sizes import Size

SANS = ("Lapidary Sans", "sans-serif")
MONO = ("Lapidary Mono", "monospace")
COLOR_STEPS = (50, 100, 200, 300, 400, 500, 600, 700, 800, 900, 950)


def build_theme() -> gr.themes.Base:
    """Build the theme that ``launch(theme=...)`` takes; needs a link to `the stylesheets` in the page's head."""
    theme = gr.themes.Base(
        primary_hue=_ramp("accent"),
        secondary_hue=_ramp("accent"),
        neutral_hue=_ramp("neutral"),
        text_size=Size("11px", "12px", "12px", "14px", "16px", "22px", "26px"),
        spacing_size=Size("2px", "4px", "4px", "8px", "8px", "12px", "16px"),
        radius_size=Size(*[_token("radius")] * 7),
        font=[gr.themes.Font(name) for name in SANS],
        font_mono=[gr.themes.Font(name) for name in MONO],
    )
    variables = _surfaces() | _text() | _fields() | _choices() | _buttons()
    dark = {f"{name}_dark": value for name, value in variables.items() if f"{name}_dark" in vars(theme)}
    # Gradio writes these two into the page itself, where they are used before the stylesheet has arrived.
    first = {"body_background_fill": "var(--lap-bg, #f8f9fa)", "body_background_fill_dark": "var(--lap-bg, #101216)"}
    return theme.set(**(variables | dark | first))


def _token(name: str) -> str:
    """Return the reference to one design token of the stylesheet."""
    return f"var(--lap-{name})"


def _ramp(name: str) -> Color:
    """Return one of the stylesheet's eleven-step ramps as a Gradio hue."""
    return Color(*(_token(f"{name}-{step}") for step in COLOR_STEPS))


def _surfaces() -> dict[str, str]:
    """Return backgrounds, hairlines and gaps of the page, its blocks, panels and tables."""
    fills = {"body_background_fill": "bg", "background_fill_primary": "surface", "background_fill_secondary": "hover",
             "panel_background_fill": "surface", "table_even_background_fill": "surface",
             "table_odd_background_fill": "surface", "table_row_focus": "hover", "code_background_fill": "sunken",
             "color_accent_soft": "accent-soft", "error_background_fill": "bad-soft", "stat_background_fill": "accent",
             "block_background_fill": "surface", "block_label_background_fill": "surface"}  # fmt: skip
    lines = {"border_color_primary": "line", "border_color_accent": "accent", "border_color_accent_subdued": "line",
             "block_border_color": "line", "panel_border_color": "line", "table_border_color": "line",
             "block_label_border_color": "line", "error_border_color": "bad-line", "loader_color": "accent",
             "color_accent": "accent", "slider_color": "accent", "error_icon_color": "bad",
             "shadow_drop_lg": "shadow"}  # fmt: skip
    gaps = dict.fromkeys(("layout_gap", "form_gap_width", "block_padding"), _token("space-4"))
    flat = dict.fromkeys(("shadow_drop", "shadow_inset", "block_shadow", "block_label_shadow"), "none")
    widths = {"block_border_width": "1px", "panel_border_width": "1px", "block_label_border_width": "0px"}
    return {name: _token(value) for name, value in (fills | lines).items()} | gaps | flat | widths


def _text() -> dict[str, str]:
    """Return text colours, sizes and weights; both greys pass WCAG AA on every surface."""
    colors = {"body_text_color": "text", "body_text_color_subdued": "text-2", "block_info_text_color": "text-2",
              "block_label_text_color": "text-2", "block_title_text_color": "text", "accordion_text_color": "text",
              "table_text_color": "text", "error_text_color": "bad", "link_text_color": "accent-text",
              "link_text_color_hover": "accent-text", "link_text_color_active": "accent-text",
              "link_text_color_visited": "accent-text", "input_placeholder_color": "text-3"}  # fmt: skip
    sizes = {"body_text_size": "14px", "prose_text_size": "14px", "section_header_text_size": "14px",
             "section_header_text_weight": "500", "block_title_text_size": "13px", "block_title_text_weight": "500",
             "block_label_text_size": "12px", "block_label_text_weight": "500", "block_info_text_size": "12px",
             "chatbot_text_size": "14px", "prose_header_text_weight": "600", "input_text_size": "14px"}  # fmt: skip
    return {name: _token(value) for name, value in colors.items()} | sizes


def _fields() -> dict[str, str]:
    """Return text boxes, numbers and dropdowns: a boundary of 3:1, an accent ring when focused."""
    colors = {"input_border_color": "field-line", "input_border_color_hover": "text-3", "input_shadow_focus": "ring",
              "input_border_color_focus": "accent", "input_background_fill": "field",
              "input_background_fill_focus": "field", "input_background_fill_hover": "field"}  # fmt: skip
    lengths = {"input_border_width": "1px", "input_padding": "7px 12px", "input_shadow": "none"}
    return {name: _token(value) for name, value in colors.items()} | lengths


def _choices() -> dict[str, str]:
    """Return check boxes and radio buttons, and the rows they stand in."""
    box = {"checkbox_background_color": "field", "checkbox_background_color_hover": "field",
           "checkbox_background_color_focus": "field", "checkbox_background_color_selected": "accent-fill",
           "checkbox_border_color": "field-line", "checkbox_border_color_hover": "text-3",
           "checkbox_border_color_focus": "accent", "checkbox_border_color_selected": "accent-fill",
           "checkbox_label_background_fill": "field", "checkbox_label_background_fill_hover": "hover",
           "checkbox_label_background_fill_selected": "accent-soft", "checkbox_label_border_color": "line-strong",
           "checkbox_label_border_color_hover": "field-line", "checkbox_label_border_color_selected": "accent",
           "checkbox_label_text_color": "text", "checkbox_label_text_color_selected": "text"}  # fmt: skip
    shape = {"checkbox_label_padding": "7px 12px", "checkbox_label_gap": "8px", "checkbox_label_border_width": "1px",
             "checkbox_label_text_weight": "400", "checkbox_shadow": "none"}  # fmt: skip
    flat = dict.fromkeys(
        ("checkbox_label_shadow", "checkbox_label_shadow_hover", "checkbox_label_shadow_active"), "none"
    )
    return {name: _token(value) for name, value in box.items()} | shape | flat


def _buttons() -> dict[str, str]:
    """Return the three button kinds in their two states, and the three sizes."""
    values = {"button_border_width": "1px", "button_transform_hover": "none", "button_transform_active": "none",
              "button_transition": "background-color 120ms, border-color 120ms, color 120ms"}  # fmt: skip
    for kind, name in (("primary", "button-primary"), ("secondary", "button"), ("cancel", "button-danger")):
        for state, suffix in (("", ""), ("_hover", "-hover")):
            values[f"button_{kind}_background_fill{state}"] = _token(f"{name}-fill{suffix}")
            values[f"button_{kind}_border_color{state}"] = _token(f"{name}-line{suffix}")
            values[f"button_{kind}_text_color{state}"] = _token(f"{name}-text")
        values |= dict.fromkeys((f"button_{kind}_shadow{state}" for state in ("", "_hover", "_active")), "none")
    for size, padding, text in (("large", "0 16px", "14px"), ("medium", "0 12px", "14px"), ("small", "0 8px", "13px")):
        values |= {f"button_{size}_padding": padding, f"button_{size}_text_size": text,
                   f"button_{size}_text_weight": "500", f"button_{size}_radius": _token("radius")}  # fmt: skip
    return values
