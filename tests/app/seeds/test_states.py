"""How trainings of seeds have ended, in words."""

import pytest

from app.seeds.training import state_of


@pytest.mark.parametrize(
    ("code", "state"),
    [
        (0, "complete"),
        (130, "interrupted"),
        (143, "interrupted"),
        (1, "failed with exit code 1"),
        # Killed, as by a system without memory, and ended by a fault of its own.
        (137, "failed with exit code 137"),
        (139, "failed with exit code 139"),
    ],
)
def test_only_a_signal_that_is_heeded_interrupts(code: int, state: str) -> None:
    assert state_of(code) == state
