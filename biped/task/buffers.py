"""Tensors that live from one control step to the next, saved and restored by name."""

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor


class Buffers:
    """Base of the small classes that remember something between control steps.

    A subclass lists its remembered attributes in `persistent`; one that is `None` is switched off and not saved. They
    change in place where an episode begins: whoever keeps one for longer clones it.
    """

    persistent: ClassVar[tuple[str, ...]] = ()

    def state_dict(self) -> dict[str, Tensor]:
        """Copies of the remembered tensors by attribute name."""
        return {name: getattr(self, name).clone() for name in self.persistent if getattr(self, name) is not None}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue with the tensors of `state_dict`.

        Raises:
            ValueError: A tensor is missing or has another shape, as after a change of the number of robots.
        """
        for name in self.persistent:
            current = getattr(self, name)
            if current is not None:
                setattr(self, name, restored(self, name, current, state))


def remembered(owner: object) -> list[tuple[object, list[str]]]:
    """Which attributes of an object, and of the `Buffers` within it, hold tensors."""
    held = [name for name, value in vars(owner).items() if _holds_tensors(value)]
    within = [remembered(part) for part in vars(owner).values() if isinstance(part, Buffers)]
    return [(owner, held), *(one for part in within for one in part)]


def _holds_tensors(value: object) -> bool:
    return isinstance(value, Tensor) or (isinstance(value, dict) and any(map(_holds_tensors, value.values())))


def restored(owner: object, name: str, current: Tensor, state: Mapping[str, Tensor]) -> Tensor:
    """A copy of what was saved under `name` to take the place of the `owner`'s `current` tensor.

    Raises:
        ValueError: it is missing or has another shape.
    """
    saved = state.get(name)
    if saved is None or saved.shape != current.shape:
        found = "nothing" if saved is None else f"shape {list(saved.shape)}"
        raise ValueError(
            f"{type(owner).__name__}.{name}: expected shape {list(current.shape)}, the saved state has {found}; "
            "continue with the number of robots and the configuration it was saved with"
        )
    return saved.to(device=current.device, dtype=current.dtype, copy=True)
