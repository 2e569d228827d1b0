"""The same bits on any number of threads and under every thread layer, run after run."""

import pytest
from processes import available_layers, output_of, under_layer

DIGEST = """
import hashlib
import numba, numpy as np
from fastfnn_kernels import jitted
from fastfnn_kernels.batches import RowLosses, Rule, Stack, StackLayer, StepOptions
from fastfnn_kernels.runtime import set_num_threads
from fastfnn_kernels.runtime.thread_pool import thread_layer


def digest_of_results():
    rng = np.random.default_rng(0)
    digest = hashlib.sha256()
    for dtype in (np.float32, np.float64):
        draw = lambda *shape: rng.standard_normal(shape).astype(dtype)
        x, w, b, g = draw(1700, 500), draw(500, 130), draw(130), draw(1700, 130)
        labels = rng.integers(0, 130, 1700)
        sparse = np.where(rng.random(x.shape) < 0.2, x, 0)
        order = jitted.similar_rows(sparse)
        rows = jitted.pack_rows(sparse, dtype, 0.5, order)._replace(order=order.astype(np.int32))
        conflicting = draw(300, 4096 // x.itemsize)  # few blocks of rows: threads share out the panels
        along, across = draw(conflicting.shape[1], 130), draw(40, 300)
        states = [draw(700, 300) for _ in range(2)] + [np.abs(draw(700, 300)) for _ in range(2)]
        results = [
            jitted.dense_forward(x, w, b, "sigmoid"), *jitted.dense_weight_gradient(x, g),
            jitted.dense_input_gradient(g, w, x, "tanh"), jitted.sparse_forward(rows, w, b, "tanh"),
            *jitted.sparse_weight_gradient(rows, g), *rows[:4], *jitted.compress_rows(sparse, dtype)[:3],
            *jitted.sparse_weight_gradient(rows, draw(1700, 512)),
            jitted.dense_forward(x[:3], w, b, "relu"), jitted.dense_forward(conflicting, along, b, "tanh"),
            jitted.dense_forward(x, w[:, :9].copy()), *jitted.dense_weight_gradient(conflicting, g[:300]),
            *jitted.sparse_weight_gradient(jitted.pack_rows(conflicting, dtype), across.T.copy()),
            jitted.activation_forward(x, "sigmoid"), jitted.gelu_forward(x), jitted.gelu_gradient(x, x),
            jitted.dropout(x, 0.5, 7), *jitted.elementwise_loss(g, g[::-1].copy(), "binary_cross_entropy"),
            *jitted.softmax_cross_entropy(g, labels, weights=np.abs(g[:, 0].copy()), label_smoothing=0.1),
            jitted.activation_gradient(x, x, "tanh"), jitted.softmax(g), *jitted.softmax_cross_entropy(g, labels),
            jitted.count_correct(g, labels), jitted.squared_norm(x),
            jitted.l2_penalty(x, x + 1, 0.5),
            *jitted.dense_cross_entropy(x, w, b, labels, None, "tanh"),
        ]
        network = (draw(60 * 40 + 40 + 40 * 3) / 8, (40, 3), ("sigmoid", "identity"), (True, False))
        classes = RowLosses("softmax_cross_entropy", labels % 3)
        results += jitted.stack_gradient(x[:, :60].copy(), *network, classes, None, 0.1)
        numeric = RowLosses("huber", draw(1700, 3), np.abs(draw(1700)))
        results += jitted.stack_gradient(x[:, :60].copy(), *network, numeric, None, 0.1)
        p, q, m, v = states
        jitted.sgd(p, q, 0.1)
        jitted.momentum(p, q, m, 0.1, 0.9, True)
        jitted.rmsprop(p, q, v, 0.1, 0.9, 1e-6)
        results.append(jitted.rmsprop_tensor(p, q, 1.0, 0.1, 0.9, 1e-6))
        jitted.adam(p, q, m, v, 3, 0.1, 0.9, 0.99, 1e-6)
        jitted.adamw(p, q, m, v, 4, 0.1, 0.9, 0.99, 1e-6, 0.1)
        layers = [draw(500, 130) / 32, draw(130, 40) / 16], [draw(130), None], ["tanh", "identity"]
        samples = jitted.compress_rows(sparse, dtype)
        results += jitted.sgd_samples(samples, labels % 40, *layers, 0.01) + tuple(layers[0])
        layers = [draw(500, 270) / 32, draw(270, 130) / 16, draw(130, 40) / 16], [draw(270), None, draw(40)]
        batches, activations = jitted.pack_batches(sparse, dtype, 300), ["relu", "tanh", "identity"]
        results += [jitted.stack_forward(sparse[:60], *layers, activations, density) for density in (0.0, 1.0)]
        results += jitted.sgd_batches(batches, labels % 40, *layers, activations, 0.01)
        results += layers[0] + [layers[1][0], layers[1][2]]
        places = (StackLayer(130, "tanh", 0, 65_000), StackLayer(130, drop_rate=0.5), StackLayer(40, "relu", 65_130))
        vectors = [draw(70_330) / 16, np.zeros(70_330, dtype)]
        rule = Rule("rmsprop_tensor", 0.01, {{"rho": 0.9, "epsilon": 1e-3}}, (np.ones(3),), 0)
        goals = RowLosses("huber", draw(1700, 40), np.abs(g[:, 0].copy()))
        options = StepOptions(500, 1e-3, clip_norm=0.5, seeds=np.arange(12).reshape(4, 3))
        results += jitted.train_batches(x, np.arange(1700), goals, Stack(500, places), *vectors, rule, options)
        results += [*vectors, *rule.states]
        for result in results + states:
            digest.update(np.asarray(result).tobytes())
    return digest.hexdigest()


for n_threads in {counts}:
    set_num_threads(n_threads)
    print(n_threads, digest_of_results(), thread_layer())
"""

TRAINING = """
import hashlib
import numba, numpy as np, fastfnn
from fastfnn_kernels.runtime.thread_pool import thread_layer


def digest_of_results():
    rng = np.random.default_rng(0)
    digest = hashlib.sha256()
    for X in (rng.random((2500, 60)), rng.random((2500, 60)) * (rng.random((2500, 60)) < 0.2)):
        layers = [fastfnn.Dense(60, 70, activation="relu"), fastfnn.Dense(70, 10)]
        net = fastfnn.Network(layers, seed=1)
        optimizer = fastfnn.RMSprop(0.1, granularity="tensor", initial=1.0)
        history = net.fit(X, rng.integers(0, 10, 2500), optimizer, epochs=50, l2=1e-5)
        net.fit(X, rng.integers(0, 10, 2500), fastfnn.Adam(), epochs=2, batch_size=300)
        for array in (*net.parameters.values(), net.predict_proba(X), np.array(history["loss"])):
            digest.update(array.tobytes())
    return digest.hexdigest()


for n_threads in {counts}:
    fastfnn.set_num_threads(n_threads)
    print(n_threads, digest_of_results(), thread_layer())
"""

# The first is Numba's choice.
FIRST_LAYER, *OTHER_LAYERS = available_layers()
COUNTS = [1, 2, 3, 4, 7]


def digests_of(program, counts, layer="default"):
    """Return the layer that was used, and the digest of the results on each number of threads."""
    output = output_of(program.format(counts=counts), under_layer(layer, max(COUNTS)), timeout=300)
    n_threads, digests, layers = zip(*(line.split() for line in output.splitlines()), strict=True)
    assert [int(number) for number in n_threads] == counts
    (layer_used,) = set(layers)
    return layer_used, digests


@pytest.fixture(params=[DIGEST, TRAINING], ids=["kernels", "training"], scope="module")
def program(request):
    return request.param


@pytest.fixture(scope="module")
def expected(program):
    return digests_of(program, COUNTS)


def test_the_same_bits_on_any_number_of_threads(expected):
    layer_used, digests = expected
    assert layer_used == FIRST_LAYER
    assert set(digests) == {digests[0]}


@pytest.mark.parametrize("layer", OTHER_LAYERS)
def test_the_same_bits_under_every_thread_layer(program, expected, layer):
    _, (digest, *_) = expected
    assert digests_of(program, [3], layer) == (layer, (digest,))
