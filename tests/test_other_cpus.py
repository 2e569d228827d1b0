"""Lesser x86-64 CPUs, on this one: kernels compiled for them pass their tests, and use the registers they have."""

import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import llvmlite.binding as llvm
import pytest
from fastfnn_kernels.jitted._cpu import UNIT

ROOT = Path(__file__).parent.parent
KERNEL_SUITE = ["dense", "sparse", "grouping", "activations", "cross_entropy", "updates"] + ["page_guard"] * (
    os.name == "posix"
)


class Cpu(NamedTuple):
    """A CPU to compile for; LLVM adds the features that it knows of `llvm_name`, and leaves out those of this CPU."""

    unit: str
    llvm_name: str
    features: tuple[str, ...]

    @property
    def environment(self) -> dict[str, str]:
        return {
            "NUMBA_CPU_NAME": self.llvm_name,
            "NUMBA_CPU_FEATURES": ",".join(f"+{feature}" for feature in self.features),
        }


SSE2 = ("sse2",)
AVX = (*SSE2, "sse3", "ssse3", "sse4.1", "sse4.2", "popcnt", "avx")
AVX2 = (*AVX, "avx2", "fma")
CPUS = [Cpu("SSE2", "x86-64", SSE2), Cpu("AVX", "sandybridge", AVX), Cpu("AVX2", "haswell", AVX2)]

# A CPU can only run what it offers itself: a machine without AVX2 tests the two below it.
OFFERED = {name for name, present in llvm.get_host_cpu_features().items() if present}
RUNNABLE = [cpu for cpu in CPUS if OFFERED.issuperset(cpu.features)]

# By vector unit: the registers a product is computed in, and whether it multiplies and adds in one instruction.
REGISTERS = {"SSE2": ("xmm", False), "AVX": ("ymm", False), "AVX2": ("ymm", True), "AVX-512": ("zmm", True)}
REGISTERS_BY_WIDTH = ["xmm", "ymm", "zmm"]

# Multiplications of the loop over a tile, with the 16 registers of the lesser CPUs.
LEAST_MULTIPLICATIONS = {"dense": 12, "small": 12, "few rows": 8, "sparse": 9, "scattering": 6}

ASSEMBLY = """
import json
import numpy as np
from fastfnn_kernels import jitted
from fastfnn_kernels.jitted._cpu import UNIT
from fastfnn_kernels.jitted._jit import Kernel

compile_kernel, compiled = Kernel.compile, []
def compile_and_remember(self, *args, **options):
    compiled.append(compile_kernel(self, *args, **options))
    return compiled[-1]
Kernel.compile = compile_and_remember

def assembly_of(call, *args):
    compiled.clear()
    call(*args)
    return [text for kernel in compiled for text in kernel.inspect_asm().values()]

x, single, large = np.ones((9, 4)), np.ones((9, 4), np.float32), np.ones((200, 200), np.float32)
print(json.dumps({
    "unit": UNIT.name,
    "dense": assembly_of(jitted.dense_forward, large, large),
    "small": assembly_of(jitted.dense_forward, single, single.T.copy()),
    "few rows": assembly_of(jitted.dense_forward, large[:1], np.ones((200, 600), np.float32)),
    "sparse": assembly_of(jitted.sparse_forward, jitted.pack_rows(x, np.float64), x.T.copy()),
    "scattering": assembly_of(jitted.sparse_weight_gradient, jitted.pack_rows(x, np.float64), x),
}))
"""


def run(cache: Path, environment: dict[str, str], *command: str) -> str:
    done = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env=os.environ | {"NUMBA_CACHE_DIR": str(cache)} | environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


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


@pytest.fixture(scope="module")
def suites(tmp_path_factory):
    """Start the kernels' tests for every CPU, as many at a time as there are cores: most of it is compiling."""
    files = [f"tests/test_{name}.py" for name in KERNEL_SUITE]
    command = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--hypothesis-profile=brief", *files]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield {
            cpu: pool.submit(run, tmp_path_factory.mktemp(cpu.unit), cpu.environment, *command) for cpu in RUNNABLE
        }


@pytest.mark.parametrize("cpu", RUNNABLE, ids=lambda cpu: cpu.unit)
def test_the_kernels_pass_their_tests(cpu, suites):
    assert " passed" in suites[cpu].result()


@pytest.mark.parametrize("cpu", [*RUNNABLE, None], ids=lambda cpu: cpu.unit if cpu else "this one")
def test_products_are_computed_in_the_widest_registers(cpu, tmp_path):
    compiled = json.loads(run(tmp_path, cpu.environment if cpu else {}, "-c", ASSEMBLY))
    unit = cpu.unit if cpu else UNIT.name
    assert compiled["unit"] == unit
    registers, fused = REGISTERS[unit]
    wider = REGISTERS_BY_WIDTH[REGISTERS_BY_WIDTH.index(registers) + 1 :]
    for kind, least in LEAST_MULTIPLICATIONS.items():
        assembly = "\n".join(compiled[kind])
        assert [register for register in wider if f"%{register}" in assembly] == []
        assert fused or "vfmadd" not in assembly
        loop = hot_loop(compiled[kind])
        multiplications = [line for line in loop if is_multiplication(line)]
        assert len(multiplications) >= least, "no loop over a tile was found"
        for line in multiplications:
            assert set(re.findall(r"%([xyz]mm)", line)) == {registers}
            assert ("vfmadd" in line) == fused
        spilled = [line for line in loop if "mm" in line and "(%rsp" in line]
        assert spilled == [], "the tile does not fit into the registers"
