"""How the log of a training is arranged in TensorBoard and at Weights & Biases."""

from ppo.report.dashboard import Dashboard

DASHBOARD = Dashboard(
    charts={
        "progress": {
            "reward per episode": [r"rollout/ep_rew_mean"],
            "episode length, control steps": [r"rollout/ep_len_mean"],
            "how episodes end, share": [r"episode/.*"],
            "examination, points": [r"eval/(\w+/)?points"],
            "examination, passed": [r"eval/(\w+/)?(trials|commands)_passed"],
            "learning rate": [r"train/learning_rate"],
            "KL divergence of an update": [r"train/approx_kl"],
            "exploration, standard deviation": [r"train/std"],
        },
        "rewards": {"rewards per second": [r"reward/.*"]},
        "gait": {
            "velocity error, m/s": [r"tracking/velocity_error"],
            "examination, measures": [r"eval/(?!(\w+/)?(points|(trials|commands)_passed)$)(\w+/)?\w+$"],
        },
        "performance": {
            "control steps per second": [r"perf/steps_per_second", r"time/fps"],
            "seconds of an iteration": [r"perf/(simulation|policy|update)_seconds"],
        },
    },
    results=("eval/points", "eval/trials_passed", "eval/commands_passed"),
)
"""Progress, rewards, gait and performance."""
