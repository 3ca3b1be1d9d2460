/* cpu.h: which instruction sets this processor has *and* the operating system saves.
 *
 * CPUID alone is not enough: without the XCR0 bits the registers are not kept across a context
 * switch and the first wide instruction traps.
 *
 * The environment variable TW_CPU=ref|avx2|avx512 lowers the level; a level the machine does not
 * have is an error. Threads: any.
 */
#ifndef TW_BASE_CPU_H
#define TW_BASE_CPU_H

#include <stdbool.h>

#include "base/status.h"

enum tw_cpu_level {
    TW_CPU_REF = 0, /* plain C, baseline x86-64 */
    TW_CPU_AVX2,    /* x86-64-v3: AVX2, FMA, F16C, BMI, LZCNT, MOVBE */
    TW_CPU_AVX512,  /* x86-64-v4 (AVX-512 F BW CD DQ VL) and VNNI */
    TW_CPU_LEVEL_COUNT
};

/* "ref", "avx2", "avx512". */
const char *tw_cpu_level_name(enum tw_cpu_level level);

/* The highest level this machine can run. */
enum tw_cpu_level tw_cpu_detect(void);

/* The level to use: what TW_CPU asks for, otherwise tw_cpu_detect(). TW_ERR_USAGE for an unknown
 * word, TW_ERR_UNSUPPORTED for a level above the machine's. */
enum tw_status tw_cpu_choose(enum tw_cpu_level *ret_level, struct tw_error *error);

/* Whether a machine of level AVX512 also has AVX512-BF16: a faster way to the same bits. */
bool tw_cpu_has_bf16(void);

/* Cores this process may run on: its affinity mask, or less where its control groups grant less
 * time than those have. At least 1. */
int tw_cpu_count(void);

/* Cores' worth of time that control groups grant (v2 and v1), rounded up; 0: no bound. The paths
 * are those of /proc/self/cgroup and /sys/fs/cgroup. */
int tw_cpu_quota(const char *membership_path, const char *mount_path);

/* The processor's own name, e.g. "AMD EPYC". ret_name is always terminated. */
void tw_cpu_brand(char ret_name[64]);

#endif
