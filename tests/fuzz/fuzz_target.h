/* fuzz_target.h: what a fuzz target defines: one function that swallows any bytes.
 *
 * It returns 0 whatever the input is; a finding is a crash, a sanitizer report, a failed assertion
 * about the result, or a run out of time or memory. The bytes are exactly as large as said, so a
 * read beyond them is caught. The target frees what it made: leaks are findings too.
 */
#ifndef TW_FUZZ_TARGET_H
#define TW_FUZZ_TARGET_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
