"""Stands in for vllm.entrypoints.launchers.launcher: it binds early and listens late."""

import socket
from argparse import Namespace

from vllm import gates


def create_server_socket(addr: tuple[str, int], *, reuse_port: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in addr[0] else socket.AF_INET
    sock = socket.socket(family=family, type=socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(addr)
    return sock


if gates.lacks("create_server_socket"):
    renamed = create_server_socket
    del create_server_socket


def setup_server(args: Namespace, *, reuse_port: bool) -> tuple[str, socket.socket]:
    make = renamed if gates.lacks("create_server_socket") else create_server_socket
    return "", make((args.host, args.port), reuse_port=reuse_port)
