import math
import re
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from networks import bytes_of, each_backend, samples, small_network

from fastfnn import SGD, Adam, History, schedules


def rates(schedule, n_epochs, records=()):
    history = History()
    history.records.extend(records)
    return [schedule(epoch, history) for epoch in range(1, n_epochs + 1)]


def test_step_decay():
    assert rates(schedules.step_decay(1.0, 3, 0.5), 7) == [1, 1, 1, 0.5, 0.5, 0.5, 0.25]


def test_exponential_decay():
    assert rates(schedules.exponential_decay(2.0, 0.5), 4) == [2, 1, 0.5, 0.25]


def test_cosine_decay():
    rate = schedules.cosine_decay(1.0, 4, last=0.2)
    expected = [0.2 + 0.8 * (1 + math.cos(math.pi * part)) / 2 for part in (0, 0.25, 0.5, 0.75, 1, 1)]
    assert rates(rate, 6) == pytest.approx(expected, rel=1e-15)


def test_warm_up():
    rate = schedules.warm_up(3, schedules.exponential_decay(1.0, 0.5))
    assert rates(rate, 6) == [0.25, 0.5, 0.75, 1, 0.5, 0.25]


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        ([], 1.0),
        ([3, 2, 1], 1.0),
        ([3, 3], 1.0),
        ([3, 3, 3], 0.5),
        ([3, 4, 2, 2, 2], 0.5),
        ([3, 3, 3, 3], 0.5),
        ([3, 3, 3, 3, 3], 0.25),
        ([3, math.nan, math.nan], 0.5),
    ],
)
def test_on_plateau(figures, expected):
    history = History()
    history.records.extend({"epoch": n, "validation_loss": figure} for n, figure in enumerate(figures, start=1))
    assert schedules.on_plateau(1.0, 0.5, patience=2)(len(figures) + 1, history) == expected


def test_on_plateau_of_a_figure_that_is_not_recorded():
    with pytest.raises(KeyError, match="'validation_loss' is not recorded; there are accuracy"):
        small_network().fit(*samples(6), SGD(0.1), epochs=2, schedule=schedules.on_plateau(0.1))


@each_backend
@pytest.mark.parametrize("batch_size", [None, 1, 7])
def test_a_training_takes_the_rates_of_its_schedule(backend, batch_size):
    X, y = samples(14)
    scheduled, by_hand = small_network(backend), small_network(backend)
    rate = schedules.exponential_decay(0.5, 0.5)
    optimizer = SGD(123.0)
    history = scheduled.fit(X, y, optimizer, epochs=3, batch_size=batch_size, schedule=rate)
    for learning_rate in (0.5, 0.25, 0.125):
        by_hand.fit(X, y, SGD(learning_rate), batch_size=batch_size)
    assert bytes_of(scheduled) == bytes_of(by_hand)
    assert history["learning_rate"] == [0.5, 0.25, 0.125]
    assert optimizer.learning_rate == 123.0  # its own again


def test_a_schedule_sees_the_history_so_far():
    seen = []
    small_network().fit(
        *samples(6), Adam(), epochs=3, schedule=lambda epoch, history: seen.append(len(history)) or 0.1
    )
    assert seen == [0, 1, 2]


@pytest.mark.parametrize("rate", [-0.1, math.nan, math.inf])
def test_a_rate_that_is_none(rate):
    net = small_network()
    before = bytes_of(net)
    with pytest.raises(
        ValueError, match=rf"schedule returned a learning rate of {rate} for epoch 1; it must be finite"
    ):
        net.fit(*samples(6), SGD(0.1), schedule=lambda epoch, history: rate)
    assert bytes_of(net) == before


@pytest.mark.parametrize("rate", [None, "0.1", b"1", True, [0.1], np.ones(1), 1j, {}, [[1], [1, 2]]])
def test_a_rate_that_is_no_number(rate):
    net = small_network()
    before = bytes_of(net)
    message = re.escape(f"a schedule must return a learning rate, a number; got {rate!r} for epoch 1")
    with pytest.raises(TypeError, match=message):
        net.fit(*samples(6), SGD(0.1), schedule=lambda epoch, history: rate)
    assert bytes_of(net) == before


@pytest.mark.parametrize("rate", [np.float32(0.25), np.array(0.25), Fraction(1, 4), Decimal("0.25")])
def test_a_rate_of_any_type_of_number(rate):
    history = small_network().fit(*samples(6), SGD(0.1), schedule=lambda epoch, history: rate)
    assert history["learning_rate"] == [0.25]


def test_what_is_no_schedule():
    with pytest.raises(TypeError, match=r"schedule must be callable, such as those of fastfnn.schedules; got 0.1"):
        small_network().fit(*samples(6), SGD(0.1), schedule=0.1)


@pytest.mark.parametrize(
    "make",
    [
        lambda: schedules.step_decay(0.1, 0),
        lambda: schedules.step_decay(0.1, 5, factor=-1),
        lambda: schedules.exponential_decay(0.1, 0),
        lambda: schedules.cosine_decay(0.1, 2.5),
        lambda: schedules.warm_up(0, schedules.exponential_decay(0.1, 0.5)),
        lambda: schedules.on_plateau(0.1, patience=0),
        lambda: schedules.on_plateau(0.1, factor=np.nan),
    ],
)
def test_arguments_out_of_range(make):
    with pytest.raises(ValueError, match=r"must be a (whole|finite) number"):
        make()
