"""The micro-kernels' assembly for several CPUs, compiled and never run: `test_assembly.py` examines it.

The code of every micro-kernel is emitted for a CPU's registers, and translated by LLVM for that CPU, whatever this
machine's CPU is. `python tests/assembly.py haswell flat float32` prints the inner loops with these words in their
title. Without words, it prints all as JSON.
"""

from __future__ import annotations

import importlib
import inspect
import json
import platform
import sys
from collections.abc import Iterable, Iterator
from operator import attrgetter
from types import ModuleType
from typing import Any, NamedTuple

import llvmlite.binding as llvm
from cpus import CPUS, Cpu
from inner_loops import Block, inner_loops
from llvmlite import ir
from numba import config, types
from numba.core.llvm_bindings import create_pass_builder
from numba.core.registry import cpu_target

DTYPES = [types.float32, types.float64]
POINTERS = ("values", "start")
POINTERS_TO_INDICES = ("indices", "numbers")

# Arguments that are NamedTuples, with the name of their class in `operands`.
TUPLES = {
    "a": "Operand", "b": "Panel", "c": "Target", "finish": "Finish", "gate": "Gate", "ahead": "Ahead",
    "group": "Group", "order": "Order", "columns": "Columns",
}  # fmt: skip

# Numbers that are no integers, in a tuple, whose types the micro-kernel does not decide about.
FLAGS = ("accumulate", "gated")
NUMBERS = {"floor": lambda dtype: dtype} | dict.fromkeys(FLAGS, lambda dtype: types.boolean)


class MicroKernel(NamedTuple):
    """A micro-kernel as it is called.

    Parameters
    ----------
    intrinsic : str
        Its module in `_llvm` and its name.
    rows, vectors : str or int
        The size of its tile: a name in `tile_shapes`, or a number.
    constants : dict of str to int
        The arguments that are the same number in every call, so that LLVM knows them: "argument" or
        "argument.field".
    masked : bool
        Whether it loads parts of vectors.
    """

    intrinsic: str
    rows: str | int
    vectors: str | int
    constants: dict[str, int]
    masked: bool = False


# A product reads the rows of A, and one with the transpose of A reads its columns.
ROWS, COLUMNS = {"a.step": 1}, {"a.row": 1}
MICRO_KERNELS = {
    "panel": MicroKernel("panel_tiles.panel_tile", "TILE.rows", "TILE.vectors", ROWS),
    "panel of columns": MicroKernel("panel_tiles.columns_panel_tile", "TILE.rows", "TILE.vectors", COLUMNS),
    "narrow panel": MicroKernel("panel_tiles.narrow_panel_tile", "TILE.rows", 1, ROWS),
    "narrow panel of columns": MicroKernel("panel_tiles.narrow_columns_panel_tile", "TILE.rows", 1, COLUMNS),
    "short": MicroKernel("dense_tiles.short_tile", "SHORT_ROWS", "TILE.vectors", ROWS),
    "narrow short": MicroKernel("dense_tiles.narrow_short_tile", "SHORT_ROWS", 1, ROWS),
    "short of columns": MicroKernel("dense_tiles.short_tile", "SHORT_ROWS", "TILE.vectors", COLUMNS),
    "narrow short of columns": MicroKernel("dense_tiles.narrow_short_tile", "SHORT_ROWS", 1, COLUMNS),
    "flat": MicroKernel("dense_tiles.flat_tile", "FLAT_TILE.rows", "FLAT_TILE.vectors", COLUMNS),
    "flat tail": MicroKernel(
        "dense_tiles.flat_tail_tile", "FLAT_TILE.rows", "FLAT_TILE.vectors", COLUMNS, masked=True
    ),
    "row": MicroKernel("dense_tiles.row_tile", 1, "FEW_ROWS_VECTORS", ROWS),
    "row tail": MicroKernel("dense_tiles.row_tail_tile", 1, 1, ROWS, True),
    "group": MicroKernel("dense_tiles.group_tile", "SPARSE_TILE.rows", "SPARSE_TILE.vectors", ROWS),
    "group tail": MicroKernel("dense_tiles.group_tail_tile", "SPARSE_TILE.rows", 1, ROWS, True),
    "column": MicroKernel("dense_tiles.column_tile", "COLUMN_ROWS", 1, ROWS),
    "column of columns": MicroKernel("dense_tiles.column_tile", "COLUMN_ROWS", 1, COLUMNS),
    "short column": MicroKernel("dense_tiles.short_column_tile", "SHORT_COLUMN_ROWS", 1, ROWS),
    "short column of columns": MicroKernel("dense_tiles.short_column_tile", "SHORT_COLUMN_ROWS", 1, COLUMNS),
    "dot": MicroKernel("dot_tiles.dot_tile", "DOT_TILE.rows", "DOT_TILE.vectors", {}),
    "sparse": MicroKernel("sparse_tiles.sparse_tile", "SPARSE_TILE.rows", "SPARSE_TILE.vectors", {}),
    "sparse tail": MicroKernel("sparse_tiles.sparse_tail_tile", "SPARSE_TILE.rows", "SPARSE_TAIL_VECTORS", {}),
    "masked sparse": MicroKernel("sparse_tiles.masked_sparse_tile", "SPARSE_TILE.rows", 1, {}, True),
    "sparse row": MicroKernel("sparse_tiles.sparse_row_tile", 1, "FEW_ROWS_VECTORS", {}),
    "masked sparse row": MicroKernel("sparse_tiles.masked_sparse_row_tile", 1, 1, {}, True),
    "scattering": MicroKernel("sparse_tiles.scattering_tile", "SPARSE_TILE.rows", "SCATTERING_VECTORS", {}),
}


class Compiled(NamedTuple):
    """A micro-kernel compiled for a CPU: the kernels' vector unit, the size of the tile, and the inner loops."""

    cpu: str
    kernel: str
    dtype: str
    unit: str
    rows: int
    vectors: int
    loops: list[Block]

    @property
    def title(self) -> str:
        return f"{self.cpu} {self.kernel} {self.dtype}"

    @property
    def steps(self) -> float:
        """The steps of the reduction in a round of the hottest loop."""
        return len(self.loops[0].multiplications) / (self.rows * self.vectors)


def compiled_for(cpu: Cpu) -> Iterator[Compiled]:
    """Compile every micro-kernel for a CPU; all modules of the kernels are imported anew."""
    modules = _modules_for(cpu)
    shapes = modules["tile_shapes"]
    target = llvm.Target.from_triple(f"{cpu.machine}-unknown-linux-gnu")
    machine = target.create_target_machine(cpu.name, cpu.flags, opt=3, reloc="static", codemodel="default")
    machine.set_asm_verbosity(0)
    for name, kernel in MICRO_KERNELS.items():
        module, _, attribute = kernel.intrinsic.partition(".")
        intrinsic = getattr(modules[module], attribute)
        rows, vectors = (attrgetter(n)(shapes) if isinstance(n, str) else n for n in (kernel.rows, kernel.vectors))
        for dtype in DTYPES:
            loops = inner_loops(_translate(_emit(intrinsic, dtype, kernel.constants), machine))
            yield Compiled(cpu.name, name, str(dtype), shapes.UNIT.name, rows, vectors, loops)


def _modules_for(cpu: Cpu) -> dict[str, ModuleType]:
    for name in [name for name in sys.modules if name.partition(".")[0] == "fastfnn_kernels"]:
        del sys.modules[name]
    platform.machine = lambda: cpu.machine
    config.CPU_FEATURES = cpu.flags
    names = {"tile_shapes", *(kernel.intrinsic.partition(".")[0] for kernel in MICRO_KERNELS.values())}
    return {name: importlib.import_module(f"fastfnn_kernels.jitted._llvm.{name}") for name in names}


def _emit(intrinsic: Any, dtype: Any, constants: dict[str, int]) -> str:
    """Return LLVM code for a function around a micro-kernel, whose arguments are those that are no constants."""
    context = cpu_target.target_context
    hints = vars(sys.modules["fastfnn_kernels.jitted._llvm.operands"])
    names = list(inspect.signature(intrinsic._defn).parameters)[1:]
    signature, emit = intrinsic._defn(cpu_target.typing_context, *(_type_of(name, dtype, hints) for name in names))
    kinds = dict(zip(names, signature.args, strict=True))
    varying = [kind for name, kind in _numbers_and_arrays(kinds.items()) if name not in constants]
    packer = context.get_arg_packer(varying)
    function = ir.Function(ir.Module(), ir.FunctionType(ir.VoidType(), packer.argument_types), "tile")
    builder = ir.IRBuilder(function.append_basic_block())
    given = iter(packer.from_arguments(builder, function.args))

    def value(name: str, kind: Any) -> Any:
        if name in constants:
            return ir.Constant(ir.IntType(64), constants[name])
        if isinstance(kind, types.BaseNamedTuple):
            return context.make_tuple(builder, kind, [value(*part) for part in _fields(name, kind)])
        return next(given)

    emit(context, builder, signature, [value(name, kind) for name, kind in kinds.items()])
    builder.ret_void()
    return str(function.module)


def _fields(name: str, kind: Any) -> Iterator[tuple[str, Any]]:
    return ((f"{name}.{field}", kind[i]) for i, field in enumerate(kind.fields))


def _numbers_and_arrays(kinds: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """List what the arguments consist of, and name the field of a tuple as "argument.field"."""
    for name, kind in kinds:
        if isinstance(kind, types.BaseNamedTuple):
            yield from _numbers_and_arrays(_fields(name, kind))
        else:
            yield name, kind


def _type_of(name: str, dtype: Any, hints: dict[str, Any]) -> Any:
    """Return the Numba type of an argument, or of a tuple's field; a micro-kernel itself decides about numbers."""
    if TUPLES.get(name) in hints:
        kind = hints[TUPLES[name]]
        return types.BaseTuple.from_types([_type_of(field, dtype, hints) for field in kind._fields], kind)
    if name in POINTERS_TO_INDICES:
        return types.CPointer(types.int32)
    return types.CPointer(dtype) if name in POINTERS else NUMBERS.get(name, lambda dtype: types.intp)(dtype)


def _translate(code: str, machine: Any) -> str:
    """Return the assembly of LLVM code, optimised as Numba optimises a kernel."""
    module = llvm.parse_assembly(code)
    module.triple, module.data_layout = machine.triple, str(machine.target_data)
    module.verify()
    passes = create_pass_builder(machine, opt=3, loop_vectorize=True, slp_vectorize=False)
    passes.getModulePassManager().run(module, passes)
    return str(machine.emit_assembly(module))


def _summary(compiled: Compiled) -> str:
    if not compiled.loops:
        return f"{compiled.title}: no loop of one block"
    hottest = compiled.loops[0]
    spilled = sum(len(loop.spilled) for loop in compiled.loops)
    return (
        f"{compiled.title}: {compiled.rows}x{compiled.vectors}, {compiled.steps:g} steps,"
        f" {len(hottest.instructions) / compiled.steps:g} instructions a step, {spilled} spilled"
    )


def main(words: list[str]) -> None:
    """Print all micro-kernels as JSON, or describe those with certain words in their title."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    every = (compiled for cpu in CPUS for compiled in compiled_for(cpu))
    if not words:
        print(json.dumps(list(every)))
    for compiled in every:
        if set(words) <= set(compiled.title.split()):
            print(_summary(compiled))
            for loop in compiled.loops:
                print(*loop.instructions, sep="\n    ", end="\n\n")


if __name__ == "__main__":
    main(sys.argv[1:])
