"""Serving the page until a signal ends it: the port, the address, and the loop behind it."""

import contextlib
import errno
import io
import socket
import sys
from collections.abc import Callable

import viser

from app.command_line import fail
from app.session import Session
from app.steering.loop import Loop
from app.steering.walker import make_walker
from app.web.checkpoints import Checkpoints
from app.web.page import Page

HERE = ("127.0.0.1", "localhost", "::1")
"""Hosts that only this machine can reach."""
EVERYWHERE = ("0.0.0.0", "::")
"""Hosts that stand for every address of this machine."""
PORTS_TRIED = 100


def serve(session: Session, until: Callable[[], bool] = lambda: False) -> None:
    """Steer the robot of a session in the browser until `until` says so; what is wrong ends the program with one line.

    Signals end the program at once, as nothing here is worth finishing.
    """
    options = session.options
    try:
        port = free_port(options.host, options.port)
        loop = Loop(make_walker(session), options.command)
    except ValueError as error:
        fail(str(error))
    with contextlib.ExitStack() as stack:
        stack.callback(loop.close)
        server = start(options.host, port)
        stack.callback(stop, server)
        chosen = None if session.checkpoint is None else session.checkpoint.path
        walker = loop.walker
        checkpoints = Checkpoints(options.log_dir, chosen)
        try:
            page = Page(server, loop, walker.simulator.robot, walker.env.control_dt, checkpoints)
        except ValueError as error:
            fail(f"--web: {error}; film the robot with --video walk.mp4 instead")
        announce_address(options.host, options.port, server.get_port())
        loop.run(page, until)


def free_port(host: str, port: int) -> int:
    """The first free port from `port` on.

    Raises:
        ValueError: there is none, or the host is no address of this machine; the message names the flag.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError):
        raise ValueError(f"--host {host} is not known; use 127.0.0.1, or 0.0.0.0 for every address") from None
    last = min(port + PORTS_TRIED, 65536)
    for candidate in range(port, last):
        with socket.socket(family, kind, protocol) as probe:
            # As the server will do: a port that was in use a moment ago is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address[0], candidate, *address[2:]))
                probe.listen(1)
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    continue
                if error.errno in (errno.EACCES, errno.EPERM):
                    raise ValueError(f"--port {candidate} may not be used; choose one from 1024 on") from None
                raise ValueError(
                    f"--host {host} is no address of this machine; use 127.0.0.1, or 0.0.0.0 for every address"
                ) from None
            return candidate
    raise ValueError(f"--port {port}: it and all up to {last - 1} are in use; choose another one")


def start(host: str, port: int) -> viser.ViserServer:
    """A server without anything on its page."""
    # It draws a box around its address, and cannot be told not to.
    with contextlib.redirect_stdout(io.StringIO()):
        return viser.ViserServer(host, port, label="biped", verbose=False)


def stop(server: viser.ViserServer) -> None:
    """Close every connection."""
    with contextlib.redirect_stdout(io.StringIO()):
        server.stop()


def announce_address(host: str, asked: int, port: int) -> None:
    """Tell where the page is, and what is worth knowing about that."""
    if port != asked:
        print(f"port {asked} is in use; this page has port {port}")
    if host not in HERE:
        reach = f"the address {host}" if host not in EVERYWHERE else "any address of this machine"
        print(f"warning: whoever reaches {reach} can steer the robot and choose its checkpoints", file=sys.stderr)
    shown = "localhost" if host in EVERYWHERE else f"[{host}]" if ":" in host else host
    print(f"steer the robot at http://{shown}:{port} (Ctrl-C ends it)", flush=True)
