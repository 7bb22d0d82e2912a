import math

import pytest
import torch

from biped.examination.gait_meter import SETTLING_TIME, GaitMeter
from biped.examination.trials import SUDDEN_CHANGES, Schedule, Trial, constant
from biped.robots.library import BIPED
from biped.simulators.state import State
from biped.task.gait import GaitConfig
from tests.biped.examination.walks import (
    COUNTED,
    CRITERIA,
    DT,
    PERIOD,
    STEPS,
    WARMUP,
    everyone,
    lifting,
    moving,
    strides,
    turned,
    watch,
)
from tests.biped.simulators.fake_simulator import upright_state


def test_a_perfect_walk() -> None:
    contact = strides(17, 17)
    summary = watch(contact, fields=moving(0.5) | lifting(contact, 0.08))
    assert summary.trial == Trial(((0.5, 0.0, 0.0),))
    assert summary.seconds == pytest.approx(STEPS * DT)
    assert not summary.standing
    assert (summary.robots, summary.survival) == (1, 1.0)
    assert summary.velocity_x == pytest.approx(0.5)
    assert summary.velocity_y == 0.0
    assert summary.velocity_error_x == pytest.approx(0.0, abs=1e-6)
    assert summary.drift_speed == pytest.approx(0.5, abs=1e-5)
    assert summary.yaw_drift == 0.0
    assert summary.alternation == 1.0
    assert summary.steps_per_second == pytest.approx(2 / 0.6)
    assert summary.foot_clearance == pytest.approx(0.08)
    assert summary.duty_right == pytest.approx(17 / 30)
    assert summary.duty_left == pytest.approx(17 / 30)
    assert summary.duty_asymmetry == 0.0
    assert (summary.foot_slip, summary.torque_rms, summary.joint_limit_hits, summary.action_rate) == (0, 0, 0, 0)
    assert summary.cost_of_transport == 0.0
    assert CRITERIA.shortfalls(summary) == ()


def test_a_limp_is_asymmetric() -> None:
    contact = strides(20, 11)
    summary = watch(contact, fields=moving(0.5) | lifting(contact, 0.08))
    assert summary.alternation == 1.0
    assert summary.duty_right == pytest.approx(20 / 30)
    assert summary.duty_left == pytest.approx(11 / 30)
    assert summary.duty_asymmetry == pytest.approx(9 / 30)
    assert CRITERIA.shortfalls(summary) == ("duty asymmetry 0.300 is above 0.05",)


def test_limps_on_different_sides_do_not_cancel() -> None:
    contact = torch.cat((strides(20, 11), strides(11, 20)), dim=1)
    summary = watch(contact)
    assert summary.duty_right == pytest.approx(15.5 / 30)
    assert summary.duty_left == pytest.approx(15.5 / 30)
    assert summary.duty_asymmetry == pytest.approx(9 / 30)


def test_shuffling_without_lifting_the_feet() -> None:
    contact = everyone(True)
    foot_velocity = torch.tensor([0.3, 0.4, 5.0]).expand(STEPS, 1, 2, 3)
    summary = watch(contact, fields=moving(0.5) | {"foot_velocity": foot_velocity})
    assert summary.foot_slip == pytest.approx(0.5)
    assert summary.steps_per_second == 0.0
    assert math.isnan(summary.alternation)
    assert math.isnan(summary.foot_clearance)
    assert CRITERIA.shortfalls(summary) == ("no alternation was seen", "no foot clearance was seen")


def test_shuffling_with_low_feet_lacks_clearance() -> None:
    contact = strides(17, 17)
    summary = watch(contact, fields=moving(0.5) | lifting(contact, 0.01))
    assert CRITERIA.shortfalls(summary) == ("foot clearance 0.010 is below 0.03",)


def test_only_feet_on_the_ground_slip() -> None:
    contact = strides(15, 15)
    foot_velocity = torch.zeros(STEPS, 1, 2, 3)
    foot_velocity[..., 0] = torch.where(contact, 0.1, 2.0)
    assert watch(contact, fields={"foot_velocity": foot_velocity}).foot_slip == pytest.approx(0.1)


def test_clearance_is_the_mean_over_swings_of_the_highest_point() -> None:
    contact = strides(15, 15)
    phase = torch.arange(STEPS) % PERIOD
    place = torch.zeros(STEPS, 1, 2, 3)
    # The right foot is in the air in phases 15 to 29, the left one in 0 to 14; each has one highest control step.
    place[phase == 20, 0, 0, 2] = 0.09
    place[phase == 5, 0, 1, 2] = 0.05
    assert watch(contact, fields={"foot_position": place}).foot_clearance == pytest.approx(0.07)


def test_the_landing_at_the_start_is_no_step() -> None:
    contact = everyone(True)
    contact[:3] = False
    schedule = Schedule([Trial(((0.0, 0.0, 0.0),))], 1, 20, torch.device("cpu"))
    meter = GaitMeter(BIPED, schedule, DT, GaitConfig(), warmup_s=0.0)
    for t in range(20):
        meter.step(upright_state(1), contact[t], torch.zeros(1, 9), torch.tensor([False]))
    assert meter.summaries()[0].steps_per_second == 0.0


def test_a_robot_contributes_until_it_falls() -> None:
    contact = strides(17, 17).expand(STEPS, 4, 2)
    velocity = torch.zeros(STEPS, 4, 3)
    velocity[:, :3, 0] = 0.5
    velocity[:, 3, 0] = 1.0
    velocity[WARMUP + 99 :, 3, 0] = 77.0
    ended = torch.zeros(STEPS, 4, dtype=torch.bool)
    ended[WARMUP + 99, 3] = True
    fields = {"base_linear_velocity": velocity} | lifting(contact, 0.08)
    summary = watch(contact, fields=fields, ended=ended)
    assert summary.survival == 0.75
    assert summary.velocity_x == pytest.approx((3 * COUNTED * 0.5 + 99 * 1.0) / (3 * COUNTED + 99))
    assert CRITERIA.shortfalls(summary)[0] == "survival 0.750 is below 0.99"


def test_robots_that_fall_at_once_show_nothing_and_do_not_pass() -> None:
    ended = torch.zeros(STEPS, 1, dtype=torch.bool)
    ended[5] = True
    summary = watch(strides(17, 17), ended=ended)
    assert summary.survival == 0.0
    assert math.isnan(summary.velocity_x)
    assert len(CRITERIA.shortfalls(summary)) == 6


def test_standing_on_two_feet_passes() -> None:
    summary = watch(everyone(True), command=(0.0, 0.0, 0.0))
    assert summary.standing
    assert (summary.duty_right, summary.duty_left, summary.drift_speed) == (1.0, 1.0, 0.0)
    assert math.isnan(summary.cost_of_transport)
    assert CRITERIA.passes(summary)


def test_stepping_in_place_is_not_standing() -> None:
    summary = watch(strides(17, 17), command=(0.0, 0.0, 0.0))
    assert CRITERIA.shortfalls(summary) == ("time on each foot 0.567 is below 0.95",)


@pytest.mark.parametrize(("speed", "passes"), [(0.029, True), (0.031, False)])
def test_drifting_is_not_standing(speed: float, passes: bool) -> None:
    summary = watch(everyone(True), command=(0.0, 0.0, 0.0), fields=moving(0.6 * speed, -0.8 * speed))
    assert summary.drift_speed == pytest.approx(speed, abs=1e-5)
    assert CRITERIA.passes(summary) is passes


def test_drift_is_displacement_and_not_swaying() -> None:
    place = torch.zeros(STEPS, 1, 3)
    place[::2, :, 1] = 0.05
    place[:WARMUP, :, 0] = -3.0
    place[-1, :, 0] = 0.12
    summary = watch(everyone(True), command=(0.0, 0.0, 0.0), fields={"base_position": place})
    # 3.12 m forward from the end of the warm-up on; both ends are on the same side.
    assert summary.drift_speed == pytest.approx(3.12 / (COUNTED * DT), rel=1e-5)


def test_the_first_seconds_do_not_count() -> None:
    velocity = torch.full((STEPS, 1, 3), 0.5)
    velocity[:WARMUP] = 9.0
    assert watch(strides(17, 17), fields={"base_linear_velocity": velocity}).velocity_x == pytest.approx(0.5)


def test_velocity_errors_per_axis() -> None:
    summary = watch(strides(17, 17), fields=moving(-0.25, 0.1), command=(-0.3, 0.2, 0.0))
    assert summary.velocity_error_x == pytest.approx(0.05)
    assert summary.velocity_error_y == pytest.approx(0.1)


def test_velocity_is_measured_along_the_heading() -> None:
    yaw = torch.full((STEPS, 1), 2.0)
    pitch = 0.5
    half = torch.tensor([math.cos(pitch / 2), 0.0, math.sin(pitch / 2), 0.0])
    heading = torch.tensor([math.cos(1.0), 0.0, 0.0, math.sin(1.0)])
    # Product of the two rotations, heading first, for quaternions w x y z.
    quaternion = torch.stack(
        (heading[0] * half[0], -heading[3] * half[2], heading[0] * half[2], heading[3] * half[0])
    ).expand(STEPS, 1, 4)
    # Pitched nose down, a robot that moves level has a part of its velocity along its own z axis.
    velocity = torch.tensor([0.4 * math.cos(pitch), 0.1, 0.4 * math.sin(pitch)]).expand(STEPS, 1, 3)
    fields = turned(yaw) | {"base_quaternion": quaternion, "base_linear_velocity": velocity}
    summary = watch(strides(17, 17), fields=fields)
    assert summary.velocity_x == pytest.approx(0.4)
    assert summary.velocity_y == pytest.approx(0.1)


def test_yaw_drift_counts_past_half_a_turn_over_the_whole_run() -> None:
    yaw = torch.stack((0.01 * torch.arange(STEPS), -0.03 * torch.arange(STEPS)), dim=-1)
    wrapped = torch.remainder(yaw + math.pi, 2 * math.pi) - math.pi
    summary = watch(everyone(True, num_envs=2), fields=turned(wrapped))
    assert summary.yaw_drift == pytest.approx(0.02 * (STEPS - 1), rel=1e-4)


def test_commanded_turning_is_no_drift() -> None:
    yaw = 0.5 * DT * torch.arange(STEPS).unsqueeze(1)
    summary = watch(everyone(True), command=(0.0, 0.0, 0.5), fields=turned(yaw))
    assert summary.yaw_drift == pytest.approx(0.0, abs=1e-4)
    assert summary.yaw_rate_error == pytest.approx(0.0, abs=1e-4)
    assert not summary.standing
    assert CRITERIA.shortfalls(summary) == ()


def test_a_robot_that_turns_less_than_it_is_told_is_off_by_the_rest() -> None:
    yaw = 0.3 * DT * torch.arange(STEPS).unsqueeze(1)
    summary = watch(everyone(True), command=(0.0, 0.0, 0.5), fields=turned(yaw))
    assert summary.yaw_rate_error == pytest.approx(0.2, abs=1e-4)
    assert CRITERIA.shortfalls(summary) == ("yaw rate error 0.200 is above 0.1",)


@pytest.mark.parametrize(("rate", "passes"), [(0.0099, True), (0.0101, False)])
def test_the_course_is_judged_by_the_turn_in_ten_seconds(rate: float, passes: bool) -> None:
    contact = strides(17, 17)
    walk = moving(0.5) | lifting(contact, 0.08) | turned(rate * DT * torch.arange(STEPS + 1)[1:].unsqueeze(1))
    # Turning, the robot goes ahead as it faces.
    walk["base_quaternion"] = torch.tensor([1.0, 0.0, 0.0, 0.0]).expand(STEPS, 1, 4)
    summary = watch(contact, fields=walk, course=True)
    assert CRITERIA.passes(watch(contact, fields=walk))
    assert (("turn off course" in str(CRITERIA.shortfalls(summary))), CRITERIA.passes(summary)) == (not passes, passes)


def test_errors_are_those_of_the_command_that_is_followed_worst_once_it_has_settled() -> None:
    steps = round(4 * SETTLING_TIME / DT)
    velocity = torch.zeros(steps, 1, 3)
    velocity[: steps // 2, :, 0] = 0.5
    velocity[steps // 2 :, :, 0] = -0.24
    # What comes right after the change does not count.
    velocity[steps // 2 : steps // 2 + round(SETTLING_TIME / DT), :, 0] = 0.5
    fields = {"base_linear_velocity": velocity}
    summary = watch(everyone(True, steps=steps), then=((-0.3, 0.0, 0.0),), fields=fields)
    assert summary.velocity_error_x == pytest.approx(0.06)
    assert CRITERIA.shortfalls(summary) == ()
    velocity[:, :, 1] = 0.11
    late = watch(everyone(True, steps=steps), then=((-0.3, 0.0, 0.0),), fields=fields)
    assert CRITERIA.shortfalls(late) == ("sideways velocity error 0.110 is above 0.1",)


def test_torque_is_the_root_mean_square() -> None:
    torque = torch.zeros(STEPS, 1, 9)
    torque[..., 0] = 3.0
    torque[::2, :, 1] = 6.0
    assert watch(everyone(True), fields={"joint_torque": torque}).torque_rms == pytest.approx(math.sqrt((9 + 18) / 9))


def test_joint_limit_hits() -> None:
    position = upright_state(1).joint_position.repeat(STEPS, 1, 1)
    low, high = BIPED.joint_range[0]
    position[WARMUP : WARMUP + 100, :, 0] = low + 0.004 * (high - low)
    position[WARMUP + 100 : WARMUP + 150, :, 0] = high - 0.004 * (high - low)
    position[WARMUP + 150 :, :, 0] = high - 0.006 * (high - low)
    assert watch(everyone(True), fields={"joint_position": position}).joint_limit_hits == pytest.approx(
        150 / COUNTED / 9
    )


def test_action_rate() -> None:
    action = torch.zeros(STEPS, 1, 9)
    action[::2, :, :3] = 0.3
    assert watch(everyone(True), action=action).action_rate == pytest.approx(0.09 * 3 / 9)


def test_cost_of_transport_counts_braking() -> None:
    torque, velocity = torch.zeros(STEPS, 1, 9), torch.zeros(STEPS, 1, 9)
    torque[..., 2:4] = 2.0
    velocity[..., 2], velocity[..., 3] = 4.0, -1.0
    fields = moving(0.3, 0.4) | {"joint_torque": torque, "joint_velocity": velocity}
    summary = watch(strides(17, 17), fields=fields, mass=2.5)
    assert summary.cost_of_transport == pytest.approx(10.0 / (2.5 * 9.81 * 0.5))


def test_there_and_back_again_has_no_cost_of_transport() -> None:
    """Its mean velocity says nothing of how far the robot went."""
    schedule = Schedule([SUDDEN_CHANGES], 1, 10, torch.device("cpu"))
    meter = GaitMeter(BIPED, schedule, DT, GaitConfig(), warmup_s=DT)
    for t in range(10):
        schedule.advance(t)
        meter.step(upright_state(1), everyone(True)[0], torch.zeros(1, 9), torch.tensor([False]))
    assert math.isnan(meter.summaries()[0].cost_of_transport)


def test_each_command_is_summed_up_for_its_own_robots() -> None:
    trials = constant((0.5, 0.0, 0.0), (0.0, 0.2, 0.0))
    schedule = Schedule(trials, 4, 11, torch.device("cpu"))
    meter = GaitMeter(BIPED, schedule, DT, GaitConfig(), warmup_s=DT)
    velocity = torch.tensor([[0.5, 0, 0], [0.7, 0, 0], [0, 0.1, 0], [0, 0.2, 0]])
    for t in range(11):
        schedule.advance(t)
        state = upright_state(4)._replace(base_linear_velocity=velocity)
        meter.step(state, everyone(True, num_envs=4)[0], torch.zeros(4, 9), torch.tensor([False, False, t == 5, False]))
    first, second = meter.summaries()
    assert (first.trial, second.trial) == trials
    assert (first.survival, second.survival) == (1.0, 0.5)
    assert first.velocity_x == pytest.approx(0.6)
    assert second.velocity_y == pytest.approx((4 * 0.1 + 10 * 0.2) / 14)


def test_a_control_step_waits_for_nothing() -> None:
    # Tensors on the meta device have no values, so whatever needs one on the host raises.
    meta = torch.device("meta")
    contact = torch.ones(3, 2, dtype=torch.bool, device=meta)
    ended = torch.zeros(3, dtype=torch.bool, device=meta)
    meter = GaitMeter(BIPED, Schedule([SUDDEN_CHANGES], 3, 100, meta), DT, GaitConfig(), warmup_s=2 * DT)
    state = State(*(value.to(meta) for value in upright_state(3)))
    for _ in range(4):
        meter.step(state, contact, torch.zeros(3, 9, device=meta), ended)
    with pytest.raises((RuntimeError, NotImplementedError)):
        meter.summaries()
