"""The parts of the compiled loops that are written as LLVM instructions: products, atomics and `sched_yield`.

The public functions are numba intrinsics: the loops of `kernels_layer` and `kernels` call them like any function, with
addresses as plain integers. numba does not generate such instructions from Python: sums that stay in registers over a
whole block of a matrix, AVX-512 VNNI, and loads and stores that order what other threads see.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numba
from llvmlite import binding, ir
from numba import types
from numba.extending import intrinsic

if numba.config.DISABLE_JIT:
    raise ImportError("NUMBA_DISABLE_JIT is set")

LANES = 16  # numbers in a vector; LLVM splits a vector where the processor's are shorter
COLUMNS_AT_ONCE = 4  # of 8-bit weights

BYTE, INT, LONG, FLOAT = ir.IntType(8), ir.IntType(32), ir.IntType(64), ir.FloatType()
FLOATS, INTS = ir.VectorType(FLOAT, LANES), ir.VectorType(INT, LANES)
BYTES = ir.VectorType(BYTE, LANES * COLUMNS_AT_ONCE)
VNNI = "llvm.x86.avx512.vpdpbusd.512"


def has_vnni() -> bool:
    """Whether code for this processor may use AVX-512 VNNI, which multiplies bytes four at a time."""
    set_by_hand = numba.config.CPU_NAME or numba.config.CPU_FEATURES
    return not set_by_hand and bool(binding.get_host_cpu_features().get("avx512vnni", False))


def _loop(builder: Any, count: Any, initial: Sequence[Any], body: Callable[[Any, list[Any]], list[Any]]) -> list[Any]:
    """Emits a loop that carries vectors from one iteration to the next, and returns those of the last iteration.

    Args:
        count: how many iterations, at least one.
        initial: the vectors of the first iteration.
        body: gives the vectors of the next iteration from the loop index and those of this iteration.
    """
    before = builder.block
    inside, after = builder.append_basic_block("loop"), builder.append_basic_block("after")
    builder.branch(inside)
    builder.position_at_end(inside)
    i = builder.phi(LONG)
    carried = [builder.phi(value.type) for value in initial]
    results = body(i, carried)
    next_i = builder.add(i, LONG(1))
    i.add_incoming(LONG(0), before)
    i.add_incoming(next_i, inside)
    for phi, first, later in zip(carried, initial, results, strict=True):
        phi.add_incoming(first, before)
        phi.add_incoming(later, inside)
    builder.cbranch(builder.icmp_signed("<", next_i, count), inside, after)
    builder.position_at_end(after)
    return results


def _pointer(builder: Any, address: Any, to: Any) -> Any:
    """Emits the pointer for an address."""
    return builder.inttoptr(address, to.as_pointer())


def _load(builder: Any, pointer: Any, index: Any) -> Any:
    """Emits the load of an element of an array, which need not be aligned."""
    return builder.load(builder.gep(pointer, [index]), align=1)


def _splat(builder: Any, value: Any, times: int) -> Any:
    """Emits a vector whose every lane is the same number."""
    vector = ir.VectorType(value.type, times)
    undefined = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(undefined, value, INT(0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(INT, times), [0] * times))


def _store_strided(builder: Any, results: Sequence[Any], out: Any, stride: Any) -> None:
    """Emits stores of vectors that lie `stride` numbers apart, from the address `out` on."""
    for vector, result in enumerate(results):
        address = builder.add(out, builder.mul(stride, LONG(vector * 4)))
        builder.store(result, _pointer(builder, address, result.type), align=4)


def _float_block(vectors: int, unrolled: int) -> Any:
    """Makes the product of a block of fp32 weights with a vector.

    Args:
        vectors: how many vectors of rows the block has.
        unrolled: columns in one iteration, each with sums of its own. An addition has to wait for the one before it in
            the same sum, so few sums leave the processor idle.
    """

    @intrinsic
    def multiply(_: Any, weights: Any, x: Any, columns: Any, out: Any, stride: Any) -> Any:  # noqa: ARG001
        def generate(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
            weights, x, columns, out, stride = arguments
            w, inputs = _pointer(builder, weights, FLOATS), _pointer(builder, x, FLOAT)

            def body(i: Any, sums: list[Any]) -> list[Any]:
                results = []
                for u in range(unrolled):
                    column = builder.add(builder.mul(i, LONG(unrolled)), LONG(u))
                    x_column = _splat(builder, _load(builder, inputs, column), LANES)
                    for v in range(vectors):
                        row = _load(builder, w, builder.add(builder.mul(column, LONG(vectors)), LONG(v)))
                        product = builder.fmul(row, x_column, flags=("contract",))
                        results.append(builder.fadd(product, sums[u * vectors + v], flags=("contract",)))
                return results

            zeros = [ir.Constant(FLOATS, [0.0] * LANES)] * (vectors * unrolled)
            sums = _loop(builder, builder.sdiv(columns, LONG(unrolled)), zeros, body)
            while len(sums) > vectors:
                sums = [builder.fadd(a, b) for a, b in zip(sums[:vectors], sums[vectors : 2 * vectors], strict=True)]
            _store_strided(builder, sums, out, stride)
            return context.get_dummy_value()

        return types.void(types.uintp, types.uintp, types.intp, types.uintp, types.intp), generate

    return multiply


def _dot_by_vnni(builder: Any, sums: Any, inputs: Any, weights: Any) -> Any:
    """Emits the sums plus the products of four columns: one instruction of AVX-512 VNNI."""
    known = builder.module.globals.get(VNNI)
    function = known or ir.Function(builder.module, ir.FunctionType(INTS, [INTS, INTS, INTS]), VNNI)
    return builder.call(function, [sums, inputs, builder.bitcast(weights, INTS)])


def _dot_anywhere(builder: Any, sums: Any, inputs: Any, weights: Any) -> Any:
    """Emits the same sums in instructions that every processor has."""
    wide = ir.VectorType(INT, LANES * COLUMNS_AT_ONCE)
    products = builder.mul(builder.zext(builder.bitcast(inputs, BYTES), wide), builder.sext(weights, wide))
    for column in range(COLUMNS_AT_ONCE):
        indices = ir.Constant(INTS, [COLUMNS_AT_ONCE * lane + column for lane in range(LANES)])
        sums = builder.add(sums, builder.shuffle_vector(products, products, indices))
    return sums


def _byte_sums(builder: Any, weights: Any, inputs: Sequence[Any], columns: Any, initial: Sequence[Any]) -> list[Any]:
    """Emits the sums of a block of 8-bit weights with vectors of bytes: those of a vector of rows for each input."""
    vectors = len(initial) // len(inputs)

    def body(i: Any, sums: list[Any]) -> list[Any]:
        x_columns = [_splat(builder, _load(builder, x, i), LANES) for x in inputs]
        results = []
        for v in range(vectors):
            rows = _load(builder, weights, builder.add(builder.mul(i, LONG(vectors)), LONG(v)))
            results += [
                _dot(builder, sums[len(inputs) * v + n], x_column, rows) for n, x_column in enumerate(x_columns)
            ]
        return results

    sums = _loop(builder, builder.sdiv(columns, LONG(COLUMNS_AT_ONCE)), initial, body)
    return [builder.sitofp(total, FLOATS) for total in sums]


def _byte_block(vectors: int) -> Any:
    """Makes the product of a block of 8-bit weights with a vector of bytes.

    `zero` is the address of what the sums begin with.

    Args:
        vectors: how many vectors of rows the block has.
    """

    @intrinsic
    def multiply(_: Any, weights: Any, x: Any, columns: Any, zero: Any, out: Any, stride: Any) -> Any:  # noqa: ARG001
        def generate(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
            weights, x, columns, zero, out, stride = arguments
            w, inputs = _pointer(builder, weights, BYTES), [_pointer(builder, x, INT)]
            places = [builder.add(zero, builder.mul(stride, LONG(v * 4))) for v in range(vectors)]
            initial = [_load(builder, _pointer(builder, place, INTS), LONG(0)) for place in places]
            _store_strided(builder, _byte_sums(builder, w, inputs, columns, initial), out, stride)
            return context.get_dummy_value()

        return types.void(types.uintp, types.uintp, types.intp, types.uintp, types.uintp, types.intp), generate

    return multiply


def _two_digit_block(vectors: int) -> Any:
    """Makes the same product with a vector of two digits: bytes below 128, a high one and a low one."""

    @intrinsic
    def multiply(_: Any, weights: Any, high: Any, low: Any, columns: Any, out: Any, stride: Any) -> Any:  # noqa: ARG001
        def generate(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
            weights, high, low, columns, out, stride = arguments
            w, digits = _pointer(builder, weights, BYTES), [_pointer(builder, a, INT) for a in (high, low)]
            zeros = [ir.Constant(INTS, [0] * LANES)] * (2 * vectors)
            sums = _byte_sums(builder, w, digits, columns, zeros)
            base = ir.Constant(FLOATS, [128.0] * LANES)
            pairs = zip(sums[::2], sums[1::2], strict=True)
            results = [builder.fadd(builder.fmul(of_high, base), of_low) for of_high, of_low in pairs]
            _store_strided(builder, results, out, stride)
            return context.get_dummy_value()

        return types.void(types.uintp, types.uintp, types.uintp, types.intp, types.uintp, types.intp), generate

    return multiply


@intrinsic
def store_release(_: Any, address: Any, value: Any) -> Any:  # noqa: ARG001
    """Stores an integer. A thread that reads it by `load_acquire` sees everything that was stored before it."""

    def generate(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
        builder.store_atomic(arguments[1], _pointer(builder, arguments[0], LONG), "release", 8)
        return context.get_dummy_value()

    return types.void(types.uintp, types.int64), generate


@intrinsic
def load_acquire(_: Any, address: Any) -> Any:  # noqa: ARG001
    """Loads an integer that another thread stores by `store_release`."""

    def generate(__: Any, builder: Any, ___: Any, arguments: Any) -> Any:
        return builder.load_atomic(_pointer(builder, arguments[0], LONG), "acquire", 8)

    return types.int64(types.uintp), generate


@intrinsic
def sched_yield(_: Any) -> Any:
    """Lets another thread run on this core. It needs a POSIX system."""

    def generate(context: Any, builder: Any, __: Any, ___: Any) -> Any:
        name = "sched_yield"
        function = builder.module.globals.get(name) or ir.Function(builder.module, ir.FunctionType(INT, []), name)
        builder.call(function, [])
        return context.get_dummy_value()

    return types.void(), generate


_dot = _dot_by_vnni if has_vnni() else _dot_anywhere
float_block_4, float_block_3 = _float_block(4, 1), _float_block(3, 2)
byte_block_4, byte_block_3, two_digit_block_4 = _byte_block(4), _byte_block(3), _two_digit_block(4)
