"""What an environment carries from step to step: saved and restored, seeded, and forgotten between episodes."""

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor

from biped.env import BipedEnv
from biped.env_config import EnvConfig
from biped.task.observations import ObservationConfig
from tests.biped.environments import EVERY_TERM, EVERYTHING, PLAIN, assert_same_steps, make_env, random_actions


@pytest.mark.parametrize("config", [EVERYTHING, EnvConfig()], ids=["everything", "default"])
def test_continuing_from_a_saved_state_is_exact(config: EnvConfig) -> None:
    # Saved after step 19, in which two episodes end: the push of step 20 comes before anything hides what is missing.
    env, simulator = make_env(config)
    actions = random_actions(49)
    for action in actions[:18]:
        env.step(action)
    simulator.overrides["failed"] = torch.tensor([True, True, False, False])
    env.step(actions[18])
    simulator.overrides.clear()
    saved = env.state_dict()
    expected = [env.step(action) for action in actions[19:]]

    other, _ = make_env(config, seed=99)
    observation = other.load_state_dict(saved)
    assert torch.equal(observation, saved["observation"])
    for action, step in zip(actions[19:], expected, strict=True):
        assert_same_steps(other.step(action), step)


def test_a_state_from_before_there_were_sensors_and_impulses_goes_on() -> None:
    env, _ = make_env()
    actions = random_actions(20)
    for action in actions[:10]:
        env.step(action)
    saved = {name: value for name, value in env.state_dict().items() if name not in ("sensors", "disturbances")}
    other, _ = make_env(seed=99)
    other.load_state_dict(saved)
    for action in actions[10:]:
        assert_same_steps(other.step(action), env.step(action))


def test_a_saved_state_is_a_copy_that_loads_as_plain_data(tmp_path: Path) -> None:
    env, _ = make_env(EVERYTHING)
    env.step(random_actions(1)[0])
    saved = env.state_dict()
    torch.save(saved, tmp_path / "state.pt")
    for action in random_actions(5):
        env.step(action)
    loaded = torch.load(tmp_path / "state.pt", weights_only=True)
    assert torch.equal(loaded["observation"], saved["observation"])
    assert torch.equal(loaded["generator"], saved["generator"])
    for part in ("actuators", "gait", "foot_alternation", "harmonic_motion", "contact_sensor", "state"):
        for name, value in loaded[part].items():
            assert torch.equal(value, saved[part][name]), (part, name)


def test_a_state_of_another_number_of_robots_or_another_task_is_refused() -> None:
    env, _ = make_env()
    with pytest.raises(ValueError, match="number of robots"):
        make_env(num_envs=5)[0].load_state_dict(env.state_dict())
    with_clock = dataclasses.replace(PLAIN, observations=ObservationConfig(clock=True))
    with pytest.raises(ValueError, match="configuration"):
        make_env(with_clock)[0].load_state_dict(env.state_dict())


def test_the_seed_decides_everything_random() -> None:
    envs = [make_env(EVERYTHING, seed=seed)[0] for seed in (3, 3, 4)]
    steps = [[env.step(action) for action in random_actions(25)] for env in envs]
    for first, second in zip(steps[0], steps[1], strict=True):
        assert_same_steps(first, second)
    assert not torch.equal(steps[0][0].observation, steps[2][0].observation)


def test_seeding_again_repeats_the_episodes() -> None:
    env, _ = make_env(EVERYTHING)
    runs = []
    for _ in range(2):
        env.seed(5)
        env.reset()
        runs.append([env.step(action) for action in random_actions(25)])
    for first, second in zip(*runs, strict=True):
        assert_same_steps(first, second)


def test_an_ended_episode_leaves_nothing_behind() -> None:
    config = dataclasses.replace(
        PLAIN,
        rewards=EVERY_TERM,
        observations=ObservationConfig(noise=False, clock=True, torso=True),
        randomization=dataclasses.replace(PLAIN.randomization, latency_steps=(2, 2), contact_delay_steps=(2, 2)),
    )
    before, after = random_actions(60, 1, 0.3).split(30)

    def run(env: BipedEnv) -> list[tuple[Tensor, Tensor]]:
        return [(step.observation, step.reward) for step in map(env.step, after)]

    fresh, _ = make_env(config, 1)
    fresh.set_command(torch.tensor([0.5, 0.1, 0.2]))
    used, simulator = make_env(config, 1)
    used.set_command(torch.tensor([0.5, 0.1, 0.2]))
    for action in before:
        assert not used.step(action).terminated.any()
    simulator.overrides["failed"] = torch.tensor([True])
    assert used.step(before[0]).terminated.all()
    simulator.overrides.clear()
    for (observation, reward), (expected_observation, expected_reward) in zip(run(used), run(fresh), strict=True):
        assert torch.equal(observation, expected_observation)
        assert torch.equal(reward, expected_reward)
