"""Lesser x86-64 CPUs, on this one: kernels compiled for them pass their tests, and use the registers they have."""

import re

import pytest
from fastfnn_kernels.runtime.cpu import UNIT
from other_cpus import RUNNABLE

# By vector unit: the registers a product is computed in, and whether it multiplies and adds in one instruction.
REGISTERS = {"SSE2": ("xmm", False), "AVX": ("ymm", False), "AVX2": ("ymm", True), "AVX-512": ("zmm", True)}
REGISTERS_BY_WIDTH = ["xmm", "ymm", "zmm"]

# Multiplications of the loop over a tile, with the 16 registers of the lesser CPUs.
LEAST_MULTIPLICATIONS = {"dense": 12, "small": 12, "few rows": 8, "sparse": 9, "scattering": 6, "by columns": 9}


def is_multiplication(line: str) -> bool:
    """Tell whether a line of assembly multiplies vectors of floats."""
    return re.match(r"\s+(v?mulp|vfn?m(add|sub)\w+p)[sd]\s", line) is not None


def hot_loop(assembly: list[str]) -> list[str]:
    """Find the block of instructions that multiplies most: a loop over the depth of a product.

    The series of an exponential multiplies too, but where it belongs to an activation there is a division beside it.
    """
    blocks = [block.splitlines() for text in assembly for block in re.split(r"^\S+:.*$", text, flags=re.MULTILINE)]
    products = [block for block in blocks if not re.search(r"\bv?divp[sd]\s", "\n".join(block))]
    return max(products, key=lambda block: sum(map(is_multiplication, block)))


@pytest.mark.parametrize("cpu", RUNNABLE, ids=lambda cpu: cpu.unit)
def test_the_kernels_pass_their_tests(cpu, trials):
    run = trials.of(cpu).tests
    assert run.returncode == 0, run.stdout + run.stderr
    assert " passed" in run.stdout


@pytest.mark.parametrize("cpu", [*RUNNABLE, None], ids=lambda cpu: cpu.unit if cpu else "this one")
def test_products_are_computed_in_the_widest_registers(cpu, trials):
    trial = trials.of(cpu)
    unit = cpu.unit if cpu else UNIT.name
    assert trial.unit == unit
    registers, fused = REGISTERS[unit]
    wider = REGISTERS_BY_WIDTH[REGISTERS_BY_WIDTH.index(registers) + 1 :]
    for kind, least in LEAST_MULTIPLICATIONS.items():
        assembly = "\n".join(trial.assembly[kind])
        assert [register for register in wider if f"%{register}" in assembly] == []
        assert fused or "vfmadd" not in assembly
        loop = hot_loop(trial.assembly[kind])
        multiplications = [line for line in loop if is_multiplication(line)]
        assert len(multiplications) >= least, "no loop over a tile was found"
        for line in multiplications:
            assert set(re.findall(r"%([xyz]mm)", line)) == {registers}
            assert ("vfmadd" in line) == fused
        spilled = [line for line in loop if "mm" in line and "(%rsp" in line]
        assert spilled == [], "the tile does not fit into the registers"
