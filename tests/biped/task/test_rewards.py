import math

import pytest
import torch

from biped.robots.library import BIPED
from biped.task.reward_terms import RewardInputs, robot_constants
from biped.task.rewards import RewardConfig, Rewards, Term
from biped.task.table import entries
from tests.biped.simulators.fake_simulator import DEFAULT_POSITION, upright_state

DT = 0.02
CPU = torch.device("cpu")
TERMS = entries(RewardConfig, Term)


def make_inputs(num_envs: int = 1) -> RewardInputs:
    """Robots that stand still as commanded and as the clock wants."""
    state = upright_state(num_envs)
    return RewardInputs(
        state=state,
        command=torch.zeros(num_envs, 3),
        action=torch.zeros(num_envs, 9),
        previous_action=torch.zeros(num_envs, 9),
        previous_joint_velocity=torch.zeros(num_envs, 9),
        contact=torch.ones(num_envs, 2, dtype=torch.bool),
        scheduled_contact=torch.ones(num_envs, 2, dtype=torch.bool),
        touchdown=torch.zeros(num_envs, 2, dtype=torch.bool),
        landed_air_time=torch.zeros(num_envs, 2),
        alternation=torch.zeros(num_envs),
        harmonic_motion=torch.zeros(num_envs),
        mean_velocity_error=torch.zeros(num_envs, 3),
        fell=torch.zeros(num_envs, dtype=torch.bool),
    )


def with_state(**fields: torch.Tensor) -> RewardInputs:
    inputs = make_inputs()
    return inputs._replace(state=inputs.state._replace(**fields))


def tilted(degrees: float) -> torch.Tensor:
    """Gravity in the frame of a base pitched by `degrees`."""
    angle = math.radians(degrees)
    return torch.tensor([[math.sin(angle), 0.0, -math.cos(angle)]])


def joints(*, deviation: dict[int, float]) -> torch.Tensor:
    position = DEFAULT_POSITION.clone()
    for index, value in deviation.items():
        position[index] += value
    return position[None]


FEET_SLIDE = torch.tensor([[[0.3, 0.4, 5.0], [1.0, 0.0, 0.0]]])
SOLES_AT = torch.tensor([[[0.0, 0.0, 0.05], [0.0, 0.0, 0.10]]])
RIGHT_ONLY = torch.tensor([[True, False]])
NEITHER = torch.tensor([[False, False]])

CASES = {
    "track_vx": (
        with_state(base_linear_velocity=torch.tensor([[0.7, 0.0, 0.0]]))._replace(command=torch.tensor([[0.2, 0, 0]])),
        math.exp(-1.0),
    ),
    "track_vy": (
        with_state(base_linear_velocity=torch.tensor([[0.0, -0.2, 0.0]]))._replace(command=torch.tensor([[0, 0.3, 0]])),
        math.exp(-1.0),
    ),
    "track_wz": (
        with_state(base_angular_velocity=torch.tensor([[0.0, 0.0, 1.0]])),
        math.exp(-4.0),
    ),
    "mean_velocity": (make_inputs()._replace(mean_velocity_error=torch.tensor([[0.03, -0.04, 9.0]])), math.exp(-0.5)),
    "mean_yaw_rate": (make_inputs()._replace(mean_velocity_error=torch.tensor([[9.0, 9.0, -0.2]])), math.exp(-2.0)),
    "alive": (make_inputs(), 1.0),
    "vertical_velocity": (with_state(base_linear_velocity=torch.tensor([[1.0, 1.0, -0.3]])), 0.09),
    "roll_pitch_rate": (with_state(base_angular_velocity=torch.tensor([[1.0, -2.0, 3.0]])), 5.0),
    "tilt": (with_state(projected_gravity=torch.tensor([[0.3, 0.4, -math.sqrt(0.75)]])), 0.25),
    "torso_stability": (with_state(projected_gravity=tilted(20.0)), math.exp(-(math.radians(20.0) ** 2))),
    "large_tilt": (with_state(projected_gravity=tilted(25.1)), 1.0),
    "height_error": (with_state(base_position=torch.tensor([[3.0, 3.0, BIPED.nominal_base_height - 0.1]])), 0.01),
    "low_height": (with_state(base_position=torch.tensor([[0.0, 0.0, 0.349]])), 1.0),
    "action_rate": (
        make_inputs()._replace(action=torch.full((1, 9), 0.5), previous_action=torch.full((1, 9), 0.2)),
        9 * 0.09,
    ),
    "default_pose": (with_state(joint_position=joints(deviation={1: 0.2, 6: -0.3, 8: 0.1})), 0.6),
    "sideways_joints": (
        with_state(joint_position=joints(deviation={0: 0.1, 1: 5.0, 4: -0.2, 8: 0.3})),
        0.01 + 0.04 + 0.09,
    ),
    "joint_movement": (with_state(joint_velocity=torch.tensor([[1.0, -2.0, 0, 0, 0, 0, 0, 0, 3.0]])), 0.6),
    "joint_acceleration": (
        with_state(joint_velocity=torch.tensor([[0.3, 0, 0, 0, 0, 0, 0, 0, 0]]))._replace(
            previous_joint_velocity=torch.tensor([[0.1, 0.1, 0, 0, 0, 0, 0, 0, 0]])
        ),
        10.0**2 + 5.0**2,
    ),
    "joint_torque": (with_state(joint_torque=torch.tensor([[1.0, -2.0, 0, 0, 0, 0, 0, 0, 2.0]])), 9.0),
    # hip1 reaches 0.6 rad, of which 90 % are free; the right knee -0.1..2.2 rad: free from 0.015 to 2.085 rad.
    "joint_limit": (with_state(joint_position=joints(deviation={0: -0.55, 2: 0.8})), 0.01 + 0.015),
    "foot_slip": (with_state(foot_velocity=FEET_SLIDE)._replace(contact=RIGHT_ONLY), 0.25),
    "clock_contact": (make_inputs()._replace(scheduled_contact=RIGHT_ONLY), 1.0),
    "swing_height": (
        with_state(foot_position=SOLES_AT)._replace(scheduled_contact=NEITHER),
        0.03**2 + 0.02**2,
    ),
    "foot_air_time": (
        make_inputs()._replace(touchdown=RIGHT_ONLY, landed_air_time=torch.tensor([[0.26, 0.0]])),
        0.06,
    ),
    "foot_alternation": (make_inputs()._replace(alternation=torch.tensor([0.5])), 0.5),
    "sinusoidal_motion": (make_inputs()._replace(harmonic_motion=torch.tensor([0.7])), 0.7),
    "termination": (make_inputs()._replace(fell=torch.tensor([True])), 1.0),
}

AT_REST = {
    "track_vx": 1.0,
    "track_vy": 1.0,
    "track_wz": 1.0,
    "mean_velocity": 1.0,
    "mean_yaw_rate": 1.0,
    "alive": 1.0,
    "torso_stability": 1.0,
    "clock_contact": 2.0,
}


def evaluate(name: str, inputs: RewardInputs) -> torch.Tensor:
    config = RewardConfig()
    value = TERMS[name].function(inputs, config, robot_constants(BIPED, config, DT, CPU))
    column = TERMS[name].column
    return value if column is None else value[:, column]


def test_every_term_has_a_case() -> None:
    assert list(CASES) == list(TERMS)


@pytest.mark.parametrize("name", TERMS)
def test_term_by_hand(name: str) -> None:
    inputs, expected = CASES[name]
    torch.testing.assert_close(evaluate(name, inputs), torch.tensor([expected]), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", TERMS)
def test_term_of_a_robot_that_stands_as_it_should(name: str) -> None:
    torch.testing.assert_close(evaluate(name, make_inputs(3)), torch.full((3,), AT_REST.get(name, 0.0)))


def test_joint_movement_is_capped() -> None:
    assert evaluate("joint_movement", with_state(joint_velocity=torch.full((1, 9), 5.0))).item() == 2.0


def test_thresholds_are_not_reached_just_inside() -> None:
    assert evaluate("large_tilt", with_state(projected_gravity=tilted(24.9))).item() == 0.0
    assert evaluate("low_height", with_state(base_position=torch.tensor([[0.0, 0.0, 0.351]]))).item() == 0.0


def test_swing_height_ignores_feet_the_clock_wants_down() -> None:
    inputs = with_state(foot_position=SOLES_AT)._replace(scheduled_contact=RIGHT_ONLY)
    assert evaluate("swing_height", inputs).item() == pytest.approx(0.02**2)


def only(**weights: float) -> RewardConfig:
    return RewardConfig(**{**dict.fromkeys(TERMS, 0.0), **weights})


def test_the_reward_is_the_weighted_sum_times_the_control_step() -> None:
    inputs = with_state(base_linear_velocity=torch.tensor([[0.0, 0.0, 0.5]]))
    reward, metrics = Rewards(only(alive=0.5, vertical_velocity=-2.0), BIPED, DT, CPU)(inputs)
    torch.testing.assert_close(reward, torch.tensor([(0.5 - 2.0 * 0.25) * DT]))
    assert {name: value.item() for name, value in metrics.items()} == {
        "reward/alive": 0.5,
        "reward/vertical_velocity": -0.5,
    }


@pytest.mark.parametrize(
    ("config", "inputs", "expected"),
    [
        (only(termination=-1.0), make_inputs()._replace(fell=torch.tensor([True])), -1.0),
        (only(foot_alternation=1.0), make_inputs()._replace(alternation=torch.tensor([0.5])), 0.5),
        (only(foot_air_time=2.0), CASES["foot_air_time"][0], 0.12),
    ],
)
def test_what_happens_at_one_instant_is_paid_its_weight(
    config: RewardConfig, inputs: RewardInputs, expected: float
) -> None:
    reward, _ = Rewards(config, BIPED, DT, CPU)(inputs)
    torch.testing.assert_close(reward, torch.tensor([expected]))


def test_metrics_are_means_over_the_robots() -> None:
    inputs = make_inputs(4)._replace(harmonic_motion=torch.tensor([0.0, 1.0, 0.5, 0.5]))
    _, metrics = Rewards(only(sinusoidal_motion=3.0), BIPED, DT, CPU)(inputs)
    assert metrics["reward/sinusoidal_motion"].item() == pytest.approx(1.5)


def test_a_failed_robot_gets_nothing_and_spoils_nothing() -> None:
    inputs = make_inputs(2)
    state = inputs.state._replace(
        failed=torch.tensor([True, False]), joint_velocity=torch.tensor([[1e38] * 9, [0.0] * 9])
    )
    reward, metrics = Rewards(only(alive=1.0, joint_acceleration=-1.0), BIPED, DT, CPU)(inputs._replace(state=state))
    assert reward.tolist() == pytest.approx([0.0, DT])
    assert metrics["reward/alive"].item() == 0.5
    assert metrics["reward/joint_acceleration"].item() == 0.0


def test_standing_pays_as_the_reference_says() -> None:
    reward, metrics = Rewards(RewardConfig(), BIPED, DT, CPU)(make_inputs())
    assert reward.item() == pytest.approx((10.0 + 6.0 + 0.5 + 5.0) * DT)
    assert "reward/clock_contact" not in metrics


def test_no_weight_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="every weight is 0"):
        Rewards(only(), BIPED, DT, CPU)
