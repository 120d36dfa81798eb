"""The one loop of a page that needs speed, as a module of WebAssembly: rows of 8-bit weights times integers.

A small assembler, for the instructions of this module alone: https://webassembly.github.io/spec/core/binary.
"""

from __future__ import annotations

ROWS, COLUMNS = 4, 16  # that the loop takes at once: matrices are padded to multiples of these

# Types and sections.
I32, V128, NOTHING = b"\x7f", b"\x7b", b"\x40"
TYPE, IMPORT, FUNCTION, EXPORT, CODE = 1, 2, 3, 7, 10

# Instructions; those of SIMD begin with 0xFD.
GET, SET, TEE = b"\x20", b"\x21", b"\x22"
LOOP, END, BR_IF = b"\x03" + NOTHING, b"\x0b", b"\x0d"
I32_CONST, I32_ADD, I32_SUB, I32_LT_U = b"\x41", b"\x6a", b"\x6b", b"\x49"
V128_CONST_0 = b"\xfd\x0c" + bytes(16)
I32X4_ADD, I32X4_DOT = b"\xfd\xae\x01", b"\xfd\xba\x01"
I32_STORE, V128_LOAD, LOAD_8_BYTES_AS_I16 = b"\x36\x02", b"\xfd\x00\x00", b"\xfd\x01\x00"  # with the alignment
EXTRACT_LANE = b"\xfd\x1b"

# Parameters: where weights, h and sums lie, groups of four rows, bytes of a row. Then the memory of the loop.
WEIGHTS, H, SUMS, GROUPS, WIDTH, AT, H_AT, END_AT = range(8)
X, FIRST_SUM = 8, 10  # two vectors of h; one of sums for each row


def module() -> bytes:
    """Returns the module. It imports the memory `a.m` and exports the function `p`.

    `p(weights, h, sums, groups, width)` computes, for each of 4 x `groups` rows of `width` weights of 8 bits, the sum
    of the products with h, integers of 16 bits; `width` is a multiple of 16. Sums have 32 bits.
    """
    signature = b"\x60" + _vector([I32] * 5) + _vector([])
    memory = _name("a") + _name("m") + b"\x02\x00\x01"  # a memory of at least a page
    parts = [
        (TYPE, [signature]),
        (IMPORT, [memory]),
        (FUNCTION, [b"\x00"]),  # of the type 0
        (EXPORT, [_name("p") + b"\x00\x00"]),
        (CODE, [_sized(_vector([b"\x03" + I32, bytes([2 + ROWS]) + V128]) + _product() + END)]),
    ]
    return b"\0asm\x01\0\0\0" + b"".join(bytes([number]) + _sized(_vector(items)) for number, items in parts)


def _product() -> bytes:
    """Returns the instructions: a loop over groups of rows, with a loop over 16 columns inside."""
    one_group = b"".join(
        [
            *(V128_CONST_0 + _set(FIRST_SUM + row) for row in range(ROWS)),
            _get(H) + _set(H_AT) + _get(WEIGHTS) + _get(WIDTH) + I32_ADD + _set(END_AT),
            LOOP,
            *(_get(H_AT) + V128_LOAD + bytes([16 * half]) + _set(X + half) for half in range(2)),
            _get(WEIGHTS) + _set(AT),
            *map(_columns_of_a_row, range(ROWS)),
            _add(H_AT, 2 * COLUMNS) + _add(WEIGHTS, COLUMNS),
            _get(WEIGHTS) + _get(END_AT) + I32_LT_U + BR_IF + b"\x00",
            END,
            *map(_store, range(ROWS)),
            *([_get(WEIGHTS) + _get(WIDTH) + I32_ADD + _set(WEIGHTS)] * (ROWS - 1)),
            _add(SUMS, 4 * ROWS),
        ]
    )
    count = _get(GROUPS) + I32_CONST + b"\x01" + I32_SUB + TEE + bytes([GROUPS])
    return LOOP + one_group + count + BR_IF + b"\x00" + END


def _columns_of_a_row(row: int) -> bytes:
    """Adds 16 products to the sums of a row, and goes on to the next row."""
    load = LOAD_8_BYTES_AS_I16
    products = [_get(AT) + load + bytes([8 * half]) + _get(X + half) + I32X4_DOT for half in range(2)]
    added = _get(FIRST_SUM + row) + products[0] + I32X4_ADD + products[1] + I32X4_ADD + _set(FIRST_SUM + row)
    return added + (_get(AT) + _get(WIDTH) + I32_ADD + _set(AT)) * (row < ROWS - 1)


def _store(row: int) -> bytes:
    """Adds the four sums of a row and stores the result."""
    lanes = [_get(FIRST_SUM + row) + EXTRACT_LANE + bytes([lane]) for lane in range(4)]
    return _get(SUMS) + lanes[0] + b"".join(lane + I32_ADD for lane in lanes[1:]) + I32_STORE + bytes([4 * row])


def _get(local: int) -> bytes:
    return GET + bytes([local])


def _set(local: int) -> bytes:
    return SET + bytes([local])


def _add(local: int, number: int) -> bytes:
    """Adds a number below 64 to a local."""
    return _get(local) + I32_CONST + bytes([number]) + I32_ADD + _set(local)


def _name(text: str) -> bytes:
    return _sized(text.encode())


def _vector(items: list[bytes]) -> bytes:
    return _leb(len(items)) + b"".join(items)


def _sized(content: bytes) -> bytes:
    return _leb(len(content)) + content


def _leb(number: int) -> bytes:
    """Packs a number in seven bits a byte, the lowest first."""
    packed = bytearray()
    while number > 0x7F:
        packed.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*packed, number])
