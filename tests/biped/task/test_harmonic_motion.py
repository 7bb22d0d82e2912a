import math

import pytest
import torch

from biped.task.harmonic_motion import HarmonicMotion, HarmonicMotionConfig, harmonic_score

DT = 0.02


def score_of_sines(amplitudes: list[float], frequencies: list[float], seconds: float = 6.0) -> torch.Tensor:
    """Scores `[T]` of one robot whose joints swing as sines about a bent pose."""
    mean = torch.linspace(-1.3, 1.3, len(amplitudes))
    tracker = HarmonicMotion(HarmonicMotionConfig(), range(len(mean)), mean, 1, DT)
    amplitude = torch.tensor(amplitudes)
    omega = 2.0 * math.pi * torch.tensor(frequencies)
    offset = torch.arange(len(amplitudes)).float()
    scores = []
    for index in range(round(seconds / DT)):
        angle = omega * (index * DT) + offset
        scores.append(tracker.step((mean + amplitude * angle.sin())[None], (amplitude * omega * angle.cos())[None]))
    return torch.cat(scores)


def test_score_by_hand() -> None:
    # Both joints swing at the amplitude that counts half; w^2 is 100 and 300: relative variance 10000 / 40000.
    variance = torch.full((1, 2), 0.05**2)
    power = variance * torch.tensor([[100.0, 300.0]])
    score = harmonic_score(variance, power, 0.05)
    torch.testing.assert_close(score, torch.tensor([0.5 * math.exp(-0.25)]), rtol=2e-3, atol=0)


def test_joints_that_swing_at_one_frequency_score_high_whatever_amplitude_and_phase() -> None:
    scores = score_of_sines([0.2, 0.4, 0.3, 0.5, 0.25], [1.67] * 5)
    assert scores[100:].amin().item() > 0.9
    assert scores.amax().item() <= 1.0


def test_joints_that_swing_at_different_frequencies_score_low() -> None:
    same = score_of_sines([0.3] * 5, [1.67] * 5)[100:].mean().item()
    different = score_of_sines([0.3] * 5, [0.6, 1.0, 1.67, 2.5, 4.0])[100:].mean().item()
    assert different < 0.4 * same


def test_standing_still_scores_nothing() -> None:
    assert score_of_sines([0.0] * 5, [1.67] * 5).amax().item() == pytest.approx(0.0, abs=1e-6)


def test_a_joint_that_only_trembles_neither_earns_nor_spoils() -> None:
    calm = score_of_sines([0.0, 0.4, 0.4, 0.4, 0.4], [1.67] * 5)[100:].mean().item()
    trembling = score_of_sines([0.002, 0.4, 0.4, 0.4, 0.4], [11.0, 1.67, 1.67, 1.67, 1.67])[100:].mean().item()
    assert calm == pytest.approx(0.8, abs=0.03)
    assert trembling == pytest.approx(calm, rel=0.01)


def test_score_is_finite_where_joints_stand_at_their_mean() -> None:
    variance = torch.tensor([[0.0, 0.0], [0.0, 1e-30], [1e-3, 0.0]])
    power = torch.tensor([[0.0, 0.0], [400.0, 0.0], [0.0, 0.0]])
    assert harmonic_score(variance, power, 0.05).isfinite().all()


def test_reset_begins_at_rest_for_masked_robots_only() -> None:
    tracker = HarmonicMotion(HarmonicMotionConfig(), range(2), torch.zeros(2), 2, DT)
    for index in range(100):
        angle = torch.full((2, 2), 0.2 * index)
        tracker.step(0.4 * angle.sin(), 4.0 * angle.cos())
    tracker.reset(torch.tensor([True, False]), torch.full((2, 2), 0.7))
    score = tracker.step(torch.full((2, 2), 0.7), torch.zeros(2, 2))
    assert score[0].item() == 0.0
    assert score[1].item() > 0.5
