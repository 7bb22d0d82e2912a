import dataclasses

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils import env_checker, passive_env_checker
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers.vector import DictInfoToList, RecordEpisodeStatistics

from biped.env import BipedEnv
from biped.env_config import EnvConfig
from biped.gymnasium_env import BipedVectorEnv
from tests.biped.simulators.fake_simulator import FakeSimulator

SHORT = dataclasses.replace(EnvConfig(), episode_length_s=0.1, randomize_episode_start=False)


def make(output: str, config: EnvConfig | None = None, num_envs: int = 3) -> BipedVectorEnv:
    env = BipedEnv(FakeSimulator(num_envs), config or EnvConfig(), seed=0)
    return BipedVectorEnv(env, output)  # type: ignore[arg-type]


def test_spaces() -> None:
    env = make("numpy")
    assert env.single_action_space == gymnasium.spaces.Box(-100.0, 100.0, (9,), np.float32)
    assert env.action_space.shape == (3, 9)
    assert env.observation_space.shape == (3, 38)
    assert env.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP


@pytest.mark.filterwarnings("error")
def test_gymnasiums_own_checks_pass() -> None:
    env = make("numpy")
    env_checker.check_space_limit(env.action_space, "action")
    env_checker.check_space_limit(env.observation_space, "observation")
    passive_env_checker.check_action_space(env.action_space)
    passive_env_checker.check_observation_space(env.observation_space)
    env_checker.check_reset_seed_determinism(env)  # type: ignore[arg-type]
    env_checker.check_reset_options(env)  # type: ignore[arg-type]
    passive_env_checker.env_reset_passive_checker(env)  # type: ignore[arg-type]
    observation, *_ = env.step(env.action_space.sample())
    passive_env_checker.check_obs(observation, env.observation_space, "step")
    # Later than the oldest Gymnasium that the environment works with.
    if hasattr(env_checker, "check_returned_data_not_reused"):
        env_checker.check_returned_data_not_reused(make("numpy", num_envs=1))  # type: ignore[arg-type]


def test_torch_output_stays_torch() -> None:
    env = make("torch")
    observation, infos = env.reset(seed=1)
    assert isinstance(observation, torch.Tensor)
    assert infos == {}
    *values, infos = env.step(torch.zeros(3, 9))
    assert all(isinstance(value, torch.Tensor) for value in values)
    assert infos["final_obs"].shape == (3, 38)
    assert infos["_final_obs"].tolist() == [False, False, False]


def test_numpy_output_has_numpy_types() -> None:
    env = make("numpy")
    observation, _ = env.reset(seed=1)
    observation_after, reward, terminated, truncated, infos = env.step(np.zeros((3, 9), dtype=np.float32))
    assert observation.dtype == observation_after.dtype == reward.dtype == np.float32
    assert terminated.dtype == truncated.dtype == np.bool_
    assert infos == {}


def test_final_observations_come_in_the_step_that_ends_the_episode() -> None:
    env, numpy_env = make("torch", SHORT), make("numpy", SHORT)
    env.reset(seed=1)
    numpy_env.reset(seed=1)
    for index in range(5):
        observation, _, _, truncated, infos = env.step(torch.zeros(3, 9))
        numpy_observation, _, _, numpy_truncated, numpy_infos = numpy_env.step(np.zeros((3, 9)))
        ended = index == 4
        assert truncated.tolist() == numpy_truncated.tolist() == [ended] * 3
        assert ("final_obs" in numpy_infos) == ended
        np.testing.assert_array_equal(numpy_observation, np.asarray(observation))
    assert numpy_infos["_final_obs"].tolist() == infos["_final_obs"].tolist() == [True] * 3
    assert numpy_infos["final_obs"].dtype == object
    np.testing.assert_array_equal(np.stack(numpy_infos["final_obs"]), infos["final_obs"].numpy())
    assert not np.array_equal(numpy_infos["final_obs"][0], numpy_observation[0])


def test_wrappers_for_same_step_autoreset_work() -> None:
    env = RecordEpisodeStatistics(make("numpy", SHORT))  # type: ignore[arg-type]
    env.reset(seed=1)
    for _ in range(5):
        *_, infos = env.step(np.zeros((3, 9), dtype=np.float32))
    assert infos["episode"]["l"].tolist() == [5, 5, 5]

    as_list = DictInfoToList(make("numpy", SHORT))
    as_list.reset(seed=1)
    for _ in range(5):
        *_, list_infos = as_list.step(np.zeros((3, 9), dtype=np.float32))
    assert [info["final_obs"].shape for info in list_infos] == [(38,)] * 3


def test_the_seed_repeats_an_episode() -> None:
    env = make("numpy")
    first, _ = env.reset(seed=5)
    second, _ = env.reset(seed=5)
    third, _ = env.reset(seed=6)
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, third)


@pytest.mark.parametrize("output", ["torch", "numpy"])
def test_a_mask_resets_those_environments_only(output: str) -> None:
    env = make(output, dataclasses.replace(SHORT, episode_length_s=0.2))
    env.reset(seed=1)
    action = np.full((3, 9), 0.5, dtype=np.float32)
    for _ in range(4):
        before = env.step(action)[0]
    mask = np.array([True, False, True])
    observation, infos = env.reset(options={"reset_mask": mask if output == "numpy" else torch.from_numpy(mask)})
    assert infos == {}
    np.testing.assert_array_equal(np.asarray(observation)[1], np.asarray(before)[1])
    assert (np.asarray(observation) != np.asarray(before)).any(axis=1).tolist() == mask.tolist()
    ended = [np.asarray(env.step(action)[3]).tolist() for _ in range(10)]
    assert [row[1] for row in ended] == [step == 5 for step in range(10)]
    assert [row[0] for row in ended] == [row[2] for row in ended] == [step == 9 for step in range(10)]


@pytest.mark.parametrize(
    ("mask", "error", "message"),
    [
        ([True, False, False], TypeError, "must be a bool array, got list"),
        (np.array([1, 0, 0]), TypeError, "must be a bool array, got an array of int64"),
        (torch.ones(3), TypeError, "must be a bool array, got an array of torch.float32"),
        (np.array([True, False]), ValueError, r"must have shape \[3\], got \[2\]"),
        (np.zeros(3, dtype=bool), ValueError, "at least one"),
    ],
)
def test_a_mask_that_is_none_is_refused_and_changes_nothing(mask: object, error: type[Exception], message: str) -> None:
    env, untouched = make("numpy"), make("numpy")
    env.reset(seed=1)
    untouched.reset(seed=1)
    with pytest.raises(error, match=message):
        env.reset(options={"reset_mask": mask})
    np.testing.assert_array_equal(env.step(np.zeros((3, 9)))[0], untouched.step(np.zeros((3, 9)))[0])


def test_other_options_are_ignored() -> None:
    first, _ = make("numpy").reset(seed=1, options={"low": 0.0})
    second, _ = make("numpy").reset(seed=1)
    np.testing.assert_array_equal(first, second)


def test_closing_closes_the_simulator() -> None:
    env = make("torch")
    env.close()
    assert isinstance(env.env.simulator, FakeSimulator)
    assert env.env.simulator.closed


def test_an_unknown_output_is_refused() -> None:
    with pytest.raises(ValueError, match='"torch" or "numpy"'):
        make("jax")
