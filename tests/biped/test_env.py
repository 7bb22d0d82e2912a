import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor

from biped.env import BipedEnv
from biped.env_config import EnvConfig
from biped.robots.library import BIPED
from biped.simulators.interface import Simulator
from biped.task.commands import CommandConfig
from biped.task.observations import ObservationConfig
from biped.task.rewards import RewardConfig, Term
from biped.task.table import entries
from biped.task.terminations import TerminationConfig
from ppo.env import VecEnv
from tests.biped.environments import EVERYTHING, PLAIN, assert_same_steps, make_env, random_actions
from tests.biped.simulators.fake_simulator import DEFAULT_POSITION, FakeSimulator


def test_contracts_hold() -> None:
    simulator: Simulator = FakeSimulator(4)
    env: VecEnv = BipedEnv(simulator, EnvConfig(), seed=0)
    assert (env.num_envs, env.observation_dim, env.action_dim) == (4, 38, 9)
    assert env.action_low.tolist() == [-100.0] * 9
    assert env.action_high.tolist() == [100.0] * 9
    assert env.reset().shape == (4, 38)
    step = env.step(torch.zeros(4, 9))
    assert step.observation.shape == step.final_observation.shape == (4, 38)
    assert step.observation.dtype == step.reward.dtype == torch.float32
    assert step.reward.shape == step.terminated.shape == step.truncated.shape == (4,)
    assert step.terminated.dtype == step.truncated.dtype == torch.bool
    env.close()
    assert isinstance(simulator, FakeSimulator)
    assert simulator.closed


def test_first_observation_is_of_a_robot_at_rest_in_the_default_pose() -> None:
    env = BipedEnv(FakeSimulator(2), PLAIN, seed=0)
    observation = env.reset()
    expected = torch.zeros(2, 38)
    expected[:, 7] = BIPED.nominal_base_height + 0.01
    expected[:, 8:11] = env.commands.value * torch.tensor([2.0, 2.0, 0.25])
    torch.testing.assert_close(observation, expected)


def test_an_action_reaches_the_joints_one_control_step_later() -> None:
    env, simulator = make_env()
    actions = random_actions(2)
    env.step(actions[0])
    env.step(actions[1])
    torch.testing.assert_close(simulator.targets[0], DEFAULT_POSITION.expand(4, 9))
    torch.testing.assert_close(simulator.targets[1], DEFAULT_POSITION + 0.25 * actions[0])


def test_the_observation_shows_the_clipped_action() -> None:
    env, _ = make_env()
    step = env.step(torch.full((4, 9), -500.0))
    assert step.observation[:, env.observation_slices["previous_action"]].eq(-100.0).all()


def test_an_episode_that_ends_shows_its_end_and_the_next_one_its_beginning() -> None:
    env, simulator = make_env(dataclasses.replace(PLAIN, terminations=TerminationConfig(minimum_height=0.3)))
    env.step(random_actions(1)[0])
    command = env.commands.value.clone()
    simulator.overrides["base_position"] = torch.tensor([[0, 0, 0.42], [0, 0, 0.2], [0, 0, 0.42], [0, 0, 0.42]])
    action = random_actions(2)[1]
    step = env.step(action)
    assert step.terminated.tolist() == [False, True, False, False]
    assert not step.truncated.any()

    part = env.observation_slices
    final, first = step.final_observation[1], step.observation[1]
    assert final[part["base_height"]].item() == pytest.approx(0.2)
    assert torch.equal(final[part["previous_action"]], action[1])
    torch.testing.assert_close(final[part["command"]], command[1] * torch.tensor([2.0, 2.0, 0.25]))
    assert first[part["base_height"]].item() == pytest.approx(BIPED.nominal_base_height + 0.01)
    assert not first[part["previous_action"]].any()
    assert not torch.equal(first[part["command"]], final[part["command"]])
    assert torch.equal(step.observation[[0, 2, 3]], step.final_observation[[0, 2, 3]])
    assert env.episode_steps.tolist() == [2, 0, 2, 2]


def test_only_time_outs_truncate_and_a_fall_wins() -> None:
    env, simulator = make_env(dataclasses.replace(PLAIN, episode_length_s=0.06))
    simulator.overrides["roll_pitch_yaw"] = torch.zeros(4, 3)
    for _ in range(2):
        step = env.step(torch.zeros(4, 9))
        assert not (step.terminated | step.truncated).any()
    simulator.overrides["roll_pitch_yaw"][2, 1] = 1.0
    step = env.step(torch.zeros(4, 9))
    assert step.terminated.tolist() == [False, False, True, False]
    assert step.truncated.tolist() == [True, True, False, True]
    assert step.metrics["episode/time_out"].item() == 3.0
    assert step.metrics["episode/fall_tilt"].item() == 1.0


def test_a_failed_robot_ends_alone() -> None:
    env, simulator = make_env()
    twin, _ = make_env()
    actions = random_actions(20, size=0.3)
    for index, action in enumerate(actions):
        if index == 5:
            simulator.overrides["failed"] = torch.tensor([False, False, True, False])
            simulator.overrides["joint_velocity"] = simulator.state.joint_velocity.index_fill(0, torch.tensor(2), 3e38)
        step, expected = env.step(action), twin.step(action)
        if index == 5:
            simulator.overrides.clear()
            assert step.terminated.tolist() == [False, False, True, False]
            assert step.reward[2].item() == 0.0
            assert step.metrics["episode/simulation_error"].item() == 1.0
            assert all(value.isfinite() for value in step.metrics.values())
            continue
        others = [0, 1, 3]
        assert step.observation.isfinite().all()
        assert step.final_observation.isfinite().all()
        if index < 5:
            assert_same_steps(step, expected)
        torch.testing.assert_close(step.observation[others], expected.observation[others], atol=1e-6, rtol=0)


def test_an_action_that_is_no_number_spoils_one_robot_for_one_episode() -> None:
    env, simulator = make_env()
    action = torch.zeros(4, 9)
    action[1] = torch.nan
    simulator.overrides["failed"] = torch.tensor([False, True, False, False])
    assert env.step(action).observation.isfinite().all()
    simulator.overrides.clear()
    step = env.step(torch.zeros(4, 9))
    assert step.observation.isfinite().all()
    assert step.reward.isfinite().all()


def test_rewards_and_tracking_use_the_command_that_was_observed() -> None:
    env, _ = make_env(dataclasses.replace(PLAIN, commands=CommandConfig(resampling_time_s=0.02)))
    for action in random_actions(5, size=0.3):
        command = env.commands.value
        step = env.step(action)
        assert not torch.equal(env.commands.value, command)
        velocity = env.state.base_linear_velocity
        error = (velocity - command)[:, :2].norm(dim=1).mean()
        torch.testing.assert_close(step.metrics["tracking/velocity_error"], error)
        torch.testing.assert_close(step.metrics["tracking/speed"], velocity[:, :2].norm(dim=1).mean())
        expected = 10.0 * torch.exp(-(velocity - command)[:, 0].square() / 0.25).mean()
        torch.testing.assert_close(step.metrics["reward/track_vx"], expected)


def test_metrics_have_the_same_names_in_every_step_and_add_up_to_the_reward() -> None:
    env, _ = make_env(EVERYTHING)
    names = None
    for action in random_actions(30):
        step = env.step(action)
        names = names or list(step.metrics)
        assert list(step.metrics) == names
        assert all(value.shape == () and value.dtype == torch.float32 for value in step.metrics.values())
        terms = sum(value for name, value in step.metrics.items() if name.startswith("reward/"))
        torch.testing.assert_close(torch.as_tensor(terms) * 0.02, step.reward.mean(), rtol=1e-4, atol=1e-4)
    assert names is not None
    causes = {name for name in names if name.startswith("episode/")}
    assert causes == {f"episode/{cause}" for cause in ("fall_tilt", "fall_height", "time_out", "simulation_error")}


def test_first_episodes_are_spread_over_the_episode_length() -> None:
    env, _ = make_env(dataclasses.replace(PLAIN, randomize_episode_start=True), 4096)
    elapsed = env.episode_steps.float()
    assert elapsed.amin().item() < 20
    assert elapsed.amax().item() > 4480
    assert elapsed.mean().item() == pytest.approx(2250, abs=100)
    env, _ = make_env(PLAIN)
    assert not env.episode_steps.any()


def test_a_command_from_outside_holds_until_changed() -> None:
    env, _ = make_env(dataclasses.replace(PLAIN, commands=CommandConfig(resampling_time_s=0.04)))
    env.set_command(torch.tensor([0.5, -0.1, 0.2]))
    for _ in range(5):
        step = env.step(torch.zeros(4, 9))
        torch.testing.assert_close(step.observation[:, 8:11], torch.tensor([[1.0, -0.2, 0.05]]).expand(4, 3))
    env.set_command(None)
    for _ in range(2):
        step = env.step(torch.zeros(4, 9))
    assert step.observation[:, 8].unique().numel() == 4


def test_commands_change_every_four_seconds() -> None:
    env, _ = make_env()
    commands = []
    for _ in range(401):
        env.step(torch.zeros(4, 9))
        commands.append(env.commands.value)
    changes = [index + 1 for index in range(1, 401) if not torch.equal(commands[index], commands[index - 1])]
    assert changes == [200, 400]


def test_pushes_come_at_their_interval_and_only_when_on() -> None:
    randomization = dataclasses.replace(PLAIN.randomization, push_speed=1.0, push_interval_s=0.2)
    env, simulator = make_env(dataclasses.replace(PLAIN, randomization=randomization))
    counts = []
    for _ in range(35):
        env.step(torch.zeros(4, 9))
        counts.append(len(simulator.velocity_settings))
    assert counts == [0] * 9 + [1] * 10 + [2] * 10 + [3] * 6
    linear, angular = simulator.velocity_settings[0]
    assert (linear.norm(dim=1) > 0.0).all()
    assert (linear.norm(dim=1) <= 1.0).all()
    assert not angular.any()

    env, simulator = make_env()
    for _ in range(400):
        env.step(torch.zeros(4, 9))
    assert simulator.velocity_settings == []


def test_contact_faults_touch_the_observation_and_not_the_rewards() -> None:
    faulty = dataclasses.replace(PLAIN.randomization, contact_false_probability=1.0)
    rewards = dataclasses.replace(RewardConfig(), clock_contact=1.0, foot_slip=-1.0)
    config = dataclasses.replace(PLAIN, rewards=rewards)
    env, _ = make_env(config)
    faulty_env, _ = make_env(dataclasses.replace(config, randomization=faulty))
    for each in (env, faulty_env):
        each.set_command(torch.tensor([0.5, 0.0, 0.0]))
    contact = env.observation_slices["foot_contact"]
    for action in random_actions(20, size=0.3):
        step, faulty_step = env.step(action), faulty_env.step(action)
        assert torch.equal(step.reward, faulty_step.reward)
        assert torch.equal(step.observation[:, contact], 1.0 - faulty_step.observation[:, contact])


def test_motors_and_friction_differ_between_robots_as_drawn() -> None:
    env, simulator = make_env(EnvConfig(), 64)
    assert torch.equal(simulator.friction, env.randomization.lasting["friction"])
    assert simulator.motor_strength.unique().numel() > 500


def test_the_clocked_recipe_can_be_expressed() -> None:
    recipe = dataclasses.replace(
        PLAIN,
        observations=ObservationConfig(noise=False, clock=True),
        terminations=TerminationConfig(tilt_limit_deg=37.0),
        rewards=RewardConfig(
            **(
                dict.fromkeys(entries(RewardConfig, Term), 0.0)
                | {"track_vx": 2.0, "track_vy": 0.5, "track_wz": 0.5, "clock_contact": 0.5, "swing_height": -20.0}
                | {"tilt": -2.0, "height_error": -20.0, "vertical_velocity": -1.0, "roll_pitch_rate": -0.05}
                | {"action_rate": -0.01, "joint_acceleration": -2.5e-7, "foot_slip": -0.1, "sideways_joints": -0.5}
                | {"alive": 0.3, "termination": -1.0}
            ),
            vx_sigma=0.05,
            vy_sigma=0.05,
        ),
    )
    env, _ = make_env(recipe)
    assert env.observation_dim == 40
    env.set_command(torch.zeros(3))
    step = env.step(torch.zeros(4, 9))
    # At rest at the commanded speed: 2 + 0.5 + 0.5 + 0.3; both feet in the air where two are wanted down.
    torch.testing.assert_close(step.reward, torch.full((4,), 3.3 * 0.02), rtol=1e-4, atol=0)


def test_robots_see_and_are_paid_for_what_keeps_them_on_course() -> None:
    commands = CommandConfig(course_gain=2.0, course_rate=0.4)
    rewards = RewardConfig(**{**dict.fromkeys(entries(RewardConfig, Term), 0.0), "track_wz": 1.0})
    env, simulator = make_env(dataclasses.replace(PLAIN, commands=commands, rewards=rewards))
    env.set_command(torch.tensor([0.5, 0.0, 0.0]))
    simulator.overrides["roll_pitch_yaw"] = torch.tensor([[0.0, 0.0, yaw] for yaw in (0.0, 0.1, -0.1, 1.0)])
    step = env.step(torch.zeros(4, 9))
    wanted = torch.tensor([0.0, -0.2, 0.2, -0.4])
    torch.testing.assert_close(step.observation[:, 10] / 0.25, wanted)
    simulator.overrides["base_angular_velocity"] = torch.stack((wanted * 0, wanted * 0, wanted), dim=1)
    torch.testing.assert_close(env.step(torch.zeros(4, 9)).reward, torch.full((4,), 0.02))
    env.set_command(torch.tensor([0.5, 0.0, 0.0]), heading=torch.tensor(0.1))
    step = env.step(torch.zeros(4, 9))
    torch.testing.assert_close(step.observation[:, 10] / 0.25, torch.tensor([0.2, 0.0, 0.4, -0.4]))


def test_disturbances_grow_and_go_on_growing_where_they_were() -> None:
    randomization = dataclasses.replace(
        PLAIN.randomization, latency_steps=(0, 2), push_speed=1.0, push_interval_s=0.02, growth_s=2.0
    )
    env, simulator = make_env(dataclasses.replace(PLAIN, randomization=randomization), num_envs=512)

    def push(env: BipedEnv, simulator: FakeSimulator) -> float:
        env.step(torch.zeros(512, 9))
        return float(simulator.velocity_settings[-1][0].norm(dim=-1).max())

    assert push(env, simulator) == 0.0
    env.disturbances.step_count = 50
    assert push(env, simulator) == pytest.approx(0.5, abs=0.02)
    other, _ = make_env(env.config, num_envs=512)
    other.load_state_dict(env.state_dict())
    assert other.disturbances.grown == env.disturbances.grown == pytest.approx(0.51)
    env.disturbances.step_count = 1000
    assert push(env, simulator) == pytest.approx(1.0, abs=0.02)


def test_latency_grows_with_the_disturbances() -> None:
    randomization = dataclasses.replace(PLAIN.randomization, latency_steps=(0, 2), growth_s=0.2)
    env, simulator = make_env(dataclasses.replace(PLAIN, randomization=randomization), num_envs=64)
    assert env.randomization.latency.unique().tolist() == [0, 1, 2]
    for action in random_actions(12, num_envs=64):
        env.step(action)
    actions = random_actions(12, num_envs=64)
    at_once = [
        (target - DEFAULT_POSITION - 0.25 * action).abs().amax(dim=1) < 1e-5
        for target, action in zip(simulator.targets, actions, strict=True)
    ]
    assert all(mask.all() for mask in at_once[:5])
    assert not at_once[6].all()
    assert torch.equal(at_once[11], env.randomization.latency == 0)


def test_a_heading_is_refused_where_nobody_is_kept_on_course() -> None:
    env, _ = make_env()
    with pytest.raises(ValueError, match="course-gain"):
        env.set_command(torch.zeros(3), heading=torch.tensor(1.0))


def test_a_reset_of_some_robots_leaves_the_others_exactly_as_they_were() -> None:
    """Whatever they are in the middle of: new commands, an episode that has just begun, a push, a mirror image."""
    mask = torch.tensor([True, False, True, False])
    for steps in range(1, 22):
        actions = random_actions(steps)
        reset, _ = make_env(EVERYTHING)
        for action in actions:
            reset.step(action)
        before = reset.state_dict()
        last = reset._observation.clone()
        observation = reset.reset_some(mask)
        after = reset.state_dict()
        assert torch.equal(observation[~mask], last[~mask])
        assert not (observation[mask] == last[mask]).all(dim=1).any()
        assert reset.episode_steps[mask].tolist() == [0, 0]

        def check(name: str, first: Any, second: Any) -> None:  # noqa: ANN401
            if isinstance(first, dict):
                for key in first:
                    check(f"{name}.{key}", first[key], second[key])
            elif isinstance(first, Tensor) and first.shape[:1] == (4,):
                torch.testing.assert_close(first[~mask], second[~mask], rtol=0, atol=0, equal_nan=True, msg=name)

        check("state", before, after)
        assert after["began"].tolist() == (before["began"] | mask).tolist()
