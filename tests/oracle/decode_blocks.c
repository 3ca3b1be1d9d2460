/* decode_blocks TYPE < blocks > floats: our decoders as a program, for comparison with others. */
#include <stdio.h>
#include <string.h>

#include "tensor/dtype.h"

int main(int argc, char **argv)
{
    enum tw_dtype dtype;
    if (argc != 2 || !tw_dtype_from_name(argv[1], &dtype)) {
        fputs("usage: decode_blocks TYPE < blocks > floats\n", stderr);
        return 1;
    }
    const struct tw_dtype_traits *traits = tw_dtype_traits(dtype);
    unsigned char block[256];
    float values[256];
    while (fread(block, traits->block_bytes, 1, stdin) == 1) {
        traits->dequantise(block, values, traits->block_elements);
        if (fwrite(values, sizeof *values, traits->block_elements, stdout) !=
            traits->block_elements) {
            return 1;
        }
    }
    return ferror(stdin) || fflush(stdout) != 0;
}
