"""exp and its relatives as straight-line code, which LLVM turns into vector instructions.

`math.exp` in a loop is one call per element. Here e**x = 2**k e**r with k = round(x / ln 2) and
|r| <= ln 2 / 2, where the Taylor series of e**r - 1 ends at degree 7 (float32) or 13 (float64) with a
remainder below a tenth of an ulp. ln 2 is split in two, so that r keeps its digits (Cody & Waite, "Software
Manual for the Elementary Functions", 1980).
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import numpy as np
from llvmlite import ir
from numba import literal_unroll, types
from numba.extending import intrinsic, overload

from fastfnn_kernels.jitted._jit import inline

_INTEGER_OF = {types.float32: types.int32, types.float64: types.int64}


@intrinsic
def _bits(typing: Any, number: Any) -> Any:
    """Read a float's bits as an integer of its size."""

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], context.get_value_type(signature.return_type))

    return _INTEGER_OF[number](number), codegen


@intrinsic
def _from_bits(typing: Any, bits: Any) -> Any:
    """Read an integer's bits as a float of its size."""
    number = types.float32 if bits == types.int32 else types.float64

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], context.get_value_type(signature.return_type))

    return number(bits), codegen


def _exponentials(real: Any, integer: Any, degree: int, mantissa: int, reach: float, high_bits: int) -> Any:
    """Build exp and expm1 for one dtype; e**x is 0 or inf where |x| >= `reach`."""
    exponent_bias = integer((1 << (8 * real().itemsize - 2 - mantissa)) - 1)
    rounder = real(1.5 * 2.0**mantissa)  # adding it leaves the nearest integer in the low bits
    rounder_bits = integer(rounder.view(integer))
    ln2 = Decimal(2).ln()
    ln2_high = real(math.floor(ln2 * 2**high_bits) / 2.0**high_bits)
    ln2_low = real(ln2 - Decimal(float(ln2_high)))
    log2_e, one, limit, least = real(1 / ln2), real(1), real(reach), real(-64)
    shift, half = integer(mantissa), integer(1)
    first, *rest = (real(1 / math.factorial(n)) for n in range(degree, 1, -1))
    coefficients = tuple(rest)

    @inline
    def reduced(x: Any) -> Any:
        bounded = limit if x > limit else (-limit if x < -limit else x)
        rounded = bounded * log2_e + rounder
        k = rounded - rounder
        r = (bounded - k * ln2_high) - k * ln2_low
        series = first
        for c in literal_unroll(coefficients):
            series = series * r + c
        return r + r * r * series, integer(_bits(rounded) - rounder_bits)

    @inline
    def power_of_two(k: Any) -> Any:
        return _from_bits(integer((k + exponent_bias) << shift))

    @inline
    def exp(x: Any) -> Any:
        fraction, k = reduced(x)
        k_half = integer(k >> half)  # 2**k may lie outside the normal numbers; its halves do not
        return (one + fraction) * power_of_two(k_half) * power_of_two(integer(k - k_half))

    @inline
    def expm1(x: Any) -> Any:
        fraction, k = reduced(least if x < least else x)
        power = power_of_two(k)
        return power * fraction + (power - one)

    return exp, expm1


_exp32, _expm1_32 = _exponentials(np.float32, np.int32, degree=7, mantissa=23, reach=104.5, high_bits=10)
_exp64, _expm1_64 = _exponentials(np.float64, np.int64, degree=13, mantissa=52, reach=750.0, high_bits=32)


def exp(x: float) -> float:
    """Compute e**x in the dtype of x; for jitted code alone."""
    raise NotImplementedError("exp is for jitted code: call math.exp or numpy.exp")


def expm1_of_negative(x: float) -> float:
    """Compute e**x - 1 for x <= 0 in the dtype of x; for jitted code alone."""
    raise NotImplementedError("expm1_of_negative is for jitted code: call math.expm1 or numpy.expm1")


@overload(exp)
def _overload_exp(x):  # no annotations: Numba compares the signatures, annotations included
    return (lambda x: _exp32(x)) if x == types.float32 else (lambda x: _exp64(x))


@overload(expm1_of_negative)
def _overload_expm1(x):
    return (lambda x: _expm1_32(x)) if x == types.float32 else (lambda x: _expm1_64(x))
