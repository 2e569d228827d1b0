"""Several threads and processes save to one path: each load in between finds one whole file."""

import os
import sys
import threading

import numpy as np
import pytest
from processes import finish, start

from fastfnn import Dense, Network


@pytest.fixture
def short_turns():
    """Let Python threads take turns every 10 us: a busy one otherwise keeps each system call waiting 5 ms."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(usual)


def a_network(number):
    """Return a network whose weights and biases are all `number`."""
    net = Network([Dense(3, 4, activation="relu"), Dense(4, 2)], "numpy", seed=0)
    for array in net.parameters.values():
        array[...] = number
    return net


def number_of(net):
    """Return the number of a network that holds one number alone."""
    (number,) = {float(value) for array in net.parameters.values() for value in array.flat}
    return number


def test_eight_threads_save_to_one_path_while_others_load(tmp_path):
    path, done, faults = tmp_path / "model.safetensors", threading.Event(), []
    a_network(0).save(path)

    def caught(work, *args):
        try:
            work(*args)
        except BaseException as error:
            faults.append(error)

    def save(number):
        net = a_network(number)
        for _ in range(125):
            net.save(path)

    seen = set()

    def load():
        while not done.is_set():
            seen.add(number_of(Network.load(path, "numpy")))

    saving = [threading.Thread(target=caught, args=(save, number)) for number in range(1, 9)]
    loading = [threading.Thread(target=caught, args=(load,)) for _ in range(2)]
    for thread in (*saving, *loading):
        thread.start()
    for thread in saving:
        thread.join()
    done.set()
    for thread in loading:
        thread.join()
    assert faults == []
    assert seen <= set(range(9))
    assert number_of(Network.load(path, "numpy")) in range(1, 9)
    assert os.listdir(tmp_path) == [path.name]


# Containers give their first process the same number, 1.
SAVING = """
    import os
    os.getpid = lambda: 1
    from fastfnn import Dense, Network

    net = Network([Dense(3, 4, activation="relu"), Dense(4, 2)], "numpy")
    for array in net.parameters.values():
        array[...] = {number}
    for _ in range(200):
        net.save({path!r})
"""


def test_two_processes_of_one_number_save_to_one_path_while_a_third_loads(tmp_path):
    path = tmp_path / "model.safetensors"
    a_network(0).save(path)
    saving = [start(SAVING.format(number=number, path=str(path))) for number in (1, 2)]
    seen = set()
    while any(process.poll() is None for process in saving):
        seen.add(number_of(Network.load(path, "numpy")))
    for process in saving:
        finish(process)
    assert seen <= {0, 1, 2}
    assert number_of(Network.load(path, "numpy")) in (1, 2)
    assert os.listdir(tmp_path) == [path.name]


def test_a_network_that_is_trained_while_it_is_saved_leaves_readable_files(tmp_path, short_turns):
    path, done = tmp_path / "model.safetensors", threading.Event()
    net = a_network(0)

    def change():
        while not done.is_set():
            for array in net.parameters.values():
                array += 1

    changing = threading.Thread(target=change)
    changing.start()
    try:
        for _ in range(50):
            net.save(path)
            assert np.isfinite(Network.load(path, "numpy").layers[0].weights).all()
    finally:
        done.set()
        changing.join()
