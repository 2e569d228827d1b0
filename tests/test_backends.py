import subprocess
import sys

import numpy as np
import pytest
from fastfnn_kernels import jitted, reference
from networks import assert_close, each_dtype, samples, small_network

import fastfnn
from fastfnn.execution.thresholds import ROWS_OF_BLOCK, ROWS_OF_LARGE_BLOCK


def test_a_backend_is_the_module_of_its_name():
    assert fastfnn.get_backend("numpy") is reference
    assert fastfnn.get_backend("numba") is jitted


@pytest.mark.parametrize("name", ["numba", "numpy"])
def test_network_tells_its_backend(name):
    net = fastfnn.Network([fastfnn.Dense(2, 2)], backend=name)
    assert net.backend == name
    assert net.kernels is fastfnn.get_backend(name)


def test_numba_is_the_default():
    assert fastfnn.Network([fastfnn.Dense(2, 2)]).backend == "numba"


@pytest.mark.parametrize("name", ["cupy", "", "Numba", None, 1])
def test_unknown_backend_is_refused_with_those_there_are(name):
    with pytest.raises(ValueError, match=r"backend must be one of numba, numpy; got ") as caught:
        fastfnn.get_backend(name)
    assert str(caught.value).endswith(repr(name))


def test_another_missing_module_is_not_blamed_on_numba(monkeypatch):
    def missing(name):
        raise ModuleNotFoundError("No module named 'other'", name="other")

    monkeypatch.setattr("fastfnn.backends.importlib.import_module", missing)
    with pytest.raises(ModuleNotFoundError, match="other"):
        fastfnn.get_backend("numba")


@each_dtype
def test_both_backends_start_from_the_same_bits(dtype):
    first, second = (small_network(backend, dtype) for backend in ("numba", "numpy"))
    for name, array in first.parameters.items():
        assert array.dtype == dtype
        assert array.tobytes() == second.parameters[name].tobytes()


def optimizers():
    return [
        fastfnn.SGD(0.1),
        fastfnn.SGD(0.1, momentum=0.9),
        fastfnn.SGD(0.1, momentum=0.9, nesterov=True),
        fastfnn.SGD(0.1, momentum=0.9, velocity="steps"),
        fastfnn.RMSprop(0.01),
        fastfnn.RMSprop(0.1, 0.99, 1e-3, granularity="tensor", initial=1.0, reset_every=2),
        fastfnn.Adam(0.01),
        fastfnn.AdamW(0.01, weight_decay=0.1),
        fastfnn.AdamW(0.01, epsilon=0.1, epsilon_hat=True),
    ]


@pytest.mark.parametrize("index", range(len(optimizers())))
@pytest.mark.parametrize("batch_size", [None, 7])
def test_both_backends_stay_together_over_five_steps(index, batch_size):
    X, y = samples(30)
    trained = []
    for backend in ("numba", "numpy"):
        net = small_network(backend)
        history = net.fit(X, y, optimizers()[index], epochs=5, batch_size=batch_size, l2=0.01)
        trained.append((history["loss"], history["accuracy"], net.parameters))
    (losses, accuracies, parameters), (losses_too, accuracies_too, parameters_too) = trained
    assert_close(np.array(losses), np.array(losses_too), 1e-12)
    assert accuracies == accuracies_too
    for name in parameters:
        assert_close(parameters[name], parameters_too[name], 1e-11)


@pytest.mark.parametrize("n_rows", [1, ROWS_OF_BLOCK - 1, ROWS_OF_BLOCK + 1, ROWS_OF_LARGE_BLOCK + 1])
def test_both_backends_give_the_same_loss_and_gradients(n_rows):
    X, y = samples(n_rows)
    loss, gradients = small_network("numba").loss_and_gradients(X, y, l2=0.1)
    loss_too, gradients_too = small_network("numpy").loss_and_gradients(X, y, l2=0.1)
    assert loss == pytest.approx(loss_too, rel=1e-13)
    for gradient, other in zip(gradients, gradients_too, strict=True):
        assert_close(gradient.weights, other.weights, 1e-12)
        assert_close(gradient.bias, other.bias, 1e-12)


def test_importing_fastfnn_loads_nothing_heavy():
    script = "import sys, fastfnn; print({'numba', 'typer', 'rich', 'matplotlib', 'sklearn'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"


def test_a_numpy_network_does_not_load_numba():
    script = (
        "import sys, fastfnn, numpy as np\n"
        "net = fastfnn.Network([fastfnn.Dense(2, 2)], backend='numpy')\n"
        "net.fit(np.eye(2), np.arange(2), fastfnn.SGD(0.1))\n"
        "print('numba' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
