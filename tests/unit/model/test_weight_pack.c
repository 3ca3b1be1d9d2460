/* What would break if a file of packed weights were believed more than it can be checked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/limits.h"
#include "base/mem.h"
#include "byte_builder.h"
#include "model/weight_pack.h"

enum { FORM = 7, N_ITEMS = 3, HEADER_BYTES = 80 };

/* Places in the header, spelled out here. */
enum {
    AT_VERSION = 8,
    AT_FORM = 12,
    AT_FILE_BYTES = 16,
    AT_DIRECTORY = 24,
    AT_DIRECTORY_BYTES = 32,
    AT_N_STAMPS = 40,
    AT_N_ENTRIES = 44,
    AT_DIRECTORY_HASH = 64,
    AT_HEADER_HASH = 72
};

static const struct tw_file_stamp stamps[2] = {
    {.size_bytes = 100, .mtime_ns = 5, .ctime_ns = 6, .inode = 7, .mode = 0644},
    {.size_bytes = 200, .mtime_ns = 15, .ctime_ns = 16, .inode = 17, .mode = 0644}};

static unsigned char matrices[N_ITEMS][1000];
static const struct tw_pack_item items[N_ITEMS] = {
    {"first", matrices[0], 640}, {"second", matrices[1], 1000}, {"third", matrices[2], 64}};

static enum tw_status write_pack(const char *path, tw_pack_go_on_fn go_on, void *context)
{
    for (int i = 0; i < N_ITEMS; i++) {
        for (size_t k = 0; k < sizeof matrices[i]; k++) {
            matrices[i][k] = (unsigned char)(k * 31 + (size_t)i);
        }
    }
    return tw_weight_pack_write(path, FORM, stamps, 2, items, N_ITEMS, go_on, context, NULL);
}

/* The file's bytes, to be changed; freed by the caller. */
static unsigned char *whole_pack(size_t *ret_n_bytes)
{
    struct tw_file_map map;
    assert_int_equal(write_pack("p", NULL, NULL), TW_OK);
    assert_int_equal(tw_file_map_open("p", &map, NULL), TW_OK);
    unsigned char *copy = tw_mem_alloc(map.size_bytes, 1);
    memcpy(copy, map.data, map.size_bytes);
    *ret_n_bytes = map.size_bytes;
    tw_file_map_close(&map);
    return copy;
}

static enum tw_status open_bytes(const unsigned char *bytes, size_t n_bytes)
{
    struct tw_weight_pack *pack = NULL;
    struct tw_error error = {.status = TW_OK};
    /* A copy of exactly that length, so that a sanitizer sees a read beyond it. */
    unsigned char *copy = tw_mem_alloc(n_bytes, 1);
    memcpy(copy, bytes, n_bytes);
    enum tw_status status = tw_weight_pack_open_memory(copy, n_bytes, "p", &pack, &error);
    assert_true(status == TW_OK || strstr(error.text, "'p'") != NULL);
    tw_weight_pack_close(pack);
    tw_mem_free(copy);
    return status;
}

static uint64_t get64(const unsigned char *bytes)
{
    uint64_t value;
    memcpy(&value, bytes, sizeof value);
    return value;
}

static void put64(unsigned char *bytes, uint64_t value)
{
    memcpy(bytes, &value, sizeof value);
}

static void put32(unsigned char *bytes, uint32_t value)
{
    memcpy(bytes, &value, sizeof value);
}

/* Makes what was changed look as if it had been written so. */
static void sign(unsigned char *bytes)
{
    const size_t at = (size_t)get64(bytes + AT_DIRECTORY);
    const size_t n = (size_t)get64(bytes + AT_DIRECTORY_BYTES);
    put64(bytes + AT_DIRECTORY_HASH, tw_hash_of(bytes + at, n, 0));
    put64(bytes + AT_HEADER_HASH, tw_hash_of(bytes, AT_HEADER_HASH, 0));
}

static void what_was_written_is_found_at_multiples_of_64(void **state)
{
    (void)state;
    struct tw_weight_pack *pack = NULL;
    assert_int_equal(write_pack("p", NULL, NULL), TW_OK);
    assert_int_equal(tw_weight_pack_open("p", NULL, &pack, NULL), TW_OK);
    assert_int_equal(tw_weight_pack_count(pack), N_ITEMS);
    for (int i = 0; i < N_ITEMS; i++) {
        const void *bytes = NULL;
        size_t n_bytes = 0;
        assert_true(tw_weight_pack_find(pack, items[i].key, &bytes, &n_bytes));
        assert_int_equal(n_bytes, items[i].n_bytes);
        assert_int_equal((uintptr_t)bytes % TW_PACK_ALIGNMENT, 0);
        assert_memory_equal(bytes, items[i].bytes, n_bytes);
    }
    const void *none = NULL;
    size_t n_none;
    assert_false(tw_weight_pack_find(pack, "fourth", &none, &n_none));
    assert_int_equal(tw_weight_pack_check(pack, NULL), TW_OK);
    tw_weight_pack_close(pack);
}

static void a_change_in_header_or_directory_is_seen_at_once_and_in_weights_by_the_check(
    void **state)
{
    (void)state;
    size_t n_bytes;
    unsigned char *bytes = whole_pack(&n_bytes);
    const size_t directory_at = (size_t)get64(bytes + AT_DIRECTORY);
    for (size_t i = 0; i < n_bytes; i++) {
        const bool is_content = i >= TW_PACK_DATA_AT && i < directory_at;
        const bool is_padding = i >= HEADER_BYTES && i < TW_PACK_DATA_AT;
        struct tw_weight_pack *pack = NULL;
        bytes[i] ^= 16;
        enum tw_status status = tw_weight_pack_open_memory(bytes, n_bytes, "p", &pack, NULL);
        assert_int_equal(status, is_content || is_padding ? TW_OK : TW_ERR_FORMAT);
        if (is_content) {
            assert_int_equal(tw_weight_pack_check(pack, NULL), TW_ERR_FORMAT);
        }
        tw_weight_pack_close(pack);
        bytes[i] ^= 16;
    }
    assert_int_equal(open_bytes(bytes, n_bytes), TW_OK);
    tw_mem_free(bytes);
}

static void a_file_cut_short_or_too_long_is_none(void **state)
{
    (void)state;
    size_t n_bytes;
    unsigned char *bytes = whole_pack(&n_bytes);
    for (size_t n = 0; n < n_bytes; n += n < TW_PACK_DATA_AT - 100 ? 97 : 1) {
        assert_int_equal(open_bytes(bytes, n), TW_ERR_FORMAT);
    }
    bytes = tw_mem_realloc(bytes, n_bytes + 8, 1);
    put64(bytes + n_bytes, 0);
    assert_int_equal(open_bytes(bytes, n_bytes + 8), TW_ERR_FORMAT);
    tw_mem_free(bytes);
}

/* Whoever can write the file can also make its checksums right. */
static void a_header_that_lies_is_refused_with_right_checksums_too(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        bool is_64;
        uint64_t value;
        enum tw_status status;
    } lies[] = {
        {AT_VERSION, false, 2, TW_ERR_UNSUPPORTED},
        {AT_FILE_BYTES, true, 4096, TW_ERR_FORMAT},
        {AT_FILE_BYTES, true, UINT64_MAX, TW_ERR_FORMAT},
        {AT_DIRECTORY, true, 0, TW_ERR_FORMAT},
        {AT_DIRECTORY, true, UINT64_MAX - 63, TW_ERR_FORMAT},
        {AT_DIRECTORY_BYTES, true, 1, TW_ERR_FORMAT},
        {AT_DIRECTORY_BYTES, true, UINT64_MAX, TW_ERR_FORMAT},
        {AT_N_STAMPS, false, 9, TW_ERR_FORMAT},
        {AT_N_STAMPS, false, UINT32_MAX, TW_ERR_LIMIT},
        {AT_N_ENTRIES, false, 9, TW_ERR_FORMAT},
        {AT_N_ENTRIES, false, UINT32_MAX, TW_ERR_LIMIT},
        {AT_N_ENTRIES, false, TW_LIMIT_PACK_MATRICES, TW_ERR_FORMAT},
    };
    size_t n_bytes;
    unsigned char *bytes = whole_pack(&n_bytes);
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        unsigned char *copy = tw_mem_alloc(n_bytes, 1);
        memcpy(copy, bytes, n_bytes);
        if (lies[i].is_64) {
            put64(copy + lies[i].at, lies[i].value);
        } else {
            put32(copy + lies[i].at, (uint32_t)lies[i].value);
        }
        put64(copy + AT_HEADER_HASH, tw_hash_of(copy, AT_HEADER_HASH, 0));
        assert_int_equal(open_bytes(copy, n_bytes), lies[i].status);
        tw_mem_free(copy);
    }
    tw_mem_free(bytes);
}

/* An entry: place, length, place of its key, length of its key. */
static void an_entry_that_lies_is_refused_with_right_checksums_too(void **state)
{
    (void)state;
    enum { STAMP_BYTES = 32, ENTRY_BYTES = 24 };
    static const struct {
        int entry;
        size_t at;
        bool is_64;
        uint64_t value;
    } lies[] = {
        {0, 0, true, 0},          {0, 0, true, 4097},       {0, 0, true, 4160},
        {0, 8, true, 641 + 63},   {0, 8, true, UINT64_MAX}, {1, 0, true, 4096},
        {2, 8, true, UINT64_MAX}, {2, 8, true, 4096},       {2, 0, true, UINT64_MAX - 63},
        {0, 16, false, 100},      {0, 20, false, 100},      {0, 16, false, UINT32_MAX},
        {1, 20, false, 1u << 31},
    };
    size_t n_bytes;
    unsigned char *bytes = whole_pack(&n_bytes);
    const size_t entries_at = (size_t)get64(bytes + AT_DIRECTORY) + 2 * STAMP_BYTES;
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        unsigned char *copy = tw_mem_alloc(n_bytes, 1);
        memcpy(copy, bytes, n_bytes);
        unsigned char *at = copy + entries_at + (size_t)lies[i].entry * ENTRY_BYTES + lies[i].at;
        if (lies[i].is_64) {
            put64(at, lies[i].value);
        } else {
            put32(at, (uint32_t)lies[i].value);
        }
        sign(copy);
        assert_int_equal(open_bytes(copy, n_bytes), TW_ERR_FORMAT);
        tw_mem_free(copy);
    }
    /* the second has the first one's name */
    put32(bytes + entries_at + ENTRY_BYTES + 16, 0);
    put32(bytes + entries_at + ENTRY_BYTES + 20, (uint32_t)strlen("first"));
    sign(bytes);
    assert_int_equal(open_bytes(bytes, n_bytes), TW_ERR_FORMAT);
    tw_mem_free(bytes);
}

static void it_is_of_these_files_in_this_state_and_form_and_no_others(void **state)
{
    (void)state;
    struct tw_weight_pack *pack = NULL;
    assert_int_equal(write_pack("p", NULL, NULL), TW_OK);
    assert_int_equal(tw_weight_pack_open("p", NULL, &pack, NULL), TW_OK);
    assert_true(tw_weight_pack_is_of(pack, FORM, stamps, 2));
    assert_false(tw_weight_pack_is_of(pack, FORM + 1, stamps, 2));
    assert_false(tw_weight_pack_is_of(pack, FORM, stamps, 1));
    for (int i = 0; i < 4; i++) {
        struct tw_file_stamp other[2] = {stamps[0], stamps[1]};
        other[1].size_bytes += i == 0;
        other[1].mtime_ns += i == 1;
        other[1].ctime_ns += i == 2;
        other[1].inode += i == 3;
        assert_false(tw_weight_pack_is_of(pack, FORM, other, 2));
    }
    tw_weight_pack_close(pack);
}

static bool stop_at_third(void *context)
{
    int *n = context;
    return ++*n < N_ITEMS;
}

static bool die_at_third(void *context)
{
    int *n = context;
    if (++*n == N_ITEMS) {
        raise(SIGKILL);
    }
    return true;
}

static void a_writer_that_is_stopped_or_killed_leaves_nothing_that_looks_whole(void **state)
{
    (void)state;
    int n = 0, exit_status;
    struct tw_weight_pack *pack = NULL;
    assert_int_equal(write_pack("p", stop_at_third, &n), TW_ERR_CANCELLED);
    assert_false(tw_file_exists("p"));
    assert_false(tw_file_exists("p.partial-tokenworks-0"));
    pid_t child = fork();
    if (child == 0) {
        n = 0;
        write_pack("p", die_at_third, &n);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &exit_status, 0), child);
    assert_true(WIFSIGNALED(exit_status));
    assert_false(tw_file_exists("p"));
    assert_int_equal(tw_weight_pack_open("p.partial-tokenworks-0", NULL, &pack, NULL),
                     TW_ERR_FORMAT);
    assert_int_equal(write_pack("p", NULL, NULL), TW_OK);
    assert_false(tw_file_exists("p.partial-tokenworks-0"));
    assert_int_equal(tw_weight_pack_open("p", NULL, &pack, NULL), TW_OK);
    tw_weight_pack_close(pack);
}

static unsigned mode_of_pack(uint32_t first_mode, uint32_t second_mode, uint32_t second_group)
{
    struct stat st;
    struct tw_file_stamp narrow[2] = {stamps[0], stamps[1]};
    narrow[0].mode = first_mode;
    narrow[0].group = getegid();
    narrow[1].mode = second_mode;
    narrow[1].group = second_group;
    assert_int_equal(tw_weight_pack_write("p", FORM, narrow, 2, items, N_ITEMS, NULL, NULL, NULL),
                     TW_OK);
    assert_int_equal(stat("p", &st), 0);
    return st.st_mode & 07777;
}

static void nobody_may_read_it_who_may_not_read_every_original(void **state)
{
    (void)state;
    const uint32_t ours = getegid();
    assert_int_equal(mode_of_pack(0755, 0644, ours), 0644);
    assert_int_equal(mode_of_pack(0600, 0644, ours), 0600); /* whatever stood there before */
    assert_int_equal(mode_of_pack(0644, 0640, ours), 0640);
    assert_int_equal(mode_of_pack(0664, 0660, ours + 1), 0600);
    assert_int_equal(mode_of_pack(0400, 0400, ours), 0600);
}

static void a_folder_or_pipe_in_its_place_is_left_alone(void **state)
{
    (void)state;
    struct tw_weight_pack *pack = NULL;
    assert_int_equal(mkdir("p", 0700), 0);
    assert_int_equal(write_pack("p", NULL, NULL), TW_ERR_IO);
    assert_int_equal(tw_weight_pack_open("p", NULL, &pack, NULL), TW_ERR_IO);
    assert_int_equal(mkfifo("q", 0600), 0);
    assert_int_equal(write_pack("q", NULL, NULL), TW_ERR_IO);
    assert_int_equal(tw_weight_pack_open("q", NULL, &pack, NULL), TW_ERR_IO);
}

/* Garbage, so that an error of another kind would say that it was read. */
static void a_strangers_file_is_refused_before_it_is_read(void **state)
{
    (void)state;
    const struct tw_file_stamp about = {.owner = geteuid()};
    struct tw_weight_pack *pack = NULL;
    struct tw_error error;
    FILE *file = fopen("p", "w");
    assert_non_null(file);
    assert_true(fputs("garbage", file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(tw_weight_pack_open("p", &about, &pack, &error), TW_ERR_FORMAT);
    if (chown("p", 65534, (gid_t)-1) != 0) {
        print_message("# not tested: root alone can give files away\n");
        return; /* cmocka's skip() is a failure for meson */
    }
    assert_int_equal(tw_weight_pack_open("p", &about, &pack, &error), TW_ERR_IO);
    assert_non_null(strstr(error.text, "somebody else"));
    const struct tw_file_stamp theirs = {.owner = 65534};
    assert_int_equal(tw_weight_pack_open("p", &theirs, &pack, &error), TW_ERR_FORMAT);
    assert_null(pack);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, enter_new_folder, leave_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(what_was_written_is_found_at_multiples_of_64),
        IN_FOLDER(a_change_in_header_or_directory_is_seen_at_once_and_in_weights_by_the_check),
        IN_FOLDER(a_file_cut_short_or_too_long_is_none),
        IN_FOLDER(a_header_that_lies_is_refused_with_right_checksums_too),
        IN_FOLDER(an_entry_that_lies_is_refused_with_right_checksums_too),
        IN_FOLDER(it_is_of_these_files_in_this_state_and_form_and_no_others),
        IN_FOLDER(a_writer_that_is_stopped_or_killed_leaves_nothing_that_looks_whole),
        IN_FOLDER(nobody_may_read_it_who_may_not_read_every_original),
        IN_FOLDER(a_folder_or_pipe_in_its_place_is_left_alone),
        IN_FOLDER(a_strangers_file_is_refused_before_it_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
