import numpy as np
import pytest
from networks import ROUNDING, assert_close, bytes_of, each_backend, each_dtype, samples, small_network

from fastfnn import SGD, get_backend
from fastfnn.execution.options import Clipping


def gradients(dtype="float64"):
    return [np.array([[3.0, -4.0]], dtype), np.array([12.0], dtype)]


@each_backend
@each_dtype
@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ({}, [3, -4, 12]),
        ({"value": 3.5}, [3, -3.5, 3.5]),
        ({"norm": 6.5}, [1.5, -2, 6]),
        ({"norm": 13.0}, [3, -4, 12]),
        ({"norm": 20.0}, [3, -4, 12]),
        ({"value": 4.0, "norm": 1.0}, [3 / np.sqrt(41), -4 / np.sqrt(41), 4 / np.sqrt(41)]),
    ],
)
def test_bounds(backend, dtype, bounds, expected):
    arrays = gradients(dtype)
    Clipping(**bounds).apply(get_backend(backend), arrays)
    assert [array.dtype for array in arrays] == [dtype, dtype]
    assert np.concatenate([array.ravel() for array in arrays]) == pytest.approx(expected, rel=1e-6)


@each_backend
@each_dtype
@pytest.mark.parametrize("batch_size", [None, 1, 7])
@pytest.mark.parametrize("bound", ["clip_norm", "clip_value"])
def test_steps_are_bounded(backend, dtype, batch_size, bound):
    X, y = samples(batch_size or 7, dtype=dtype)
    net = small_network(backend, dtype)
    _, found = net.loss_and_gradients(X, y)
    before = {name: parameter.copy() for name, parameter in net.parameters.items()}
    net.fit(X, y, SGD(1.0), batch_size=batch_size, **{bound: 0.01})
    steps = np.concatenate([(before[name] - parameter).ravel() for name, parameter in net.parameters.items()])
    size = np.linalg.norm(steps) if bound == "clip_norm" else np.abs(steps).max()
    assert size == pytest.approx(0.01, rel=1e-4)
    if bound == "clip_norm":
        of_layers = [(layer.weights, layer.bias) for layer in found]
        wanted = np.concatenate([array.ravel() for pair in of_layers for array in pair if array is not None])
        assert_close(steps, 0.01 * wanted / np.linalg.norm(wanted), 1e3 * ROUNDING[dtype])


@pytest.mark.parametrize("bound", ["clip_norm", "clip_value"])
@pytest.mark.parametrize("value", [0, -1, np.inf, np.nan])
def test_bounds_out_of_range(bound, value):
    net = small_network()
    before = bytes_of(net)
    with pytest.raises(ValueError, match=f"{bound} must be None or a finite number above 0; got"):
        net.fit(*samples(6), SGD(0.1), **{bound: value})
    assert bytes_of(net) == before
