"""Threads make way for other programs unless the user says otherwise."""

from ppo.program.launch import SPINS, make_way


def test_the_user_decides_how_threads_wait() -> None:
    environment: dict[str, str] = {}
    make_way(environment)
    assert environment == {"GOMP_SPINCOUNT": SPINS}
    for own in ({"OMP_WAIT_POLICY": "ACTIVE"}, {"GOMP_SPINCOUNT": "7"}):
        environment = dict(own)
        make_way(environment)
        assert environment == own
