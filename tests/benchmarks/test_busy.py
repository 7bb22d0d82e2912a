"""`benchmarks.busy` runs, and says how much speed is left."""

import json
from pathlib import Path

import pytest

from benchmarks import busy


def test_speed_of_one_process(capsys: pytest.CaptureFixture[str]) -> None:
    assert busy.main(["--quick", "--once", "--threads", "1"]) == 0
    assert float(capsys.readouterr().out) > 0.0


def test_the_comparison(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "busy.json"
    code = busy.main(["--quick", "--threads", "1", "--json", str(path)])
    (values,) = json.loads(path.read_text())["rounds"].values()
    assert values["kept"] == [values["busy"][0] / values["alone"][0]]
    assert code == int(values["kept"][0] < busy.KEPT)
    assert "beside a busy program" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["--seconds", "nan"], ["--num-envs", "0"]])
def test_bad_input(words: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        busy.main(words)
    assert caught.value.code == 2
