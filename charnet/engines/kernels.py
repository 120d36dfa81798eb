"""The loops of the compiled engine: whole bursts of characters without Python, on one or several threads.

Writing one character reads every weight once, so the products are laid out for reading. A matrix is stored in blocks of
some 16-row vectors; a block's weights lie in the order of use, one column after the other, and its sums stay in the
processor's registers meanwhile. Weights of 8 bits come in fours: four columns of 16 rows are one 64-byte vector, which
one instruction of AVX-512 VNNI multiplies by four bytes of the input and adds up. The input has 16 bits there, as two
bytes, so that only the weights lose precision.

Threads divide the units of a layer among themselves and meet at a barrier after each layer and after the head. A row
is computed in the same order whoever does it: the text does not depend on the number of threads.

Shape legend: M networks of an ensemble, L layers of all of them, H units of a layer rounded up to whole blocks,
G = gates x H, V characters in the alphabet, P products: of each network for each layer its input product and its
recurrent one, and the head at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numba
import numpy as np
import numpy.typing as npt
from llvmlite import binding, ir
from numba import njit, types
from numba.extending import intrinsic

Floats: TypeAlias = npt.NDArray[np.float32]
Doubles: TypeAlias = npt.NDArray[np.float64]
Bytes: TypeAlias = npt.NDArray[np.uint8]
Ints: TypeAlias = npt.NDArray[np.int64]
Float32: TypeAlias = Any  # one number in single precision

if numba.config.DISABLE_JIT:
    raise ImportError("NUMBA_DISABLE_JIT is set")

LANES = 16  # numbers in a vector; LLVM splits it where the processor's are shorter
COLUMNS_AT_ONCE = 4  # of 8-bit weights
LSTM, CIFG, GRU, RNN_TANH, RNN_RELU, RNN_SIGMOID = range(6)
DIVERGED = -1
SPINS = 2000  # of a thread that waits, before it offers its core to others
# Sums may be done in any order; infinity and NaN keep their meaning, since they tell of a model that has diverged.
FASTMATH = {"contract", "reassoc", "nsz", "arcp"}

BYTE, INT, LONG, FLOAT = ir.IntType(8), ir.IntType(32), ir.IntType(64), ir.FloatType()
FLOATS, INTS = ir.VectorType(FLOAT, LANES), ir.VectorType(INT, LANES)
BYTES = ir.VectorType(BYTE, LANES * COLUMNS_AT_ONCE)
VNNI = "llvm.x86.avx512.vpdpbusd.512"


def has_vnni() -> bool:
    """Whether code for this processor may multiply bytes four at a time."""
    chosen_by_hand = numba.config.CPU_NAME or numba.config.CPU_FEATURES
    return not chosen_by_hand and bool(binding.get_host_cpu_features().get("avx512vnni", False))


class Model(NamedTuple):
    """A model as the loops read it. For each of the P products: how many blocks, columns and vectors a block it has,
    how far apart the vectors of a block are in the result, and where its weights and its rows begin."""

    cell: int
    members: int
    layers: int  # of each
    units: int
    alphabet: int
    of_bytes: bool
    blocks_P: Ints
    columns_P: Ints
    vectors_P: Ints
    stride_P: Ints
    weights_at_P: Ints
    rows_at_P: Ints
    weights: Bytes
    scale: Floats  # of each row; 8-bit weights only
    zero: npt.NDArray[np.int32]  # of each row: what sums of 8-bit weights begin at
    bias: Floats  # of each row
    table_MVG: Floats  # the input products of the lowest layers


def _cached_njit(function: Callable[..., Any]) -> Any:
    """Compiled at the first call, and kept on disk for the next process where a folder for it can be written."""
    try:
        return njit(nogil=True, error_model="numpy", cache=True)(function)
    except RuntimeError:  # numba found no such folder
        return njit(nogil=True, error_model="numpy")(function)


# ------------------------------------------------------------------------------------- written as LLVM's instructions


def _loop(
    builder: Any, count: Any, beginnings: Sequence[Any], body: Callable[[Any, list[Any]], list[Any]]
) -> list[Any]:
    """A loop that carries vectors: `body(i, carried)` gives what the next round carries, and in the end the result."""
    before = builder.block
    inside, after = builder.append_basic_block("loop"), builder.append_basic_block("after")
    builder.branch(inside)
    builder.position_at_end(inside)
    i = builder.phi(LONG)
    carried = [builder.phi(value.type) for value in beginnings]
    results = body(i, carried)
    following = builder.add(i, LONG(1))
    i.add_incoming(LONG(0), before)
    i.add_incoming(following, inside)
    for phi, first, later in zip(carried, beginnings, results, strict=True):
        phi.add_incoming(first, before)
        phi.add_incoming(later, inside)
    builder.cbranch(builder.icmp_signed("<", following, count), inside, after)
    builder.position_at_end(after)
    return results


def _pointer(builder: Any, address: Any, to: Any) -> Any:
    return builder.inttoptr(address, to.as_pointer())


def _load(builder: Any, pointer: Any, index: Any) -> Any:
    return builder.load(builder.gep(pointer, [index]), align=1)


def _splat(builder: Any, value: Any, times: int) -> Any:
    """A vector of one number again and again."""
    vector = ir.VectorType(value.type, times)
    nothing = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(nothing, value, INT(0))
    return builder.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(INT, times), [0] * times))


def _store_strided(builder: Any, results: Sequence[Any], out: Any, stride: Any) -> None:
    for vector, result in enumerate(results):
        address = builder.add(out, builder.mul(stride, LONG(vector * 4)))
        builder.store(result, _pointer(builder, address, result.type), align=4)


def _float_block(vectors: int, unrolled: int) -> Any:
    """A block times a vector: so many vectors of results. Several columns a round keep enough sums under way."""

    @intrinsic
    def multiply(_: Any, weights: Any, x: Any, columns: Any, out: Any, stride: Any) -> Any:  # noqa: ARG001
        def generate(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
            weights, x, columns, out, stride = arguments
            w, inputs = _pointer(builder, weights, FLOATS), _pointer(builder, x, FLOAT)

            def body(i: Any, sums: list[Any]) -> list[Any]:
                results = []
                for u in range(unrolled):
                    column = builder.add(builder.mul(i, LONG(unrolled)), LONG(u))
                    spread = _splat(builder, _load(builder, inputs, column), LANES)
                    for v in range(vectors):
                        row = _load(builder, w, builder.add(builder.mul(column, LONG(vectors)), LONG(v)))
                        product = builder.fmul(row, spread, flags=("contract",))
                        results.append(builder.fadd(product, sums[u * vectors + v], flags=("contract",)))
                return results

            nothing = [ir.Constant(FLOATS, [0.0] * LANES)] * (vectors * unrolled)
            sums = _loop(builder, builder.sdiv(columns, LONG(unrolled)), nothing, body)
            while len(sums) > vectors:
                sums = [builder.fadd(a, b) for a, b in zip(sums[:vectors], sums[vectors : 2 * vectors], strict=True)]
            _store_strided(builder, sums, out, stride)
            return context.get_dummy_value()

        return types.void(types.uintp, types.uintp, types.intp, types.uintp, types.intp), generate

    return multiply


def _dot_by_vnni(builder: Any, sums: Any, inputs: Any, weights: Any) -> Any:
    known = builder.module.globals.get(VNNI)
    function = known or ir.Function(builder.module, ir.FunctionType(INTS, [INTS, INTS, INTS]), VNNI)
    return builder.call(function, [sums, inputs, builder.bitcast(weights, INTS)])


def _dot_anywhere(builder: Any, sums: Any, inputs: Any, weights: Any) -> Any:
    wide = ir.VectorType(INT, LANES * COLUMNS_AT_ONCE)
    products = builder.mul(builder.zext(builder.bitcast(inputs, BYTES), wide), builder.sext(weights, wide))
    for column in range(COLUMNS_AT_ONCE):
        chosen = ir.Constant(INTS, [COLUMNS_AT_ONCE * lane + column for lane in range(LANES)])
        sums = builder.add(sums, builder.shuffle_vector(products, products, chosen))
    return sums


def _byte_block(vectors: int, dot: Callable[[Any, Any, Any, Any], Any]) -> Any:
    """The same for 8-bit weights; the input is two arrays of bytes, the upper halves and the lower ones."""

    @intrinsic
    def multiply(_: Any, weights: Any, high: Any, low: Any, columns: Any, zero: Any, out: Any, stride: Any) -> Any:  # noqa: ARG001
        def generate(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
            weights, high, low, columns, zero, out, stride = arguments
            w, halves = _pointer(builder, weights, BYTES), [_pointer(builder, a, INT) for a in (high, low)]

            def body(i: Any, sums: list[Any]) -> list[Any]:
                spread = [_splat(builder, _load(builder, half, i), LANES) for half in halves]
                results = []
                for v in range(vectors):
                    rows = _load(builder, w, builder.add(builder.mul(i, LONG(vectors)), LONG(v)))
                    results += [dot(builder, sums[2 * v + half], spread[half], rows) for half in (0, 1)]
                return results

            beginnings = []
            for v in range(vectors):
                address = builder.add(zero, builder.mul(stride, LONG(v * 4)))
                beginnings += [
                    _load(builder, _pointer(builder, address, INTS), LONG(0)),
                    ir.Constant(INTS, [0] * LANES),
                ]
            sums = _loop(builder, builder.sdiv(columns, LONG(COLUMNS_AT_ONCE)), beginnings, body)
            floats = [builder.sitofp(total, FLOATS) for total in sums]
            upper = ir.Constant(FLOATS, [256.0] * LANES)
            results = [builder.fadd(builder.fmul(a, upper), b) for a, b in zip(floats[::2], floats[1::2], strict=True)]
            _store_strided(builder, results, out, stride)
            return context.get_dummy_value()

        return (
            types.void(types.uintp, types.uintp, types.uintp, types.intp, types.uintp, types.uintp, types.intp),
            generate,
        )

    return multiply


@intrinsic
def _store_release(_: Any, address: Any, value: Any) -> Any:  # noqa: ARG001
    """Writes a number so that a thread that reads it sees all that was written before."""

    def generate(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
        builder.store_atomic(arguments[1], _pointer(builder, arguments[0], LONG), "release", 8)
        return context.get_dummy_value()

    return types.void(types.uintp, types.int64), generate


@intrinsic
def _load_acquire(_: Any, address: Any) -> Any:  # noqa: ARG001
    def generate(__: Any, builder: Any, ___: Any, arguments: Any) -> Any:
        return builder.load_atomic(_pointer(builder, arguments[0], LONG), "acquire", 8)

    return types.int64(types.uintp), generate


@intrinsic
def _sched_yield(_: Any) -> Any:
    """Lets another thread have this core, where the system is POSIX."""

    def generate(context: Any, builder: Any, __: Any, ___: Any) -> Any:
        name = "sched_yield"
        function = builder.module.globals.get(name) or ir.Function(builder.module, ir.FunctionType(INT, []), name)
        builder.call(function, [])
        return context.get_dummy_value()

    return types.void(), generate


_dot = _dot_by_vnni if has_vnni() else _dot_anywhere
_float_4, _float_3 = _float_block(4, 1), _float_block(3, 2)
_byte_4, _byte_3 = _byte_block(4, _dot), _byte_block(3, _dot)


# --------------------------------------------------------------------------------------------------------- one layer


@njit(nogil=True, fastmath=FASTMATH, error_model="numpy")
def tanh(x: Float32) -> Float32:
    """Hyperbolic tangent in single precision without a branch, so that loops of it become vectors.

    The rational approximation of Eigen's `ptanh`, degree 13 over degree 6, within 4e-7 of the true value.
    """
    x = min(max(x, np.float32(-7.90531110763549805)), np.float32(7.90531110763549805))
    s = x * x
    p = np.float32(-2.76076847742355e-16)
    p = p * s + np.float32(2.00018790482477e-13)
    p = p * s + np.float32(-8.60467152213735e-11)
    p = p * s + np.float32(5.12229709037114e-08)
    p = p * s + np.float32(1.48572235717979e-05)
    p = p * s + np.float32(6.37261928875436e-04)
    p = p * s + np.float32(4.89352455891786e-03)
    q = np.float32(1.19825839466702e-06)
    q = q * s + np.float32(1.18534705686654e-04)
    q = q * s + np.float32(2.26843463243900e-03)
    q = q * s + np.float32(4.89352518554385e-03)
    return x * p / q


@njit(nogil=True, fastmath=FASTMATH, error_model="numpy")
def _split_bytes(x: Floats, high: Bytes, low: Bytes) -> Float32:
    """A vector as 16-bit numbers in two arrays of bytes; returns what one step of them is worth."""
    largest: Float32 = np.float32(0)
    for i in range(len(x)):
        largest = max(largest, abs(x[i]))
    if not 0 < largest < np.inf:
        largest = np.float32(1)
    steps = np.float32(32767) / largest
    for i in range(len(x)):
        step = np.int32(np.floor(x[i] * steps + np.float32(32768.5)))
        high[i] = step >> 8
        low[i] = step & 255
    return largest / np.float32(32767)


@njit(nogil=True, fastmath=FASTMATH, error_model="numpy")
def _product(model: Model, p: int, x: Floats, first: int, last: int, out: Floats, high: Bytes, low: Bytes) -> None:
    """Rows of the blocks `first` to `last` of a product, their bias added."""
    columns, vectors, stride = model.columns_P[p], model.vectors_P[p], model.stride_P[p]
    row = model.rows_at_P[p]
    width = LANES if stride > LANES else LANES * vectors  # rows in a piece of a block
    weights = model.weights.ctypes.data + model.weights_at_P[p]
    size = columns * vectors * LANES * (1 if model.of_bytes else 4)
    scale_x: Float32 = np.float32(1)
    if model.of_bytes:
        scale_x = _split_bytes(x, high, low)
    for block in range(first, last):
        at = out.ctypes.data + 4 * block * width
        if model.of_bytes:
            zero = model.zero.ctypes.data + 4 * (row + block * width)
            if vectors == 4:
                _byte_4(weights + block * size, high.ctypes.data, low.ctypes.data, columns, zero, at, stride)
            else:
                _byte_3(weights + block * size, high.ctypes.data, low.ctypes.data, columns, zero, at, stride)
        elif vectors == 4:
            _float_4(weights + block * size, x.ctypes.data, columns, at, stride)
        else:
            _float_3(weights + block * size, x.ctypes.data, columns, at, stride)
    for piece in range(LANES * vectors // width):
        begin, end = piece * stride + first * width, piece * stride + last * width
        sums, bias = out[begin:end], model.bias[row + begin : row + end]
        if model.of_bytes:
            scale = model.scale[row + begin : row + end]
            for i in range(end - begin):
                sums[i] = sums[i] * (scale[i] * scale_x) + bias[i]
        else:
            for i in range(end - begin):
                sums[i] += bias[i]


@njit(nogil=True, fastmath=FASTMATH, error_model="numpy")
def _gate(number: int, a: Floats, x: Floats, units: int, first: int, last: int) -> tuple[Floats, Floats]:
    """The two products of a gate for the units `first` to `last`. Loops over such pieces start at 0, where LLVM sees
    that no index is negative and makes vectors of them."""
    begin, end = number * units + first, number * units + last
    return a[begin:end], x[begin:end]


@njit(nogil=True, fastmath=FASTMATH, error_model="numpy")
def _sigmoid(half_x: Float32) -> Float32:
    """The weights of gates that are sigmoids are halved already: sigmoid(x) = tanh(x / 2) / 2 + 1 / 2."""
    return tanh(half_x) * np.float32(0.5) + np.float32(0.5)


@njit(nogil=True, fastmath=FASTMATH, error_model="numpy")
def _update(cell: int, a: Floats, x: Floats, before: Floats, after: Floats, c: Floats, first: int, last: int) -> None:
    """New states of the units `first` to `last` from the recurrent products `a` and the input ones `x`."""
    units, count = len(before), last - first
    before, after, c = before[first:last], after[first:last], c[first:last]
    a0, x0 = _gate(0, a, x, units, first, last)
    if cell == LSTM:
        a1, x1 = _gate(1, a, x, units, first, last)
        a2, x2 = _gate(2, a, x, units, first, last)
        a3, x3 = _gate(3, a, x, units, first, last)
        for j in range(count):
            c[j] = _sigmoid(a1[j] + x1[j]) * c[j] + _sigmoid(a0[j] + x0[j]) * tanh(a3[j] + x3[j])
            after[j] = _sigmoid(a2[j] + x2[j]) * tanh(c[j])
    elif cell == CIFG:
        a1, x1 = _gate(1, a, x, units, first, last)
        a2, x2 = _gate(2, a, x, units, first, last)
        for j in range(count):
            c[j] += _sigmoid(a0[j] + x0[j]) * (tanh(a2[j] + x2[j]) - c[j])
            after[j] = _sigmoid(a1[j] + x1[j]) * tanh(c[j])
    elif cell == GRU:
        a1, x1 = _gate(1, a, x, units, first, last)
        a2, x2 = _gate(2, a, x, units, first, last)
        for j in range(count):
            n = tanh(a2[j] * _sigmoid(a0[j] + x0[j]) + x2[j])
            after[j] = n + _sigmoid(a1[j] + x1[j]) * (before[j] - n)
    elif cell == RNN_TANH:
        for j in range(count):
            after[j] = tanh(a0[j] + x0[j])
    elif cell == RNN_RELU:
        for j in range(count):
            after[j] = max(a0[j] + x0[j], np.float32(0))
    else:
        for j in range(count):
            after[j] = _sigmoid(a0[j] + x0[j])


# -------------------------------------------------------------------------------------------------------- whole texts


@njit(nogil=True, error_model="numpy")
def _barrier(arrived: Ints, part: int, parts: int, epoch: int) -> None:
    """Waits until all threads have come to this meeting."""
    if parts == 1:
        return
    _store_release(arrived.ctypes.data + 64 * part, epoch)
    for other in range(parts):
        spins = 0
        while _load_acquire(arrived.ctypes.data + 64 * other) < epoch:
            spins += 1
            if spins > SPINS:
                _sched_yield()


@njit(nogil=True, error_model="numpy")
def _sample(logits_V: Floats, bias_V: Doubles, sharpness: float, u: float) -> int:
    """What `sampling.sample_logits` gives for the biased logits; `sharpness` is 1 / temperature, 0 for greedy."""
    alphabet = len(bias_V)
    best = 0
    for v in range(alphabet):
        if logits_V[v] + bias_V[v] > logits_V[best] + bias_V[best]:
            best = v
    largest = logits_V[best] + bias_V[best]
    if not np.isfinite(largest):
        return DIVERGED
    if sharpness == 0:
        return best
    ends = np.empty(alphabet)
    total = 0.0
    for v in range(alphabet):
        total += np.exp((logits_V[v] + bias_V[v] - largest) * sharpness)
        ends[v] = total
    return min(int(np.searchsorted(ends, u * total, side="right")), alphabet - 1)


@njit(nogil=True, error_model="numpy")
def _logsumexp(logits_V: Floats, alphabet: int) -> float:
    """The logarithm of the sum of all exponentials: what a logit is above the logarithm of its probability."""
    largest = np.float64(logits_V[:alphabet].max())
    total = 0.0
    for v in range(alphabet):
        total += np.exp(np.float64(logits_V[v]) - largest)
    return float(np.log(total) + largest)


@njit(nogil=True, error_model="numpy")
def _surprisal(logits_V: Floats, alphabet: int, chosen: int) -> float:
    """Minus the logarithm of a symbol's probability."""
    return float(_logsumexp(logits_V, alphabet) - np.float64(logits_V[chosen]))


@njit(nogil=True, error_model="numpy")
def _partition(blocks: int, part: int, parts: int) -> tuple[int, int]:
    return blocks * part // parts, blocks * (part + 1) // parts


@njit(nogil=True, error_model="numpy")
def _forward(
    model: Model,
    chosen: int,
    before: Floats,
    after: Floats,
    memory: Floats,
    logits_MV: Floats,
    room: tuple[Floats, Bytes, Bytes],
    arrived: Ints,
    part: int,
    parts: int,
    epoch: int,
) -> int:
    """Reads one character: states (L, H) before it and after it, and each network's logits of the next. Returns the
    number of the last meeting."""
    gates, high, low = room
    products = 2 * model.layers + 1
    for layer in range(model.layers):
        for member in range(model.members):
            p, at = member * products + 2 * layer, member * model.layers + layer
            first, last = _partition(model.blocks_P[p + 1], part, parts)
            _product(model, p + 1, before[at], first, last, gates[0], high, low)
            x = gates[1]
            if layer == 0:
                x = model.table_MVG[member, chosen]
            else:
                _product(model, p, after[at - 1], first, last, x, high, low)
            units = model.units // model.blocks_P[p + 1]
            _update(model.cell, gates[0], x, before[at], after[at], memory[at], first * units, last * units)
        _barrier(arrived, part, parts, epoch + layer + 1)
    for member in range(model.members):
        head = (member + 1) * products - 1
        first, last = _partition(model.blocks_P[head], part, parts)
        _product(model, head, after[(member + 1) * model.layers - 1], first, last, logits_MV[member], high, low)
    _barrier(arrived, part, parts, epoch + model.layers + 1)
    return epoch + model.layers + 1


@njit(nogil=True, error_model="numpy")
def _log_mean_exp(logits_MV: Floats, mean_V: Floats, alphabet: int) -> None:
    """Logarithms of the mean of the probabilities, which are logits too."""
    members = len(logits_MV)
    totals = np.empty(members)
    for member in range(members):
        totals[member] = _logsumexp(logits_MV[member], alphabet)
    for v in range(alphabet):
        largest = logits_MV[0, v] - totals[0]
        for member in range(1, members):
            largest = max(largest, logits_MV[member, v] - totals[member])
        total = 0.0
        for member in range(members):
            total += np.exp(logits_MV[member, v] - totals[member] - largest)
        mean_V[v] = largest + np.log(total / members)


@_cached_njit
def run(
    model: Model,
    hidden: Floats,
    memory: Floats,
    logits_MV: Floats,
    mean_RV: Floats,
    ids: Ints,
    given: int,
    uniforms: Doubles,
    sharpness: Doubles,
    bias_V: Doubles,
    nats: Doubles,
    arrived: Ints,
    part: int,
    parts: int,
) -> int:
    """Reads the `given` first ids and draws the others after them, the last of which it does not read.

    `hidden` (2, L, H) holds the states before and after a character in turn, `memory` (L, H) the other part of the
    state, `mean_RV` a row for each thread to average the networks in: the logits of the next symbol are in the first
    row, of one network alone in `logits_MV`. Returns how many ids there are in the end: fewer than asked for where the
    logits are no longer numbers.
    """
    room = (
        np.empty((2, model.table_MVG.shape[2]), np.float32),
        np.empty(model.units, np.uint8),
        np.empty(model.units, np.uint8),
    )
    logits_V = mean_RV[part] if model.members > 1 else logits_MV[0]
    epoch, chosen = 0, ids[0]
    for place in range(max(given, len(ids) - 1)):
        epoch = _forward(
            model,
            chosen,
            hidden[place % 2],
            hidden[1 - place % 2],
            memory,
            logits_MV,
            room,
            arrived,
            part,
            parts,
            epoch,
        )
        if model.members > 1:
            _log_mean_exp(logits_MV, logits_V, model.alphabet)
        following = place + 1
        if following < given:
            chosen = ids[following]
        elif following < len(ids):
            drawn = following - given
            chosen = _sample(logits_V, bias_V, sharpness[drawn], uniforms[drawn])
            if chosen == DIVERGED:
                return following
            if part == 0:
                ids[following] = chosen
                nats[drawn] = _surprisal(logits_V, len(bias_V), chosen)
    return len(ids)


@_cached_njit
def update_rows(
    cell: int, a_BG: Floats, x: Floats, rows_B: Ints, before: Floats, after: Floats, memory: Floats
) -> None:
    """New states (B, H) of many texts; the input product of text b is in row `rows_B[b]` of `x`."""
    for b in range(len(a_BG)):
        _update(cell, a_BG[b], x[rows_B[b]], before[b], after[b], memory[b], 0, before.shape[1])
