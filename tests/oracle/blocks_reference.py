"""Decodes every weight format in plain Python, straight from docs/formats/blocks.md, and compares
with a program that does the same in C:

    blocks_reference.py decode_blocks

Each element is found by the document's sentence about it: no loop over bit planes as a decoder for
speed would have it. Arithmetic is in doubles, rounded to f32 after every operation: a product of
two f32 is exact in a double, and a sum rounded twice is the sum rounded once, since 53 bits are
more than twice 24 and two.
"""

import math
import random
import struct
import subprocess
import sys

LEVELS = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113]
BLOCKS = 96


def f32(value):
    """The nearest f32; beyond the range, infinity."""
    try:
        return struct.unpack("<f", struct.pack("<f", value))[0]
    except OverflowError:
        return math.copysign(math.inf, value)


def half(block, offset):
    return struct.unpack_from("<e", block, offset)[0]


def signed(byte):
    return byte - 256 if byte > 127 else byte


def low(byte):
    return byte % 16


def high(byte):
    return byte // 16


def bit(byte, index):
    return byte // 2**index % 2


def times(a, b):
    return f32(a * b)


def plus(a, b):
    return f32(a + b)


def nibble_of_32(codes, i):
    return low(codes[i]) if i < 16 else high(codes[i - 16])


def fifth_of_32(word, i):
    return 16 * bit(word[i // 8], i % 8)


def two_bits(plane, i):
    h, k, l = i // 128, i % 128 // 32, i % 32
    return plane[32 * h + l] // 4**k % 4


def one_bit(plane, i):
    return bit(plane[i % 32], i // 32)


def nibble_pair(codes, i):
    byte = codes[32 * (i // 64) + i % 32]
    return low(byte) if i % 64 < 32 else high(byte)


def scale_min(a, j):
    if j < 4:
        return a[j] % 64, a[j + 4] % 64
    return low(a[j + 4]) + 16 * (a[j - 4] // 64), high(a[j + 4]) + 16 * (a[j] // 64)


def f32_element(b, i):
    return struct.unpack("<f", b)[0]


def f16_element(b, i):
    return half(b, 0)


def bf16_element(b, i):
    return struct.unpack("<f", b"\0\0" + b)[0]


def q8_0(b, i):
    return times(half(b, 0), signed(b[2 + i]))


def q4_0(b, i):
    return times(half(b, 0), nibble_of_32(b[2:], i) - 8)


def q4_1(b, i):
    return plus(times(half(b, 0), nibble_of_32(b[4:], i)), half(b, 2))


def q5_0(b, i):
    return times(half(b, 0), fifth_of_32(b[2:6], i) + nibble_of_32(b[6:], i) - 16)


def q5_1(b, i):
    code = fifth_of_32(b[4:8], i) + nibble_of_32(b[8:], i)
    return plus(times(half(b, 0), code), half(b, 2))


def iq4_nl(b, i):
    return times(half(b, 0), LEVELS[nibble_of_32(b[2:], i)])


def q2_k(b, i):
    a = b[i // 16]
    scale = times(half(b, 80), low(a))
    minimum = times(half(b, 82), high(a))
    return plus(times(scale, two_bits(b[16:80], i)), -minimum)


def q3_k(b, i):
    a, j = b[96:108], i // 16
    lower = low(a[j]) if j < 8 else high(a[j - 8])
    upper = a[8 + j % 4] // 4 ** (j // 4) % 4
    scale = times(half(b, 108), lower + 16 * upper - 32)
    code = two_bits(b[32:96], i) + 4 * one_bit(b[0:32], i)
    return times(scale, code - 4)


def q4_k(b, i):
    s, t = scale_min(b[4:16], i // 32)
    product = times(times(half(b, 0), s), nibble_pair(b[16:], i))
    return plus(product, -times(half(b, 2), t))


def q5_k(b, i):
    s, t = scale_min(b[4:16], i // 32)
    code = nibble_pair(b[48:], i) + 16 * one_bit(b[16:48], i)
    return plus(times(times(half(b, 0), s), code), -times(half(b, 2), t))


def q6_k(b, i):
    h, r = i // 128, i % 128
    byte = b[64 * h + r % 64]
    code = (low(byte) if r < 64 else high(byte)) + 16 * two_bits(b[128:192], i)
    return times(times(half(b, 208), signed(b[192 + i // 16])), code - 32)


# name: elements, bytes, where its half floats are, how an element is decoded
FORMATS = {
    "F32": (1, 4, [], f32_element),
    "F16": (1, 2, [0], f16_element),
    "BF16": (1, 2, [], bf16_element),
    "Q8_0": (32, 34, [0], q8_0),
    "Q4_0": (32, 18, [0], q4_0),
    "Q4_1": (32, 20, [0, 2], q4_1),
    "Q5_0": (32, 22, [0], q5_0),
    "Q5_1": (32, 24, [0, 2], q5_1),
    "IQ4_NL": (32, 18, [0], iq4_nl),
    "Q2_K": (256, 84, [80, 82], q2_k),
    "Q3_K": (256, 110, [108], q3_k),
    "Q4_K": (256, 144, [0, 2], q4_k),
    "Q5_K": (256, 176, [0, 2], q5_k),
    "Q6_K": (256, 210, [208], q6_k),
}

# +-0, the least and the largest subnormal, the least normal, 1, the largest
SPECIAL_HALVES = [0x0000, 0x8000, 0x0001, 0x8001, 0x03FF, 0x83FF, 0x0400, 0x3C00, 0xBC00]
SPECIAL_HALVES += [0x7BFF, 0xFBFF]


def finite_half(generator):
    """Any sign, half of the time one of the extremes."""
    if generator.random() < 0.5:
        return generator.choice(SPECIAL_HALVES)
    return generator.choice([0x0000, 0x8000]) + generator.randrange(0x7C00)


def random_blocks(generator, n_bytes, halves):
    blocks = []
    for _ in range(BLOCKS):
        block = bytearray(generator.randbytes(n_bytes))
        for offset in halves:
            struct.pack_into("<H", block, offset, finite_half(generator))
        blocks.append(bytes(block))
    return blocks


def same(a, b):
    if math.isnan(a) or math.isnan(b):
        return math.isnan(a) and math.isnan(b)
    return a == b and math.copysign(1, a) == math.copysign(1, b)


def compare(program, name):
    """The number of elements that differ; says where the first one is."""
    elements, n_bytes, halves, decode = FORMATS[name]
    blocks = random_blocks(random.Random(name), n_bytes, halves)
    output = subprocess.run(
        [program, name], input=b"".join(blocks), stdout=subprocess.PIPE, check=True
    ).stdout
    theirs = struct.unpack("<%df" % (len(output) // 4), output)
    if len(theirs) != BLOCKS * elements:
        print("%s: %d elements instead of %d" % (name, len(theirs), BLOCKS * elements))
        return 1
    differences = 0
    for k, got in enumerate(theirs):
        expected = decode(blocks[k // elements], k % elements)
        if not same(expected, got):
            if differences == 0:
                print("%s: element %d is %r, not %r" % (name, k, got, expected))
            differences += 1
    return differences


def main():
    differences = {name: compare(sys.argv[1], name) for name in FORMATS}
    print(", ".join("%s %d" % item for item in differences.items()), "elements differ")
    return 1 if any(differences.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
