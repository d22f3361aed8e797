"""The page on which a test shopper authenticates: three buttons, no script, nothing loaded from anywhere.

Not here: what the choice means for a payment (the dialects).
"""

from __future__ import annotations

from enum import StrEnum
from html import escape
from typing import Final

PAGE_HEADERS: Final = (
    ("content-type", "text/html; charset=utf-8"),
    ("cache-control", "no-store"),
    ("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
    ("referrer-policy", "no-referrer"),
)


class Choice(StrEnum):
    """What the shopper did."""

    APPROVE = "approve"
    FAIL = "fail"
    CANCEL = "cancel"


_FRAME: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 26rem; margin: 4rem auto; padding: 0 1rem; color: #1a1f36; }}
dl {{ display: grid; grid-template-columns: auto 1fr; gap: .25rem 1rem; }} dt {{ color: #5a607f; }} dd {{ margin: 0; }}
form {{ display: grid; gap: .5rem; margin-top: 1.5rem; }}
button {{ font: inherit; padding: .6rem; border: 1px solid #8792a2; border-radius: .4rem; background: #fff; cursor: pointer; }}
button:first-of-type {{ background: #1a1f36; color: #fff; }}
</style>
</head>
<body>
<h1>{title}</h1>
{body}
</body>
</html>
"""


def challenge_page(*, action: str, amount: str, payment: str, card: str) -> bytes:
    """The question, with a form that posts `outcome` to `action`. All arguments are plain text."""
    rows = "".join(f"<dt>{name}</dt><dd>{escape(value)}</dd>" for name, value in (("Amount", amount), ("Card", card), ("Payment", payment)))
    buttons = "".join(
        f'<button name="outcome" value="{choice.value}">{label}</button>'
        for choice, label in (
            (Choice.APPROVE, "Approve"),
            (Choice.FAIL, "Fail authentication"),
            (Choice.CANCEL, "Cancel"),
        )
    )
    form = f'<form method="post" action="{escape(action, quote=True)}">{buttons}</form>'
    note = "<p>This is a simulated bank. No money moves.</p>"
    return _FRAME.format(title="Confirm your payment", body=f"{note}<dl>{rows}</dl>{form}").encode()


def notice_page(*, title: str, text: str) -> bytes:
    """A page that only says something: the challenge is over, or was never there."""
    return _FRAME.format(title=escape(title), body=f"<p>{escape(text)}</p>").encode()
