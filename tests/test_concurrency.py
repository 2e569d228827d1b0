"""Several Python threads compute at once: the same bits as one after another, under every thread layer."""

import pytest
from processes import available_layers, output_of, under_layer

TOGETHER = """
    import hashlib, threading
    import numba, numpy as np
    import fastfnn

    fastfnn.set_num_threads({threads})
    X = np.random.default_rng(0).random((3000, 300), dtype=np.float32)
    y = X[:, :10].argmax(axis=1)

    def train(seed):
        layers = [fastfnn.Dense(300, 64, activation="relu"), fastfnn.Dense(64, 10)]
        net = fastfnn.Network(layers, seed=seed)
        digest = hashlib.sha256()
        for batch_size in (None, 500, 20):
            net.fit(X, y, fastfnn.SGD(0.1), epochs=2, batch_size=batch_size)
            net.fit(X[:1000], y[:1000], fastfnn.Adam(), epochs=2, batch_size=batch_size)
            digest.update(net.predict_proba(X).tobytes() + net.predict_proba(X[:40]).tobytes())
        return digest.hexdigest()

    expected = [train(seed) for seed in range(8)]
    found = [None] * 8

    def run(seed):
        found[seed] = train(seed)

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == expected, (found, expected)
    print(numba.threading_layer() if {threads} > 1 else "none")
"""

# No kernel was compiled before the threads began.
FIRST_CALLS = """
    import threading
    import numpy as np
    from fastfnn_kernels import jitted

    x = np.ones((2000, 40), np.float32)
    results = []
    threads = [threading.Thread(target=lambda: results.append(jitted.squared_norm(x))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [80_000.0] * 8
    from fastfnn_kernels.jitted import updates
    kernels = [kernel for kernel in vars(updates).values() if hasattr(kernel, "_compiled")]
    print(sum(len(kernel._compiled) for kernel in kernels))
"""

OTHERS_GO_ON = """
    import threading
    import numpy as np
    from fastfnn_kernels import jitted

    x, w = np.ones((20_000, 1000), np.float32), np.ones((1000, 500), np.float32)
    jitted.dense_forward(x, w)
    done = threading.Event()

    def compute():
        jitted.dense_forward(x, w)
        done.set()

    threading.Thread(target=compute).start()
    n_turns = 0
    while not done.is_set():
        n_turns += 1
    print(n_turns)
"""

WITHOUT_LIBRARIES = """
    import sys
    sys.modules["numba.np.ufunc.omppool"] = sys.modules["numba.np.ufunc.tbbpool"] = None
    import numba, numpy as np
    from fastfnn_kernels import jitted
    assert jitted.squared_norm(np.ones(2_000_000)) == 2_000_000
    print(numba.threading_layer())
"""


@pytest.mark.parametrize("layer", available_layers())
def test_eight_python_threads(layer):
    assert output_of(TOGETHER.format(threads=2), under_layer(layer), timeout=300).split() == [layer]


def test_eight_python_threads_without_any_of_numbas():
    assert output_of(TOGETHER.format(threads=1), timeout=300).split() == ["none"]


def test_a_kernel_is_compiled_once_however_many_ask_for_it(tmp_path):
    assert output_of(FIRST_CALLS, {"FASTFNN_CACHE_DIR": str(tmp_path)}).split() == ["1"]


def test_other_python_threads_go_on_during_a_kernel():
    """A loop that only one thread at a time could be in would be let in a few times, at the ends of the kernel."""
    assert int(output_of(OTHERS_GO_ON)) > 1000


def test_a_machine_without_tbb_and_openmp():
    assert output_of(WITHOUT_LIBRARIES).split() == ["workqueue"]
