"""The server in a network namespace of its own that has nothing but a loopback: what it answers there, it answers without any
connection to the outside, by proxy or not."""

import fcntl
import json
import shutil
import socket
import struct
import subprocess
import sys
from pathlib import Path

import click
import pytest

from tests.folders import make_folder

_NAMESPACE = ["unshare", "--map-root-user", "--net"]


def loopback_up() -> None:
    """What `ip link set lo up` does, which not every machine has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        up = struct.pack("16sh14s", b"lo", 0x1 | 0x40, b"")  # IFF_UP, IFF_RUNNING
        fcntl.ioctl(control, 0x8914, up)  # SIOCSIFFLAGS


def inside(model: str, home: str) -> None:
    """Run by the test below, in the namespace."""
    from tests.servers import Server

    loopback_up()
    try:
        socket.create_connection(("192.0.2.1", 80), timeout=1)
    except OSError as error:
        click.echo(json.dumps({"outside": error.strerror}))
    with Server(Path(model), Path(home)) as server:
        [result] = server.analyze([{"id": "1", "text": "قال داعش"}])
        click.echo(json.dumps({"found": [e["text"] for e in result["entities"]], "metrics": server.call("GET", "/metrics")[0]}))
        click.echo(json.dumps({"ended": server.stop()}))


def namespaces_may_be_made() -> bool:
    if not shutil.which("unshare"):
        return False
    return subprocess.run([*_NAMESPACE, "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not namespaces_may_be_made(), reason="this machine lets nobody make network namespaces")
def test_a_server_without_a_way_out_is_none_the_worse(tmp_path):
    model = make_folder(tmp_path / "model").path
    command = [*_NAMESPACE, sys.executable, "-c", "import sys; from tests.test_no_network import inside; inside(*sys.argv[1:])"]
    done = subprocess.run([*command, str(model), str(tmp_path)], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert said == [{"outside": "Network is unreachable"}, {"found": ["داعش"], "metrics": 200}, {"ended": 0}]
