#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "probe/meters.h"

static char folder[64];

static void put(const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%.100s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void put_zone(const char *zone, const char *name, const char *energy, const char *range)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%.60s", folder, zone);
    mkdir(path, 0700);
    snprintf(path, sizeof path, "%.60s/name", zone);
    put(path, name);
    snprintf(path, sizeof path, "%.60s/energy_uj", zone);
    put(path, energy);
    if (range != NULL) {
        snprintf(path, sizeof path, "%.60s/max_energy_range_uj", zone);
        put(path, range);
    }
}

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/meters-XXXXXX");
    unsetenv("TW_FIXTURE_CARDS");
    return mkdtemp(folder) == NULL;
}

static int remove_folder(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

static struct tw_probe_meters *open_all(const char *nvml)
{
    struct tw_probe_meters *meters = NULL;
    struct tw_error error;
    if (tw_probe_meters_open(folder, nvml, &meters, &error) != TW_OK) {
        fail_msg("%s", error.text);
    }
    return meters;
}

static void must_show(const struct tw_probe_meters *meters, uint32_t i, const char *name,
                      uint64_t range_uj, uint64_t now_uj)
{
    uint64_t uj = 0;
    assert_true(i < tw_probe_meters_n(meters));
    assert_string_equal(tw_probe_meters_at(meters, i)->name, name);
    assert_int_equal(tw_probe_meters_at(meters, i)->range_uj, range_uj);
    assert_int_equal(tw_probe_meters_read(meters, i, &uj, NULL), TW_OK);
    assert_int_equal(uj, now_uj);
}

static void put_server(void)
{
    put_zone("intel-rapl:10", "package-2\n", "30\n", "262143328850\n");
    put_zone("intel-rapl:0", "package-0\n", "1000\n", "262143328850\n");
    put_zone("intel-rapl:0:0", "core\n", "500\n", "262143328850\n");
    put_zone("intel-rapl:0:1", "dram\n", "2000\n", "65712999613\n");
    put_zone("intel-rapl:1", "package-1-die-0\n", "3000\n", "262143328850\n");
    put_zone("intel-rapl:1:0", "uncore\n", "1\n", "262143328850\n");
    put_zone("intel-rapl:1:1", "dram\n", "18446744073709551615\n", "18446744073709551615\n");
    put_zone("intel-rapl:2", "psys\n", "99999\n", "262143328850\n");
    put_zone("intel-rapl-mmio:0", "package-0\n", "1000\n", "262143328850\n");
    put_zone("dtpm", "x\n", "1\n", "1\n");
}

static void packages_and_their_memory_are_counted_once(void **state)
{
    (void)state;
    put_server();
    struct tw_probe_meters *meters = open_all(NULL);
    assert_int_equal(tw_probe_meters_n(meters), 5);
    must_show(meters, 0, "rapl package-0", 262143328850, 1000);
    must_show(meters, 1, "rapl package-0 dram", 65712999613, 2000);
    must_show(meters, 2, "rapl package-1-die-0", 262143328850, 3000);
    must_show(meters, 3, "rapl package-1-die-0 dram", UINT64_MAX, UINT64_MAX);
    must_show(meters, 4, "rapl package-2", 262143328850, 30);
    assert_int_equal(tw_probe_meters_n_notes(meters), 0);
    put("intel-rapl:0/energy_uj", "1234567\n");
    must_show(meters, 0, "rapl package-0", 262143328850, 1234567);
    tw_probe_meters_close(meters);
}

static void what_cannot_be_read_is_left_out_with_a_reason(void **state)
{
    char path[256];
    (void)state;
    put_server();
    snprintf(path, sizeof path, "%s/intel-rapl:0/energy_uj", folder);
    unlink(path);
    mkdir(path, 0700); /* cannot be read, even by root */
    snprintf(path, sizeof path, "%s/intel-rapl:0:1/max_energy_range_uj", folder);
    unlink(path);
    put("intel-rapl:1:1/energy_uj", "-5\n");
    put("intel-rapl:10/max_energy_range_uj", "0\n");
    struct tw_probe_meters *meters = open_all(NULL);
    assert_int_equal(tw_probe_meters_n(meters), 1);
    must_show(meters, 0, "rapl package-1-die-0", 262143328850, 3000);
    assert_int_equal(tw_probe_meters_n_notes(meters), 4);
    assert_non_null(strstr(tw_probe_meters_note(meters, 0), "rapl package-0 is left out"));
    assert_non_null(strstr(tw_probe_meters_note(meters, 0), "run as root"));
    assert_non_null(strstr(tw_probe_meters_note(meters, 1), "rapl package-0 dram is left out"));
    assert_non_null(strstr(tw_probe_meters_note(meters, 2), "no whole number"));
    assert_non_null(strstr(tw_probe_meters_note(meters, 3), "rapl package-2 is left out"));
    tw_probe_meters_close(meters);
}

/* Permissions do not hold for root: who is root is nobody for a moment. */
static void a_counter_for_root_alone_is_said_to_be_one(void **state)
{
    char path[256];
    struct tw_probe_meters *meters = NULL;
    struct tw_error error;
    const uid_t who = geteuid();
    (void)state;
    put_zone("intel-rapl:0", "package-0\n", "1000\n", "262143328850\n");
    snprintf(path, sizeof path, "%s/intel-rapl:0", folder);
    assert_int_equal(chmod(folder, 0755) + chmod(path, 0755), 0);
    snprintf(path, sizeof path, "%s/intel-rapl:0/energy_uj", folder);
    assert_int_equal(chmod(path, who == 0 ? 0400 : 0), 0);
    assert_int_equal(who == 0 ? seteuid(65534) : 0, 0);
    const enum tw_status status = tw_probe_meters_open(folder, NULL, &meters, &error);
    assert_int_equal(who == 0 ? seteuid(who) : 0, 0);
    assert_int_equal(status, TW_ERR_UNSUPPORTED);
    assert_non_null(strstr(error.text, "rapl package-0 is left out"));
    assert_non_null(strstr(error.text, "Permission denied"));
    assert_non_null(strstr(error.text, "run as root"));
}

static void a_machine_without_counters_is_refused_with_the_reason(void **state)
{
    struct tw_probe_meters *meters = NULL;
    struct tw_error error;
    (void)state;
    assert_int_equal(tw_probe_meters_open(folder, NULL, &meters, &error), TW_ERR_UNSUPPORTED);
    assert_non_null(strstr(error.text, "no intel-rapl zones"));
    assert_int_equal(tw_probe_meters_open("not-there", NULL, &meters, &error), TW_ERR_UNSUPPORTED);
    assert_non_null(strstr(error.text, "there is no folder not-there"));
    assert_null(meters);
}

static void a_library_that_is_named_must_be_there(void **state)
{
    struct tw_probe_meters *meters = NULL;
    struct tw_error error;
    (void)state;
    put_server();
    assert_int_equal(tw_probe_meters_open(folder, "./no-such.so", &meters, &error),
                     TW_ERR_NOT_FOUND);
    assert_non_null(strstr(error.text, "no-such.so"));
}

static void set_cards(const char *text)
{
    char path[256];
    put("cards", text);
    snprintf(path, sizeof path, "%s/cards", folder);
    setenv("TW_FIXTURE_CARDS", path, 1);
}

static void several_cards_are_known_by_their_uuid(void **state)
{
    (void)state;
    put_zone("intel-rapl:0", "package-0\n", "1000\n", "262143328850\n");
    set_cards("GPU-aaaa 5\nGPU-bbbb none\nGPU-cccc 7000000000\nGPU-dddd lost\n");
    struct tw_probe_meters *meters = open_all(TW_FIXTURE_NVML);
    assert_int_equal(tw_probe_meters_n(meters), 3);
    must_show(meters, 1, "nvml GPU-aaaa", 0, 5000);
    must_show(meters, 2, "nvml GPU-cccc", 0, UINT64_C(7000000000000));
    assert_int_equal(tw_probe_meters_n_notes(meters), 2);
    assert_non_null(strstr(tw_probe_meters_note(meters, 0), "card 1 is left out: it has no"));
    assert_non_null(strstr(tw_probe_meters_note(meters, 1), "card 3 is left out"));
    set_cards("GPU-aaaa 9\nGPU-bbbb none\nGPU-cccc lost\nGPU-dddd lost\n");
    must_show(meters, 1, "nvml GPU-aaaa", 0, 9000);
    uint64_t uj = 17;
    struct tw_error error;
    assert_int_equal(tw_probe_meters_read(meters, 2, &uj, &error), TW_ERR_IO);
    assert_int_equal(uj, 17);
    assert_non_null(strstr(error.text, "nvml GPU-cccc can no longer be read"));
    tw_probe_meters_close(meters);
}

static void cards_alone_are_enough(void **state)
{
    (void)state;
    set_cards("GPU-aaaa 5\n");
    struct tw_probe_meters *meters = open_all(TW_FIXTURE_NVML);
    assert_int_equal(tw_probe_meters_n(meters), 1);
    must_show(meters, 0, "nvml GPU-aaaa", 0, 5000);
    tw_probe_meters_close(meters);
}

static void the_start_of_a_machine_has_a_name(void **state)
{
    char id[TW_LIMIT_METER_BOOT_BYTES], path[256];
    (void)state;
    put("boot", "6f1c7a0e-0000-0000-0000-1234567890ab\n");
    snprintf(path, sizeof path, "%s/boot", folder);
    assert_int_equal(tw_probe_boot_id(path, id, NULL), TW_OK);
    assert_string_equal(id, "6f1c7a0e-0000-0000-0000-1234567890ab");
    put("boot", "");
    assert_int_equal(tw_probe_boot_id(path, id, NULL), TW_ERR_FORMAT);
    assert_int_equal(tw_probe_boot_id(NULL, id, NULL), TW_OK);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(packages_and_their_memory_are_counted_once),
        CASE(what_cannot_be_read_is_left_out_with_a_reason),
        CASE(a_counter_for_root_alone_is_said_to_be_one),
        CASE(a_machine_without_counters_is_refused_with_the_reason),
        CASE(a_library_that_is_named_must_be_there),
        CASE(several_cards_are_known_by_their_uuid),
        CASE(cards_alone_are_enough),
        CASE(the_start_of_a_machine_has_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
