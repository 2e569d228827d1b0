"""DataForm: what the files of a training looked like, so that other files are read in the same way."""

from __future__ import annotations

import reprlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class DataForm:
    """The names of a training's columns, and whether its numbers were bytes.

    Parameters
    ----------
    columns : tuple of str, or None
        Names of the features in order; None if the file had no names.
    is_bytes : bool
        Whether all features were whole numbers from 0 to 255, which are multiplied by the network's `input_scale`.

    Raises
    ------
    ValueError
        If a value has a wrong type, or two columns have the same name.
    """

    columns: tuple[str, ...] | None
    is_bytes: bool

    def __post_init__(self) -> None:
        if self.columns is not None:
            is_named = isinstance(self.columns, tuple) and all(isinstance(n, str) and n for n in self.columns)
            if not (is_named and self.columns and len(set(self.columns)) == len(self.columns)):
                raise ValueError(
                    f"columns must be a tuple of names, each given once; got {reprlib.repr(self.columns)}"
                )
        if not isinstance(self.is_bytes, bool):
            raise ValueError(f"is_bytes must be True or False; got {self.is_bytes!r}")

    def numbers(self, X: NDArray[Any], name: str) -> NDArray[Any]:
        """Return samples in the numbers of the training: uint8 if they were bytes, otherwise floats.

        Parameters
        ----------
        X : ndarray of uint8, float32 or float64, shape (n_samples, n_inputs)
            Samples as they were read.
        name : str
            Name of the samples in the message, such as that of their file.

        Raises
        ------
        ValueError
            If the training was on bytes, and X holds other numbers than 0, 1, ..., 255.
        """
        if self.is_bytes == (X.dtype == np.uint8):
            return X
        return self._as_bytes(X, name) if self.is_bytes else X.astype(np.float32)

    def _as_bytes(self, X: NDArray[Any], name: str) -> NDArray[np.uint8]:
        with np.errstate(invalid="ignore"):  # numbers beyond 255 are compared below
            converted = X.astype(np.uint8)
        wrong = converted != X
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            place = column + 1 if self.columns is None else reprlib.repr(self.columns[column])
            raise ValueError(
                f"{name}: the network was trained on whole numbers from 0 to 255; got {X[row, column]} in sample "
                f"{row + 1}, column {place}: convert them to such numbers, or train a network on data that "
                f"hold fractions too"
            )
        return converted


def to_entry(form: DataForm) -> dict[str, Any]:
    """Return what a file holds of a form."""
    return {"columns": None if form.columns is None else list(form.columns), "is_bytes": form.is_bytes}


def from_entry(entry: Any, n_inputs: int) -> DataForm | None:
    """Return the form of a network of `n_inputs` inputs from a file; None if the file holds none.

    Raises
    ------
    ValueError
        If the entry is not one that `to_entry` has returned for such a network.
    """
    if entry is None:
        return None
    if not (isinstance(entry, dict) and entry.keys() == {"columns", "is_bytes"}):
        raise ValueError(f"data_form must hold columns and is_bytes; got {reprlib.repr(entry)}")
    columns = entry["columns"]
    form = DataForm(tuple(columns) if isinstance(columns, list) else columns, entry["is_bytes"])
    if form.columns is not None and len(form.columns) != n_inputs:
        raise ValueError(f"data_form must name {n_inputs} columns, the network's inputs; got {len(form.columns)}")
    return form


def require_same(trained: DataForm | None, given: DataForm | None, name: str) -> None:
    """Raise ValueError if a network is to be trained further on data of another form; unknown forms fit all."""
    if trained is None or given is None or trained == given:
        return
    if trained.is_bytes != given.is_bytes:
        kinds = [("bytes" if form.is_bytes else "other numbers than bytes") for form in (trained, given)]
        raise ValueError(f"{name} is of a training on {kinds[0]}; got {kinds[1]}: resume it with the same data")
    raise ValueError(
        f"{name} is of a training on other columns, or on the same in another order: resume it with the same data"
    )
