"""Where a checkpoint and its report come from: task, configuration, versions, and the command that makes it again."""

import datetime
import platform
from collections.abc import Mapping
from typing import Any

import yaml

from app.experiment import flat, to_plain
from app.load import Checkpoint
from app.next_command import command
from app.play_flags import PlayOptions
from app.report.markup import escape, facts, paragraph, table
from app.run_configuration import training_run
from app.session import Session
from configs.presets import PRESETS
from ppo.report.provenance import describe_run

NAMES = {
    "python": "Python",
    "platform": "system",
    "cpu_count": "CPU cores",
    "cuda_device": "GPU",
    "git_commit": "commit of the project",
    "git_dirty": "changed since that commit",
    "command": "command",
}


def agent_words(session: Session) -> str:
    """Who acts, in words."""
    options, checkpoint = session.options, session.checkpoint
    if checkpoint is None or options.agent != "trained":
        return f"{options.agent} actions, no policy"
    sampled = "" if options.deterministic else ", actions sampled"
    return f"{checkpoint.path}, trained for {checkpoint.model.num_timesteps:,} control steps{sampled}"


def own_checkpoint(session: Session) -> Checkpoint | None:
    """The checkpoint whose policy acts; None where another agent does."""
    return session.checkpoint if session.options.agent == "trained" else None


def reproduce(options: PlayOptions, checkpoint: Checkpoint | None) -> str:
    """The command that makes this page again."""
    default = PlayOptions()
    words: dict[str, object] = {}
    if checkpoint is not None:
        words["--checkpoint"] = checkpoint.path
    for name in ("agent", "preset", "robot", "simulator", "disturbed_as", "num_envs", "seconds", "seed", "device"):
        value = getattr(options, name)
        if value != getattr(default, name):
            words[f"--{name.replace('_', '-')}"] = value
    for name, value in vars(options.simulation).items():
        if value is not None:
            words[f"--simulation.{name.replace('_', '-')}"] = value
    flags = ["--disturbed"] if options.disturbed else []
    flags += [] if options.deterministic else ["--no-deterministic"]
    if options.command is not None:
        # Three words, none of which may begin like a flag but as a number.
        flags += ["--command", *(repr(part).removesuffix(".0") for part in options.command)]
    return command("play.py", *flags, options={**words, "--report": options.report})


def origin_facts(session: Session, engine: str) -> str:
    """What was examined, where and when."""
    options, experiment = session.options, session.experiment
    run, checkpoint = describe_run(), own_checkpoint(session)
    gpu = f", {run['cuda_device']}" if run["cuda_device"] else ""
    rows = [
        ("policy", f"<code>{escape(checkpoint.path)}</code>" if checkpoint else escape(agent_words(session))),
        ("trained for", f"{checkpoint.model.num_timesteps:,} control steps" if checkpoint else "&ndash;"),
        ("robot", escape(session.parts.robot.name)),
        ("task", escape(task_words(session))),
        ("trained in", escape(experiment.simulator) if checkpoint and configuration(session) else "not known"),
        ("examined in", escape(" and ".join(options.simulators)) + (f"; drawn and filmed in {escape(engine)}")),
        ("date", escape(f"{datetime.datetime.now().astimezone():%Y-%m-%d %H:%M %Z}")),
        ("machine", escape(f"{platform.node()}, {run['cpu_count']} CPU cores{gpu}")),
        ("to make it again", f"<code>{escape(reproduce(options, session.checkpoint))}</code>"),
    ]
    return facts(rows)


def configuration(session: Session) -> Mapping[str, Any] | None:
    """The configuration that the checkpoint tells; None where it tells none or another task is played."""
    checkpoint = own_checkpoint(session)
    if checkpoint is None or session.options.preset is not None:
        return None
    found = (checkpoint.model.own_facts or {}).get("config")
    return found if isinstance(found, Mapping) else None


def task_words(session: Session) -> str:
    """Whose task is played."""
    options = session.options
    disturbed = f", disturbed as the {options.disturbed_as} preset is" if options.disturbed else ""
    if session.options.preset is not None:
        return f"of the preset {session.options.preset}, as the command line says{disturbed}"
    if session.checkpoint is not None and "config" in (session.checkpoint.model.own_facts or {}):
        return f"of the checkpoint, trained with the preset {session.experiment.preset}{disturbed}"
    preset = session.experiment.preset
    return f"of the preset {preset}, as no checkpoint tells another{disturbed}"


def configuration_section(session: Session) -> str:
    """What differs from the preset that it began with, and the whole of it to unfold."""
    plain = to_plain(session.experiment)
    preset = session.experiment.preset
    usual = dict(flat(to_plain(PRESETS[preset])))
    changed = [(flag, value, usual.get(flag)) for flag, value in flat(plain) if value != usual.get(flag)]
    whole = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)
    rows = [[f"<code>{escape(flag)}</code>", shown(value), shown(other)] for flag, value, other in changed]
    return (
        paragraph(f"The task is that {task_words(session)}.")
        + (table(["flag", "value", f"in the preset {preset}"], rows, f"what differs from the preset {preset}", "words"))
        + "<details><summary>the whole configuration</summary>"
        + f'<pre class="wide" tabindex="0">{escape(whole)}</pre></details>\n'
    )


def shown(value: object) -> str:
    """A value of a configuration."""
    text = "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
    return escape(text)


def versions_section(session: Session) -> str:
    """What the page was made with, and what the policy was trained with where its run folder says."""
    here, checkpoint = describe_run(), own_checkpoint(session)
    there = training_run(checkpoint.path.parent) if checkpoint else None
    columns = [here] if there is None else [here, there]
    rows = [[escape(NAMES[key]), *(fact(run.get(key)) for run in columns)] for key in NAMES]
    packages = dict.fromkeys(name for run in columns for name in run["packages"])
    rows += [[escape(name), *(fact(run["packages"].get(name)) for run in columns)] for name in packages]
    told = ["examined with"] if there is None else ["examined with", "trained with"]
    note = (
        ""
        if there is not None
        else paragraph("What it was trained with is told by the folder of its run, in which it does not lie.")
    )
    return table(["", *told], rows, "versions and machine", "words") + (note if checkpoint else "")


def fact(value: object) -> str:
    """What is told of a program that ran."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "&ndash;" if value is None else f"<code>{escape(value)}</code>"
