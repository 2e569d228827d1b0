"""What is found in assembly: loops, and instructions by kind, of x86-64 and of AArch64."""

import pytest
from inner_loops import blocks_of, inner_loops, registers_of

X86 = """
	.text
tile:
	pushq	%rbx
	vmovups	%zmm1, -64(%rsp)
	jmp	.LBB0_2
.LBB0_1:
	vmovups	(%rax), %zmm0
	vfmadd231ps	(%rdx,%rcx,4){1to16}, %zmm0, %zmm1
	vfmadd231ps	-64(%rsp), %zmm0, %zmm2
	cmpq	%r8, 16(%rsp)
	jne	.LBB0_1
	# comment
	vmulps	%zmm1, %zmm2, %zmm2
.LBB0_2:
	retq
"""
ARM = """
tile:
	str	q8, [sp, #-16]!
.LBB0_1:                                // of a loop
	ldr	q0, [x1], #16
	fmla	v1.4s, v0.4s, v8.s[0]
	subs	x3, x3, #1
	b.ne	.LBB0_1
	ret
"""


def test_the_inner_loop():
    (loop,) = inner_loops(X86)
    assert loop.label == ".LBB0_1"
    assert loop.instructions[0] == "vmovups (%rax), %zmm0"
    assert len(loop.instructions) == 5
    assert len(loop.multiplications) == len(loop.multiplications_with_addition) == 2
    assert loop.spilled == ["vfmadd231ps -64(%rsp), %zmm0, %zmm2"]
    (loop,) = inner_loops(ARM)
    assert loop.multiplications == ["fmla v1.4s, v0.4s, v8.s[0]"]
    assert len(loop.instructions) == 4
    assert loop.spilled == []


def test_no_loop_where_more_is_multiplied_outside():
    assert inner_loops(X86.replace("vmulps\t%zmm1, %zmm2, %zmm2", "vmulps\t%zmm1, %zmm2, %zmm2\n" * 3)) == []
    assert inner_loops(X86.replace("jne\t.LBB0_1", "jne\t.LBB0_2")) == []
    assert inner_loops(ARM.replace("subs", "cbz x9, .LBB0_3\n\tsubs")) == []


def test_the_hottest_and_then_the_shortest_loop_is_the_first():
    longer = X86.replace("LBB0", "LBB1").replace("vmovups\t(%rax), %zmm0", "vmovups\t(%rax), %zmm0\n\tnop")
    hotter = X86.replace("LBB0", "LBB2").replace("cmpq", "vmulps\t%zmm1, %zmm2, %zmm2\n\tcmpq")
    assert [loop.label for loop in inner_loops(longer + X86 + hotter)] == [".LBB2_1", ".LBB0_1", ".LBB1_1"]


@pytest.mark.parametrize(
    ("instruction", "kind"),
    [
        ("mulps %xmm1, %xmm2", "multiplications"),
        ("vmulpd %ymm1, %ymm2, %ymm3", "multiplications"),
        ("vfnmadd213pd %ymm1, %ymm2, %ymm3", "multiplications"),
        ("fmul v1.2d, v2.2d, v3.2d", "multiplications"),
        ("fmla v1.4s, v0.4s, v8.s[0]", "multiplications_with_addition"),
        ("prefetcht1 (%rax)", "prefetches"),
        ("prefetchw (%rax)", "prefetches"),
        ("prfm pldl2keep, [x0]", "prefetches"),
        ("imulq %rax, %rcx", "integer_multiplications"),
        ("mul x13, x8, x13", "integer_multiplications"),
        ("madd x13, x8, x13, x1", "integer_multiplications"),
        ("umaddl x13, w8, w13, x1", "integer_multiplications"),
        ("cmovlq %rax, %rcx", "conditional_moves"),
        ("csel x0, x1, x2, lt", "conditional_moves"),
        ("vmovups %ymm1, 32(%rsp)", "spilled"),
        ("vaddps -16(%rsp,%rax), %xmm1, %xmm1", "spilled"),
        ("movsd 8(%rsp), %xmm1", "spilled"),
        ("ldp q0, q1, [sp, #32]", "spilled"),
        ("str d0, [sp]", "spilled"),
    ],
)
def test_kinds_of_instructions(instruction, kind):
    assert getattr(blocks_of(instruction)[0], kind) == [instruction]


@pytest.mark.parametrize(
    ("instruction", "kind"),
    [
        ("mulss %xmm1, %xmm2", "multiplications"),
        ("vmulps %ymm1, %ymm2, %ymm3", "multiplications_with_addition"),
        ("mulps %xmm1, %xmm2", "integer_multiplications"),
        ("mul v1.4s, v2.4s, v3.4s", "integer_multiplications"),
        ("fmadd d0, d1, d2, d3", "integer_multiplications"),
        ("movq 8(%rsp), %rax", "spilled"),
        ("vmovups (%rbp), %ymm1", "spilled"),
        ("ldr q0, [x29, #16]", "spilled"),
        ("ldr x0, [sp, #16]", "spilled"),
    ],
)
def test_other_instructions(instruction, kind):
    assert getattr(blocks_of(instruction)[0], kind) == []


def test_addresses_from_a_frame_pointer_are_on_the_stack():
    load, of_arm = "vmovups -64(%rbp), %zmm1", "ldr q0, [x29, #16]"
    assert blocks_of(f"movq %rsp, %rbp\n{load}")[0].spilled == [load]
    assert blocks_of(f"mov x29, sp\n{of_arm}")[0].spilled == [of_arm]


def test_registers():
    assert registers_of("vfmadd231ps %zmm0, %ymm1, %xmm2") == {"xmm", "ymm", "zmm"}
    assert registers_of("vbroadcastss (%rax), %zmm2") == {"zmm"}
    assert registers_of("fmla v1.4s, v0.4s, v8.s[0]") == {"v"}
    assert registers_of("addq $1, %rax") == set()
