import dataclasses
import io
import json
import math

import pytest
import torch
from rich.console import Console
from torch import Tensor

from biped.env import BipedEnv
from biped.env_config import EnvConfig
from biped.examination.criteria import WalkingCriteria
from biped.examination.examination import (
    comparison,
    examination_config,
    examine,
    means,
    points,
    result_line,
    tables,
    to_json,
)
from biped.examination.gait_meter import GaitSummary
from biped.examination.trials import COURSE, SUDDEN_CHANGES, WALKING, Trial, constant, title, trials_of
from biped.robots.library import BIPED
from biped.task.observations import ObservationConfig
from biped.task.randomization import RandomizationConfig
from biped.task.reset import ResetConfig
from tests.biped.simulators.fake_simulator import FakeSimulator

PLAIN = EnvConfig(
    observations=ObservationConfig(noise=False),
    randomization=RandomizationConfig(friction=None, motor_strength=None, backlash=None),
    reset=ResetConfig(joint_noise=0.0),
    randomize_episode_start=False,
)
"""Nothing random but the commands."""

PUSHED = dataclasses.replace(
    PLAIN,
    randomization=dataclasses.replace(PLAIN.randomization, push_speed=1.0, push_interval_s=0.1),
    episode_length_s=0.2,
    randomize_episode_start=True,
)
TWO = constant((0.0, 0.0, 0.0), (0.3, 0.2, 0.1))


class Recorder:
    """Holds the default pose, or the action given, and keeps what it is shown."""

    def __init__(self, num_envs: int, action: float = 0.0) -> None:
        self.action = torch.full((num_envs, 9), action)
        self.observations: list[Tensor] = []
        self.episode_starts: list[Tensor] = []

    def __call__(self, observation: Tensor, episode_start: Tensor) -> Tensor:
        self.observations.append(observation.clone())
        self.episode_starts.append(episode_start.clone())
        return self.action


def run(recorder: Recorder, simulator: FakeSimulator, seconds: float = 1.0) -> list[GaitSummary]:
    env = BipedEnv(simulator, examination_config(PUSHED, seconds), seed=0)
    return examine(recorder, env, TWO, seconds=seconds, warmup_s=0.2)


def printed(summaries: list[GaitSummary], width: int) -> list[str]:
    file = io.StringIO()
    Console(width=width, file=file).print(*tables(summaries, WalkingCriteria()))
    return [line.rstrip() for line in file.getvalue().splitlines()]


def test_each_command_is_held_by_its_robots_for_the_whole_run() -> None:
    recorder = Recorder(4)
    summaries = run(recorder, FakeSimulator(4))
    assert [summary.trial for summary in summaries] == list(TWO)
    assert [summary.robots for summary in summaries] == [2, 2]
    assert len(recorder.observations) == 50
    expected = torch.tensor([[0.0, 0.0, 0.0]] * 2 + [[0.6, 0.4, 0.025]] * 2)
    for observation in recorder.observations:
        torch.testing.assert_close(observation[:, 8:11], expected)


def test_commands_of_a_trial_follow_one_another_in_equal_parts() -> None:
    recorder = Recorder(4)
    env = BipedEnv(FakeSimulator(4), examination_config(PUSHED, 1.0), seed=0)
    changing, other = SUDDEN_CHANGES, Trial(((0.1, 0.0, 0.0),))
    summaries = examine(recorder, env, [changing, other], seconds=1.0, warmup_s=0.2)
    assert [summary.trial for summary in summaries] == [changing, other]
    asked = torch.stack(recorder.observations)[:, :, 8] / 2.0
    # A change shows in the first observation after the control step that it takes place in.
    first = [0.5] * 14 + [-0.3] * 12 + [0.5] * 13 + [0.0] * 11
    torch.testing.assert_close(asked, torch.tensor([first, first, [0.1] * 50, [0.1] * 50]).T)


def test_nobody_is_pushed_and_nobody_times_out() -> None:
    simulator, recorder = FakeSimulator(4), Recorder(4)
    summaries = run(recorder, simulator)
    assert simulator.velocity_settings == []
    assert [summary.survival for summary in summaries] == [1.0, 1.0]
    assert torch.stack(recorder.episode_starts).sum(dim=0).tolist() == [1, 1, 1, 1]
    assert recorder.episode_starts[0].all()


def test_a_fall_counts_against_its_command_and_is_told_to_the_controller() -> None:
    class Stumble(FakeSimulator):
        def step(self, joint_target: Tensor) -> None:
            super().step(joint_target)
            if len(self.targets) == 30:
                self.state.base_position[2, 2] = 0.1

    recorder = Recorder(4)
    summaries = run(recorder, Stumble(4))
    assert [summary.survival for summary in summaries] == [1.0, 0.5]
    assert recorder.episode_starts[30].tolist() == [False, False, True, False]


def test_actions_are_clipped_before_they_are_measured() -> None:
    recorder = Recorder(4)

    def bang_bang(observation: Tensor, episode_start: Tensor) -> Tensor:
        recorder(observation, episode_start)
        return torch.full((4, 9), 1000.0 if len(recorder.observations) % 2 else 0.0)

    config = dataclasses.replace(PUSHED, actuators=dataclasses.replace(PLAIN.actuators, action_limit=0.5))
    env = BipedEnv(FakeSimulator(4), examination_config(config, 1.0), seed=0)
    for summary in examine(bang_bang, env, TWO, seconds=1.0, warmup_s=0.2):
        assert summary.action_rate == pytest.approx(0.25)


def test_robots_that_cannot_be_shared_and_runs_that_are_too_short() -> None:
    env = BipedEnv(FakeSimulator(3), PLAIN, seed=0)
    with pytest.raises(ValueError, match="3 robots cannot be shared equally by 2 trials"):
        examine(Recorder(3), env, TWO, seconds=1.0, warmup_s=0.2)
    with pytest.raises(ValueError, match="longer than the 2 s"):
        examine(Recorder(3), env, WALKING[:1], seconds=2.0, warmup_s=2.0)


def test_the_mass_is_that_of_all_links() -> None:
    assert BIPED.mass == pytest.approx(2.9)


def test_trials_in_words() -> None:
    assert [title(trial) for trial in WALKING] == [
        "stand",
        "x +0.30",
        "x +0.50",
        "x +0.80",
        "x -0.30",
        "y +0.20",
        "y -0.20",
        "x +0.30, y +0.20",
    ]
    assert title(SUDDEN_CHANGES) == "sudden changes"
    assert title(COURSE) == "x +0.50, 60 s, on course"


def test_only_robots_that_can_turn_are_asked_to() -> None:
    turning = trials_of(dataclasses.replace(BIPED, turns=True))
    assert turning[:10] == trials_of(BIPED)[:10]
    assert turning[10] == dataclasses.replace(trials_of(BIPED)[10], course=True)
    assert [trial.straight for trial in turning] == [True] * 11 + [False] * 5


def test_the_table_shows_every_trial_and_whether_it_passes() -> None:
    summaries = run(Recorder(4), FakeSimulator(4))
    lines = printed(summaries, width=100)
    (survived,) = (line for line in lines if line.startswith("survived"))
    assert survived.split() == ["survived", "100.0%", "100.0%"]
    (passed,) = (line for line in lines if line.startswith("meets"))
    assert passed.split()[-2:] == ["no", "no"]
    (transport,) = (line for line in lines if line.startswith("cost of transport"))
    assert transport.split()[3] == "-"


def test_the_table_of_all_trials_fits_into_100_columns() -> None:
    summary = run(Recorder(4), FakeSimulator(4))[1]
    summaries = [dataclasses.replace(summary, trial=trial) for trial in trials_of(BIPED)]
    assert printed(summaries, width=100) == printed(summaries, width=200)


CRITERIA = WalkingCriteria()


def walking(trial: Trial, error: float = 0.02) -> GaitSummary:
    """A walk that passes unless its velocity `error` in m/s is too large."""
    summary = run(Recorder(4), FakeSimulator(4))[1]
    return dataclasses.replace(
        summary,
        trial=trial,
        standing=False,
        survival=1.0,
        velocity_error_x=error,
        velocity_error_y=0.0,
        alternation=1.0,
        foot_clearance=0.04,
        duty_asymmetry=0.0,
    )


def standing(drift: float) -> GaitSummary:
    summary = run(Recorder(4), FakeSimulator(4))[0]
    return dataclasses.replace(summary, survival=1.0, duty_right=1.0, duty_left=1.0, drift_speed=drift)


def test_a_walk_that_passes_more_trials_scores_higher_and_better_ones_break_ties() -> None:
    first, second = WALKING[1], WALKING[2]
    excellent_but_one = [walking(first, 0.0), walking(second, 0.051)]
    just_good_enough = [walking(first, 0.05), walking(second, 0.05)]
    better = [walking(first, 0.05), walking(second, 0.03)]
    scores = [points(summaries, CRITERIA) for summaries in (excellent_but_one, just_good_enough, better)]
    assert scores == sorted(scores)
    assert [int(one) for one in scores] == [1, 2, 2]
    assert points([walking(first, 0.0), standing(0.0)], CRITERIA) == pytest.approx(2.99)


def test_robots_that_show_nothing_score_next_to_nothing() -> None:
    fallen = dataclasses.replace(walking(WALKING[1], math.nan), survival=0.0, alternation=math.nan)
    nothing = dataclasses.replace(fallen, velocity_error_y=math.nan, foot_clearance=math.nan, duty_asymmetry=math.nan)
    assert points([nothing], CRITERIA) == 0.0
    assert means([nothing], CRITERIA) == {"trials_passed": 0.0, "commands_passed": 0.0, "points": 0.0, "survival": 0.0}


def test_means_are_over_the_trials_that_are_asked_for_them() -> None:
    summaries = [standing(0.01), walking(WALKING[1], 0.02), walking(WALKING[2], 0.06), walking(WALKING[3], 0.5)]
    values = means(summaries, CRITERIA)
    assert (values["trials_passed"], values["commands_passed"]) == (3.0, 3.0)
    assert values["points"] == points(summaries, CRITERIA)
    assert values["survival"] == 1.0
    # The command of 0.8 m/s is too fast to be asked for its velocity.
    assert values["forward_velocity_error"] == pytest.approx(0.04)
    assert values["drift"] == pytest.approx(0.01)


def test_the_result_is_one_line() -> None:
    good, bad = walking(WALKING[1]), walking(WALKING[2], 0.06)
    assert result_line([good], CRITERIA) == "1 of 1 trials pass"
    assert result_line([standing(0.034), good], CRITERIA) == "1 of 2 trials pass; stand: drift 0.034 is above 0.03"
    assert result_line([bad] * 4, CRITERIA, most=1) == (
        "0 of 4 trials pass; x +0.50: forward velocity error 0.060 is above 0.05; 3 more fail"
    )


def test_the_comparison_puts_the_simulators_of_each_trial_one_below_the_other() -> None:
    summary = run(Recorder(4), FakeSimulator(4))[1]
    walked = [dataclasses.replace(summary, trial=trial, survival=1.0) for trial in WALKING]
    fell = [dataclasses.replace(one, survival=0.25, alternation=math.nan) for one in walked]
    text = io.StringIO()
    Console(file=text, width=100).print(comparison({"genesis": walked, "mujoco": fell}, WalkingCriteria()))
    lines = [line.split() for line in text.getvalue().splitlines()[-16:]]
    assert lines[2][:5] == ["x", "+0.30", "genesis", "100.0%", f"{summary.velocity_error_x:.3f}"]
    assert lines[3][:3] == ["mujoco", "25.0%", f"{summary.velocity_error_x:.3f}"]
    assert lines[3][-2:] == ["-", "no"]
    assert [line[-6 - 1] for line in lines] == ["genesis", "mujoco"] * 8


def test_json_is_strict_and_complete() -> None:
    summaries = run(Recorder(4), FakeSimulator(4))
    assert math.isnan(summaries[0].cost_of_transport)
    results = {"genesis": summaries, "mujoco": summaries[::-1]}
    document = json.loads(to_json(results, WalkingCriteria(), {"seed": 3}), parse_constant=pytest.fail)
    assert document["seed"] == 3
    assert document["criteria"]["foot_clearance"] == 0.03
    assert [one["simulator"] for one in document["trials"]] == ["genesis", "genesis", "mujoco", "mujoco"]
    stand = document["trials"][0]
    assert {**stand, "simulator": "mujoco"} == document["trials"][3]
    assert stand["commands"] == [[0.0, 0.0, 0.0]]
    assert stand["seconds"] == 1.0
    assert stand["cost_of_transport"] is None
    assert stand["survival"] == 1.0
    assert stand["passes"] is False
    assert stand["shortfalls"] == ["time on each foot 0.000 is below 0.95"]
