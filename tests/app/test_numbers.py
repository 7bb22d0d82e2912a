"""Every number on the command lines: in a range that is declared, refused in one line outside, usable inside."""

import contextlib
import dataclasses
import math
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from app import play_flags, train_flags
from app.experiment import Experiment, from_plain, to_plain
from app.play_flags import PlayOptions
from biped.env import BipedEnv
from biped.env_config import EnvConfig, check_robot
from biped.robots.library import BIPED
from configs.presets import CPU, PRESETS
from ppo.checkpoint.sb3_zip import read_zip, write_zip
from ppo.hyperparameters import PPOConfig
from ppo.learning_rate import LearningRate, LearningRateConfig
from ppo.policy import RecurrentActorCritic
from ppo.update import PPO
from ppo.value_ranges import ConfigurationError, Range, range_of
from tests.biped.simulators.fake_simulator import FakeSimulator
from tests.ppo.checkpoint.checkpoint_models import tiny_model
from tests.ppo.rollouts import make_ppo, random_experience, small_policy

EXTREMES = (
    math.nan,
    math.inf,
    -math.inf,
    0.0,
    -0.001,
    -1.0,
    1e-300,
    1e9,
    1e300,
    0,
    -1,
    2**63 - 1,
    2**63,
    2**64,
    10**30,
)


class Number(NamedTuple):
    """A field that holds numbers."""

    path: tuple[str, ...]
    owner: type
    field: "dataclasses.Field[Any]"
    type: type
    """Of each number: float or int."""
    size: int
    """Numbers that it holds."""

    @property
    def name(self) -> str:
        return ".".join((*self.path, self.field.name))

    @property
    def flag(self) -> str:
        return f"--{self.name.replace('_', '-')}"

    def values(self) -> Iterator[Any]:
        """Extreme values of the field, also those of its range."""
        allowed = range_of(self.field)
        assert allowed is not None, f"{self.flag} has no declared range"
        for extreme in (*EXTREMES, allowed.low, allowed.high):
            if self.type is int and isinstance(extreme, float):
                continue
            number = self.type(extreme)
            yield (number,) * self.size if self.size > 1 else number

    def make(self, value: Any) -> Any:  # noqa: ANN401
        """The configuration that holds the field, with this value; raises ValueError where it is refused."""
        return dataclasses.replace(self.owner(), **{self.field.name: value})


def numbers_of(schema: type, path: tuple[str, ...] = ()) -> Iterator[Number]:
    for field in dataclasses.fields(schema):
        if dataclasses.is_dataclass(field.type):
            assert isinstance(field.type, type)
            yield from numbers_of(field.type, (*path, field.name))
            continue
        hints = [typing.get_type_hints(schema)[field.name]]
        while hints:
            hint = hints.pop()
            if hint in (int, float):
                yield Number(path, schema, field, hint, 1)
            elif typing.get_origin(hint) is tuple:
                (kind, *_), count = set(typing.get_args(hint)) - {...}, len(typing.get_args(hint))
                if kind is not str:
                    yield Number(path, schema, field, kind, count)
            else:
                hints += [part for part in typing.get_args(hint) if not isinstance(part, (str, Range))]


TRAIN, PLAY = list(numbers_of(Experiment)), list(numbers_of(PlayOptions))


def accepted(number: Number) -> list[Any]:
    result = []
    for value in number.values():
        with contextlib.suppress(ConfigurationError):
            number.make(value)
            result.append(value)
    return result


def test_the_walk_finds_numbers_of_every_kind() -> None:
    found = {number.name: (number.type, number.size) for number in TRAIN}
    assert len(found) > 100
    assert found["seed"] == (int, 1)
    assert found["processes"] == (int, 1)
    assert found["ppo.batch_size"] == (int, 1)
    assert found["policy.pi"] == (int, 2)
    assert found["env.randomization.friction"] == (float, 2)
    assert found["env.rewards.alive"] == (float, 1)
    played = {"command", "heading", "episodes", "seconds", "num_envs", "video_robots", "port", "seed"}
    assert {number.name for number in PLAY} == {*played, "simulation.substeps"}


@pytest.mark.parametrize("number", [*TRAIN, *PLAY], ids=lambda number: f"{number.owner.__name__}.{number.name}")
def test_what_is_no_sensible_number_is_refused(number: Number) -> None:
    for value in accepted(number):
        for single in value if isinstance(value, tuple) else (value,):
            assert not math.isnan(single)
            assert math.isfinite(single) or number.name == "ppo.max_grad_norm"
            assert abs(single) <= 1e15 or math.isinf(single) or number.name == "seed"


@pytest.mark.parametrize("number", TRAIN, ids=lambda number: number.flag)
def test_train_refuses_in_one_line_that_names_the_flag(number: Number, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = str(10**30) if number.type is int else "nan"
    assert_refused(train_flags.read_command_line, number, wrong, capsys)


@pytest.mark.parametrize("number", PLAY, ids=lambda number: number.flag)
def test_play_refuses_in_one_line_that_names_the_flag(number: Number, capsys: pytest.CaptureFixture[str]) -> None:
    for value in number.values():
        if value not in accepted(number):
            wrong = value[0] if isinstance(value, tuple) else value
            assert_refused(play_flags.read_command_line, number, str(wrong), capsys)


def assert_refused(read: Any, number: Number, wrong: str, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: ANN401
    words = [wrong] * number.size
    words[0] = f"{number.flag}={words[0]}"
    with pytest.raises(SystemExit) as error:
        read(words)
    assert error.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {number.flag} must be ")
    assert wrong.removesuffix(".0") in line


@pytest.mark.parametrize("number", [one for one in TRAIN if one.path[:1] == ("env",)], ids=lambda number: number.flag)
def test_the_task_runs_with_what_is_accepted(number: Number) -> None:
    for value in accepted(number):
        config = number.make(value)
        for name in number.path[1:]:
            config = dataclasses.replace(CPU.env, **{name: config}, mirror_left_stance=False)
        assert isinstance(config, EnvConfig)
        if number.field.name == "added_mass" and value[0] <= -0.9:
            with pytest.raises(ConfigurationError, match=r"added_mass must be above -0\.9"):
                check_robot(config, BIPED)
            continue
        env = BipedEnv(FakeSimulator(2), config, seed=2**63 - 1)
        low, high = env.action_low, env.action_high
        assert bool((low < high).all())
        observations = [env.reset()]
        for _ in range(3):
            step = env.step(torch.randn(2, BIPED.num_joints).clamp(low, high))
            observations.append(step.observation)
            assert bool(step.reward.isfinite().all()), value
        assert bool(torch.stack(observations).isfinite().all()), value


@pytest.mark.parametrize(
    "number", [one for one in TRAIN if one.owner is PPOConfig and one.type is float], ids=lambda number: number.flag
)
def test_an_update_and_a_checkpoint_are_made_with_what_is_accepted(number: Number, tmp_path: Path) -> None:
    for value in accepted(number):
        config = dataclasses.replace(number.make(value), n_steps=5, n_epochs=2)
        policy = small_policy()
        experience = random_experience(policy, 5, 8)
        make_ppo(PPO, policy, config).update(experience)
        assert all(bool(parameter.isfinite().all()) for parameter in policy.parameters()), value
        hyperparameters = config.sb3_hyperparameters(8, config.learning_rate, 2**63 - 1)
        write_zip(tmp_path / "model.zip", dataclasses.replace(tiny_model(), hyperparameters=hyperparameters))
        assert read_zip(tmp_path / "model.zip").hyperparameters[number.field.name] == value


@pytest.mark.parametrize(
    "number", [one for one in TRAIN if one.owner is LearningRateConfig], ids=lambda number: number.flag
)
def test_the_learning_rate_stays_in_its_range_with_what_is_accepted(number: Number) -> None:
    for value in accepted(number):
        config = dataclasses.replace(number.make(value), schedule="adaptive")
        rate = LearningRate(config.minimum, config, total_timesteps=10**15)
        for kl in [0.0, 1e30] * 3 + [0.0] * 20 + [1e30] * 20:
            rate.after_update(kl, rate.last_change + 10**15)
            assert config.minimum <= rate.value <= config.maximum


@pytest.mark.parametrize("log_std", [-40.0, 40.0])
def test_the_policy_runs_with_what_is_accepted(log_std: float) -> None:
    config = dataclasses.replace(small_policy().config, log_std_init=log_std)
    policy = RecurrentActorCritic(config, 3, 2)
    observation, start = torch.randn(4, 3), torch.ones(4, dtype=torch.bool)
    action, log_prob, *_ = policy.act(observation, policy.initial_state(4).actor, start, torch.randn(4, 2))
    assert bool(action.isfinite().all())
    assert bool(log_prob.isfinite().all())


def test_infinity_that_is_accepted_survives_storage() -> None:
    experiment = dataclasses.replace(CPU, ppo=dataclasses.replace(CPU.ppo, max_grad_norm=math.inf))
    assert from_plain(to_plain(experiment)) == experiment


def test_every_preset_is_within_the_ranges() -> None:
    for preset in PRESETS.values():
        assert from_plain(to_plain(preset)) == preset
