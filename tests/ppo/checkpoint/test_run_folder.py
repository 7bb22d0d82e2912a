"""Every run gets a folder of its own, and finds it again."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ppo.checkpoint.run_folder import discard_run_folder, make_run_folder, newest_run_folder, run_folders

ROOT = Path(__file__).parents[3]


def save(folder: Path, seconds: float = 0.0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model_final.zip"
    path.touch()
    os.utime(path, (seconds, seconds))


@pytest.mark.parametrize("name", ["walk", "-x", "[a]*?", "a b\nc", os.fsdecode(b"latin-\xe4"), "walk_1"])
def test_runs_of_a_name_are_numbered_and_found_again(tmp_path: Path, name: str) -> None:
    folders = [make_run_folder(tmp_path / "[logs]*", name) for _ in range(3)]
    assert [folder.name for folder in folders] == [name, f"{name}_2", f"{name}_3"]
    assert run_folders(tmp_path / "[logs]*", name) == folders
    save(folders[1])
    assert newest_run_folder(tmp_path / "[logs]*", name) == folders[1]


def test_an_empty_folder_is_used_and_one_with_content_is_not(tmp_path: Path) -> None:
    (tmp_path / "walk").mkdir()
    assert make_run_folder(tmp_path, "walk") == tmp_path / "walk"
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").touch()
    assert make_run_folder(tmp_path, "run") == tmp_path / "run_2"


def test_a_folder_that_is_discarded_can_be_had_again(tmp_path: Path) -> None:
    folder = make_run_folder(tmp_path, "walk")
    discard_run_folder(folder)
    discard_run_folder(folder)
    assert list(tmp_path.iterdir()) == []
    assert make_run_folder(tmp_path, "walk") == folder


@pytest.mark.parametrize("existing", [False, True])
def test_no_two_of_many_threads_get_the_same_folder(tmp_path: Path, existing: bool) -> None:
    if existing:
        (tmp_path / "walk").mkdir()
    with ThreadPoolExecutor(16) as pool:
        folders = list(pool.map(lambda _: make_run_folder(tmp_path, "walk"), range(200)))
    assert sorted(folders) == sorted({tmp_path / "walk", *(tmp_path / f"walk_{k}" for k in range(2, 201))})


def test_no_two_of_many_processes_get_the_same_folder(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from ppo.checkpoint.run_folder import make_run_folder\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "print(*(make_run_folder(Path(sys.argv[1]), 'walk') for _ in range(50)), sep='\\n')\n"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    folders = [line for process in processes for line in process.communicate(timeout=60)[0].splitlines()]
    assert len(set(folders)) == len(folders) == 200


def test_a_folder_that_cannot_be_made_says_why(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file")
    with pytest.raises(ValueError, match=r"cannot write to .*logs/walk \(Not a directory\)"):
        make_run_folder(tmp_path / "logs", "walk")
    (tmp_path / "walk").write_text("a file")
    with pytest.raises(ValueError, match=r"cannot write to .*walk \(File exists\)"):
        make_run_folder(tmp_path, "walk")
    with pytest.raises(ValueError, match=r"\(File name too long\)"):
        make_run_folder(tmp_path, "w" * 300)


def test_without_any_run_there_is_none_to_list(tmp_path: Path) -> None:
    make_run_folder(tmp_path, "walk")
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(ValueError, match=r"no run called walk in .* holds a checkpoint$"):
            newest_run_folder(folder, "walk")


def test_runs_of_other_names_are_listed_newest_first(tmp_path: Path) -> None:
    for age, name in enumerate(["new\nline", "-x", "c", "d", "e", "f", "g"]):
        save(tmp_path / name, seconds=1000.0 - age)
    make_run_folder(tmp_path, "without a checkpoint")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ValueError, match="there are, newest first: ") as caught:
        newest_run_folder(tmp_path, "walk")
    assert str(caught.value).endswith(r"newest first: 'new\nline', -x, c, d, e and 2 more")
    assert "\n" not in str(caught.value)
