"""The compiled LSTM against PyTorch's: outputs, states and gradients, with episode starts anywhere."""

import pytest
import torch
from torch import Tensor, nn

from ppo.cpu.fused_lstm import fused_sequence, usable
from ppo.cpu.kernels import library
from ppo.cpu.layers import KernelLSTM
from ppo.recurrence import EpisodeStarts, LstmState

T, D = 7, 5

pytestmark = pytest.mark.skipif(library() is None, reason="no C compiler, or switched off")


def make(hidden: int, layers: int, num_envs: int, scale: float = 1.0) -> tuple[KernelLSTM, Tensor, LstmState, Tensor]:
    torch.manual_seed(hidden + layers + num_envs)
    lstm = KernelLSTM(D, hidden, layers)
    features = (scale * torch.randn(T, num_envs, D)).requires_grad_()
    hidden_state, cell = torch.randn(2, layers, num_envs, hidden)
    episode_start = torch.rand(T, num_envs) < 0.2
    episode_start[0, 0], episode_start[T - 1, num_envs - 1] = True, True
    return lstm, features, (hidden_state, cell), episode_start


def by_steps(
    lstm: nn.LSTM, features: Tensor, state: LstmState, episode_start: Tensor
) -> tuple[Tensor, LstmState, nn.LSTM]:
    """PyTorch's LSTM in double precision, one step after the other; it is returned as well."""
    exact = nn.LSTM(D, lstm.hidden_size, lstm.num_layers).double()
    exact.load_state_dict(lstm.state_dict())
    running, outputs = (state[0].double(), state[1].double()), []
    for t in range(T):
        keep = (~episode_start[t]).double().view(1, -1, 1)
        output, running = exact(features[t : t + 1].double(), (running[0] * keep, running[1] * keep))
        outputs.append(output)
    return torch.cat(outputs), running, exact


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("hidden", "layers", "num_envs"), [(16, 1, 1), (16, 2, 3), (48, 1, 13), (64, 1, 30), (64, 2, 5), (512, 1, 17)]
)
def test_equals_pytorch(hidden: int, layers: int, num_envs: int, threads: int) -> None:
    lstm, features, state, episode_start = make(hidden, layers, num_envs)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        output, after = fused_sequence(lstm, features, state, episode_start)
        weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(1))
        gradients = torch.autograd.grad((output * weights).sum(), [features, *lstm.parameters()])
    finally:
        torch.set_num_threads(before)
    expected, expected_after, exact = by_steps(lstm, features, state, episode_start)
    expected_gradients = torch.autograd.grad((expected * weights).sum(), [features, *exact.parameters()])
    torch.testing.assert_close(output, expected.float(), rtol=1e-5, atol=1e-6)
    for ours, theirs in zip(after, expected_after, strict=True):
        torch.testing.assert_close(ours, theirs.float(), rtol=1e-5, atol=1e-6)
    for ours, theirs in zip(gradients, expected_gradients, strict=True):
        tolerance = 3e-6 * float(theirs.abs().max())
        torch.testing.assert_close(ours, theirs.to(ours.dtype), rtol=1e-4, atol=tolerance)


def test_saturated_and_tiny_gates() -> None:
    """Inputs large enough for every gate to reach its end, and so small that the cell hardly moves."""
    for scale in (1e3, 1e-6):
        lstm, features, state, episode_start = make(16, 1, 4, scale)
        if scale < 1.0:
            state = (1e-6 * state[0], 1e-6 * state[1])
            for bias in lstm.all_weights[0][2:]:
                nn.init.zeros_(bias)
        output = fused_sequence(lstm, features, state, episode_start)[0]
        expected = by_steps(lstm, features, state, episode_start)[0].float()
        torch.testing.assert_close(output, expected, rtol=1e-4, atol=1e-12 if scale < 1.0 else 1e-6)


def test_what_is_not_finite_stays_in_its_environment_and_shows() -> None:
    lstm, features, state, _ = make(16, 1, 4)
    never = torch.zeros(T, 4, dtype=torch.bool)
    with torch.no_grad():
        features[2, 1, 0] = float("nan")
    output = fused_sequence(lstm, features, state, never)[0]
    assert bool(output[2:, 1].isnan().all())
    assert bool(output[:2].isfinite().all())
    assert bool(output[:, [0, 2, 3]].isfinite().all())


def test_the_module_uses_it_where_it_can() -> None:
    lstm, features, state, episode_start = make(16, 2, 3)
    assert usable(lstm, features, state)
    assert not usable(lstm.double(), features.double(), (state[0].double(), state[1].double()))
    lstm.float()
    assert not usable(nn.LSTM(D, 17), features, state)
    assert not usable(lstm, features, (state[0].clone().requires_grad_(), state[1]))
    with torch.autocast("cpu", torch.bfloat16):
        assert not usable(lstm, features, state)
    expected, after = fused_sequence(lstm, features, state, episode_start)
    assert torch.equal(lstm.sequence(features, state, EpisodeStarts(episode_start)), expected)
    running = state
    for t in range(T):
        output, running = lstm.step(features[t], running, episode_start[t])
        torch.testing.assert_close(output, expected[t], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(running[1], after[1], rtol=1e-5, atol=1e-6)
