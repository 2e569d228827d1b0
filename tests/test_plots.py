import sys

import numpy as np
import pytest
from matplotlib.image import imread

from fastfnn import plots
from fastfnn.app import run_folder
from fastfnn.grid_search import Trial

HISTORY = [{"epoch": n, "loss": 3 / n, "accuracy": 1 - 1 / n} for n in range(1, 40)]
REPORTS = [{"iteration": n, "loss": 2.5 / n, "accuracy": 1 - 0.9 / n} for n in (1, 21, 39)]


def pixels_of(tmp_path, figure):
    run_folder.write_figure(tmp_path / "figure.png", figure)
    assert [path.name for path in tmp_path.iterdir()] == ["figure.png"]
    pixels = imread(tmp_path / "figure.png")
    assert pixels.shape[0] > 200
    assert pixels.shape[1] > 200
    return pixels[..., :3]


def share_of_dark(pixels):
    return np.mean(pixels.mean(axis=2) < 0.3)


def drawn_images(figure):
    return [image.get_array() for axis in figure.axes for image in axis.images]


def test_samples_show_ten_of_the_rows_with_their_labels(tmp_path):
    X = np.arange(30, dtype=np.uint8).repeat(9).reshape(30, 9)
    figure = plots.samples(X, np.arange(30), seed=1)
    images = drawn_images(figure)
    assert [image.shape for image in images] == [(3, 3)] * 10
    rows = [int(image[0, 0]) for image in images]
    assert len(set(rows)) == 10
    assert [axis.get_title() for axis in figure.axes] == [str(row) for row in rows]


def test_samples_are_seen_in_the_picture(tmp_path):
    X = np.zeros((12, 16), np.uint8)
    blank = pixels_of(tmp_path, plots.samples(X, np.zeros(12, np.int64), seed=1))
    X[:, ::2] = 255
    drawn = pixels_of(tmp_path, plots.samples(X, np.zeros(12, np.int64), seed=1))
    assert share_of_dark(drawn) > share_of_dark(blank) + 0.1


@pytest.mark.parametrize(("n_rows", "n_drawn"), [(1, 1), (7, 7), (10, 10), (60, 10)])
def test_fewer_samples_than_ten(tmp_path, n_rows, n_drawn):
    figure = plots.samples(np.eye(n_rows, 5), np.zeros(n_rows, np.int64), seed=1)
    assert [image.shape for image in drawn_images(figure)] == [(1, 5)] * n_drawn
    pixels_of(tmp_path, figure)


def test_the_seed_chooses_the_samples():
    X, y = np.zeros((1000, 4)), np.arange(1000)
    titles = [[axis.get_title() for axis in plots.samples(X, y, seed).axes] for seed in (1, 1, 2)]
    assert titles[0] == titles[1] != titles[2]


def test_curves_hold_every_iteration_and_the_reports(tmp_path):
    figure = plots.curves(HISTORY, REPORTS)
    loss, accuracy = figure.axes
    np.testing.assert_allclose(loss.lines[0].get_xydata(), [(r["epoch"], r["loss"]) for r in HISTORY])
    np.testing.assert_allclose(loss.lines[1].get_xydata(), [(r["iteration"], r["loss"]) for r in REPORTS])
    np.testing.assert_allclose(accuracy.lines[0].get_ydata(), [100 * r["accuracy"] for r in HISTORY])
    np.testing.assert_allclose(accuracy.lines[1].get_ydata(), [100 * r["accuracy"] for r in REPORTS])
    assert "iteration 39" in figure.get_suptitle()
    assert 0.001 < share_of_dark(pixels_of(tmp_path, figure)) < 0.5


def test_curves_of_a_single_iteration(tmp_path):
    assert share_of_dark(pixels_of(tmp_path, plots.curves(HISTORY[:1], REPORTS[:1]))) > 0.001


def test_confusion_counts_labels_in_rows(tmp_path):
    labels, predicted = np.array([0, 0, 0, 1, 2, 2]), np.array([0, 0, 1, 1, 0, 2])
    figure = plots.confusion(labels, predicted, n_classes=3)
    (axis,) = figure.axes
    counts = {text.get_position()[::-1]: text.get_text() for text in axis.texts}
    written = [[counts[row, column] for column in range(3)] for row in range(3)]
    assert written == [["2", "1", "·"], ["·", "1", "·"], ["1", "·", "1"]]
    assert "4 of 6 right, 66.67%" in axis.get_title()
    assert 0.02 < share_of_dark(pixels_of(tmp_path, figure)) < 0.6


@pytest.mark.parametrize("n_classes", [1, 2, 26])
def test_confusion_of_few_and_many_classes(tmp_path, n_classes):
    labels = np.arange(3 * n_classes) % n_classes
    figure = plots.confusion(labels, labels, n_classes)
    assert len(figure.axes[0].texts) == (0 if n_classes == 26 else n_classes**2)
    pixels_of(tmp_path, figure)


def test_a_class_without_samples(tmp_path):
    pixels_of(tmp_path, plots.confusion(np.array([0, 2]), np.array([0, 0]), n_classes=4))


def test_whether_there_are_pictures(monkeypatch):
    assert plots.can_draw()
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert not plots.can_draw()


class HalfPlanes:
    """A network of two inputs whose answer is known: class 1 where x is positive."""

    n_inputs, n_outputs = 2, 2

    def predict(self, X):
        return (X[:, 0] > 0).astype(np.int64)


def test_regions_show_the_class_of_each_place(tmp_path, rng):
    X = rng.uniform(-1, 1, (30, 2))
    y = (X[:, 0] > 0).astype(np.int64)
    y[0] = 1 - y[0]
    figure = plots.regions(HalfPlanes(), X, y)
    (classes,) = drawn_images(figure)
    (image,) = figure.axes[0].images
    left, right, bottom, top = image.get_extent()
    assert left < X[:, 0].min()
    assert right > X[:, 0].max()
    assert bottom < X[:, 1].min()
    assert top > X[:, 1].max()
    middles = left + (np.arange(classes.shape[1]) + 0.5) * (right - left) / classes.shape[1]
    far = np.abs(middles) > 0.01
    assert np.array_equal(classes[:, far], np.tile(middles[far] > 0, (classes.shape[0], 1)))
    assert "96.67% of 30 right" in figure.axes[0].get_title()
    assert pixels_of(tmp_path, figure).std() > 0.1


def test_trials_are_a_table_with_the_best_marked(tmp_path):
    settings = [{"hidden": hidden, "l2": l2} for hidden in ((4,), (8, 8)) for l2 in (0.0, 0.5, 1.0)]
    done = [Trial(each, score) for each, score in zip(settings, (0.5, 0.75, 0.25, 0.9, 0.95, 0.1), strict=True)]
    figure = plots.trials(done)
    (axis,) = figure.axes
    assert [text.get_text() for text in axis.get_xticklabels()] == ["0.0", "0.5", "1.0"]
    assert [text.get_text() for text in axis.get_yticklabels()] == ["4", "8,8"]
    texts = {text.get_position(): text for text in axis.texts}
    assert texts[1, 1].get_text() == "95.00%"
    assert [place for place, text in texts.items() if text.get_weight() == "bold"] == [(1, 1)]
    assert np.array_equal(drawn_images(figure)[0], [[0.5, 0.75, 0.25], [0.9, 0.95, 0.1]])
    assert pixels_of(tmp_path, figure).std() > 0.05


def test_trials_of_one_name_are_a_row():
    figure = plots.trials([Trial({"l2": l2}, 0.5) for l2 in (0.0, 0.5)])
    assert drawn_images(figure)[0].shape == (1, 2)


def test_curves_of_what_is_held_out():
    history = [record | {"validation_loss": 2.0, "validation_accuracy": 0.5} for record in HISTORY]
    figure = plots.curves(history, REPORTS)
    for axis, value in zip(figure.axes, (2.0, 50), strict=True):
        (line,) = [line for line in axis.lines if "held-out" in line.get_label()]
        assert list(line.get_xdata()) == list(range(1, 40))
        assert set(line.get_ydata()) == {value}
