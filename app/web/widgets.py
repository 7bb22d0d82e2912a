"""What all widgets of the page need."""

from typing import TypeVar

import viser

T = TypeVar("T")


def put(widget: viser.GuiInputHandle[T], value: T) -> None:
    """Let a widget hold a value, in every browser."""
    # A type checker does not see the setter, which does not stand beside its getter.
    widget.value = value  # type: ignore[misc]
