"""Trainings by two hosts that TCP connects: network namespaces of Linux on this machine. Needs root; run by hand.

usage: python tests/two_hosts.py [RATE ...]          (such as 10gbit 1gbit, as tc writes them)

It compares digests with those of one process, and prints the time of a full-batch step on MNIST at each rate.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from processes import mpiexec_path

HERE = Path(__file__).parent
JOB = HERE.parent / "bench" / "distributed_job.py"

HOSTS = {"fastfnn1": "10.77.0.1", "fastfnn2": "10.77.0.2"}

# Namespaces share memory; UCX, which MPICH's wheel uses, must not take that for the way between hosts.
BY_TCP = {"UCX_TLS": "tcp,self", "UCX_NET_DEVICES": "eth0"}

# Stands in for ssh: runs a command in the namespace of a host.
LAUNCHER = """#!/bin/bash
while [[ $1 == -* ]]; do shift; done
host=$1; shift
exec ip netns exec fastfnn${host##*.} bash -c "$*"
"""

CASES = ["numba,packed,full,adam", "numba,dense,mini,weighted", "numba,csr,full,rmsprop", "numpy,dense,full,momentum"]


def ip(*words: str) -> None:
    """Run a command of iproute2."""
    subprocess.run(["ip", *words], check=True)


@contextlib.contextmanager
def two_hosts(rate: str | None) -> Iterator[None]:
    """Create two namespaces with a link between them, at a rate or as fast as it goes."""
    names = list(HOSTS)
    try:
        for name in names:
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        ip("-n", names[0], "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", names[1])
        for name, address in HOSTS.items():
            ip("-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
            ip("-n", name, "link", "set", "eth0", "up")
            if rate is not None:
                limit = f"tc qdisc add dev eth0 root tbf rate {rate} burst 256kb latency 100ms"
                ip("netns", "exec", name, *limit.split())
        for name in names:
            _wait_for_link(name)
        yield
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False, stderr=subprocess.DEVNULL)


def _wait_for_link(name: str) -> None:
    """Wait until a host's link is up, which takes a second or two."""
    command = ["ip", "netns", "exec", name, "cat", "/sys/class/net/eth0/operstate"]
    deadline = time.monotonic() + 30
    while subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip() != "up":
        if time.monotonic() > deadline:
            raise SystemExit(f"the link of {name} does not come up")
        time.sleep(0.1)


def on_two_hosts(*program: str) -> str:
    """Run a program by a process on each host; return what it prints."""
    mpiexec = mpiexec_path()
    if mpiexec is None:
        raise SystemExit("there is no mpiexec: pip install mpich")
    with tempfile.TemporaryDirectory() as folder:
        launcher = Path(folder, "launcher")
        launcher.write_text(LAUNCHER)
        launcher.chmod(0o755)
        command = ["ip", "netns", "exec", "fastfnn1", mpiexec, "-launcher", "ssh", "-launcher-exec", str(launcher)]
        command += ["-hosts", ",".join(HOSTS.values()), "-n", "2", sys.executable, *program]
        done = subprocess.run(
            command, env=os.environ | BY_TCP, check=True, capture_output=True, text=True, timeout=600
        )
    return done.stdout


def require_namespaces() -> None:
    """End with a reason where namespaces cannot be made."""
    try:
        ip("netns", "add", "fastfnn1")
        ip("netns", "del", "fastfnn1")
    except (OSError, subprocess.CalledProcessError) as error:
        raise SystemExit(f"skipped: no network namespaces can be made here ({error})") from error


def main(rates: list[str]) -> None:
    """Compare digests, and measure a step at each rate."""
    require_namespaces()
    trainings = str(HERE / "mpi_trainings.py")
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, trainings, "alone", folder, *CASES]
        expected = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        with two_hosts(None):
            found = on_two_hosts(trainings, "mpi", folder, *CASES)
    print(f"{len(CASES)} trainings on two hosts: {'the same digests' if found == expected else 'OTHER DIGESTS'}")
    for rate in (None, *rates):
        with two_hosts(rate):
            milliseconds = 1e3 * float(on_two_hosts(str(JOB), "step", "mpi", "16", "1", "mnist"))
        print(f"full-batch step on MNIST, {rate or 'no limit'}: {milliseconds:.1f} ms", flush=True)
    sys.exit(found != expected)


if __name__ == "__main__":
    main(sys.argv[1:])
