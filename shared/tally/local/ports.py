"""TCP ports of this machine's loopback address."""

import errno
import os
import socket

import psutil

from tally.local import LocalError

HOST = "127.0.0.1"


class PortTaken(LocalError):
    """Something else listens on a port, or it is not for this user."""


def free_port() -> int:
    """A port that nothing listens on at the moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def demand(port: int) -> None:
    """Check that `port` can be listened on.

    Raises:
        PortTaken: It cannot; the message names who has it, where that can be found out, and what to do.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen()
        except PermissionError:
            raise PortTaken(f"port {port} is for root only; choose one above 1023, such as --port 8080") from None
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise PortTaken(f"port {port} cannot be used: {os.strerror(error.errno or 0)}") from error
            raise PortTaken(_taken(port)) from None
    with socket.socket() as probe:
        # macOS lets a second socket bind 127.0.0.1 beside one on all addresses.
        if probe.connect_ex((HOST, port)) == 0:
            raise PortTaken(_taken(port))


def accepts(port: int) -> bool:
    """Whether something listens on `port`."""
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def _taken(port: int) -> str:
    holder = _listener(port)
    by = f" by {holder.name()} (pid {holder.pid})" if holder else ""
    return f"port {port} is taken{by}; end that process or choose another port with --port"


def _listener(port: int) -> psutil.Process | None:
    try:
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN
            if listens and connection.laddr and connection.laddr[1] == port and connection.pid:
                return psutil.Process(connection.pid)
    except psutil.Error:
        pass  # macOS tells only root
    return None
