"""`benchmarks.export_latency` runs."""

import json
from pathlib import Path

import pytest

from benchmarks import export_latency

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def test_every_way_of_taking_a_step_is_timed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "latency.json"
    assert export_latency.main(["--quick", "--json", str(path)]) == 0
    networks = json.loads(path.read_text(encoding="utf-8"))["networks"]
    assert list(networks) == ["smoke"]
    assert list(networks["smoke"]) == [export_latency.GRAPH, export_latency.RUNNER, export_latency.PYTORCH]
    assert all(values["slow"][0] >= values["median"][0] > 0.0 for values in networks["smoke"].values())
    assert "One control step on one core" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["--steps", "0"], ["--networks", "huge"]])
def test_bad_input(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        export_latency.main(words)
    assert caught.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
