"""What a robot is told, how it moves and which feet carry it, drawn into a picture of it."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

FONT_SIZE = 16
ROW = 22
"""Pixels from one line to the next."""
LEFT, TOP, WIDTH = 6, 6, 252
"""Pixels, of the panel, which ends left of the robot; its height follows from its lines."""
LABEL, TOLD, DOES = LEFT + 6, LEFT + 112, LEFT + 166
"""Pixels, where words begin and where the two columns of numbers end."""
BAR_LEFT, BAR_HALF = LEFT + 176, 34
"""Pixels, begin and half the width of each bar."""
FULL = 1.0
"""m/s or rad/s that fill half a bar; what is more fills it as well."""
PANEL, INK, MARK = (16, 20, 28), (255, 255, 255), (255, 190, 60)
"""Colours. Every sign also differs in its shape."""


class Motion(NamedTuple):
    """What one robot is told and does."""

    command: tuple[float, float, float]
    """Forward and leftward velocity in m/s, yaw rate in rad/s."""
    velocity: tuple[float, float, float]
    """Likewise, of the base."""
    contact: tuple[bool, bool]
    """The right and the left foot touch the ground."""


def draw(frame: NDArray[np.uint8], motion: Motion, title: str = "") -> NDArray[np.uint8]:
    """The picture `[H, W, 3]` with a panel in its upper left corner, made for 640 by 480 pixels.

    Each line has the command, the velocity, and a bar from 0 to the velocity with a mark across it at the command. The
    last line but the title has a square per foot: full on the ground, empty in the air.
    """
    image = Image.fromarray(frame)
    pen = ImageDraw.Draw(image)
    height = ROW * (7 if title else 6) + 6
    shade = image.crop((LEFT, TOP, LEFT + WIDTH, TOP + height))
    image.paste(Image.blend(shade, Image.new("RGB", shade.size, PANEL), 0.75), (LEFT, TOP))
    lines = iter(range(TOP + 4 + ROW // 2, TOP + height, ROW))
    if title:
        _write(pen, LABEL, next(lines), title, "lm")
    head = next(lines)
    _write(pen, TOLD, head, "command", "rm")
    _write(pen, DOES, head, "actual", "rm")
    _write(pen, BAR_LEFT + 2 * BAR_HALF, head, "m/s, rad/s", "rm")
    for name, told, does in zip(("forward", "left", "turn"), motion.command, motion.velocity, strict=True):
        _line(pen, next(lines), name, told, does, signed=True)
    told, does = (float(np.hypot(*velocity[:2])) for velocity in (motion.command, motion.velocity))
    _line(pen, next(lines), "speed", told, does, signed=False)
    feet, half = next(lines), 7
    _write(pen, LABEL, feet, "feet on ground", "lm")
    # The left foot on the left, as one sees one's own.
    for foot, letter, start in ((1, "L", TOLD + 24), (0, "R", TOLD + 80)):
        _write(pen, start, feet, letter, "lm")
        box = (start + 18, feet - half, start + 18 + 2 * half, feet + half)
        pen.rectangle(box, outline=INK, width=2, fill=INK if motion.contact[foot] else PANEL)
    return np.array(image)


def _line(pen: ImageDraw.ImageDraw, middle: int, name: str, told: float, does: float, *, signed: bool) -> None:
    """Name, numbers and bar about the row of pixels `middle`; with a sign the bar begins in its middle."""
    _write(pen, LABEL, middle, name, "lm")
    for end, value in ((TOLD, told), (DOES, does)):
        # Without the sign of a zero that was rounded.
        text = f"{round(value, 2) + 0.0:{'+' if signed else ''}.2f}"
        _write(pen, end, middle, text, "rm")
    right = BAR_LEFT + 2 * BAR_HALF
    pen.rectangle((BAR_LEFT, middle - 6, right, middle + 6), outline=INK)
    zero, length = (BAR_LEFT + BAR_HALF, BAR_HALF) if signed else (BAR_LEFT, 2 * BAR_HALF)
    tip, mark = (zero + round(length * max(-1.0, min(1.0, value / FULL))) for value in (does, told))
    pen.rectangle((min(zero, tip), middle - 3, max(zero, tip), middle + 3), fill=INK)
    pen.rectangle((mark - 1, middle - 9, mark + 1, middle + 9), fill=MARK, outline=PANEL)


def _write(pen: ImageDraw.ImageDraw, across: int, middle: int, text: str, anchor: str) -> None:
    pen.text((across, middle), text, fill=INK, anchor=anchor, font=_font())


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The font that comes with the library, loaded once."""
    global _loaded
    if _loaded is None:
        _loaded = ImageFont.load_default(FONT_SIZE)
    return _loaded


_loaded: ImageFont.FreeTypeFont | ImageFont.ImageFont | None = None
