"""The page: one file with everything in it."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from app.report.drawing import Drawing
from app.report.film import Film
from app.report.markup import escape, paragraph
from biped.examination.trials import describe

STYLE = Path(__file__).with_name("page.css")


class Section(NamedTuple):
    """A part of the page with an entry in the table of contents."""

    anchor: str
    title: str
    body: str
    """Markup."""


def figure(drawing: Drawing) -> str:
    """A drawing with its title and how to read it; on a small screen it scrolls in its own box."""
    return (
        f'<figure><h3>{escape(drawing.title)}</h3><div class="wide" tabindex="0">{drawing.svg}</div>'
        f"<figcaption>{escape(drawing.caption)}</figcaption></figure>\n"
    )


def film_markup(film: Film) -> str:
    """The film and its strip, or one line that says why there is none."""
    parts = []
    if film.video is not None:
        words = escape(f"film of the robot, {describe(film.command)}")
        parts.append(
            f'<video controls loop muted playsinline preload="metadata" poster="{film.poster}" aria-label="{words}">'
            f'<source src="{film.video}" type="video/mp4"></video>'
        )
    if film.strip is not None:
        parts.append(f'<img class="strip" src="{film.strip}" alt="six pictures of about one stride">')
    caption = f"Command: {describe(film.command)}, in m/s and rad/s. The six pictures are about one stride, row by row."
    figure = (
        f'<figure class="film"><div class="pictures">{"".join(parts)}</div><figcaption>{escape(caption)}</figcaption>'
    )
    markup = f"{figure}</figure>\n" if parts else ""
    return markup + (paragraph(f"There is no film: {film.complaint}") if film.complaint else "")


def page(title: str, header: str, sections: Sequence[Section]) -> str:
    """The whole document. `title` is plain text, the rest markup."""
    contents = "".join(f'<li><a href="#{one.anchor}">{escape(one.title)}</a></li>' for one in sections)
    body = "".join(
        f'<section id="{one.anchor}"><h2>{escape(one.title)}</h2>\n{one.body}</section>\n' for one in sections
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        # Whatever an untrusted name might smuggle in, nothing is fetched and nothing is run.
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
        'img-src data:; media-src data:">\n<link rel="icon" href="data:,">\n'
        f"<title>{escape(title)}</title>\n<style>\n{STYLE.read_text(encoding='utf-8')}</style>\n</head>\n<body>\n"
        f'<header>{header}</header>\n<nav aria-label="contents"><ol>{contents}</ol></nav>\n<main>\n{body}</main>\n'
        "</body>\n</html>\n"
    )
