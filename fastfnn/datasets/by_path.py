"""Choose a reader for a path."""

from pathlib import Path

from fastfnn.datasets.dataset import Dataset
from fastfnn.datasets.files import PathLike, require_file
from fastfnn.datasets.idx import is_idx
from fastfnn.datasets.idx_pair import read_idx_folder, read_idx_images
from fastfnn.datasets.kaggle_csv import read_csv
from fastfnn.datasets.npz import read_npz


def read_dataset(path: PathLike) -> Dataset:
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

    Returns
    -------
    Dataset
        X of shape (n_samples, n_features), uint8, float32 or float64; y of shape (n_samples,), int64, or
        None when there are no labels.

    Raises
    ------
    ValueError
        When the kind is not one of these, or the content is not valid.
    OSError
        When the file is missing or cannot be opened.
    """
    path = Path(path)
    if path.is_dir():
        return read_idx_folder(path)
    require_file(path)
    name = path.name.lower()
    if name.endswith((".csv", ".csv.gz")):
        return read_csv(path)
    if name.endswith(".npz"):
        return read_npz(path)
    if is_idx(path):
        return read_idx_images(path)
    raise ValueError(
        f"{path}: not a kind of data file that can be read; expected .csv, .csv.gz, .npz, an IDX file of "
        f"images, or a folder of IDX files"
    )
