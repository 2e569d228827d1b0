"""How a full-batch step scales over hosts, on paper: the model behind the table in docs/distributed.rst.

usage: python bench/scaling_model.py

A step takes the rows of a host, a fixed time for each of its shares, the update, and an exchange. Recursive halving
and doubling sends 2 V (R - 1) / R bytes in 2 log2(R) messages, and the numbers of the step take log2(R) more (Thakur,
Rabenseifner & Gropp, 2005). The times of a host were measured on two cores of an Intel Xeon (Sapphire Rapids).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log2

N_ROWS, LEAST_SHARES = 42_000, 16
HOSTS = (8, 64, 512)


@dataclass(frozen=True)
class Network:
    """A network, and the milliseconds that one host takes for a row, a share and an update."""

    name: str
    megabytes: float  # of a gradient
    row: float
    share: float
    update: float


@dataclass(frozen=True)
class Link:
    """A link between hosts: milliseconds for a message, and megabytes in a millisecond."""

    name: str
    message: float
    megabytes: float


NETWORKS = (
    Network("784-256-10", 0.814, 0.00092, 0.12, 0.1),
    Network("784-4096-4096-10", 80.2, 0.333, 62.0, 10.0),
)
LINKS = (Link("10 Gbit/s", 0.030, 1.1), Link("100 Gbit/s", 0.004, 11.0))

# Milliseconds for adding a megabyte to another.
ADDITION = 0.1


def exchange(network: Network, link: Link, n_hosts: int) -> float:
    """Return the milliseconds of an exchange."""
    share = (n_hosts - 1) / n_hosts * network.megabytes
    return 3 * log2(n_hosts) * link.message + 2 * share / link.megabytes + share * ADDITION


def step(network: Network, n_rows: float, n_hosts: int) -> float:
    """Return the milliseconds of a step on as many rows a host, without the exchange."""
    return n_rows * network.row + max(1, LEAST_SHARES // n_hosts) * network.share + network.update


def main() -> None:
    """Print the table."""
    for network in NETWORKS:
        one = step(network, N_ROWS, 1)
        print(f"{network.name}: one host takes {one:,.0f} ms for {N_ROWS:,} rows")
        for n_hosts in HOSTS:
            parts = []
            for link in LINKS:
                exchanged = exchange(network, link, n_hosts)
                speedup = one / (step(network, N_ROWS / n_hosts, n_hosts) + exchanged)
                efficiency = one / (step(network, N_ROWS, 1) + exchanged)
                parts.append(f"{link.name} {speedup:.1f}x, {efficiency:.1%}")
            print(f"  {n_hosts} hosts: {'; '.join(parts)}")


if __name__ == "__main__":
    main()
