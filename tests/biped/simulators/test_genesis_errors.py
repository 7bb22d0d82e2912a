"""What is refused, and in which words."""

import subprocess
import sys
from importlib import metadata

import pytest
import torch
from torch import Tensor

from biped.robots.library import BIPED
from biped.simulators.config import SimulationConfig
from biped.simulators.genesis import GenesisSimulator
from biped.simulators.state import even_index
from tests.end_to_end.command import ROOT, USER_ENVIRONMENT

CPU = torch.device("cpu")


@pytest.mark.genesis
def test_a_state_of_another_number_of_robots_is_refused(genesis_simulation: GenesisSimulator) -> None:
    saved = {name: value[:3] for name, value in genesis_simulation.state_dict().items()}
    with pytest.raises(ValueError, match=r"has \(robots, coordinates\) \(3, 16\), this one \(10, 16\)"):
        genesis_simulation.load_state_dict(saved)


@pytest.mark.genesis
def test_rendering_without_a_camera_is_refused(genesis_simulation: GenesisSimulator) -> None:
    with pytest.raises(ValueError, match="camera=True"):
        genesis_simulation.render()


@pytest.mark.genesis
def test_a_second_device_in_one_process_is_refused(genesis_simulation: GenesisSimulator) -> None:
    with pytest.raises(ValueError, match="Genesis runs on cpu in this process and cannot run on cuda"):
        GenesisSimulator(BIPED, 2, SimulationConfig(), torch.device("cuda"))


@pytest.mark.genesis
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_does_not_fall_back_to_the_cpu() -> None:
    code = (
        "import torch; from biped.robots.library import BIPED; from biped.simulators.config import SimulationConfig; "
        "from biped.simulators.genesis import GenesisSimulator; "
        "GenesisSimulator(BIPED, 2, SimulationConfig(), torch.device('cuda'))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=USER_ENVIRONMENT, capture_output=True, text=True
    )
    assert "ValueError: Genesis does not run on cuda: " in result.stderr
    assert result.stderr.rstrip().endswith("; use --device cpu")


def test_a_viewer_without_a_display_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(ValueError, match="needs a display"):
        GenesisSimulator(BIPED, 2, SimulationConfig(), CPU, viewer=True)


@pytest.mark.genesis
@pytest.mark.skipif(sys.platform != "linux", reason="windows open without an X server there")
def test_a_display_that_nobody_serves_is_refused(
    genesis_simulation: GenesisSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPLAY", ":7777")
    with pytest.raises(ValueError, match=r"cannot open a window here \(No display detected\); record a video"):
        GenesisSimulator(BIPED, 2, SimulationConfig(), CPU, viewer=True)


@pytest.mark.parametrize("version", ["1.3.9", "1.5.0", "1.40.0", "0.4.6", "2.0"])
def test_another_version_of_genesis_is_refused(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setattr(metadata, "version", lambda name: version)
    with pytest.raises(ValueError, match=f"Genesis {version} is not supported: pip install"):
        GenesisSimulator(BIPED, 2, SimulationConfig(), CPU)


def test_missing_genesis_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    with pytest.raises(ValueError, match="Genesis is not installed: pip install 'genesis-world=="):
        GenesisSimulator(BIPED, 2, SimulationConfig(), CPU)


def test_evenly_rising_indices_become_slices_and_others_tensors() -> None:
    assert even_index([6, 7, 8], CPU) == slice(6, 9, 1)
    assert even_index([4, 8], CPU) == slice(4, 9, 4)
    for indices in ([8, 4], [1, 2, 4], [3, 3]):
        index = even_index(indices, CPU)
        assert isinstance(index, Tensor)
        assert index.tolist() == indices
