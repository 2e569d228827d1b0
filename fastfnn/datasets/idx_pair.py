"""Pairs of IDX files, as MNIST is published: one file of images, and beside it one of labels."""

from pathlib import Path

from fastfnn.datasets.conversion import as_dataset
from fastfnn.datasets.dataset import Dataset
from fastfnn.datasets.idx import read_idx


def read_idx_folder(folder: Path) -> Dataset:
    """Read the images file of a folder with its labels file; see `pair_in`."""
    images, labels = pair_in(folder)
    return _read_pair(folder / images, None if labels is None else folder / labels)


def pair_in(folder: Path) -> tuple[str, str | None]:
    """Return the names of a folder's images file and labels file; of several pairs, the one called `train`."""
    names = [entry.name for entry in folder.iterdir() if entry.is_file()]
    if sum("images" in name for name in names) > 1:
        names = [name for name in names if name.startswith("train")]
    images = _only(names, "images", folder)
    if images is None:
        raise ValueError(
            f"{folder}: expected one IDX file whose name contains 'images', such as "
            f"train-images-idx3-ubyte.gz, found none; give the path of the data file itself"
        )
    return images, _only(names, "labels", folder)


def read_idx_images(images: Path) -> Dataset:
    """Read a file of images, with the labels file of matching name beside it, if there is one."""
    labels = labels_beside(images)
    is_there = labels != images and labels.is_file()
    return _read_pair(images, labels if is_there else None)


def labels_beside(images: Path) -> Path:
    """Return where the labels of a file of images are looked for; without `images` in its name, the file itself."""
    if "images" not in images.name:
        return images
    return images.with_name(images.name.replace("images", "labels").replace("idx3", "idx1"))


def _only(names: list[str], word: str, folder: Path) -> str | None:
    found = sorted(name for name in names if word in name)
    if len(found) > 1:
        raise ValueError(
            f"{folder}: expected one file whose name contains {word!r}, found {len(found)}: "
            f"{', '.join(found)}; give the path of one images file"
        )
    return found[0] if found else None


def _read_pair(images: Path, labels: Path | None) -> Dataset:
    X = read_idx(images)
    y = None if labels is None else read_idx(labels)
    try:
        return as_dataset(X, y)
    except ValueError as error:
        source = images if labels is None else f"{images} with {labels.name}"
        raise ValueError(f"{source}: {error}") from error
