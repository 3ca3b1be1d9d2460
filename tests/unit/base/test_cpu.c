#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cpu.h"
#include "base/limits.h"

static void without_a_wish_the_best_level_is_chosen(void **state)
{
    (void)state;
    enum tw_cpu_level level;
    unsetenv("TW_CPU");
    assert_int_equal(tw_cpu_choose(&level, NULL), TW_OK);
    assert_int_equal(level, tw_cpu_detect());
    setenv("TW_CPU", "", 1);
    assert_int_equal(tw_cpu_choose(&level, NULL), TW_OK);
    assert_int_equal(level, tw_cpu_detect());
}

static void a_wish_is_granted_up_to_what_the_machine_has(void **state)
{
    (void)state;
    for (int wish = 0; wish < TW_CPU_LEVEL_COUNT; wish++) {
        enum tw_cpu_level level = TW_CPU_LEVEL_COUNT;
        struct tw_error error;
        setenv("TW_CPU", tw_cpu_level_name((enum tw_cpu_level)wish), 1);
        enum tw_status status = tw_cpu_choose(&level, &error);
        if (wish <= (int)tw_cpu_detect()) {
            assert_int_equal(status, TW_OK);
            assert_int_equal(level, wish);
        } else {
            assert_int_equal(status, TW_ERR_UNSUPPORTED);
            assert_int_equal(level, TW_CPU_LEVEL_COUNT);
        }
    }
}

static void an_unknown_word_is_refused_with_the_words_there_are(void **state)
{
    (void)state;
    static const char *const words[] = {"AVX2", "avx", "ref ", "avx5122", "0", "native"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        enum tw_cpu_level level = TW_CPU_LEVEL_COUNT;
        struct tw_error error;
        setenv("TW_CPU", words[i], 1);
        assert_int_equal(tw_cpu_choose(&level, &error), TW_ERR_USAGE);
        assert_int_equal(level, TW_CPU_LEVEL_COUNT);
        assert_non_null(strstr(error.text, "ref, avx2 or avx512"));
    }
}

static bool has_flags(const char *line, const char *const *flags, size_t n_flags)
{
    for (size_t i = 0; i < n_flags; i++) {
        char word[32];
        snprintf(word, sizeof word, " %s ", flags[i]);
        if (strstr(line, word) == NULL) {
            return false;
        }
    }
    return true;
}

/* The kernel lists a flag only when the registers are saved, so it is a second opinion. Not asked
 * for is abm, which needs none: there are kernels that do not list it where processors have it. */
static void detection_agrees_with_the_kernel(void **state)
{
    (void)state;
    char line[8192] = "";
    FILE *f = fopen("/proc/cpuinfo", "r");
    assert_non_null(f);
    while (fgets(line, sizeof line, f) != NULL && strncmp(line, "flags", 5) != 0) {
    }
    fclose(f);
    line[strcspn(line, "\n")] = ' ';
    static const char *const v3[] = {"avx2", "fma", "f16c", "bmi1", "bmi2", "movbe", "popcnt"};
    static const char *const v4[] = {"avx512f",  "avx512bw", "avx512cd",
                                     "avx512dq", "avx512vl", "avx512_vnni"};
    enum tw_cpu_level expected = TW_CPU_REF;
    if (has_flags(line, v3, sizeof v3 / sizeof v3[0])) {
        bool wide = has_flags(line, v4, sizeof v4 / sizeof v4[0]);
        expected = wide ? TW_CPU_AVX512 : TW_CPU_AVX2;
    }
    assert_int_equal(tw_cpu_detect(), expected);
}

static void the_machine_has_cores_and_a_name(void **state)
{
    (void)state;
    char name[64];
    memset(name, 'x', sizeof name);
    tw_cpu_brand(name);
    assert_non_null(memchr(name, '\0', sizeof name));
    assert_true(name[0] != '\0' && name[0] != ' ');
    assert_in_range(tw_cpu_count(), 1, TW_LIMIT_THREADS);
}

static void put(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

/* A tree of control groups in a folder of its own: /a/b for both versions. */
static void the_time_that_control_groups_grant_counts_in_cores(void **state)
{
    (void)state;
    static const struct {
        const char *membership, *top, *upper, *lower, *quota_v1;
        int n_cores;
    } rows[] = {
        {"0::/a/b\n", "max 100000", "max 100000", "max 100000", "-1", 0},
        {"0::/a/b\n", "max 100000", "max 100000", "200000 100000", "-1", 2},
        {"0::/a/b\n", "max 100000", "max 100000", "150000 100000", "-1", 2},
        {"0::/a/b\n", "max 100000", "max 100000", "1000 100000", "-1", 1},
        {"0::/a/b\n", "max 100000", "50000 10000", "800000 100000", "-1", 5},
        {"0::/a/b\n", "300000 100000", "max 100000", "max 100000", "-1", 3},
        {"0::/not/here\n", "300000 100000", "100000 100000", "100000 100000", "-1", 3},
        {"0::/a/b", "junk", "", "100000", "-1", 0},
        {"0::/a/b\n", "max 1", "max 1", "9000000000000000000 1", "-1", TW_LIMIT_THREADS},
        {"1:name=systemd:/\n4:cpuacct,cpu:/a/b\n0::/\n", "max 1", "max 1", "max 1", "250000", 3},
        {"4:cpuacct,cpuset:/a/b\n", "max 1", "max 1", "max 1", "250000", 0},
        {"4:cpu:/a/b\n0::/a/b\n", "max 1", "max 1", "400000 100000", "250000", 3},
        {"nonsense\n:\n::\n", "max 1", "max 1", "max 1", "-1", 0},
    };
    char folder[] = "/tmp/tokenworks-cpu-XXXXXX";
    assert_non_null(mkdtemp(folder));
    assert_int_equal(chdir(folder), 0);
    static const char *const folders[] = {"a", "a/b", "cpu", "cpu/a", "cpu/a/b"};
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        assert_int_equal(mkdir(folders[i], 0700), 0);
    }
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        put("membership", rows[i].membership);
        put("cpu.max", rows[i].top);
        put("a/cpu.max", rows[i].upper);
        put("a/b/cpu.max", rows[i].lower);
        put("cpu/a/b/cpu.cfs_quota_us", rows[i].quota_v1);
        put("cpu/a/b/cpu.cfs_period_us", "100000");
        int n = tw_cpu_quota("membership", folder);
        if (n != rows[i].n_cores) {
            fail_msg("row %zu: expected %d cores, got %d", i, rows[i].n_cores, n);
        }
    }
    assert_int_equal(tw_cpu_quota("absent", folder), 0);
    static const char *const files[] = {"membership",
                                        "cpu.max",
                                        "a/cpu.max",
                                        "a/b/cpu.max",
                                        "cpu/a/b/cpu.cfs_quota_us",
                                        "cpu/a/b/cpu.cfs_period_us"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        assert_int_equal(remove(files[i]), 0);
    }
    for (size_t i = sizeof folders / sizeof folders[0]; i-- > 0;) {
        assert_int_equal(remove(folders[i]), 0);
    }
    assert_int_equal(chdir("/"), 0);
    assert_int_equal(remove(folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_wish_the_best_level_is_chosen),
        cmocka_unit_test(a_wish_is_granted_up_to_what_the_machine_has),
        cmocka_unit_test(an_unknown_word_is_refused_with_the_words_there_are),
        cmocka_unit_test(detection_agrees_with_the_kernel),
        cmocka_unit_test(the_machine_has_cores_and_a_name),
        cmocka_unit_test(the_time_that_control_groups_grant_counts_in_cores),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
