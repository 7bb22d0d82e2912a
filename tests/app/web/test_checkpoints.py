import os
from pathlib import Path

from app.load import SHIPPED_POLICY
from app.web.checkpoints import SHIPPED, Checkpoints


def save(name: str, age: float) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")
    os.utime(path, (1e9 - age, 1e9 - age))
    return path


def test_runs_and_their_checkpoints_are_listed_newest_first() -> None:
    save("logs/old/model_final.zip", 100)
    save("logs/new/biped_model_1_steps.zip", 30)
    save("logs/new/biped_model_2_steps.zip", 20)
    save("logs/new/model_best.zip", 10)
    save("logs/empty/config.yaml", 0)
    save("logs/stray.zip", 0)
    checkpoints = Checkpoints(Path("logs"), None)
    assert checkpoints.runs() == ("new", "old", SHIPPED)
    assert list(checkpoints.of_run("new")) == ["model_best", "biped_model_2_steps", "biped_model_1_steps"]
    assert checkpoints.newest("new") == Path("logs/new/biped_model_2_steps.zip")
    assert checkpoints.of_run(SHIPPED) == {"walk": SHIPPED_POLICY}
    assert checkpoints.of_run("unknown") == {}


def test_what_a_training_saves_meanwhile_appears() -> None:
    save("logs/walk/biped_model_1_steps.zip", 30)
    checkpoints = Checkpoints(Path("logs"), None)
    checkpoints.runs()
    added = save("logs/walk/biped_model_2_steps.zip", 20)
    assert checkpoints.newest("walk") == added
    save("logs/other/model_final.zip", 0)
    assert checkpoints.runs() == ("other", "walk", SHIPPED)


def test_the_folder_of_the_file_that_was_named_is_a_run_as_well() -> None:
    chosen = save("elsewhere/models/a.zip", 5)
    other = save("elsewhere/models/b.zip", 1)
    checkpoints = Checkpoints(Path("logs"), chosen)
    assert checkpoints.runs() == ("elsewhere/models", SHIPPED)
    assert list(checkpoints.of_run("elsewhere/models").values()) == [other, chosen]
    assert checkpoints.run_of(chosen.absolute()) == "elsewhere/models"
    assert checkpoints.run_of(Path("nowhere/a.zip")) is None


def test_names_that_are_no_text_are_listed_somehow() -> None:
    save(os.fsdecode(b"logs/latin-\xe4/model.zip"), 0)
    checkpoints = Checkpoints(Path("logs"), None)
    run = checkpoints.runs()[0]
    assert run.isprintable()
    assert len(checkpoints.of_run(run)) == 1
