"""Processes started by one whose threads run already: by a fork, which threads do not survive, and otherwise."""

import textwrap

import pytest
from processes import available_layers, output_of, under_layer

PREAMBLE = """
    import logging, os, sys, threading, time, warnings
    import numba, numpy as np
    import fastfnn
    from fastfnn_kernels import jitted
    warnings.filterwarnings("ignore", message=".*multi-threaded.*fork", category=DeprecationWarning)

    x = np.random.default_rng(0).standard_normal((3000, 300)).astype(np.float32)
    w = np.random.default_rng(1).standard_normal((300, 100)).astype(np.float32)

    def compute():
        return jitted.dense_forward(x, w, activation="tanh").tobytes()

    def child_of(fork, work):
        reading, writing = os.pipe()
        child = fork()
        if child == 0:
            os.close(reading)
            with os.fdopen(writing, "wb") as pipe:
                pipe.write(work())
            sys.exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            output = pipe.read()
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        return output
"""

# A fork before any kernel has run, then after that, then in a thread while others compute.
FORKS = (
    PREAMBLE
    + """
    in_child = child_of(os.fork, lambda: compute() + bytes([fastfnn.get_num_threads()]))
    expected, stop = compute(), threading.Event()
    assert in_child == expected + bytes([2])
    print("before", numba.threading_layer())

    assert child_of(os.fork, compute) == expected
    assert compute() == expected
    print("after", numba.threading_layer())

    def keep_computing():
        while not stop.is_set():
            assert compute() == expected

    others = [threading.Thread(target=keep_computing) for _ in range(2)]
    for other in others:
        other.start()
    outputs = []
    forking = threading.Thread(target=lambda: outputs.extend(child_of(os.fork, compute) for _ in range(5)))
    forking.start()
    forking.join()
    stop.set()
    for other in others:
        other.join()
    assert outputs == [expected] * 5
    print("amid", numba.threading_layer())
"""
)

FORK_WHILE_ANOTHER_THREAD_COMPILES = (
    PREAMBLE
    + """
    jitted.squared_norm(x)  # on many threads
    class Begun(logging.Handler):
        told = threading.Event()
        def emit(self, record):
            self.told.set()

    log = logging.getLogger("fastfnn_kernels.runtime.compiling")
    log.addHandler(Begun())
    log.setLevel("INFO")
    compiling = threading.Thread(target=lambda: jitted.activation_forward(x, "tanh"))
    compiling.start()
    Begun.told.wait()
    time.sleep(0.05)
    work = lambda: jitted.softmax(x).tobytes()
    assert compiling.is_alive()
    in_child = child_of(os.fork, work)
    compiling.join()
    assert in_child == work()
    print(numba.threading_layer())
"""
)

MORE_THREADS_AFTER_A_FORK = (
    PREAMBLE
    + """
    compute()

    def ask():
        assert fastfnn.get_num_threads() == 1
        fastfnn.set_num_threads(1)
        try:
            fastfnn.set_num_threads(2)
        except RuntimeError as error:
            return str(error).encode()

    print(child_of(os.fork, ask).decode())
"""
)

POOL = """
    import sys, warnings
    import multiprocessing
    import numpy as np
    warnings.filterwarnings("ignore", message=".*multi-threaded.*fork", category=DeprecationWarning)

    def train(seed):
        import fastfnn
        X = np.random.default_rng(0).random((3000, 300), dtype=np.float32)
        y = X[:, :10].argmax(axis=1)
        layers = [fastfnn.Dense(300, 64, activation="relu"), fastfnn.Dense(64, 10)]
        net = fastfnn.Network(layers, seed=seed)
        net.fit(X, y, fastfnn.SGD(0.1), epochs=2)
        return net.predict_proba(X).tobytes()

    if __name__ == "__main__":
        expected = [train(seed) for seed in range(3)]
        for method in ("fork", "spawn", "forkserver"):
            with multiprocessing.get_context(method).Pool(2) as pool:
                assert pool.map(train, range(3)) == expected
            print(method)
        from joblib import Parallel, delayed
        assert Parallel(n_jobs=2, backend="loky")(delayed(train)(seed) for seed in range(3)) == expected
        print("loky")
"""


@pytest.mark.parametrize("layer", available_layers())
def test_a_forked_child_computes(layer):
    assert output_of(FORKS, under_layer(layer)).split() == ["before", layer, "after", layer, "amid", layer]


def test_a_child_forked_while_another_thread_compiles(tmp_path):
    environment = under_layer("default") | {"FASTFNN_CACHE_DIR": str(tmp_path)}
    assert output_of(FORK_WHILE_ANOTHER_THREAD_COMPILES, environment).strip()


def test_more_threads_after_a_fork():
    message = output_of(MORE_THREADS_AFTER_A_FORK, under_layer("default"))
    assert message.startswith("2 threads cannot be had: this process was forked from one whose threads")
    assert '"spawn" or "forkserver"' in message


@pytest.mark.parametrize("layer", available_layers())
def test_pools_of_processes(tmp_path, layer):
    script = tmp_path / "program.py"  # children look for the function in a file
    script.write_text(textwrap.dedent(POOL))
    assert output_of(script, under_layer(layer)).split() == ["fork", "spawn", "forkserver", "loky"]
