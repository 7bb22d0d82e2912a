import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("viser")

from app.web.serving import PORTS_TRIED, announce_address, free_port, serve
from tests.app.fake_engines import FakeSimulation, fails
from tests.app.steering.loops import make_session

HERE = "127.0.0.1"


@pytest.fixture
def taken() -> Iterator[int]:
    """A port at which somebody listens."""
    with socket.create_server((HERE, 0)) as listener:
        yield listener.getsockname()[1]


def test_the_page_is_served_until_it_is_over(taken: int, capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[str] = []

    def fetch() -> bool:
        lines = capsys.readouterr().out.splitlines()
        address = lines[-1].split()[4]
        with urllib.request.urlopen(address) as page:
            seen.extend((*lines, page.read().decode()))
        return True

    serve(make_session(port=taken), until=fetch)
    moved, address, page = seen
    assert moved.startswith(f"port {taken} is in use; this page has port ")
    assert address == f"steer the robot at http://{HERE}:{moved.split()[-1]} (Ctrl-C ends it)"
    assert "<html" in page
    assert capsys.readouterr() == ("", "")
    assert FakeSimulation.made.closed


def test_the_next_free_port_is_taken(taken: int) -> None:
    assert taken < free_port(HERE, taken) < taken + PORTS_TRIED
    assert free_port("localhost", taken) > 0


@pytest.mark.parametrize(
    ("host", "port", "words"),
    [
        ("no.such.host.invalid", 8080, "--host no.such.host.invalid"),
        ("192.0.2.1", 8080, "--host 192.0.2.1 is no address of this machine"),
        ("a" * 80, 8080, "--host aaa"),
    ],
)
def test_where_no_page_can_be_served_the_flag_is_named(host: str, port: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        free_port(host, port)


def test_a_port_beyond_the_last_one_is_not_tried() -> None:
    with socket.socket() as last:
        last.bind((HERE, 65535))
        last.listen()
        with pytest.raises(ValueError, match="--port 65535: it and all up to 65535 are in use"):
            free_port(HERE, 65535)


def test_opening_it_to_the_network_is_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    announce_address("0.0.0.0", 8080, 8080)
    captured = capsys.readouterr()
    assert captured.err.startswith("warning: whoever reaches any address of this machine can steer the robot")
    assert captured.out == "steer the robot at http://localhost:8080 (Ctrl-C ends it)\n"
    announce_address("::1", 8080, 8080)
    captured = capsys.readouterr()
    assert captured == ("steer the robot at http://[::1]:8080 (Ctrl-C ends it)\n", "")


def test_what_cannot_be_served_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--host 192.0.2.1" in fails(capsys, "--web", "--agent", "zero", "--host", "192.0.2.1")
    assert "cannot read nothing.zip" in fails(capsys, "nothing.zip", "--web")
    Path("logs/walk").mkdir(parents=True)
    assert "walk" in fails(capsys, "--web", "-e", "walk")
