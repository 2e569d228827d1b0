"""The optimizers that any recipe can be run with; called without arguments, each has its usual settings."""

from __future__ import annotations

from functools import partial

from fastfnn.optimizers import SGD, Adam, AdamW, RMSprop

STANDARD = {
    "sgd": SGD,
    "momentum": partial(SGD, momentum=0.9),
    "nesterov": partial(SGD, momentum=0.9, nesterov=True),
    "rmsprop": RMSprop,
    "adam": Adam,
    "adamw": AdamW,
}
