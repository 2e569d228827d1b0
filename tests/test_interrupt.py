"""Ctrl-C, sent to a process of its own at a moment the process tells: it ends cleanly, and the model can be used."""

import signal

import pytest
from processes import finish, start

PREAMBLE = """
    import logging, os, signal, sys, threading, time
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts background processes without
    import numpy as np
    import fastfnn
    from fastfnn_kernels import jitted

    import warnings
    warnings.filterwarnings("ignore", "training was interrupted", fastfnn.TrainingWarning)

    def press_soon(seconds):
        threading.Timer(seconds, lambda: os.kill(os.getpid(), signal.SIGINT)).start()

    X = np.random.default_rng(0).random((3000, 300), dtype=np.float32)
    y = X[:, :10].argmax(axis=1)
    net = fastfnn.Network([fastfnn.Dense(300, 64, activation="relu"), fastfnn.Dense(64, 10)], seed=0)
    small = fastfnn.Network([fastfnn.Dense(5, 3)], seed=0, loss="mean_squared_error")  # soon compiled

    def check_that_it_can_be_used():
        history = net.fit(X, y, fastfnn.SGD(0.1), epochs=2)
        assert len(history) == 2 and not history.interrupted
        assert np.isfinite(net.predict_proba(X)).all()
"""

IN_A_KERNEL = (
    PREAMBLE
    + """
    x, w = np.ones((60_000, 1000), np.float32), np.ones((1000, 1000), np.float32)
    jitted.dense_forward(x[:4000], w)
    press_soon(0.05)
    try:
        for _ in range(100):
            jitted.dense_forward(x, w)
    except KeyboardInterrupt:
        check_that_it_can_be_used()
        print("interrupted")
"""
)

IN_A_TRAINING = (
    PREAMBLE
    + """
    net.fit(X, y, fastfnn.SGD(0.1), epochs=1, batch_size={batch_size})
    press_soon(0.3)
    history = net.fit(X, y, fastfnn.SGD(0.1), epochs=10**6, batch_size={batch_size})
    assert history.interrupted and 0 < len(history) < 10**6
    check_that_it_can_be_used()
    print("interrupted")
"""
)

WHILE_COMPILING = (
    PREAMBLE
    + """
    from fastfnn_kernels.runtime.compiling import is_compiling

    class Press(logging.Handler):
        n_prepared = 0
        def emit(self, record):
            Press.n_prepared += record.getMessage().startswith("preparing")
            if Press.n_prepared == 2:
                Press.n_prepared = 10**9
                press_soon(0.05)

    log = logging.getLogger("fastfnn_kernels.runtime.compiling")
    log.addHandler(Press())
    log.setLevel("INFO")
    try:
        {work}
    except KeyboardInterrupt:
        pass
    else:
        raise AssertionError("it was not interrupted")
    assert not is_compiling()
    assert Press.n_prepared == 10**9, "a third kernel was begun"
    {work_again}
    print("interrupted")
"""
)

WHILE_LLVM_CALLS = (
    PREAMBLE
    + """
    from fastfnn_kernels.runtime.compiling import is_compiling
    from numba.core.registry import cpu_target

    engine = cpu_target.target_context.codegen()._engine._ee
    n_calls = 0

    def press_and_notify(module, code, notify=engine._object_cache_notify):
        global n_calls
        if is_compiling():
            n_calls += 1
            if n_calls == 2:
                os.kill(os.getpid(), signal.SIGINT)
        notify(module, code)

    engine._object_cache_notify = press_and_notify
    try:
        {work}
    except KeyboardInterrupt:
        pass
    else:
        raise AssertionError("it was not interrupted")
    assert not is_compiling()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    {work_again}
    print("interrupted")
"""
)

IN_A_DESTRUCTOR = (
    PREAMBLE
    + """
    from fastfnn_kernels.runtime.compiling import is_compiling
    from numba.core.registry import cpu_target

    class Dropped:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGINT)
            for _ in range(10):  # the signal is handled between two of these
                pass

    codegen = cpu_target.target_context.codegen()
    n_libraries = 0

    def drop_and_create(name, create=codegen.create_library, **options):
        global n_libraries
        if is_compiling():
            n_libraries += 1
            if n_libraries == 2:
                Dropped()
        return create(name, **options)

    codegen.create_library = drop_and_create
    try:
        {work}
    except KeyboardInterrupt:
        pass
    else:
        raise AssertionError("it was not interrupted")
    assert not is_compiling()
    {work_again}
    print("interrupted")
"""
)

# What is interrupted when the second kernel has begun to be compiled, and what must work afterwards.
CALLS = "assert jitted.softmax(X).shape == X.shape and jitted.squared_norm(X) > 0"
FIT = "if small.fit(X[:9, :5], X[:9, :3], fastfnn.SGD(0.1), epochs=10).interrupted: raise KeyboardInterrupt"


def test_in_a_kernel():
    assert finish(start(IN_A_KERNEL)).split() == ["interrupted"]


@pytest.mark.parametrize("batch_size", [None, 200, 20, 1])
def test_in_a_training(batch_size):
    assert finish(start(IN_A_TRAINING.format(batch_size=batch_size))).split() == ["interrupted"]


@pytest.mark.parametrize("work", [CALLS, FIT], ids=["kernels", "training"])
def test_while_compiling(tmp_path, work):
    program = WHILE_COMPILING.format(work=work, work_again=work)
    assert finish(start(program, {"FASTFNN_CACHE_DIR": str(tmp_path)})).split() == ["interrupted"]


@pytest.mark.parametrize("work", [CALLS, FIT], ids=["kernels", "training"])
@pytest.mark.parametrize("program", [WHILE_LLVM_CALLS, IN_A_DESTRUCTOR], ids=["llvm", "destructor"])
def test_where_exceptions_are_dropped(tmp_path, program, work):
    process = start(program.format(work=work, work_again=work), {"FASTFNN_CACHE_DIR": str(tmp_path)})
    output, errors = process.communicate(timeout=120)
    assert (output.split(), errors) == (["interrupted"], "")


def test_at_the_command_line(tmp_path):
    command = """
        import signal, sys
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.argv = ["fastfnn", "train", "--iterations", "1000000", "--out", {out!r}]
        from fastfnn.app.cli import main
        main()
    """
    process = start(command.format(out=str(tmp_path / "run")))
    for line in process.stdout:
        if line.startswith("iteration 1 of"):
            process.send_signal(signal.SIGINT)
            break
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert errors == ""
    assert "interrupted after iteration" in output
    assert (tmp_path / "run" / "model.safetensors").is_file()
