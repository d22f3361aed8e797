"""Four looks: dark, light, high contrast, and the sixteen colours of the terminal itself. Tones are variables of each.

Not here: which tone something has (`tui.paint`).
"""

from __future__ import annotations

from typing import Final

from textual.theme import Theme


def _tones(good: str, bad: str, unknown: str, warn: str, info: str, dim: str, key: str, accent: str) -> dict[str, str]:
    return {
        "tone-good": good,
        "tone-bad": bad,
        "tone-unknown": unknown,
        "tone-warn": warn,
        "tone-info": info,
        "tone-dim": dim,
        "tone-key": key,
        "tone-accent": accent,
    }


DARK: Final = Theme(
    name="payorch-dark",
    primary="#7aa2f7",
    secondary="#bb9af7",
    accent="#bb9af7",
    warning="#e0af68",
    error="#f7768e",
    success="#9ece6a",
    foreground="#c0caf5",
    background="#16161e",
    surface="#1f2335",
    panel="#3b4261",
    variables={
        **_tones("#9ece6a", "#f7768e", "#e0af68", "#e0af68", "#7dcfff", "#7a83ad", "#ff9e64", "#bb9af7"),
        "cursor-background": "#4b3f6b",
        "marked-background": "#33415e",
        "band-sim": "#9ece6a",
        "band-test": "#e0af68",
        "band-live": "#f7768e",
        "band-text": "#16161e",
    },
)

LIGHT: Final = Theme(
    name="payorch-light",
    primary="#34548a",
    secondary="#5a4a78",
    accent="#5a4a78",
    warning="#8f5e15",
    error="#a8324a",
    success="#33635c",
    foreground="#24283b",
    background="#e6e7ed",
    surface="#f4f5f9",
    panel="#cfd2de",
    dark=False,
    variables={
        **_tones("#2f6b2f", "#a8324a", "#8a5300", "#8a5300", "#1f5fa8", "#5f6478", "#9a3f00", "#5a3fa0"),
        "cursor-background": "#d3c9ee",
        "marked-background": "#c6d6ee",
        "band-sim": "#4f8f4f",
        "band-test": "#b5770d",
        "band-live": "#b3273f",
        "band-text": "#ffffff",
    },
)

CONTRAST: Final = Theme(
    name="payorch-high-contrast",
    primary="#00ffff",
    secondary="#ffff00",
    accent="#ffff00",
    warning="#ffff00",
    error="#ff6060",
    success="#00ff00",
    foreground="#ffffff",
    background="#000000",
    surface="#000000",
    panel="#303030",
    variables={
        **_tones("#00ff00", "#ff6060", "#ffff00", "#ffff00", "#00ffff", "#d0d0d0", "#ffff00", "#ffa0ff"),
        "cursor-background": "#0000c0",
        "marked-background": "#505050",
        "band-sim": "#00ff00",
        "band-test": "#ffff00",
        "band-live": "#ff6060",
        "band-text": "#000000",
    },
)

ANSI: Final = Theme(
    name="payorch-ansi-16",
    primary="ansi_blue",
    secondary="ansi_cyan",
    accent="ansi_magenta",
    warning="ansi_yellow",
    error="ansi_red",
    success="ansi_green",
    foreground="ansi_default",
    background="ansi_default",
    surface="ansi_default",
    panel="ansi_default",
    boost="ansi_default",
    ansi=True,
    variables={
        **_tones(
            "ansi_green", "ansi_red", "ansi_yellow", "ansi_yellow", "ansi_cyan", "ansi_bright_black", "ansi_bright_yellow", "ansi_magenta"
        ),
        "ansi-background": "ansi_black",
        "ansi-foreground": "ansi_white",
        "border-blurred": "ansi_black",
        "block-cursor-foreground": "ansi_black",
        "block-cursor-background": "ansi_white",
        "input-cursor-background": "ansi_black",
        "input-cursor-foreground": "ansi_bright_white",
        "input-selection-background": "ansi_bright_blue",
        "input-selection-foreground": "ansi_black",
        "cursor-background": "ansi_blue",
        "marked-background": "ansi_bright_black",
        "band-sim": "ansi_green",
        "band-test": "ansi_yellow",
        "band-live": "ansi_red",
        "band-text": "ansi_black",
    },
)

THEMES: Final[dict[str, Theme]] = {"dark": DARK, "light": LIGHT, "high-contrast": CONTRAST, "ansi-16": ANSI}
"""By the name that `--theme` takes."""
