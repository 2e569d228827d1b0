"""Choose a reader for a path."""

from collections.abc import Collection, Sequence
from pathlib import Path

from fastfnn.datasets.dataset import Dataset
from fastfnn.datasets.files import PathLike, require_file
from fastfnn.datasets.idx import is_idx
from fastfnn.datasets.idx_pair import labels_beside, pair_in, read_idx_folder, read_idx_images
from fastfnn.datasets.kaggle_csv import read_csv
from fastfnn.datasets.npz import read_npz


def read_dataset(
    path: PathLike,
    *,
    label: str = "label",
    drop: Collection[str] = (),
    header: bool = True,
    columns: Sequence[str] | None = None,
) -> Dataset:
    """Read one set of samples from a file or folder of any known kind.

    Parameters
    ----------
    path : str or path-like
        - A ``.csv`` or ``.csv.gz`` file: see `read_csv`.
        - A ``.npz`` file: see `read_npz`.
        - An IDX file of images, gzip-compressed or not, of any name. Its labels are read from the file
          beside it that has `labels` in place of `images` and `idx1` in place of `idx3` in its name, if
          that exists.
        - A folder with one IDX file whose name contains `images`, and at most one whose name contains
          `labels`; when there are several images files, only those whose names start with `train` count.
    label, drop, header, columns
        As in `read_csv`; other files have no names of columns and ignore them, except that there is nothing to drop.

    Returns
    -------
    Dataset
        X of shape (n_samples, n_features), uint8, float32 or float64; y of shape (n_samples,), int64, or
        None when there are no labels.

    Raises
    ------
    ValueError
        When the kind is not one of these, the content is not valid, or columns of another file than CSV are to be
        dropped.
    OSError
        When the file is missing or cannot be opened.
    """
    path = Path(path)
    name = path.name.lower()
    is_csv = name.endswith((".csv", ".csv.gz")) and not path.is_dir()
    if drop and columns is None and not is_csv:
        raise ValueError(f"{path}: only the columns of a CSV file have names; there is nothing to drop")
    if path.is_dir():
        return read_idx_folder(path)
    require_file(path)
    if is_csv:
        return read_csv(path, label, drop=drop, header=header, columns=columns)
    if name.endswith(".npz"):
        return read_npz(path)
    if is_idx(path):
        return read_idx_images(path)
    raise ValueError(
        f"{path}: not a kind of data file that can be read; expected .csv, .csv.gz, .npz, an IDX file of "
        f"images, or a folder of IDX files"
    )


def files_of(path: PathLike) -> list[Path]:
    """Return the files that `read_dataset` reads for a path, as far as they are there."""
    path = Path(path)
    if path.is_dir():
        return [path / name for name in pair_in(path) if name is not None]
    return [path, labels_beside(path)]
