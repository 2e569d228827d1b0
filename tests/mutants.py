"""Break the kernels and their runtime on purpose, one fault at a time, and see that a test fails: `make mutants`.

Each mutant replaces one piece of text in a copy of the jitted kernels, and the tests of that kernel run against the
copy. A mutant that survives is a fault the suite would not notice. `python tests/mutants.py dense sparse` tries those
of dense.py and sparse.py alone.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
KERNELS = ROOT / "kernels" / "fastfnn_kernels"


class Mutant(NamedTuple):
    """A fault: in `file`, `text` becomes `fault`, and one of `tests` must fail."""

    name: str
    file: str
    text: str
    fault: str
    tests: str


MUTANTS = [
    Mutant("a dropped remainder of k", "_products/block_product.py", "chunk = min(DEPTH_CHUNK, depth - k)", "chunk = min(DEPTH_CHUNK, depth - k) if depth - k >= DEPTH_CHUNK or k == 0 else 0", "dense"),
    Mutant("the last step of k left out", "_llvm/reduction.py", 'builder.icmp_signed("<", following, end)', 'builder.icmp_signed("<", builder.add(following, constant(1)), end)', "dense"),
    Mutant("an unrolled loop", "_llvm/reduction.py", '"llvm.loop.unroll.disable"', '"llvm.loop.unroll.enable"', "assembly"),
    Mutant("a prefetch in every step", "_llvm/reduction.py", "        a_offset, b_row = builder.mul(k, a_step), row_of_b(k)\n", "        vec.prefetch(row_of_b(k))\n        a_offset, b_row = builder.mul(k, a_step), row_of_b(k)\n", "assembly"),
    Mutant("a product rounded before it is added", "_llvm/vectors.py", 'self._call("fmuladd", self.type, [a, b, c])', "self.ir.fadd(self.ir.fmul(a, b), c)", "assembly"),
    Mutant("half of each register", "../runtime/cpu.py", "return self.vector_bytes // itemsize", "return self.vector_bytes // itemsize // 2", "assembly"),
    Mutant("a flat tile with a vector too many", "_llvm/tile_shapes.py", "(UNIT.registers - 4) // 10", "UNIT.registers // 10", "assembly"),
    Mutant("a sparse tile without a register for its numbers", "_llvm/tile_shapes.py", 'broadcast = 0 if unit.name == "AVX-512" else 1', "broadcast = 0", "assembly"),
    Mutant("a tile of columns with too many rows", "_llvm/tile_shapes.py", "\nCOLUMN_ROWS = 12", "\nCOLUMN_ROWS = 15", "assembly"),
    Mutant("a dot tile with too many rows", "_llvm/tile_shapes.py", "rows=UNIT.registers // 8", "rows=UNIT.registers // 4", "assembly"),
    Mutant("a scattering tile with two vectors too many", "_llvm/tile_shapes.py", "// ROWS_OF_GROUP // 2 * 2", "// ROWS_OF_GROUP // 2 * 2 + 2", "assembly"),
    Mutant("a stale bias", "_products/block_product.py", "(product.start, j) if first_chunk else (product.zeros, 0)", "(product.start, j)", "dense"),
    Mutant("no bias", "_products/panels.py", "    copy(bias, start)\n    return start", "    return start", "dense"),
    Mutant("the bias of another panel", "_products/block_product.py", "(product.start, j) if first_chunk else (product.zeros, 0)", "(product.start, 0) if first_chunk else (product.zeros, 0)", "dense"),
    Mutant("relu before the sum is complete", "_products/block_product.py", "floor if last_chunk else -np.inf", "floor", "dense"),
    Mutant("a dropped remainder of k, for a few rows", "dense.py", "chunk = min(DEPTH_CHUNK, depth - k)", "chunk = min(DEPTH_CHUNK, depth - k) if depth - k >= DEPTH_CHUNK or k == 0 else 0", "dense"),
    Mutant("a stale bias, for a few rows", "dense.py", "(start, j) if first_chunk else (zeros, 0)", "(start, j)", "dense"),
    Mutant("the bias of another panel, for a few rows", "dense.py", "(start, j) if first_chunk else (zeros, 0)", "(start, 0) if first_chunk else (zeros, 0)", "dense"),
    Mutant("relu before the sum is complete, for a few rows", "dense.py", "floor if last_chunk else -np.inf", "floor", "dense"),
    Mutant("relu left out", "_products/fused_activations.py", "values.dtype.type(0) if code == RELU else values.dtype.type(-np.inf)", "values.dtype.type(-np.inf)", "dense"),
    Mutant("a skipped last row", "_products/tile_product.py", "min(end * TILE_ROWS, n_rows)", "min(end * TILE_ROWS, n_rows - (n_rows > 1))", "dense"),
    Mutant("a row tail one too short", "_llvm/tile_store.py", 'builder.icmp_signed("<", constant(i), n_rows)', 'builder.icmp_signed("<", constant(i + 1), n_rows)', "dense"),
    Mutant("a step of a round left out", "_llvm/panel_tiles.py", "for u in range(n_steps)", "for u in range(max(1, n_steps - 1))", "dense"),
    Mutant("a round beyond the last step", "_llvm/panel_tiles.py", "builder.and_(depth, constant(-STEPS_OF_ROUND))", "builder.and_(builder.add(depth, constant(STEPS_OF_ROUND - 1)), constant(-STEPS_OF_ROUND))", "dense"),
    Mutant("an address of the wrong row", "_llvm/panel_tiles.py", "factors[i % half - 1]", "factors[max(i % half - 2, 0)]", "dense"),
    Mutant("a round whose steps are in any order", "_llvm/panel_tiles.py", '"", "", [], side_effect=True', '"", "", [], side_effect=False', "assembly"),
    Mutant("a task left out of a product", "dense.py", "if task >= tile_parts * panel_parts", "if task >= max(tile_parts * panel_parts - 1, 1)", "dense"),
    Mutant("the first rows of each part packed", "dense.py", "fill_panel(matrix, first, end - first, j, width, panels, j * depth + first * width)", "fill_panel(matrix, 0, end - first, j, width, panels, j * depth + first * width)", "dense"),
    Mutant("the sums of a chunk twice", "_products/weight_gradient.py", "        sums[:] = 0\n", "", "dense"),
    Mutant("a part without balance", "_products/division.py", "even = math.ceil(fewest / step) * step", "even = fewest", "division"),
    Mutant("spans for one thread", "_products/division.py", "chunks_between_barriers if n_threads > 1 else 1", "1", "division"),
    Mutant("a column tail one too short", "_products/block_product.py", "min(TILE_ROWS, end_row - row), min(width, n_columns - j)", "min(TILE_ROWS, end_row - row), min(width, max(1, n_columns - j - 1))", "dense"),
    Mutant("a masked column read as whole", "_llvm/dense_tiles.py", "vec.load_masked(row, offsets[v], masks[v]) if masked else vec.load(row, offsets[v])", "vec.load(row, offsets[v])", "page_guard"),
    Mutant("a masked column stored as whole", "_llvm/tile_store.py", "vec.store_masked(total, row_of_c(i), offset(v), masks[v])", "vec.store(total, row_of_c(i), offset(v))", "page_guard"),
    Mutant("a last panel one column too narrow", "_products/panels.py", "<= narrow else wide", "<= narrow + 1 else wide", "dense"),
    Mutant("a narrow panel taken for a wide one", "_products/panels.py", "if width == VECTOR_BYTES // matrix.itemsize:", "if width < 0:", "dense"),
    Mutant("a stale copy of conflicting rows", "_products/block_product.py", "copy_rows(x, first_row * depth + k,", "copy_rows(x, first_row * depth,", "dense"),
    Mutant("panels that are activated again", "dense.py", "first, end = first_panel * wide, min(end_panel", "first, end = 0, min(end_panel", "dense"),
    Mutant("one of a few rows activated for all", "dense.py", "if activation != RELU:\n                activate(out[row, first:end]", "if activation != RELU:\n                activate(out[0, first:end]", "dense"),
    Mutant("the last tile left out", "_products/tile_product.py", "return (n_rows + TILE_ROWS - 1) // TILE_ROWS", "return max(n_rows // TILE_ROWS, 1)", "dense"),
    Mutant("a task that two workers do", "_products/tasks.py", "task < end", "task <= end", "dense"),
    Mutant("a share without its last item", "_products/tasks.py", "(task + 1) * n_items // n_tasks\n", "max((task + 1) * n_items // n_tasks - 1, 0)\n", "dense"),
    Mutant("a chunk that replaces the sum", "_llvm/tile_store.py", "builder.fadd(load(row_of_c(i), v), value) if adding else value", "value", "dense"),
    Mutant("a chunk that replaces the sum of part of a tile", "_llvm/tile_store.py", "builder.select(accumulate, builder.fadd(load(row_of_c(i), v), value), value)", "value", "dense"),
    Mutant("a gate that lets part of a tile pass", "_llvm/tile_store.py", "builder.select(gated, builder.select(is_open, total, zero), total)", "total", "dense"),
    Mutant("a swapped index", "_llvm/transfers.py", "kept = [lane & distance == 0 for", "kept = [lane & distance != 0 for", "dense"),
    Mutant("a row that is transposed without its tail", "_llvm/transfers.py", 'constant(i), n_columns)', 'constant(i + 1), n_columns)', "dense"),
    Mutant("a transposed row behind the last", "_llvm/transfers.py", "builder.select(exists, n_columns, constant(0))", "n_columns", "page_guard"),
    Mutant("a small transpose of one row for all", "_products/panels.py", "transposed[k, j] = row[k]", "transposed[k, j] = matrix[0, k]", "dense"),
    Mutant("a tile of the next panel", "_products/weight_gradient.py", "Panel(ptr(gradient.panels), panel_offset, width, chunk)", "Panel(ptr(gradient.panels), next_offset, width, chunk)", "dense"),
    Mutant("NaN lost in relu", "_llvm/vectors.py", 'below = self.ir.fcmp_ordered("<", value, floor)', 'below = self.ir.fcmp_unordered("<", value, floor)', "dense"),
    Mutant("a chunk taken for all inputs", "dense.py", "len(weights) <= DEPTH_CHUNK and ", "", "dense"),
    Mutant("a chunk taken for all rows", "dense.py", "len(x) <= ROW_CHUNK and ", "", "dense"),
    Mutant("a chunk taken for all outputs", "dense.py", "grad.shape[1] <= DEPTH_CHUNK and ", "", "dense"),
    Mutant("every other short tile left out", "_products/in_place_product.py", "            row += n_done", "            row += n_done if tall else 2 * n_done", "dense"),
    Mutant("the bias of the first columns for all", "_products/in_place_product.py", "Finish(ptr(start), j, accumulate, floor)", "Finish(ptr(start), 0, accumulate, floor)", "dense"),
    Mutant("small sums that are not emptied", "_products/in_place_product.py", "    if not accumulate:\n        out_bias[:] = 0\n", "", "dense"),
    Mutant("gradients of few inputs that are not emptied", "_products/in_place_product.py", "        out[:] = 0\n        out_bias[:] = 0\n", "        out_bias[:] = 0\n", "dense"),
    Mutant("a chunk of rows that is added twice", "_products/in_place_product.py", "        flat_sums[:] = 0\n", "        if first == 0:\n            flat_sums[:] = 0\n", "dense"),
    Mutant("the last of rows that are no four", "_products/in_place_product.py", "for row in range(whole, end):", "for row in range(whole, end - 1):", "dense"),
    Mutant("rows stored behind the last", "_llvm/dense_tiles.py", '        builder.gep(target, [builder.mul(number, c.number("row"))])\n        for number in existing(builder, c.number("n_rows"), rows)\n', '        builder.gep(target, [builder.mul(constant(i), c.number("row"))])\n        for i in range(rows)\n', "page_guard"),
    Mutant("a stale copy of conflicting inputs", "_products/weight_gradient.py", "copy_rows(x, row * n_inputs + first,", "copy_rows(x, span * n_inputs + first,", "dense"),
    Mutant("the last span of rows left out", "_products/weight_gradient.py", "for span in range(0, max(n_rows, 1), span_rows)", "for span in range(0, max(n_rows - span_rows, 1), span_rows)", "dense"),
    Mutant("a gradient that is not emptied", "_products/weight_gradient.py", "gradient.accumulate or row > span", "True", "dense"),
    Mutant("sums that are not emptied", "_products/weight_gradient.py", "out_bias[:] = 0", "pass", "dense"),
    Mutant("column sums of the first chunk alone", "_products/weight_gradient.py", "range(first_row, first_row + n_rows, ROW_CHUNK)", "range(first_row, first_row + min(n_rows, ROW_CHUNK), ROW_CHUNK)", "sgd_batches"),
    Mutant("a gate open at zero", "_llvm/tile_store.py", 'fcmp_ordered(">", load(row_of_gate(i), v), zero)', 'fcmp_ordered(">=", load(row_of_gate(i), v), zero)', "dense"),
    Mutant("a gate of another row", "_llvm/tile_store.py", "load(row_of_gate(i), v)", "load(row_of_gate(0), v)", "dense"),
    Mutant("few columns that replace the sum", "dense.py", "out.T.copy() if accumulate else np.empty(out.shape[::-1], out.dtype)", "np.zeros(out.shape[::-1], out.dtype)", "dense"),
    Mutant("few columns, but for the last inputs", "_products/weight_gradient.py", "n_columns, min(wide, n_inputs - j))", "n_columns, min(wide, max(1, n_inputs - j - 1)))", "dense"),
    Mutant("the wrong derivative of relu", "_products/fused_activations.py", "grad[i] if y[i] > zero else zero", "grad[i] if y[i] >= zero else zero", "activations"),
    Mutant("the wrong derivative of tanh", "_products/fused_activations.py", "one - y[i] * y[i]", "one - y[i]", "activations"),
    Mutant("a sigmoid that overflows to the wrong side", "_products/fused_activations.py", "(decay if z < zero else one)", "one", "activations"),
    Mutant("a leaky relu that is not leaky at zero", "activations.py", "one if y[i] > zero else leak", "one if y[i] >= zero else leak", "activations"),
    Mutant("the derivative of another elu", "activations.py", "one if y[i] > zero else one + y[i]", "one if y[i] > zero else one", "activations"),
    Mutant("a softplus that falls below zero", "activations.py", "(zero if z < zero else z) + log1p_of_share", "z + log1p_of_share", "activations"),
    Mutant("outputs of a softplus for its derivative", "activations.py", "-expm1_of_negative(zero if y[i] < zero else -y[i])", "y[i]", "activations"),
    Mutant("a gelu whose cube is not finite", "gelu.py", "below = beyond if number > beyond else number", "below = number", "gelu"),
    Mutant("a gelu that loses NaN", "gelu.py", "-beyond if below < -beyond else below", "below if below >= -beyond else -beyond", "gelu"),
    Mutant("the derivative of a gelu's share left out", "gelu.py", "share + clipped * slope", "share", "gelu"),
    Mutant("a third of a cube's derivative", "gelu.py", "like.dtype.type(3 * CUBIC)", "like.dtype.type(CUBIC)", "gelu"),
    Mutant("one mask for all blocks", "dropout.py", "first + start, out", "first, out", "dropout"),
    Mutant("numbers kept as they are", "dropout.py", "x[i] * factor if kept", "x[i] if kept", "dropout"),
    Mutant("a generator that counts from its seed", "dropout.py", "(place + np.uint64(1))", "place", "dropout"),
    Mutant("one term of exp too few", "_llvm/math.py", '    "0.0013814540176801306354",\n', "", "math"),
    Mutant("one term of the wide exp too few", "_llvm/math.py", '    "0.000000025000018094703842568",\n', "", "math"),
    Mutant("a low part of ln 2 that is missing", "_llvm/math.py", "(x - k * ln2_high) - k * ln2_low", "x - k * ln2_high", "math"),
    Mutant("an exp that cannot be subnormal", "_llvm/math.py", "headroom = (exponent_bias + 1) // 2", "headroom = 0", "math"),
    Mutant("an exp that is not cut off", "_llvm/math.py", "exp_floor if x < exp_floor else x", "x", "math"),
    Mutant("one term of log too few", "_llvm/math.py", "terms=4", "terms=3", "math"),
    Mutant("two terms of the wide log too few", "_llvm/math.py", "terms=10", "terms=8", "math"),
    Mutant("a log without the low part of ln 2", "_llvm/math.py", " - k * ln2_low))", "))", "math"),
    Mutant("a log that takes subnormals for what they were raised to", "_llvm/math.py", "(to_exponent if subnormal else no_exponent)", "no_exponent", "math"),
    Mutant("a log1p without what its sum was rounded by", "_llvm/math.py", "logarithm(w) + (x - (w - one)) / w", "logarithm(w)", "math"),
    Mutant("a maximum that loses NaN", "_llvm/math.py", 'f"llvm.maximum.f{', 'f"llvm.maxnum.f{', "math"),
    Mutant("a narrow row's largest of half a vector", "_llvm/narrow_rows.py", "distance = vec.lanes // 2", "distance = vec.lanes // 4", "softmax"),
    Mutant("zeros that count among negative logits", "_llvm/narrow_rows.py", "row = _Row(vec, source, n_columns, float(\"-inf\"))\n    largest = row.largest()", "row = _Row(vec, source, n_columns, 0.0)\n    largest = row.largest()", "softmax"),
    Mutant("a narrow row without its last number", "_llvm/narrow_rows.py", "vec.mask_below(n_columns)", "vec.mask_below(vec.ir.sub(n_columns, constant(1)))", "softmax"),
    Mutant("a NaN that is not the largest", "_llvm/narrow_rows.py", "ir.Constant(bits, 0)), no_numbers, largest)", "ir.Constant(bits, 0)), largest, largest)", "softmax"),
    Mutant("any of a narrow row's largest", "_llvm/narrow_rows.py", 'f"llvm.cttz.i{vec.lanes}"', 'f"llvm.ctlz.i{vec.lanes}"', "softmax"),
    Mutant("a softmax without the maximum", "_products/cross_entropy_rows.py", "subtract(logits[row], maxima[row], out[row])", "subtract(logits[row], logits[row, 0], out[row])", "softmax"),
    Mutant("the maximum of all but the last class", "_products/cross_entropy_rows.py", "for j in range(values.size):\n        largest", "for j in range(max(values.size - 1, 1)):\n        largest", "softmax"),
    Mutant("the maximum of whole vectors alone", "_products/cross_entropy_rows.py", "for j in range(values.size):\n        largest", "for j in range(values.size // 16 * 16 or values.size):\n        largest", "softmax"),
    Mutant("a sum of all but the last class", "_products/cross_entropy_rows.py", "for j in range(values.size):\n        total = add_in_any_order(total, values[j])", "for j in range(max(values.size - 1, 1)):\n        total = add_in_any_order(total, values[j])", "softmax"),
    Mutant("a long row summed in whole vectors alone", "_products/cross_entropy_rows.py", "for j in range(source.size):\n        exponential", "for j in range(source.size // 16 * 16):\n        exponential", "softmax"),
    Mutant("a loss without its log", "_products/cross_entropy_rows.py", "loss: float = _sum_of_logs(totals[first:end])", "loss = 0.0", "softmax"),
    Mutant("the log of the first row of a block alone", "_products/cross_entropy_rows.py", "_sum_of_logs(totals[first:end])", "_sum_of_logs(totals[first : first + 1])", "softmax"),
    Mutant("the gradient not scaled at the label", "_products/cross_entropy_rows.py", "out[row, index_below(labels[row], n_columns)] -= scale", "out[row, index_below(labels[row], n_columns)] -= 1", "softmax"),
    Mutant("any of the largest counted", "_products/cross_entropy_rows.py", "larger | (as_large & (j < place))", "larger", "softmax"),
    Mutant("a number counted behind NaN", "_products/cross_entropy_rows.py", "(is_number | (values[j] != values[j]))", "is_number", "softmax"),
    Mutant("NaN counted as beaten by NaN", "_products/cross_entropy_rows.py", "larger = is_number & (not values[j] <= value)", "larger = not values[j] <= value", "softmax"),
    Mutant("a weight of the loss alone", "softmax.py", "z, weight = logits[row], weights[row] * scale", "z, weight = logits[row], scale", "softmax"),
    Mutant("a weight of the gradient alone", "softmax.py", "np.float64(weights[row]) * (np.float64(maxima", "(np.float64(maxima", "softmax"),
    Mutant("a label that is not smoothed", "softmax.py", "weight * (one - smoothing)", "weight", "softmax"),
    Mutant("a log without its weight", "softmax.py", "np.float64(weights[i]) * log(", "log(", "softmax"),
    Mutant("a loss that is not smoothed", "softmax.py", "- right + smoothed)", "- right)", "softmax"),
    Mutant("a mean of all but the last class", "softmax.py", "for j in range(values.size):\n        total = add_in_any_order(total, np.float64(values[j]))", "for j in range(max(values.size - 1, 1)):\n        total = add_in_any_order(total, np.float64(values[j]))", "softmax"),
    Mutant("subnormal exponentials", "_llvm/math.py", "return zero if below else power * fraction + power", "return power * fraction + power", "math"),
    Mutant("a bound of normal exponentials that is too low", "_llvm/math.py", "else np.nextafter(rounded, real(0))", "else rounded", "math"),
    Mutant("a bound of normal exponentials that is too high", "_llvm/math.py", "else np.nextafter(rounded, real(0))", "else np.nextafter(np.nextafter(rounded, real(0)), real(0))", "math"),
    Mutant("a gradient that is not flushed", "_products/cross_entropy_rows.py", "any_is_below: bool = n_below > 0", "any_is_below: bool = n_below < 0", "subnormal"),
    Mutant("a long row that is not flushed", "_products/cross_entropy_rows.py", "n_below = out.dtype.type(end - first)", "n_below = out.dtype.type(0)", "subnormal"),
    Mutant("a bound that forgets the scale", "_products/cross_entropy_rows.py", "log(least * n_classes / size) + 1.0", "log(least * n_classes) + 1.0", "subnormal"),
    Mutant("a tiny label that is not flushed", "_products/cross_entropy_rows.py", "    if bound == np.inf:\n        flush_rows(out, first, end)\n", "", "subnormal"),
    Mutant("a tiny weighted label that is not flushed", "softmax.py", "        if bound == np.inf:\n            flush_rows(out, first, end)\n", "", "subnormal"),
    Mutant("a bound that forgets the weights", "softmax.py", "scale * _smallest(weights[first:end])", "scale", "subnormal"),
    Mutant("a smallest normal number that is lost", "_products/loops.py", "zero if abs(values[j]) < least", "zero if abs(values[j]) <= least", "subnormal"),
    Mutant("negative gradients that are not flushed", "_products/loops.py", "zero if abs(values[j]) < least", "zero if (values[j] > zero) & (values[j] < least)", "subnormal"),
    Mutant("negative gradients that are flushed", "_products/loops.py", "zero if abs(values[j]) < least", "zero if values[j] < least", "elementwise_loss"),
    Mutant("a Poisson gradient that is not flushed", "elementwise_loss.py", "if code in (BINARY_CROSS_ENTROPY, POISSON):", "if code == BINARY_CROSS_ENTROPY:", "subnormal"),
    Mutant("a sample's gradient that is not flushed", "sgd_samples.py", "    if smallest - largest < FAR:\n        flush(g)\n", "", "subnormal"),
    Mutant("a velocity that never ends", "updates.py", "flush_subnormal(momentum * v_part[i] + gradient)", "momentum * v_part[i] + gradient", "subnormal"),
    Mutant("a mean square that never ends", "updates.py", "flush_subnormal(rho * s_part[i] + one_minus_rho * g_part[i] * g_part[i])", "rho * s_part[i] + one_minus_rho * g_part[i] * g_part[i]", "subnormal"),
    Mutant("a first moment that never ends", "updates.py", "flush_subnormal(beta1 * m_part[i] + one_minus_beta1 * g_part[i])", "beta1 * m_part[i] + one_minus_beta1 * g_part[i]", "subnormal"),
    Mutant("a second moment that never ends", "updates.py", "flush_subnormal(beta2 * v_part[i] + one_minus_beta2 * g_part[i] * g_part[i])", "beta2 * v_part[i] + one_minus_beta2 * g_part[i] * g_part[i]", "subnormal"),
    Mutant("rows of a block without their weights", "elementwise_loss.py", "np.float64(weights[row]) * _compare", "_compare", "elementwise_loss"),
    Mutant("the last row of a block left out", "elementwise_loss.py", "end = min(first + block_rows, len(outputs))", "end = max(first, min(first + block_rows, len(outputs)) - 1)", "elementwise_loss"),
    Mutant("Huber's loss that stays a square", "elementwise_loss.py", "clipped * (difference - clipped / two)", "difference * difference / two", "elementwise_loss"),
    Mutant("a cross-entropy without its linear part", "elementwise_loss.py", "(zero if y[j] < zero else y[j]) - t[j]", "-t[j]", "elementwise_loss"),
    Mutant("a rate that never exceeds one", "elementwise_loss.py", "rate = decay if y[j] < zero else one / decay", "rate = decay", "elementwise_loss"),
    Mutant("a sparse row tail ignored", "_products/sparse_product.py", "min(ROWS_OF_GROUP, c.n_rows - row)", "min(1, c.n_rows - row)", "sparse"),
    Mutant("a narrow sparse panel laid out as a wide one", "_products/sparse_product.py", "if width == SPARSE_TAIL_VECTORS * (VECTOR_BYTES // matrix.itemsize):", "if width < 0:", "sparse"),
    Mutant("the last sparse group left out", "sparse.py", "share_of(n_groups, task % group_parts, group_parts)", "share_of(n_groups - 1, task % group_parts, group_parts)", "sparse"),
    Mutant("the last group of a gradient left out", "_products/sparse_product.py", "for row in range(0, n_rows, ROWS_OF_GROUP)", "for row in range(0, n_rows - ROWS_OF_GROUP, ROWS_OF_GROUP)", "sparse"),
    Mutant("a sparse gradient that is not emptied", "sparse.py", "out[first:end] = 0", "pass", "sparse"),
    Mutant("columns of a sparse gradient that are not emptied", "sparse.py", "strip[first:end] = 0", "pass", "sparse"),
    Mutant("columns of a sparse gradient that replace the sum", "sparse.py", "copy_columns(out[first:end], j, strip[first:end], 0, end_column - j)", "strip[first:end] = 0", "sparse"),
    Mutant("columns of a sparse gradient in the place of the first", "sparse.py", "copy_columns(strip[first:end], 0, out[first:end], j, end_column - j)", "copy_columns(strip[first:end], 0, out[first:end], 0, end_column - j)", "sparse"),
    Mutant("a chunk by columns that replaces the sum", "sparse.py", "accumulate or row > 0, floor_of", "accumulate, floor_of", "sparse"),
    Mutant("the entries of the first chunk for all", "sparse.py", "offsets[row // ROWS_OF_CHUNK * n_groups :]", "offsets", "sparse"),
    Mutant("the gradient of the first chunk for all", "sparse.py", "grad[row : row + ROWS_OF_CHUNK]", "grad[:ROWS_OF_CHUNK]", "sparse"),
    Mutant("column sums of each part of a panel", "sparse.py", "first_summed = (first_piece + n_groups - 1) // n_groups", "first_summed = first_piece // n_groups", "many_threads"),
    Mutant("a tail of columns ignored", "sparse.py", "n_columns, n_inputs, min(tile, end - column))", "n_columns, 1, min(tile, end - column))", "sparse"),
    Mutant("a part of a panel from its first group", "sparse.py", "max(first - panel * pieces_of_panel, 0)", "0", "many_threads"),
    Mutant("a part that ends one row too late", "_products/sparse_product.py", "ascending[below] < limit", "ascending[below] <= limit", "many_threads"),
    Mutant("a half searched that lies below", "_products/sparse_product.py", "below += half if ascending[below + half - 1] < limit else 0", "below += half if ascending[below + half - 1] <= limit else 0", "many_threads"),
    Mutant("the order of the first group for all", "_products/sparse_product.py", "depth), order_from(groups, row)", "depth), order_from(groups, 0)", "sparse"),
    Mutant("the gradients of the first group for all", "_products/sparse_product.py", "n_rows - row), order_from(groups, row)", "n_rows - row), order_from(groups, 0)", "sparse"),
    Mutant("an activated row of another group", "sparse.py", "activate(out[order[row],", "activate(out[row,", "similar_rows"),
    Mutant("a sparse index of the neighbour", "_products/sparse_product.py", "first, depth = first + n_before, depth - n_before", "first, depth = first + max(n_before - 1, 0), depth - n_before", "many_threads"),
    Mutant("an activated task whose last rows are left out", "sparse.py", "min(end * ROWS_OF_GROUP, n_rows)", "min(end * ROWS_OF_GROUP, n_rows) - 1", "sparse"),
    Mutant("a piece of a group in the first columns", "sparse.py", "Panel(ptr(panel_rows), column, width,", "Panel(ptr(panel_rows), 0, width,", "many_threads"),
    Mutant("a group whose last piece is left out", "sparse.py", "(end_piece + PIECES - 1) // PIECES", "end_piece // PIECES", "many_threads"),
    Mutant("the column sums of one chunk for all", "sparse.py", "add_sums_of_columns(grad, chunk * ROW_CHUNK,", "add_sums_of_columns(grad, 0,", "sparse"),
    Mutant("a part of the weights that is packed over the first", "sparse.py", "j * n_inputs + first * width)", "j * n_inputs)", "many_threads"),
    Mutant("shares of groups whatever their entries", "_products/shares.py", "COST_OF_GROUP + offsets[first + group + 1] - offsets[first + group]", "COST_OF_GROUP", "division_of_packed"),
    Mutant("parts of inputs whatever their entries", "_products/shares.py", "+= SAMPLED_WEIGHT", "+= 0", "division_of_packed"),
    Mutant("shared panels that are not multiplied", "sgd_batches.py", "if n_parts > 1:", "if n_parts > 33:", "many_threads"),
    Mutant("the groups of the first part for all", "sgd_batches.py", "share_of(number_of_groups(n_now), share, n_parts)", "share_of(number_of_groups(n_now), 0, n_parts)", "many_threads"),
    Mutant("the inputs of the first part for all", "sgd_batches.py", "bounds[share], bounds[share + 1]", "bounds[0], bounds[1]", "many_threads"),
    Mutant("a task for each thread of a packed product", "_products/division.py", "TASKS_OF_THREAD = 4", "TASKS_OF_THREAD = 1", "division_of_packed"),
    Mutant("a barrier that costs nothing", "_products/division.py", "TIME_OF_BARRIER = 5_000", "TIME_OF_BARRIER = 0", "division_of_packed"),
    Mutant("a position of the neighbour", "packing.py", "indices[n] = j\n", "indices[n] = max(j - 1, 0)\n", "packing"),
    Mutant("marks of two lines of three", "_products/loops.py", " | (c[j] != zero)", "", "packing"),
    Mutant("the repeated last line stored", "packing.py", "group_values[:, taken.size :] = 0", "pass", "packing"),
    Mutant("rows in the order of x", "packing.py", "x[index_below(rows[row], x.shape[0])]", "x[row % x.shape[0]]", "packing"),
    Mutant("values that are not scaled", "packing.py", "target.dtype.type(source[i]) * scale", "target.dtype.type(source[i])", "packing"),
    Mutant("the first row in place of the most alike", "similar_rows.py", "chosen = _most_alike(words, taken, first, group)", "chosen = first", "similar_rows"),
    Mutant("rows compared with the last of a group alone", "similar_rows.py", "group |= words[chosen]", "group[:] = words[chosen]", "similar_rows"),
    Mutant("the last of rows as much alike", "similar_rows.py", "differences < least", "differences <= least", "similar_rows"),
    Mutant("the first word of a row compared alone", "similar_rows.py", "for i in range(a.size):\n        total", "for i in range(1):\n        total", "similar_rows"),
    Mutant("a stale activation", "sgd_samples.py", "activate(y, layers.codes[layer])", "activate(y, layers.codes[layer - 1])", "sgd_samples"),
    Mutant("a step before the gradient of the inputs", "sgd_samples.py", "        g_before[:] = 0\n        _add_rows(w, every_row, g, g_before)\n        multiply_by_derivative(g_before, y_before, layers.codes[layer - 1])\n        _step_rows(w, every_row, g, y_before, learning_rate)\n", "        _step_rows(w, every_row, g, y_before, learning_rate)\n        g_before[:] = 0\n        _add_rows(w, every_row, g, g_before)\n        multiply_by_derivative(g_before, y_before, layers.codes[layer - 1])\n", "sgd_samples"),
    Mutant("a gradient that is added to the sample's before", "sgd_samples.py", "        g_before[:] = 0\n", "", "sgd_samples"),
    Mutant("the first row in place of the named one", "sgd_samples.py", "_step(matrix[index_below(indices[n], matrix.shape[0])], vector", "_step(matrix[n], vector", "sgd_samples"),
    Mutant("no step of the later biases", "sgd_samples.py", "        _step_bias(layers, layer, g, learning_rate)\n        g", "        g", "sgd_samples"),
    Mutant("no step of the first bias", "sgd_samples.py", "    _step_bias(layers, 0, g, learning_rate)\n", "", "sgd_samples"),
    Mutant("a last non-zero dropped", "sgd_samples.py", "for n in range(whole, indices.size):", "for n in range(whole, indices.size - 1):", "sgd_samples"),
    Mutant("the derivative of the last activation left out", "sgd_samples.py", "        multiply_by_derivative(g, y, codes[last])\n", "", "sgd_samples"),
    Mutant("the derivative of a later activation", "sgd_samples.py", "y_before, layers.codes[layer - 1]", "y_before, layers.codes[layer]", "sgd_samples"),
    Mutant("the last block of a share left out", "dense_cross_entropy.py", "range(first_of_share, end_of_share, BLOCK_ROWS)", "range(first_of_share, max(end_of_share - BLOCK_ROWS, first_of_share + 1), BLOCK_ROWS)", "dense_cross_entropy"),
    Mutant("logits of the last chunk alone", "_products/block_product.py", "start_offset, not first_chunk,", "start_offset, False,", "dense_cross_entropy"),
    Mutant("an output layer without its bias", "dense_cross_entropy.py", "0, layer.bias, layer.zeros, floor", "0, layer.zeros, layer.zeros, floor", "dense_cross_entropy"),
    Mutant("outputs that are gone when their derivative is taken", "dense_cross_entropy.py", "multiply_by_derivative(target.reshape(-1), x[: grad.shape[0]].reshape(-1), derivative)", "multiply_by_derivative(target.reshape(-1), target.reshape(-1), derivative)", "dense_cross_entropy"),
    Mutant("the first share's sums alone", "dense_cross_entropy.py", "for share in range(n_shares):\n        one", "for share in range(min(n_shares, 1)):\n        one", "dense_cross_entropy"),
    Mutant("a total that replaces what was there", "dense_cross_entropy.py", "out[j * n_rows + i] + value if accumulate else value", "value", "dense_cross_entropy"),
    Mutant("a total that is not transposed", "dense_cross_entropy.py", "total[i * n_columns + j]", "total[j * n_rows + i]", "dense_cross_entropy"),
    Mutant("a loss of the last block of a share alone", "dense_cross_entropy.py", "losses[share] += loss", "losses[share] = loss", "dense_cross_entropy"),
    Mutant("right rows counted in one block of a share", "dense_cross_entropy.py", "counts[share] += n_correct", "counts[share] = n_correct", "dense_cross_entropy"),
    Mutant("a share that is not added", "stack_cross_entropy.py", "range(1, n_shares):\n            one", "range(1, n_shares - 1):\n            one", "stack_cross_entropy"),
    Mutant("as many shares as threads", "stack_cross_entropy.py", "number_of_shares(n_rows, BLOCK_ROWS), threads_for(operations)", "threads_for(operations), threads_for(operations)", "stack_cross_entropy"),
    Mutant("the first block of a share alone", "stack_cross_entropy.py", "range(0, x.shape[0], BLOCK_ROWS)", "range(0, min(x.shape[0], BLOCK_ROWS), BLOCK_ROWS)", "stack_cross_entropy"),
    Mutant("a block whose loss replaces those before", "stack_cross_entropy.py", "loss += sum_of_losses", "loss = sum_of_losses", "stack_cross_entropy"),
    Mutant("right rows of the last block of a share alone", "stack_cross_entropy.py", "n_correct += compare", "n_correct = compare", "stack_cross_entropy"),
    Mutant("a gradient that is delivered as it was summed up", "stack_cross_entropy.py", "out[i, j] + rows[j, i] if accumulate else rows[j, i]", "out[i, j] + total[i, j] if accumulate else total[i, j]", "stack_cross_entropy"),
    Mutant("a penalty without its gradient", "stack_cross_entropy.py", "        out[i] += l2 * values[i]\n", "        pass\n", "stack_cross_entropy"),
    Mutant("biases with the penalty of weights", "stack_cross_entropy.py", "_add_multiple(bias, l2_bias,", "_add_multiple(bias, l2,", "stack_cross_entropy"),
    Mutant("infinite weights that no penalty was asked for", "stack_cross_entropy.py", "    if l2 == 0:\n        return 0.0\n", "", "stack_cross_entropy"),
    Mutant("gradients that replace what was there", "stack_cross_entropy.py", "out[i] + values[i] if accumulate else values[i]", "values[i]", "stack_cross_entropy"),
    Mutant("transposed gradients that replace what was there", "stack_cross_entropy.py", "out[i, j] + rows[j, i] if accumulate else rows[j, i]", "rows[j, i]", "stack_cross_entropy"),
    Mutant("a bias of the layer before", "stack_cross_entropy.py", "values[layers.weight_starts[layer - 1] + n_weights :", "values[layers.weight_starts[layer - 1] + n_weights - 1 :", "stack_cross_entropy"),
    Mutant("no gradient for the layers below the last but one", "stack_cross_entropy.py", "if layer > 1:\n                backward", "if layer > 2:\n                backward", "stack_cross_entropy"),
    Mutant("few outputs that are not activated", "stack_cross_entropy.py", "        activate(y.reshape(-1), layers.codes[layer])\n", "", "stack_cross_entropy"),
    Mutant("a few columns' products of whole vectors alone", "_llvm/dot_tiles.py", "totals = add_products(sums, lambda row: vec.load_masked(row, whole, mask))", "totals = sums", "stack_cross_entropy"),
    Mutant("a few columns' remainder read as a whole vector", "_llvm/dot_tiles.py", "vec.load_masked(row, whole, mask)", "vec.load(row, whole)", "stack_cross_entropy"),
    Mutant("a few columns' last whole vector left out", "_llvm/dot_tiles.py", 'builder.icmp_signed("<", following, whole)', 'builder.icmp_signed("<", builder.add(following, constant(vec.lanes)), whole)', "stack_cross_entropy"),
    Mutant("the start of the first column for all", "_llvm/dot_tiles.py", "builder.gep(start, [constant(j)])", "builder.gep(start, [constant(0)])", "stack_cross_entropy"),
    Mutant("a few columns' row tail one too short", "_llvm/dot_tiles.py", 'builder.icmp_signed("<", constant(i), n_rows)', 'builder.icmp_signed("<", constant(i + 1), n_rows)', "stack_cross_entropy"),
    Mutant("the first rows for all, in a few columns", "_llvm/dot_tiles.py", "Operand(ptr(x), row * depth, depth, 1)", "Operand(ptr(x), 0, depth, 1)", "stack_cross_entropy"),
    Mutant("the last group of few rows left out", "stack_forward.py", "if group >= n_groups:", "if group >= max(n_groups - 1, 1):", "stack_forward"),
    Mutant("a hidden layer that overwrites the one it reads", "stack_forward.py", "hidden[worker, layer % 2]", "hidden[worker, 0]", "stack_forward"),
    Mutant("zeros that are skipped in any rows", "stack_forward.py", "< max_density * x.size", "<= x.size", "stack_forward"),
    Mutant("a later chunk that replaces the sum", "stack_forward.py", "adding = k > 0", "adding = False", "stack_forward"),
    Mutant("the second of few rows for the third", "stack_forward.py", "= a[j], b[j], c[j]", "= a[j], b[j], b[j]", "stack_forward"),
    Mutant("a group that reaches into the next batch", "packing.py", "first_of_batch + batch_size, rows.size)", "rows.size)", "packing"),
    Mutant("a step that meets the batch's own outputs", "sgd_batches.py", "before = Rows(n_before, unit_starts, other_outputs", "before = Rows(n_before, unit_starts, outputs", "sgd_batches"),
    Mutant("a step of the last batch left out", "sgd_batches.py", "n_before = n_now", "n_before = n_now if batch < n_batches - 1 else 0", "sgd_batches"),
    Mutant("the entries of the first batch for all", "sgd_batches.py", "groups = Groups(offsets[batch * n_groups :]", "groups = Groups(offsets[0:]", "sgd_batches"),
    Mutant("the step of another batch", "sgd_batches.py", "max(batch - 1, 0) * n_groups", "max(batch - 2, 0) * n_groups", "sgd_batches"),
    Mutant("a panel that is not copied back", "sgd_batches.py", "if batch == n_batches:", "if batch == n_batches and j == 0:", "sgd_batches"),
    Mutant("weights that are not laid out anew", "_products/later_layers.py", "    pack_columns(weights, first, end", "    if rows.n_rows == 0:\n        pack_columns(weights, first, end", "sgd_batches"),
    Mutant("transposed weights that are not laid out anew", "_products/later_layers.py", "    pack_transposed(weights, first, end", "    if rows.n_rows == 0:\n        pack_transposed(weights, first, end", "sgd_batches"),
    Mutant("no step of a bias", "_products/later_layers.py", "if layers.has_bias[layer]:", "if layers.has_bias[layer] and layer != 1:", "sgd_batches"),
    Mutant("the derivative of the layer above", "_products/later_layers.py", "code, floor = units(rows, rows.outputs, layer - 1), layers.codes[layer - 1]", "code, floor = units(rows, rows.outputs, layer - 1), layers.codes[layer]", "sgd_batches"),
    Mutant("the rows of the last thread left out", "sgd_batches.py", "rows_of_share(n_now, worker, n_row_threads)", "rows_of_share(n_now, worker, n_row_threads + (worker > 0))", "sgd_batches"),
    Mutant("the rate of a whole batch for the last", "sgd_batches.py", "-learning_rate / n_now", "-learning_rate / batch_size", "sgd_batches"),
    Mutant("momentum without Nesterov's look ahead", "updates.py", "gradient + momentum * velocity if nesterov else velocity", "velocity", "updates"),
    Mutant("a velocity of steps without its rate", "updates.py", "learning_rate * g_part[i] if velocity_of_steps else g_part[i]", "g_part[i]", "updates"),
    Mutant("a velocity of steps times the rate once more", "updates.py", "w.dtype.type(1) if velocity_of_steps else learning_rate", "learning_rate", "updates"),
    Mutant("Nesterov's look ahead without the rate", "updates.py", "(gradient + momentum * velocity if nesterov", "(g_part[i] + momentum * velocity if nesterov", "updates"),
    Mutant("epsilon outside the root", "updates.py", "math.sqrt(mean_square + epsilon)\n\n\n@kernel", "(math.sqrt(mean_square) + epsilon)\n\n\n@kernel", "updates"),
    Mutant("Adam without its correction", "updates.py", "1 - beta2**step", "1.0", "updates"),
    Mutant("a penalty in place of the gradient", "updates.py", "g_part[i] += l2", "g_part[i] = l2", "updates"),
    Mutant("a penalty of twice its size", "updates.py", "return l2 / 2 *", "return l2 *", "updates"),
    Mutant("squares of whole vectors alone", "_products/loops.py", "for i in range(values.size):\n        wide", "for i in range(values.size // 8 * 8):\n        wide", "updates"),
    Mutant("the last block of an update left out", "updates.py", "(w.size + BLOCK - 1) // BLOCK", "max(w.size // BLOCK, 1)", "updates"),
    Mutant("Python threads that do not take turns", "../runtime/thread_pool.py", "if numba.threading_layer() == TAKES_TURNS:", "if False:", "concurrency"),
    Mutant("dead threads counted on after a fork", "../runtime/thread_pool.py", "        use_one_after_fork()", "        pass", "fork"),
    Mutant("a fork while another thread compiles", "../runtime/thread_pool.py", "before=global_compiler_lock.acquire", "before=lambda: None", "fork"),
    Mutant("Numba's own threads kept", "../runtime/thread_pool.py", "    finally:\n        numba.set_num_threads(before)", "    finally:\n        pass", "thread_count"),
    Mutant("a quota of no account", "../runtime/cpu_count.py", "if quota is not None:", "if quota is None:", "cpu_count"),
    Mutant("the number of threads taken for one of cores", "../runtime/caches.py", "second.n_cpus // first.n_cpus", "second.n_cpus", "caches"),
    Mutant("caches for instructions counted", "../runtime/caches.py", ' and _read(index / "type") in ("Data", "Unified")', "", "caches"),
    Mutant("the first kind of cores alone", "../runtime/caches.py", "(*folders[:1], *folders[1:][-1:])", "folders[:1]", "caches"),
    Mutant("CPUs in the order of their names", "../runtime/caches.py", "int(folder.parent.name[3:])", "folder.parent.name", "caches"),
    Mutant("impossible caches believed", "../runtime/caches.py", "min(max(found.second or DEFAULT.second, LEAST.second), MOST.second)", "found.second or DEFAULT.second", "caches"),
    Mutant("two halves of a unit counted as two", "../runtime/cpu.py", "multipliers.units * min(multipliers.bits, bits) // bits", "multipliers.units", "cpu"),
    Mutant("a hidden server believed to be a desktop", "../runtime/cpu.py", 'and "amx-tile" in features', "and False", "cpu"),
    Mutant("a setting for one Python thread alone", "../runtime/thread_count.py", "class _Setting:", "class _Setting(__import__('threading').local):", "thread_count"),
    Mutant("sources left out of the hash", "../runtime/cache_folder.py", "source.read_bytes()", "b''", "compile_cache"),
    Mutant("a full disk that ends the program", "../runtime/cache.py", "        except OSError as error:", "        except EOFError as error:", "compile_cache"),
    Mutant("a flipped bit that is loaded", "../runtime/cache.py", "if seal != self._seal(key, data):", "if False:", "compile_cache"),
    Mutant("a kernel loaded under another's name", "../runtime/cache.py", "hashlib.sha256(_described((self._stem, sources_hash(), numba.__version__, key)))", "hashlib.sha256()", "compile_cache"),
    Mutant("an unfinished file that is left", "../runtime/cache.py", "                unfinished.unlink()", "                pass", "compile_cache"),
    Mutant("a temporary folder that others can write to", "../runtime/cache_folder.py", " and not about.st_mode & (stat.S_IWGRP | stat.S_IWOTH)", "", "cache_folder"),
    Mutant("a folder that is named ~", "../runtime/cache_folder.py", 'return None if folder.startswith("~") else Path(folder)', "return Path(folder)", "cache_folder"),
    Mutant("kernels without a compiler", "../runtime/environment.py", "if config.DISABLE_JIT:", "if False:", "environment"),
    Mutant("columns past the last of a row", "packing.py", "_collect(marks, indices[first:end]) > n_columns:", "_collect(marks, indices[first:end]) < 0:", "changing_arguments"),
    Mutant("missing non-zeros with the last column's number", "packing.py", "indices[n], values[n] = n_columns - 1, 0", "indices[n] = n_columns - 1", "changing_arguments"),
    Mutant("a row number used as it is", "packing.py", "x[index_below(rows[row], x.shape[0])]", "x[rows[row]]", "changing_arguments"),
    Mutant("a column used as it is", "sgd_samples.py", "_step(matrix[index_below(indices[n], matrix.shape[0])], vector", "_step(matrix[indices[n]], vector", "changing_arguments"),
    Mutant("a label used as it is", "_products/cross_entropy_rows.py", "out[row, index_below(labels[row], n_columns)]", "out[row, labels[row]]", "changing_arguments"),
]  # fmt: skip


def caught(mutant: Mutant, folder: Path) -> bool:
    """Run the tests of a mutated copy, and return whether one failed."""
    copy = folder / "fastfnn_kernels"
    shutil.copytree(KERNELS, copy, ignore=shutil.ignore_patterns("__pycache__"))
    file = copy / "jitted" / mutant.file
    source = file.read_text()
    if mutant.text not in source:
        raise SystemExit(
            f"{mutant.name}: {mutant.file} no longer contains {mutant.text!r}: bring the mutant up to date"
        )
    file.write_text(source.replace(mutant.text, mutant.fault))
    environment = os.environ | {"PYTHONPATH": str(folder), "FASTFNN_CACHE_DIR": str(folder / "cache")}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-x",
        "-q",
        "--hypothesis-profile=mutants",
        str(ROOT / "tests" / f"test_{mutant.tests}.py"),
    ]
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=600)
    return run.returncode == 1 and " failed" in run.stdout


def main(stems: list[str]) -> None:
    """Try the mutants of some files, or all, print a line for each, and fail if one survives."""
    chosen = [mutant for mutant in MUTANTS if not stems or Path(mutant.file).stem in stems]
    survivors = []
    for mutant in chosen:
        with tempfile.TemporaryDirectory() as folder:
            fails = caught(mutant, Path(folder))
        print(f"{'caught' if fails else 'SURVIVED'}: {mutant.name} ({mutant.file})", flush=True)
        if not fails:
            survivors.append(mutant.name)
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} mutants caught")
    sys.exit(1 if survivors else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
