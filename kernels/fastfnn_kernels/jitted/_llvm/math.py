"""Elementary functions and two reductions that LLVM turns into vector instructions.

`math.exp` in a loop is one call per element, and a sum in source order is a chain of scalar additions. The functions
here are straight-line code instead. The largest errors, over every float32 in the domain and over ten million
float64:

    ========================  ========  ========
    function                  float32   float64
    ========================  ========  ========
    `exp_of_negative`         1.03 ulp  1.02 ulp
    `normal_exp_of_negative`  the same where e**x is normal, otherwise 0
    `expm1_of_negative`       0.96 ulp  1.12 ulp
    `log`                     0.96 ulp  0.89 ulp
    `log1p_of_share`          1.33 ulp  1.34 ulp
    ========================  ========  ========

Sigmoid and tanh in `fused_activations`, computed from these, have an error of at most 2.5 ulp in either dtype.

Subnormal numbers, which are closer to zero than all normal ones, slow a CPU down: an instruction that reads or writes
one takes about 150 cycles on Intel's.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
from llvmlite import ir
from numba import literal_unroll, types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from fastfnn_kernels.jitted._compile.jit import inline

_INTEGER_OF = {types.float32: types.int32, types.float64: types.int64}
_REAL_OF: dict[Any, Any] = {types.float32: np.float32, types.float64: np.float64}
_LN2 = Decimal(2).ln()


@intrinsic
def _bits(typing: Any, number: Any) -> Any:
    """Reinterpret the bits of a float as an integer of the same size."""

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], context.get_value_type(signature.return_type))

    return _INTEGER_OF[number](number), codegen


@intrinsic
def _from_bits(typing: Any, bits: Any) -> Any:
    """Reinterpret the bits of an integer as a float of the same size."""
    number = types.float32 if bits == types.int32 else types.float64

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], context.get_value_type(signature.return_type))

    return number(bits), codegen


@intrinsic
def maximum(typing: Any, a: Any, b: Any) -> Any:
    """Return the larger of two numbers, and NaN if either is NaN.

    Numba's `max` is a comparison, whose result for NaN depends on the order. LLVM therefore cannot vectorise it.
    """

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        number = args[0].type
        function = ir.FunctionType(number, [number, number])
        llvm_maximum = cgutils.get_or_insert_function(builder.module, function, f"llvm.maximum.f{a.bitwidth}")
        return builder.call(llvm_maximum, args, fastmath=("nsz",))  # of 0 and -0, either may be returned

    return a(a, a), codegen


@intrinsic
def add_in_any_order(typing: Any, a: Any, b: Any) -> Any:
    """Add a term to a loop's sum, which LLVM may divide into one sum for each lane of a vector.

    The order is fixed when the loop is compiled, and depends on the number of terms only.
    """

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        return builder.fadd(*args, flags=("reassoc",))

    return a(a, a), codegen


def _ln2_in_two(real: Any, high_bits: int) -> tuple[Any, Any]:
    """Split ln 2 into two parts, so that the product of the first part and any exponent is exact.

    Cody & Waite, "Software Manual for the Elementary Functions", 1980.
    """
    high = Decimal(int(_LN2 * 2**high_bits)) / 2**high_bits
    return real(high), real(_LN2 - high)


# Coefficients of q in e**r = 1 + r + r**2 q(r), lowest first, for |r| <= ln 2 / 2. They were computed with Remez's
# algorithm in 60 digits and minimise the largest relative error of e**r, which is 3.1e-9 for float32 and 3.6e-18 for
# float64. With one degree less it would be 1.0e-7 and 2.9e-16, which is more than an ulp.
_EXP32 = (
    "0.49999993432129290236",
    "0.16666520399042530069",
    "0.041668390783547913136",
    "0.0083687451089425906506",
    "0.0013814540176801306354",
)
_EXP64 = (
    "0.50000000000000106687",
    "0.16666666666666411507",
    "0.041666666666529728401",
    "0.008333333333494978276",
    "0.0013888888943759919138",
    "0.00019841269505771317365",
    "0.000024801492949677831503",
    "0.0000027557586806200695995",
    "0.00000027630306236259960738",
    "0.000000025000018094703842568",
)


def _at_least(real: Any, number: Decimal) -> Any:
    """Round a negative number up."""
    rounded = real(number)
    return rounded if Decimal(float(rounded)) >= number else np.nextafter(rounded, real(0))


def _exponentials(
    real: Any, integer: Any, mantissa: int, ln2_bits: int, least: int, coefficients: tuple[str, ...]
) -> Any:
    """Build exp, exp without subnormal results, and expm1, all of negative numbers, for one dtype.

    e**x = 2**k e**r with k = round(x / ln 2) and r = x - k ln 2. It is 0 where x <= `least`.
    """
    exponent_bias = (1 << (8 * real().itemsize - 2 - mantissa)) - 1
    headroom = (exponent_bias + 1) // 2  # 2**k may be subnormal; 2**(k + headroom) is not
    round_off = 1.5 * 2.0**mantissa  # adding it to a number rounds that to an integer
    biased, biased_with_headroom = real(round_off + exponent_bias), real(round_off + exponent_bias + headroom)
    ln2_high, ln2_low = _ln2_in_two(real, ln2_bits)
    log2_e, one, scale = real(1 / _LN2), real(1), real(2.0**-headroom)
    exp_floor, expm1_floor, zero = real(least), real(-64), real(0)
    normal_floor = _at_least(real, (1 - exponent_bias) * _LN2)
    to_exponent = integer(mantissa)
    last, *others = (real(c) for c in reversed(coefficients))
    lower_coefficients = tuple(others)

    @inline
    def reduced(x: Any, rounder: Any) -> Any:
        """Return e**r - 1 and 2**k (times 2**headroom if `rounder` includes it); `rounder` ends in exponent bits."""
        rounded = x * log2_e + rounder
        k = rounded - rounder
        r = (x - k * ln2_high) - k * ln2_low
        q = last
        for c in literal_unroll(lower_coefficients):
            q = q * r + c
        return r + r * r * q, _from_bits(integer(_bits(rounded) << to_exponent))

    @inline
    def exp(x: Any) -> Any:
        fraction, power = reduced(exp_floor if x < exp_floor else x, biased_with_headroom)
        return (power * fraction + power) * scale

    @inline
    def normal_exp(x: Any) -> Any:
        below = x < normal_floor
        fraction, power = reduced(zero if below else x, biased)
        return zero if below else power * fraction + power

    @inline
    def expm1(x: Any) -> Any:
        fraction, power = reduced(expm1_floor if x < expm1_floor else x, biased)
        return power * fraction + (power - one)

    return exp, normal_exp, expm1


def _logarithm(real: Any, integer: Any, mantissa: int, ln2_bits: int, terms: int) -> Any:
    """Build log for one dtype; a dtype with more digits needs more `terms` of the series.

    log x = k ln 2 + log(1 + f) with x = 2**k (1 + f) and sqrt(1/2) <= 1 + f < sqrt(2). With s = f / (2 + f),

        log(1 + f) = 2 artanh s = 2 s + s R,  R = 2/3 s**2 + 2/5 s**4 + ...
                   = f - s (f - R)            since 2 s = f - s f

    The first term is exact and the second is small, so the rounding error of s has little effect.
    """
    ln2_high, ln2_low = _ln2_in_two(real, ln2_bits)
    zero, one, two, infinity = real(0), real(1), real(2), real(np.inf)
    minus_infinity, nan = real(-np.inf), real(np.nan)
    least_normal, raised = np.finfo(real).smallest_normal, real(2.0**mantissa)
    to_exponent, no_exponent = integer(mantissa), integer(0)
    bits_of_sqrt_half = integer(np.sqrt(real(0.5)).view(integer))
    last, *others = (real(2 / (2 * n + 1)) for n in range(terms, 0, -1))
    lower_coefficients = tuple(others)

    @inline
    def log(x: Any) -> Any:
        subnormal = x < least_normal
        bits = _bits(x * raised if subnormal else x)
        exponent = integer(integer(bits - bits_of_sqrt_half) >> to_exponent)
        k = real(integer(exponent - (to_exponent if subnormal else no_exponent)))
        f = _from_bits(integer(bits - integer(exponent << to_exponent))) - one
        s = f / (two + f)
        square = s * s
        series = last
        for c in literal_unroll(lower_coefficients):
            series = series * square + c
        logarithm = k * ln2_high + (f - (s * (f - square * series) - k * ln2_low))
        beyond = infinity if x == infinity else (minus_infinity if x == zero else nan)
        return logarithm if zero < x < infinity else beyond

    return log


def _logarithm_of_one_and(real: Any, logarithm: Any) -> Any:
    """Build log1p for one dtype, for numbers from 0 to 1.

    With w = 1 + x rounded, log(1 + x) = log w + log((1 + x) / w). The last term equals (x - (w - 1)) / w to all
    digits.
    """
    one = real(1)

    @inline
    def log1p(x: Any) -> Any:
        w = one + x
        return logarithm(w) + (x - (w - one)) / w

    return log1p


_exp32, _normal_exp32, _expm1_32 = _exponentials(np.float32, np.int32, 23, 10, least=-105, coefficients=_EXP32)
_exp64, _normal_exp64, _expm1_64 = _exponentials(np.float64, np.int64, 52, 32, least=-750, coefficients=_EXP64)
_log32 = _logarithm(np.float32, np.int32, 23, 10, terms=4)
_log64 = _logarithm(np.float64, np.int64, 52, 32, terms=10)
_log1p_32 = _logarithm_of_one_and(np.float32, _log32)
_log1p_64 = _logarithm_of_one_and(np.float64, _log64)


def exp_of_negative(x: float) -> float:
    """Compute e**x for x <= 0 in the dtype of x; only for jitted code."""
    raise NotImplementedError("exp_of_negative is for jitted code: call math.exp or numpy.exp")


def normal_exp_of_negative(x: float) -> float:
    """Compute e**x for x <= 0 in the dtype of x, or 0 where that is subnormal; only for jitted code."""
    raise NotImplementedError("normal_exp_of_negative is for jitted code: call math.exp or numpy.exp")


def expm1_of_negative(x: float) -> float:
    """Compute e**x - 1 for x <= 0 in the dtype of x; only for jitted code."""
    raise NotImplementedError("expm1_of_negative is for jitted code: call math.expm1 or numpy.expm1")


def log(x: float) -> float:
    """Compute ln x in the dtype of x; only for jitted code."""
    raise NotImplementedError("log is for jitted code: call math.log or numpy.log")


def log1p_of_share(x: float) -> float:
    """Compute ln(1 + x) for 0 <= x <= 1 in the dtype of x; only for jitted code."""
    raise NotImplementedError("log1p_of_share is for jitted code: call math.log1p or numpy.log1p")


def smallest_normal(x: float) -> float:
    """Return the smallest positive normal number of the dtype of x; only for jitted code."""
    raise NotImplementedError("smallest_normal is for jitted code: read numpy.finfo")


@inline
def flush_subnormal(x: Any) -> Any:
    """Return 0 for a subnormal number, and any other number unchanged."""
    zero = type(x)(0)
    return zero if abs(x) < smallest_normal(x) else x


@overload(exp_of_negative)
def _overload_exp(x):  # no annotations: Numba compares signatures including annotations
    return (lambda x: _exp32(x)) if x == types.float32 else (lambda x: _exp64(x))


@overload(normal_exp_of_negative)
def _overload_normal_exp(x):
    return (lambda x: _normal_exp32(x)) if x == types.float32 else (lambda x: _normal_exp64(x))


@overload(expm1_of_negative)
def _overload_expm1(x):
    return (lambda x: _expm1_32(x)) if x == types.float32 else (lambda x: _expm1_64(x))


@overload(log)
def _overload_log(x):
    return (lambda x: _log32(x)) if x == types.float32 else (lambda x: _log64(x))


@overload(log1p_of_share)
def _overload_log1p(x):
    return (lambda x: _log1p_32(x)) if x == types.float32 else (lambda x: _log1p_64(x))


@overload(smallest_normal)
def _overload_smallest_normal(x):
    least = np.finfo(_REAL_OF[x]).smallest_normal
    return lambda x: least
