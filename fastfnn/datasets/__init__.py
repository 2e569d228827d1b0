"""Data to train on: the embedded MNIST, scikit-learn's digits, and readers of CSV, IDX and npz files."""

from fastfnn.datasets.by_path import read_dataset
from fastfnn.datasets.dataset import Dataset, Labelled
from fastfnn.datasets.digits import load_digits
from fastfnn.datasets.idx import read_idx
from fastfnn.datasets.kaggle_csv import read_csv
from fastfnn.datasets.mnist import load_mnist
from fastfnn.datasets.npz import read_npz

__all__ = ["Dataset", "Labelled", "load_digits", "load_mnist", "read_csv", "read_dataset", "read_idx", "read_npz"]
