import math

import torch

from biped.task.terminations import EpisodeEnd, TerminationConfig, count_causes, episode_end
from tests.biped.simulators.fake_simulator import upright_state


def causes(
    *, steps: int = 1, roll_deg: float = 0.0, pitch_deg: float = 0.0, height: float = 0.42, failed: bool = False
) -> set[str]:
    state = upright_state(1)
    state.roll_pitch_yaw[0] = torch.tensor([math.radians(roll_deg), math.radians(pitch_deg), 2.0])
    state.base_position[0, 2] = height
    state.failed[0] = failed
    end = episode_end(state, torch.tensor([steps]), 4500, TerminationConfig(), 0.30)
    return {name for name, value in end._asdict().items() if value}


def test_each_cause_is_recognised() -> None:
    assert causes() == set()
    assert causes(roll_deg=29.9, pitch_deg=-29.9) == set()
    assert causes(roll_deg=-30.1) == {"fall_tilt"}
    assert causes(pitch_deg=30.1) == {"fall_tilt"}
    assert causes(height=0.301) == set()
    assert causes(height=0.299) == {"fall_height"}
    assert causes(steps=4499) == set()
    assert causes(steps=4500) == {"time_out"}
    assert causes(failed=True) == {"simulation_error"}


def test_an_episode_has_one_cause() -> None:
    assert causes(roll_deg=40.0, height=0.2, steps=4500) == {"fall_tilt"}
    assert causes(height=0.2, steps=4500) == {"fall_height"}
    assert causes(failed=True, roll_deg=40.0, height=0.2, steps=4500) == {"simulation_error"}


def test_only_falls_and_failures_terminate() -> None:
    flags = torch.eye(4, dtype=torch.bool)
    end = EpisodeEnd(*flags)
    assert end.terminated.tolist() == [True, True, True, False]
    assert end.fell.tolist() == [False, True, True, False]


def test_causes_are_counted_over_the_robots() -> None:
    end = EpisodeEnd(
        simulation_error=torch.tensor([True, False, False, False]),
        fall_tilt=torch.tensor([False, True, True, False]),
        fall_height=torch.tensor([False, False, False, False]),
        time_out=torch.tensor([False, False, False, True]),
    )
    counts = {name: count.item() for name, count in count_causes(end).items()}
    assert counts == {
        "episode/simulation_error": 1.0,
        "episode/fall_tilt": 2.0,
        "episode/fall_height": 0.0,
        "episode/time_out": 1.0,
    }
