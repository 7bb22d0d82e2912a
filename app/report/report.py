"""From a session and its examination to the page, stage by stage."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from app.progress import patience, progress
from app.report.drawing import Drawing, style
from app.report.film import Film, film
from app.report.foot_figures import foot_paths
from app.report.gait_figure import gait_diagram
from app.report.joint_figures import effort, phase_portraits, power, targets, torques
from app.report.learning import learning_curves, log_of
from app.report.markup import escape, paragraph, signed, table
from app.report.motion import label, showcase
from app.report.origin import configuration_section, origin_facts, own_checkpoint, versions_section
from app.report.page import Section, figure, film_markup, page
from app.report.reward_figure import decomposition, mean_rates
from app.report.tables import comparison_table, examination_tables, passed, shortfalls
from app.report.velocity_figures import sudden_changes, tracking
from app.run_files import wandb_config
from app.screen import asked_for, conditions
from app.session import Session, build_controller, examined_task, robots
from biped.examination.criteria import WalkingCriteria
from biped.examination.examination import Results, examination_config
from biped.examination.gait_meter import GaitSummary
from biped.examination.recording import Recording, record
from biped.examination.trials import STRAIGHT, Trial
from ppo.checkpoint.atomic import atomic_write
from ppo.report.logging import keep_report, next_run_folder

LONGEST_RECORDING = 10.0
"""s; a longer one would only make curves denser."""


def write_report(session: Session, results: Results) -> None:
    """Record and film some robots, draw what they did, and write the page to the file that the options name.

    The file appears when the page is complete, and not at all where anything ends the program before.

    Args:
        session: What was examined.
        results: Of the examination.

    Raises:
        OSError: The file cannot be written.
    """
    path, engine = session.options.report, drawn_engine(session)
    assert path is not None
    recordings = make_recordings(session, engine, [one.trial for one in next(iter(results.values()))])
    print(f"filming one robot in {engine}", flush=True)
    shot = film(session, engine)
    if shot.complaint is not None:
        print(f"no film: {shot.complaint}", flush=True)
    print("drawing", flush=True)
    with patience("drawing"):
        content = document(session, results, recordings, shot).encode("utf-8", errors="replace")
    with atomic_write(path) as file:
        file.write(content)
    print(f"wrote {path} ({len(content) / 1e6:.1f} MB)", flush=True)
    keep_with_run(session, path)


def keep_with_run(session: Session, path: Path) -> None:
    """Let Weights & Biases have the page, too, where the run that it is about is logged there."""
    checkpoint = own_checkpoint(session)
    folder = Path() if checkpoint is None else checkpoint.path.parent
    wandb = wandb_config(session.experiment, folder)
    if checkpoint is None or wandb is None:
        return
    complaint = keep_report(next_run_folder(folder, reuse=True), wandb, path)
    kept = "kept with the run" if complaint is None else f"not kept: {complaint}"
    print(f"Weights & Biases: {path} is {kept}", flush=True)


def drawn_engine(session: Session) -> str:
    """The engine of the examination that is drawn: of two the one that the policy was trained in."""
    engines = session.options.simulators
    return session.experiment.simulator if session.experiment.simulator in engines else engines[0]


def make_recordings(session: Session, engine: str, trials: Sequence[Trial]) -> list[Recording]:
    """One robot in each of the trials that take no longer than the others."""
    options = session.options
    trials = [trial for trial in trials if trial.seconds is None] or list(trials)
    seconds = min(options.duration, LONGEST_RECORDING)
    config = examination_config(examined_task(session), seconds, pushes=options.disturbed)
    env = session.parts.environment(robots(session, engine, len(trials)), config, options.seed)
    try:
        print(f"recording {len(trials)} robots for {seconds:g} s in {engine}", flush=True)
        with progress("recording", round(seconds / env.control_dt)) as advance:
            return record(build_controller(session, env), env, trials, seconds, advance)
    finally:
        env.close()


def document(session: Session, results: Results, recordings: Sequence[Recording], shot: Film) -> str:
    """The page as text."""
    criteria = asked_for(session.options)
    title = f"Walking report: {session.parts.robot.name}"
    with style():
        sections = list(all_sections(session, results, criteria, recordings, shot))
    return page(title, header(session, results, criteria, title), sections)


def header(session: Session, results: Results, criteria: WalkingCriteria, title: str) -> str:
    """Verdict, a few numbers, and where all of it comes from."""
    good = all(passed(one, criteria) == len(one) for one in results.values())
    lines = "".join(
        f"<p><strong>{escape(engine)}</strong>: {passed(one, criteria)} of {len(one)} trials meet the criteria"
        f"{' for disturbed robots' if session.options.disturbed else ''}</p>"
        for engine, one in results.items()
    )
    verdict = (
        f'<div class="verdict"><span class="badge {"pass" if good else "fail"}">{"PASS" if good else "FAIL"}</span>'
        f"<div>{lines}</div></div>\n"
    )
    missed = {engine: shortfalls(summaries, criteria) for engine, summaries in results.items()}
    words = "".join(f"<p>What falls short in {escape(engine)}:</p>{lines}" for engine, lines in missed.items() if lines)
    engine = drawn_engine(session)
    return (
        f"<h1>{escape(title)}</h1>\n{verdict}{words}{tiles(results[engine], criteria)}{origin_facts(session, engine)}"
    )


def tiles(summaries: Sequence[GaitSummary], criteria: WalkingCriteria) -> str:
    """A few numbers to begin with."""
    straight = next((one for one in summaries if one.trial == Trial((STRAIGHT,))), summaries[0])
    checked = [one for one in summaries if len(one.trial.commands) == 1 and one.trial.speed <= criteria.fastest_checked]
    errors = [max(one.velocity_error_x, one.velocity_error_y) for one in checked or summaries]
    survival = sum(one.survival * one.robots for one in summaries) / sum(one.robots for one in summaries)
    at = "" if straight.standing else f" at {straight.trial.speed:g} m/s"
    bound = f" up to {criteria.fastest_checked:g} m/s" if checked else ""
    numbers = (
        (survival, ".1%", "", "of all robots stay up"),
        (max(errors), ".3f", " m/s", f"largest velocity error{bound}"),
        (straight.steps_per_second, ".2f", "/s", f"steps{at}"),
        (100.0 * straight.foot_clearance, ".1f", " cm", f"foot clearance{at}"),
        (straight.torque_rms, ".2f", " N m", f"torque RMS{at}"),
        (straight.cost_of_transport, ".2f", "", f"cost of transport{at}"),
    )
    return (
        '<ul class="tiles">'
        + "".join(
            f"<li><b>{signed(value, form)}{'' if math.isnan(value) else unit}</b><span>{escape(name)}</span></li>"
            for value, form, unit, name in numbers
        )
        + "</ul>\n"
    )


def all_sections(
    session: Session, results: Results, criteria: WalkingCriteria, recordings: Sequence[Recording], shot: Film
) -> Iterator[Section]:
    """The parts of the page in their order."""
    yield Section("film", "Film", film_markup(shot))
    yield Section("examination", "Examination", examination(session, results, criteria))
    constant = [one for one in recordings if len(one.trial.commands) == 1]
    close = showcase(constant or recordings)
    yield Section(
        "gait", "Gait", figure(gait_diagram(constant or recordings)) + figure(foot_paths(constant or recordings))
    )
    velocities = [tracking(constant)] if constant else []
    velocities += [sudden_changes(one) for one in recordings if len(one.trial.commands) > 1]
    yield Section("velocity", "Velocity", "".join(map(figure, velocities)))
    yield Section("joints", "Joints", figure(phase_portraits(close)) + figure(targets(close)))
    yield Section(
        "effort", "Torque and power", "".join(map(figure, (torques(close), power(close)))) + effort_table(close)
    )
    yield Section("reward", "Reward", figure(decomposition(recordings)) + reward_table(recordings))
    yield Section("learning", "Learning", learning(session))
    yield Section("configuration", "Configuration", configuration_section(session))
    yield Section("versions", "Versions", versions_section(session))


def examination(session: Session, results: Results, criteria: WalkingCriteria) -> str:
    """A table per engine, and both side by side."""
    parts = []
    for engine, summaries in results.items():
        caption = f"{conditions(session.options, engine, summaries)}; ✗ misses the criterion"
        parts.append(examination_tables(summaries, criteria, caption))
    if len(results) > 1:
        parts.append(comparison_table(results, criteria))
    else:
        (engine,) = results
        other = "mujoco" if engine == "genesis" else "genesis"
        parts.append(
            paragraph(
                f"Examined in {engine} only. With --simulator both, the same robots are examined in {other} as well, "
                "whose contacts, friction and time steps differ: a policy that exploits one falls short in the other."
            )
        )
    return "".join(parts)


def effort_table(recording: Recording) -> str:
    """What each joint has to give."""
    rows = [
        [
            escape(name.replace("_", " ")),
            f"{rms:.2f}",
            f"{largest:.2f}",
            f"{limit:g}" if math.isfinite(limit) else "none",
            f"{largest / limit:.0%}" if math.isfinite(limit) and limit > 0.0 else "&ndash;",
            f"{watts:.2f}",
        ]
        for name, rms, largest, limit, watts in effort(recording)
    ]
    head = ["joint", "torque RMS, N m", "largest, N m", "limit, N m", "largest of limit", "mean power, W"]
    return table(head, rows, f"{label(recording)}; braking counts as power, too")


def reward_table(recordings: Sequence[Recording]) -> str:
    """Reward per second of each term in each trial."""
    rates = mean_rates(recordings)
    cells = [
        [escape(name.replace("_", " ")), *(signed(value, "+.2f") for value in rates[:, term].tolist())]
        for term, name in enumerate(recordings[0].reward_names)
    ]
    total = ["<strong>sum</strong>", *(signed(value, "+.2f") for value in rates.sum(axis=1).tolist())]
    names = [escape(label(one)).replace(", ", "<br>").replace("sudden ", "sudden<br>") for one in recordings]
    head = ["reward per second", *names]
    return table(head, [*cells, total], "mean over one robot and the time that it was up")


def learning(session: Session) -> str:
    """The curves, or why there are none."""
    checkpoint = own_checkpoint(session)
    if checkpoint is None:
        return paragraph("There are no learning curves, as no trained policy acts.")
    log = log_of(checkpoint.path.parent)
    if not log:
        return paragraph(
            f"There are no learning curves: {checkpoint.path} does not lie in the folder of a run, which would hold "
            "its log."
        )
    drawing: Drawing = learning_curves(log, session.experiment, checkpoint.model.num_timesteps)
    return figure(drawing)
