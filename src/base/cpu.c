#define _GNU_SOURCE
#include "base/cpu.h"

#include <cpuid.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Bits of CPUID and XCR0, from the Intel SDM. The levels are what the compiler may use for them
 * (kernel/meson.build): all of x86-64-v3 for AVX2, x86-64-v4 and VNNI for AVX-512. Machines with
 * AVX2 but without, say, MOVBE exist: emulators and hypervisors that mask it. */
#define BIT(n)            (1u << (n))
/* v3: FMA MOVBE POPCNT AVX F16C; BMI1 AVX2 BMI2; LZCNT. v4: F DQ CD BW VL. */
#define LEAF1_ECX_V3      (BIT(12) | BIT(22) | BIT(23) | BIT(28) | BIT(29))
#define LEAF1_ECX_OSXSAVE BIT(27)
#define LEAF7_EBX_V3      (BIT(3) | BIT(5) | BIT(8))
#define LEAF81_ECX_V3     BIT(5)
#define LEAF7_EBX_V4      (BIT(16) | BIT(17) | BIT(28) | BIT(30) | BIT(31))
#define LEAF7_ECX_VNNI    BIT(11)
#define LEAF71_EAX_BF16   BIT(5)
#define XCR0_AVX          0x06u
#define XCR0_AVX512       0xe6u

static const char *const level_names[TW_CPU_LEVEL_COUNT] = {
    [TW_CPU_REF] = "ref",
    [TW_CPU_AVX2] = "avx2",
    [TW_CPU_AVX512] = "avx512",
};

const char *tw_cpu_level_name(enum tw_cpu_level level)
{
    return level_names[level];
}

static unsigned read_xcr0(void)
{
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

static bool has_all(unsigned value, unsigned bits)
{
    return (value & bits) == bits;
}

enum tw_cpu_level tw_cpu_detect(void)
{
    unsigned a, b, d, c1, b7, c7, c81;
    if (!__get_cpuid(1, &a, &b, &c1, &d) || !__get_cpuid_count(7, 0, &a, &b7, &c7, &d) ||
        !__get_cpuid(0x80000001u, &a, &b, &c81, &d)) {
        return TW_CPU_REF;
    }
    if (!has_all(c1, LEAF1_ECX_V3 | LEAF1_ECX_OSXSAVE) || !has_all(b7, LEAF7_EBX_V3) ||
        !has_all(c81, LEAF81_ECX_V3) || !has_all(read_xcr0(), XCR0_AVX)) {
        return TW_CPU_REF;
    }
    if (!has_all(b7, LEAF7_EBX_V4) || !has_all(c7, LEAF7_ECX_VNNI) ||
        !has_all(read_xcr0(), XCR0_AVX512)) {
        return TW_CPU_AVX2;
    }
    return TW_CPU_AVX512;
}

bool tw_cpu_has_bf16(void)
{
    unsigned a, b, c, d;
    return tw_cpu_detect() == TW_CPU_AVX512 && __get_cpuid_count(7, 1, &a, &b, &c, &d) &&
           has_all(a, LEAF71_EAX_BF16);
}

enum tw_status tw_cpu_choose(enum tw_cpu_level *ret_level, struct tw_error *error)
{
    enum tw_cpu_level best = tw_cpu_detect();
    const char *wish = getenv("TW_CPU");
    if (wish == NULL || wish[0] == '\0') {
        *ret_level = best;
        return TW_OK;
    }
    for (int level = 0; level < TW_CPU_LEVEL_COUNT; level++) {
        if (strcmp(wish, level_names[level]) != 0) {
            continue;
        }
        if (level > (int)best) {
            return tw_error_set(error, TW_ERR_UNSUPPORTED, TW_NO_POSITION,
                                "TW_CPU=%s: this machine can run at most '%s'", wish,
                                level_names[best]);
        }
        *ret_level = (enum tw_cpu_level)level;
        return TW_OK;
    }
    return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                        "TW_CPU=%s: it must be ref, avx2 or avx512", wish);
}

int tw_cpu_count(void)
{
    cpu_set_t set;
    /* The set is too small for machines of more than 1024 cores; those answer EINVAL. */
    int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set)
                                                        : (int)sysconf(_SC_NPROCESSORS_ONLN);
    int quota = tw_cpu_quota("/proc/self/cgroup", "/sys/fs/cgroup");
    n = quota != 0 && quota < n ? quota : n;
    return n < 1 ? 1 : n > TW_LIMIT_THREADS ? TW_LIMIT_THREADS : n;
}

void tw_cpu_brand(char ret_name[64])
{
    unsigned words[12] = {0};
    for (unsigned i = 0; i < 3; i++) {
        unsigned *w = words + 4 * i;
        if (!__get_cpuid(0x80000002u + i, &w[0], &w[1], &w[2], &w[3])) {
            memcpy(ret_name, "unknown", sizeof "unknown");
            return;
        }
    }
    char text[sizeof words + 1] = {0};
    memcpy(text, words, sizeof words);
    const char *start = text + strspn(text, " ");
    size_t n = strlen(start);
    while (n > 0 && start[n - 1] == ' ') {
        n--;
    }
    memcpy(ret_name, start, n);
    ret_name[n] = '\0';
}
