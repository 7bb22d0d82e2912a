"""The feed-forward twin of the recurrent policy has no memory, and is otherwise the same; the table joins seeds."""

import torch

from benchmarks.robustness import KINDS, Forgetful, table
from ppo.policy import PolicyConfig, RecurrentActorCritic
from ppo.recurrence import EpisodeStarts

CONFIG = PolicyConfig(lstm_hidden_size=16, n_lstm_layers=1, pi=(8,), vf=(8,))


def policies() -> tuple[Forgetful, RecurrentActorCritic]:
    torch.manual_seed(0)
    forgetful, recurrent = Forgetful(CONFIG, 3, 2), RecurrentActorCritic(CONFIG, 3, 2)
    recurrent.load_state_dict(forgetful.state_dict())
    return forgetful, recurrent


@torch.no_grad()
def test_nothing_is_remembered() -> None:
    forgetful, recurrent = policies()
    observation, never = torch.randn(6, 4, 3), torch.zeros(6, 4, dtype=torch.bool)
    state = recurrent.initial_state(4)
    remembered = (torch.randn_like(state.actor[0]), torch.randn_like(state.actor[1]))
    action, log_prob, _, latent = forgetful.act(observation[0], remembered, never[0])
    first, first_log_prob, _, _ = recurrent.act(observation[0], state.actor, never[0])
    torch.testing.assert_close(action, first)
    torch.testing.assert_close(log_prob, first_log_prob)
    assert not torch.allclose(recurrent.act(observation[0], remembered, never[0])[0], first)
    value = forgetful.value(forgetful.critic_step(observation[0], remembered, never[0], latent)[0])

    actions = torch.randn(6, 4, 2)
    judged = forgetful.evaluate_actions(observation, state._replace(actor=remembered), EpisodeStarts(never), actions)
    torch.testing.assert_close(judged.value[0], value)
    backwards = forgetful.evaluate_actions(observation.flip(0), state, EpisodeStarts(never), actions.flip(0))
    torch.testing.assert_close(judged.log_prob, backwards.log_prob.flip(0))


def test_the_table_has_a_row_for_every_trial_and_one_for_all() -> None:
    trials = [
        {"commands": [[0.3, 0.0, 0.0]], "survival": 0.5, "velocity_error_x": 0.25, "velocity_error_y": 0.125},
        {
            "commands": [[0.0, -0.2, 0.0], [0.0, 0.0, 0.0]],
            "survival": 1.0,
            "velocity_error_x": 0.0,
            "velocity_error_y": 0.5,
        },
    ]
    result = table({kind: [{"trials": trials}] * 2 for kind in KINDS})
    columns = [list(column.cells) for column in result.columns]
    assert columns[0] == ["+0.3 +0.0", "+0.0 -0.2, then +0.0 +0.0", "all"]
    assert columns[1:3] == columns[3:5] == [["50.0%", "100.0%", "75.0%"], ["0.250", "0.500", "0.375"]]
