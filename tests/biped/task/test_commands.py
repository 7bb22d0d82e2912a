import pytest
import torch

from biped.task.commands import CommandConfig, Commands


def make_commands(config: CommandConfig, num_envs: int) -> Commands:
    return Commands(config, num_envs, 0.02, torch.Generator().manual_seed(0))


def test_commands_fill_their_ranges() -> None:
    commands = make_commands(CommandConfig(yaw_rate=(-0.4, 0.2)), 4096)
    commands.step(torch.zeros(4096, dtype=torch.long))
    low, high = commands.value.amin(0), commands.value.amax(0)
    torch.testing.assert_close(low, torch.tensor([-0.5, -0.3, -0.4]), atol=5e-3, rtol=0)
    torch.testing.assert_close(high, torch.tensor([1.0, 0.3, 0.2]), atol=5e-3, rtol=0)
    assert (low >= torch.tensor([-0.5, -0.3, -0.4])).all()


def test_reference_commands_never_turn() -> None:
    commands = make_commands(CommandConfig(), 64)
    commands.step(torch.zeros(64, dtype=torch.long))
    assert not commands.value[:, 2].any()
    assert commands.value[:, :2].all()


def test_a_command_lasts_four_seconds_and_a_new_episode_brings_one() -> None:
    commands = make_commands(CommandConfig(), 4)
    commands.step(torch.zeros(4, dtype=torch.long))
    before = commands.value
    commands.step(torch.tensor([199, 200, 0, 401]))
    assert (commands.value != before).any(dim=1).tolist() == [False, True, True, False]


def test_standing_probability_gives_that_share_of_zero_commands() -> None:
    commands = make_commands(CommandConfig(standing_probability=0.25), 8192)
    commands.step(torch.zeros(8192, dtype=torch.long))
    assert (commands.value == 0).all(dim=1).float().mean().item() == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize("command", [torch.tensor([0.3, 0.1, -0.2]), torch.rand(4, 3)])
def test_a_held_command_stays_until_released(command: torch.Tensor) -> None:
    commands = make_commands(CommandConfig(), 4)
    commands.hold(command)
    commands.step(torch.zeros(4, dtype=torch.long))
    assert torch.equal(commands.value, command.expand(4, 3))
    commands.release()
    commands.step(torch.tensor([0, 1, 1, 1]))
    assert (commands.value != command.expand(4, 3)).any(dim=1).tolist() == [True, False, False, False]


def test_a_held_command_is_part_of_the_saved_state() -> None:
    commands, other = make_commands(CommandConfig(), 4), make_commands(CommandConfig(), 4)
    commands.hold(torch.tensor([0.3, 0.1, -0.2]))
    other.load_state_dict(commands.state_dict())
    other.step(torch.zeros(4, dtype=torch.long))
    assert torch.equal(other.value, commands.value)


def test_a_command_of_wrong_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\[3\] or \[4, 3\], got \[2\]"):
        make_commands(CommandConfig(), 4).hold(torch.zeros(2))


def test_a_range_the_wrong_way_round_is_refused() -> None:
    with pytest.raises(ValueError, match="linear_velocity_x"):
        CommandConfig(linear_velocity_x=(1.0, -1.0))
