"""Text to markup; whatever comes from outside goes through `escape`."""

import html
import math
from collections.abc import Sequence


def escape(text: object) -> str:
    """Text that can stand anywhere in a page, whatever it holds; what is no text at all is shown as codes."""
    plain = "".join(letter if letter.isprintable() or letter == "\n" else ascii(letter)[1:-1] for letter in str(text))
    return html.escape(plain)


def signed(value: float, form: str) -> str:
    """A number with a minus sign as wide as a plus, none where it rounds to 0, and a dash for NaN. Plain text."""
    if math.isnan(value):
        return "\N{EN DASH}"
    text = format(value, form)
    if not any(digit in text for digit in "123456789"):
        return text.lstrip("+-")
    return text.replace("-", "\N{MINUS SIGN}")


def facts(rows: Sequence[tuple[str, str]]) -> str:
    """Names and what they are, a line each; the latter is markup."""
    return '<dl class="facts">' + "".join(f"<dt>{escape(name)}</dt><dd>{value}</dd>" for name, value in rows) + "</dl>"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], caption: str, kind: str = "numbers") -> str:
    """A table in a box that scrolls where it is too wide. Head and cells are markup, the first of each row names it."""
    top = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th>' + "".join(f"<td>{cell}</td>" for cell in row[1:]) + "</tr>\n"
        for row in rows
    )
    return (
        f'<div class="wide" tabindex="0"><table class="{escape(kind)}"><caption>{escape(caption)}</caption>'
        f"<thead><tr>{top}</tr></thead>\n<tbody>{body}</tbody></table></div>\n"
    )


def items(lines: Sequence[str]) -> str:
    """A list; the lines are markup."""
    return "<ul>" + "".join(f"<li>{line}</li>" for line in lines) + "</ul>\n"


def paragraph(text: str) -> str:
    """A paragraph of plain text."""
    return f"<p>{escape(text)}</p>\n"
