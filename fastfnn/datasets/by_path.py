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
        As in `read_csv`; other files have no names of columns, and take none of these.

    Returns
    -------
    Dataset
        X of shape (n_samples, n_features), uint8, float32 or float64; y of shape (n_samples,), int64, or
        None when there are no labels.

    Raises
    ------
    ValueError
        When the kind is not one of these, the content is not valid, or another file than CSV is to be read with an
        argument for CSV files.
    OSError
        When the file is missing or cannot be opened.
    """
    path = Path(path)
    if is_csv(path):
        return read_csv(path, label, drop=drop, header=header, columns=columns)
    _require_usual(path, label=label == "label", drop=not drop, header=header is True, columns=columns is None)
    if path.is_dir():
        return read_idx_folder(path)
    require_file(path)
    if path.name.lower().endswith(".npz"):
        return read_npz(path)
    if is_idx(path):
        return read_idx_images(path)
    raise ValueError(
        f"{path}: not a kind of data file that can be read; expected .csv, .csv.gz, .npz, an IDX file of "
        f"images, or a folder of IDX files"
    )


def is_csv(path: PathLike) -> bool:
    """Tell by a path's name whether `read_dataset` reads it as a CSV file."""
    return Path(path).name.lower().endswith((".csv", ".csv.gz")) and not Path(path).is_dir()


def _require_usual(path: Path, **are_usual: bool) -> None:
    """Raise ValueError if an argument for CSV files has another value than it has by default."""
    given = [name for name, is_usual in are_usual.items() if not is_usual]
    if given:
        raise ValueError(
            f"{path}: only the columns of a CSV file (.csv, .csv.gz) have names: leave out {', '.join(given)}"
        )


def files_of(path: PathLike) -> list[Path]:
    """Return the files that `read_dataset` reads for a path, as far as they are there."""
    path = Path(path)
    if path.is_dir():
        return [path / name for name in pair_in(path) if name is not None]
    return [path, labels_beside(path)]
