"""What a backward pass launches on a GPU."""

from pathlib import Path

from tests.ppo.environments import TrackingEnv
from tests.ppo.trainers import make_trainer
from tests.simulated_cuda.counting import counted


def test_no_gradient_is_scattered_by_sorting(tmp_path: Path) -> None:
    """`tensor[index]` is differentiated by `index_put_`, which sorts the indices on a GPU."""
    learner = make_trainer(TrackingEnv(16, device="cuda"), tmp_path, 10**6).learner
    learner.collector.collect(lambda: False)
    with counted() as counts:
        learner.improve()
    names = {happening.name for happening in counts if happening.place == "backward"}
    assert "aten::index_add" in " ".join(names), names
    assert not any("index_put" in name for name in names), names
