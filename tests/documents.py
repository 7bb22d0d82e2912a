"""Reading the documentation: its pages, and the commands, code, links and names in them."""

import re
import shlex
from collections.abc import Iterator
from itertools import islice, pairwise
from pathlib import Path
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SHELLS = ("bash", "sh")
PROGRAMS = re.compile(r"(\w+=\S+ )*(python|make|pip|conda|torchrun|tensorboard|pytest) ")
"""How a command begins where it stands in the middle of a sentence."""
DURATION = re.compile(r"\b(long|seconds|minutes?|hours?|\d+ s)\b")
"""What says that a command takes time."""


class Command(NamedTuple):
    """One command that a page tells to type."""

    line: str
    context: str
    """What the page says about it: its comment, the paragraph around or before it, and the first one of the page."""

    @property
    def words(self) -> list[str]:
        """Without variables before it and comments behind it; placeholders such as `<seed>` become 1."""
        words = shlex.split(re.sub(r"<\w+>", "1", self.line), comments=True)
        while re.match(r"\w+=", words[0]):
            del words[0]
        return words

    @property
    def said_to_be_long(self) -> bool:
        return DURATION.search(self.context) is not None


class Fence(NamedTuple):
    """A block of code."""

    language: str
    content: str


def tokens(page: Path) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8"))


def fences(page: Path) -> Iterator[Fence]:
    for token in tokens(page):
        if token.type == "fence":
            yield Fence(token.info.strip(), token.content)


def inlines(page: Path) -> Iterator[Token]:
    """Headings, paragraphs, table cells: everything outside of blocks."""
    return (token for token in tokens(page) if token.type == "inline")


def code_spans(page: Path) -> Iterator[str]:
    for token in inlines(page):
        yield from (child.content for child in token.children or () if child.type == "code_inline")


def commands(page: Path) -> Iterator[Command]:
    """Every command in a shell's block, and every one inside a sentence."""
    before = ""
    opening = next(islice(inlines(page), 1, None)).content
    for token in tokens(page):
        if token.type == "inline":
            before = token.content
            for child in token.children or ():
                if child.type == "code_inline" and PROGRAMS.match(child.content):
                    yield Command(child.content, f"{before}\n{opening}")
        elif token.type == "fence" and token.info.strip() in (*SHELLS, ""):
            for line in token.content.replace("\\\n", " ").splitlines():
                if line.strip() and (token.info or PROGRAMS.match(line)):
                    yield Command(line, f"{line}\n{before}\n{opening}")


def links(page: Path) -> Iterator[str]:
    for token in inlines(page):
        for child in token.children or ():
            target = child.attrGet("href" if child.type == "link_open" else "src")
            if target is not None:
                yield str(target)


def anchors(page: Path) -> set[str]:
    """Where links into the page can lead, as GitHub names its headings."""
    parsed = tokens(page)
    headings = [after.content for token, after in pairwise(parsed) if token.type == "heading_open"]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def flags(page: Path) -> set[str]:
    """Flags that sentences name, those of commands left out; one that ends in `.` stands for all that begin so."""
    named: set[str] = set()
    for token in inlines(page):
        prose = [
            child.content
            for child in token.children or ()
            if child.type in ("text", "code_inline") and not PROGRAMS.match(child.content)
        ]
        for text in prose:
            named.update(flag.rstrip("*") for flag in re.findall(r"(?<![\w-])--[a-z][\w.-]*\*?", text))
    return named


class Hunk(NamedTuple):
    """A piece of a diff: what stands in the file, and what is to stand there."""

    file: str
    old: str
    new: str


def hunks(diff: str) -> Iterator[Hunk]:
    """The pieces of a diff of one file, whose `@@` lines need no numbers."""
    header, *pieces = re.split(r"^@@.*\n", diff, flags=re.MULTILINE)
    file = re.search(r"^\+\+\+ b/(.+)$", header, flags=re.MULTILINE)
    assert file is not None
    for piece in pieces:
        # Editors take the blank at the end of an empty line of context.
        lines = [" \n" if line == "\n" else line for line in piece.splitlines(keepends=True)]
        old = "".join(line[1:] for line in lines if not line.startswith("+"))
        yield Hunk(file[1], old, "".join(line[1:] for line in lines if not line.startswith("-")))
