"""Checks of ports and servers, before anything that needs them is started."""

from __future__ import annotations

import ipaddress
import os
import socket

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
_SETTINGS = 4


def listen_error(host: str, port: int) -> str | None:
    """Why no server can listen at an address of this machine; None if one can."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.strerror or str(error)
    return None


def is_loopback(host: str) -> bool:
    """Whether an address, or a name that stands for one, can be reached from this machine alone."""
    try:
        found = {entry[4][0] for entry in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    return bool(found) and all(ipaddress.ip_address(str(address).partition("%")[0]).is_loopback for address in found)


def connect_error(host: str, port: int, *, grpc: bool = False, seconds: float = 5.0) -> str | None:
    """Why no server can be reached at an address; None if one answers.

    Args:
        host: Name or number of the machine.
        port: The port.
        grpc: Whether a gRPC server is expected, which greets as HTTP/2 has it. With RAY_USE_TLS it is taken on trust.
        seconds: How long to wait.
    """
    try:
        with socket.create_connection((host, port), timeout=seconds) as connection:
            if grpc and os.environ.get("RAY_USE_TLS", "0") != "1":
                connection.sendall(_PREFACE)
                head = connection.recv(9, socket.MSG_WAITALL)
                if len(head) < 9 or head[3] != _SETTINGS:
                    return "something listens there, but it is no Ray"
    except TimeoutError:
        return f"no answer within {seconds:g} s"
    except OSError as error:
        return error.strerror or str(error)
    return None
