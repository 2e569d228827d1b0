"""Lesser x86-64 CPUs, on this one: kernels compiled for them pass their tests."""

import processes
import pytest
from other_cpus import RUNNABLE


@pytest.mark.parametrize("cpu", RUNNABLE, ids=lambda cpu: cpu.unit)
def test_the_kernels_pass_their_tests(cpu, trials):
    run = trials.of(cpu)
    assert run.returncode == 0, run.stdout + run.stderr
    assert " passed" in run.stdout


@pytest.mark.parametrize("cpu", RUNNABLE, ids=lambda cpu: cpu.unit)
def test_the_kernels_are_compiled_for_the_registers_of_that_cpu(cpu):
    program = "from fastfnn_kernels.runtime.cpu import UNIT; print(UNIT.name)"
    assert processes.output_of(program, cpu.environment).strip() == cpu.unit
