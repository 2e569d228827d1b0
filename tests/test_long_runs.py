"""Nothing piles up over many steps and many networks."""

from processes import output_of

PREAMBLE = """
    import gc
    import numpy as np
    import fastfnn

    X = np.random.default_rng(0).random((64, 20), dtype=np.float32)
    y = X[:, :3].argmax(axis=1)

    def network():
        layers = [fastfnn.Dense(20, 16, activation="relu"), fastfnn.Dense(16, 3)]
        return fastfnn.Network(layers, seed=0, backend="numba")

    def memory():
        gc.collect()
        with open("/proc/self/statm") as pages:
            return int(pages.read().split()[1]) * 4096

    def grown(work):
        work()
        before = memory()
        work()
        return memory() - before
"""

STEPS = (
    PREAMBLE
    + """
    net, optimizer = network(), fastfnn.Adam()

    def train():
        for _ in range(10):
            net.fit(X, y, optimizer, epochs=1000)
            net.fit(X, y, fastfnn.SGD(), epochs=100, batch_size=16)

    print(grown(train))
"""
)

NETWORKS = (
    PREAMBLE
    + """
    def build():
        for _ in range(1000):
            net = network()
            net.fit(X, y, fastfnn.Adam(), epochs=2, batch_size=32)
            net.predict(X)

    print(grown(build))
"""
)

# Far below what one array kept for each step or network would take.
MOST_BYTES = 500_000


def test_twenty_thousand_steps_and_more():
    assert int(output_of(STEPS)) < MOST_BYTES


def test_two_thousand_networks():
    assert int(output_of(NETWORKS)) < MOST_BYTES
