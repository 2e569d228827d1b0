"""Inner loops in the assembly of x86-64 (in AT&T's syntax) and of AArch64."""

from __future__ import annotations

import re
from typing import NamedTuple

_LABEL = re.compile(r"([.\w$]+):")
_JUMP = re.compile(r"(j\w+|b|b\.\w+|br|cbn?z|tbn?z|retq?)(\s|$)")
_VECTOR_REGISTER = re.compile(r"%([xyz]mm)\d|\b([bhsdqv])\d")
_MULTIPLICATION = re.compile(r"v?mulp[sd]\s|vfn?m(add|sub)\d+p[sd]\s|(fmul|fml[as])\s+v\d")
_MULTIPLICATION_WITH_ADDITION = re.compile(r"vfn?m(add|sub)|fml[as]")
_PREFETCH = re.compile(r"prefetch|prfu?m")
_INTEGER_MULTIPLICATION = re.compile(r"(i?mul[bwlqx]?|m(add|sub|neg)|[su]m(ull|addl|subl|negl|ulh))\s(?!v\d)")
_CONDITIONAL_MOVE = re.compile(r"cmov|cs(el|inc|inv|neg|et|etm)\s")


class Block(NamedTuple):
    """Instructions that run one after the other; `stack` is a pattern for addresses on the stack."""

    label: str
    instructions: list[str]
    stack: str

    @property
    def is_loop(self) -> bool:
        """Tell whether the block ends with a jump to its own beginning."""
        return bool(self.label) and self.instructions[-1].endswith(f" {self.label}")

    @property
    def multiplications(self) -> list[str]:
        """The multiplications of vectors of floats, with or without an addition."""
        return self._matching(_MULTIPLICATION)

    @property
    def multiplications_with_addition(self) -> list[str]:
        """The multiplications that also add."""
        return self._matching(_MULTIPLICATION_WITH_ADDITION)

    @property
    def prefetches(self) -> list[str]:
        """The prefetches."""
        return self._matching(_PREFETCH)

    @property
    def integer_multiplications(self) -> list[str]:
        """The multiplications of indices."""
        return self._matching(_INTEGER_MULTIPLICATION)

    @property
    def conditional_moves(self) -> list[str]:
        """The moves that depend on a condition."""
        return self._matching(_CONDITIONAL_MOVE)

    @property
    def spilled(self) -> list[str]:
        """The instructions that load or store a vector register on the stack."""
        return [line for line in self.instructions if re.search(self.stack, line) and _VECTOR_REGISTER.search(line)]

    def _matching(self, pattern: re.Pattern[str]) -> list[str]:
        return [line for line in self.instructions if pattern.match(line)]


def registers_of(instruction: str) -> set[str]:
    """Return the kinds of vector registers in an instruction: xmm, ymm, zmm, or v, q, d, s, h, b."""
    return {x86 or arm for x86, arm in _VECTOR_REGISTER.findall(instruction)}


def inner_loops(assembly: str) -> list[Block]:
    """List the loops of one block that multiply vectors, those with the most multiplications first.

    Of equally many, the shortest is the first. If a block that is not a loop has more, there are none.
    """
    blocks = sorted(blocks_of(assembly), key=lambda block: (-len(block.multiplications), len(block.instructions)))
    loops = [block for block in blocks if block.is_loop and block.multiplications]
    return loops if loops and len(loops[0].multiplications) == len(blocks[0].multiplications) else []


def blocks_of(assembly: str) -> list[Block]:
    """Divide assembly into blocks, which end at a jump or before a label."""
    stack = _addresses_on_the_stack(assembly)
    blocks = [Block("", [], stack)]
    for line in map(str.strip, assembly.splitlines()):
        if label := _LABEL.match(line):
            blocks.append(Block(label[1], [], stack))
        elif line and line[0] not in ".#/":
            blocks[-1].instructions.append(re.sub(r"\s+", " ", line))
            if _JUMP.match(line):
                blocks.append(Block("", [], stack))
    return [block for block in blocks if block.instructions]


def _addresses_on_the_stack(assembly: str) -> str:
    """Return a pattern for addresses from the stack pointer, or from the frame pointer where there is one."""
    registers = [r"\(%rsp\b", r"\[sp\b"]
    if re.search(r"movq\s+%rsp, %rbp", assembly):
        registers.append(r"\(%rbp\b")
    if re.search(r"(mov|add)\s+x29, sp", assembly):
        registers.append(r"\[x29\b")
    return "|".join(registers)
