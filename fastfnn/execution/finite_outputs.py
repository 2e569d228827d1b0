"""Samples of a prediction that are not finite, found in the outputs.

Searching many samples for NaN and inf takes 10 to 25% of the time of their prediction (784-256-10, two cores of an
Intel Xeon). In most networks, the outputs of such a sample are not finite either, and there are few outputs.
"""

from __future__ import annotations

from fastfnn.execution.obstacles import parameter_bytes
from fastfnn.layers import Dense
from fastfnn.model import Model

# Numbers of the samples for each parameter from which reading the parameters takes less time than the samples.
LEAST_NUMBERS = 4


def shows_in_outputs(model: Model, n_numbers: int) -> bool:
    """Tell whether all outputs of a sample can only be finite if the sample is.

    A number that is not finite makes every pre-activation NaN, inf or -inf. All activations keep NaN. Identity, relu
    and leaky relu keep inf, and of these only relu changes -inf. It cannot make a whole row finite if each input has
    a positive and a negative weight: one of the two columns is inf or NaN.

    Parameters
    ----------
    model : Model
        Network that predicts.
    n_numbers : int
        How many numbers the samples have. For few, the question is not worth its answer: False.
    """
    if n_numbers < LEAST_NUMBERS * parameter_bytes(model) // model.dtype.itemsize:
        return False
    return all(map(_passes_infinity, model.layers))


def _passes_infinity(layer: object) -> bool:
    """Tell whether a row of outputs can only be finite if the row of inputs is."""
    if type(layer) is not Dense or layer.activation not in ("identity", "relu", "leaky_relu"):
        return False
    weights = layer.weights
    return layer.activation != "relu" or bool((weights.max(axis=1) > 0).all() and (weights.min(axis=1) < 0).all())
