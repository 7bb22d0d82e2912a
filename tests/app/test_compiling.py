from pathlib import Path

import pytest

from app import compiling as told
from app.compiling import FILE, SHORTEST_S, compiling, last_time, remember


@pytest.fixture(autouse=True)
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the engine keeps what it compiles; not there yet."""
    folder = tmp_path / "caches" / "genesis"
    monkeypatch.setenv("GS_CACHE_FILE_PATH", str(folder))
    folder.mkdir(parents=True)
    return folder


def test_it_tells_how_long_it_took_the_last_time() -> None:
    said: list[str] = []
    with compiling("genesis, biped, cpu", said.append):
        pass
    remember("genesis, biped, cpu", 74.2)
    remember("genesis, biped, cuda", 12.0)
    with compiling("genesis, biped, cpu", said.append):
        pass
    assert said == [
        "Compiling simulator kernels (genesis, biped, cpu: minutes on the first run, seconds afterwards)",
        "Compiling simulator kernels took 0 s",
        "Compiling simulator kernels (genesis, biped, cpu: 74 s last time)",
        "Compiling simulator kernels took 0 s",
    ]


def test_what_took_long_is_remembered_and_what_failed_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter((0.0, 2.0 * SHORTEST_S, 0.0))
    monkeypatch.setattr(told, "time", type("Clock", (), {"monotonic": lambda: next(times)}))
    with compiling("genesis, biped, cpu", lambda line: None):
        pass
    assert last_time("genesis, biped, cpu") == 2.0 * SHORTEST_S
    with pytest.raises(ValueError, match="no"), compiling("other", lambda line: None):
        raise ValueError("no")
    assert last_time("other") is None


@pytest.mark.parametrize("content", ["", "[1]", '{"genesis": "long"}', "\xff"])
def test_a_file_that_is_damaged_is_as_good_as_none(content: str, caches: Path) -> None:
    (caches / FILE).write_text(content, encoding="latin-1")
    assert last_time("genesis") is None
    remember("genesis", 3.0)
    assert last_time("genesis") == 3.0


def test_where_nothing_can_be_kept_nothing_is_lost(caches: Path) -> None:
    caches.rmdir()
    caches.write_text("no folder")
    remember("genesis", 3.0)
    assert last_time("genesis") is None
