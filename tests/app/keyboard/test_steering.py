from app.keyboard.steering import describe
from app.steering.loop import Status

STATUS = Status((0.5, -0.0, -0.1), 0, paused=False, speed=1.0, pace=1.0, falls=0, friction=1.0)


def test_the_line_tells_command_velocity_and_feet() -> None:
    line = describe(STATUS, [0.484, -0.001, 0.0], (True, False))
    assert line == "asked +0.50 +0.00 -0.10  is +0.48 +0.00 +0.00  feet -R"
    line = describe(STATUS._replace(paused=True, falls=2), [-0.1, 0.0, 0.0], (False, True))
    assert line == "asked +0.50 +0.00 -0.10  is -0.10 +0.00 +0.00  feet L-  falls 2  paused"
    assert len(line) < 80
