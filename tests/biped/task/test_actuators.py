import pytest
import torch

from biped.task.actuators import ActuatorConfig, Actuators, backlash_output

DEFAULT = torch.tensor([0.1, -0.2])


def make_actuators(longest_latency: int, num_envs: int = 3) -> Actuators:
    return Actuators(ActuatorConfig(), DEFAULT, num_envs, longest_latency)


def test_action_becomes_target_around_the_default_pose() -> None:
    target = make_actuators(0, 1).step(torch.tensor([[2.0, -1.0]]), torch.zeros(1, dtype=torch.long), torch.zeros(1, 2))
    torch.testing.assert_close(target, torch.tensor([[0.6, -0.45]]))


def test_actions_are_clipped_at_100() -> None:
    clipped = make_actuators(0, 1).clip(torch.tensor([[250.0, -101.0]]))
    torch.testing.assert_close(clipped, torch.tensor([[100.0, -100.0]]))


def test_each_robot_has_its_own_latency() -> None:
    actuators = make_actuators(2)
    latency = torch.tensor([0, 1, 2])
    targets = [actuators.step(torch.full((3, 2), float(k)), latency, torch.zeros(3, 2)) for k in (4, 8, 12)]
    first_joint = torch.stack(targets)[..., 0] - 0.1
    torch.testing.assert_close(first_joint, torch.tensor([[1.0, 0.0, 0.0], [2.0, 1.0, 0.0], [3.0, 2.0, 1.0]]))


def test_backlash_follows_only_once_the_slack_is_taken_up() -> None:
    output, slack = torch.zeros(1, 1), torch.full((1, 1), 0.2)
    outputs = []
    for target in (0.05, 0.30, 0.25, 0.05):
        output = backlash_output(output, torch.tensor([[target]]), slack)
        outputs.append(output.item())
    assert outputs == pytest.approx([0.0, 0.2, 0.2, 0.15])


def test_no_backlash_passes_targets_through() -> None:
    target = torch.tensor([[0.3, -0.7]])
    assert torch.equal(backlash_output(torch.ones(1, 2), target, torch.zeros(1, 2)), target)


def test_reset_forgets_the_past_of_masked_robots_only() -> None:
    actuators = make_actuators(1)
    latency, backlash = torch.ones(3, dtype=torch.long), torch.full((3, 2), 0.1)
    for _ in range(3):
        actuators.step(torch.full((3, 2), 4.0), latency, backlash)
    actuators.reset(torch.tensor([True, False, True]))
    target = actuators.step(torch.zeros(3, 2), latency, backlash)
    torch.testing.assert_close(target[[0, 2]], DEFAULT.expand(2, 2))
    torch.testing.assert_close(target[1], DEFAULT + 0.95)


def test_reset_recovers_from_actions_that_are_not_numbers() -> None:
    actuators = make_actuators(1, 1)
    latency, backlash = torch.ones(1, dtype=torch.long), torch.full((1, 2), 0.1)
    actuators.step(torch.full((1, 2), torch.nan), latency, backlash)
    actuators.reset(torch.tensor([True]))
    assert torch.equal(actuators.step(torch.zeros(1, 2), latency, backlash), DEFAULT.expand(1, 2))


def test_saved_state_continues_exactly() -> None:
    torch.manual_seed(0)
    actuators, other = make_actuators(2), make_actuators(2)
    latency, backlash = torch.tensor([0, 1, 2]), torch.rand(3, 2) * 0.1
    for _ in range(4):
        actuators.step(torch.randn(3, 2), latency, backlash)
    other.load_state_dict(actuators.state_dict())
    for _ in range(4):
        action = torch.randn(3, 2)
        assert torch.equal(actuators.step(action, latency, backlash), other.step(action, latency, backlash))


def test_state_of_another_number_of_robots_is_refused() -> None:
    with pytest.raises(ValueError, match="number of robots"):
        make_actuators(1, 3).load_state_dict(make_actuators(1, 4).state_dict())
