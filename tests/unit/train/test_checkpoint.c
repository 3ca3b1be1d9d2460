/* What would break if a run went on from another state than the one that was saved. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/hash.h"
#include "train/checkpoint.h"

enum { N_VALUES = 5, N_HISTORY = 3, CAPACITY = 4 };

/* Where things stand in a file of such a state. */
enum {
    FINGERPRINT_AT = 8,
    N_VALUES_AT = 16,
    N_HISTORY_AT = 24,
    FILE_BYTES = 40 + N_HISTORY * 20 + 3 * N_VALUES * 4 + 8
};

struct memory {
    struct tw_train_state state;
    float values[3][N_VALUES];
    struct tw_train_point history[CAPACITY];
};

static void set_up(struct memory *memory)
{
    memset(memory, 0, sizeof *memory);
    memory->state = (struct tw_train_state){.fingerprint = UINT64_C(0x0123456789abcdef),
                                            .n_values = N_VALUES,
                                            .weights = memory->values[0],
                                            .m = memory->values[1],
                                            .v = memory->values[2],
                                            .history_capacity = CAPACITY,
                                            .history = memory->history};
}

static void fill(struct memory *memory)
{
    set_up(memory);
    for (int i = 0; i < 3 * N_VALUES; i++) {
        memory->values[i / N_VALUES][i % N_VALUES] = (float)i * 0.37f - 1;
    }
    for (uint32_t i = 0; i < N_HISTORY; i++) {
        memory->history[i] = (struct tw_train_point){i, 3.0f / (float)(i + 1), 0.5f, 1e-3f, 7.0f};
    }
    memory->state.n_history = N_HISTORY;
    memory->state.seconds = 12.25;
}

static char path[64];

static int make_path(void **state)
{
    (void)state;
    memcpy(path, "/tmp/tokenworks-checkpoint-XXXXXX", 34);
    int fd = mkstemp(path);
    return fd >= 0 ? close(fd) : -1;
}

static int remove_path(void **state)
{
    (void)state;
    unlink(path);
    return 0;
}

/* The bytes of a whole checkpoint. */
static void whole(uint8_t ret_bytes[FILE_BYTES])
{
    struct memory memory;
    struct tw_buf buf;
    fill(&memory);
    assert_int_equal(tw_checkpoint_write(path, &memory.state, NULL), TW_OK);
    assert_int_equal(tw_file_read(path, 1 << 20, &buf, NULL), TW_OK);
    assert_int_equal(buf.size_bytes, FILE_BYTES);
    memcpy(ret_bytes, buf.data, FILE_BYTES);
    tw_buf_free(&buf);
}

static void seal(uint8_t *bytes, size_t n_bytes)
{
    struct tw_hash *hash = tw_hash_create();
    tw_hash_add(hash, bytes, n_bytes - 8);
    uint64_t value = tw_hash_value(hash);
    memcpy(bytes + n_bytes - 8, &value, 8);
    tw_hash_free(hash);
}

/* The status, having seen that a refusal leaves the state alone. */
static enum tw_status parse(const uint8_t *bytes, size_t n_bytes, struct tw_error *error)
{
    struct memory memory, untouched;
    set_up(&memory);
    set_up(&untouched);
    enum tw_status status = tw_checkpoint_parse(bytes, n_bytes, "c.tw", &memory.state, error);
    if (status != TW_OK) {
        assert_memory_equal(memory.values, untouched.values, sizeof memory.values);
        assert_memory_equal(memory.history, untouched.history, sizeof memory.history);
        assert_int_equal(memory.state.n_history, 0);
    }
    return status;
}

static void what_was_written_is_read(void **state)
{
    (void)state;
    struct memory written, read;
    fill(&written);
    set_up(&read);
    assert_int_equal(tw_checkpoint_write(path, &written.state, NULL), TW_OK);
    assert_int_equal(tw_checkpoint_read(path, &read.state, NULL), TW_OK);
    assert_memory_equal(read.values, written.values, sizeof read.values);
    assert_memory_equal(read.history, written.history, sizeof read.history);
    assert_int_equal(read.state.n_history, N_HISTORY);
    assert_true(read.state.seconds == 12.25);
}

static void the_bytes_are_those_of_the_documented_format(void **state)
{
    (void)state;
    struct memory memory;
    uint8_t bytes[FILE_BYTES], want[FILE_BYTES];
    uint64_t numbers[] = {UINT64_C(0x0123456789abcdef), N_VALUES, N_HISTORY};
    fill(&memory);
    whole(bytes);
    memcpy(want, "TWTRAIN1", 8);
    memcpy(want + FINGERPRINT_AT, numbers, sizeof numbers);
    memcpy(want + 32, &memory.state.seconds, 8);
    memcpy(want + 40, memory.history, N_HISTORY * 20);
    memcpy(want + 40 + N_HISTORY * 20, memory.values, sizeof memory.values);
    seal(want, sizeof want);
    assert_memory_equal(bytes, want, sizeof want);
}

static void a_run_without_a_step_can_be_saved(void **state)
{
    (void)state;
    struct memory written, read;
    fill(&written);
    set_up(&read);
    written.state.n_history = 0;
    assert_int_equal(tw_checkpoint_write(path, &written.state, NULL), TW_OK);
    assert_int_equal(tw_checkpoint_read(path, &read.state, NULL), TW_OK);
    assert_int_equal(read.state.n_history, 0);
    assert_memory_equal(read.values, written.values, sizeof read.values);
}

static void one_wrong_bit_anywhere_is_noticed(void **state)
{
    (void)state;
    uint8_t bytes[FILE_BYTES];
    struct tw_error error;
    whole(bytes);
    assert_int_equal(parse(bytes, FILE_BYTES, &error), TW_OK);
    for (size_t bit = 0; bit < 8 * FILE_BYTES; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(parse(bytes, FILE_BYTES, &error), TW_ERR_FORMAT);
        assert_non_null(strstr(error.text, "'c.tw' is no whole checkpoint"));
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

static void a_file_of_any_other_length_is_refused(void **state)
{
    (void)state;
    uint8_t bytes[FILE_BYTES + 64] = {0};
    struct tw_error error;
    whole(bytes);
    for (size_t n = 0; n < sizeof bytes; n++) {
        assert_int_equal(parse(bytes, n, &error), n == FILE_BYTES ? TW_OK : TW_ERR_FORMAT);
    }
    for (size_t n = 8; n < sizeof bytes; n++) {
        whole(bytes);
        seal(bytes, n); /* as a program would that does not know the format */
        assert_int_equal(parse(bytes, n, &error), n == FILE_BYTES ? TW_OK : TW_ERR_FORMAT);
    }
}

static void numbers_that_claim_too_much_are_refused(void **state)
{
    (void)state;
    static const uint64_t wrong[] = {
        0, 2, 4, 5, 6, UINT32_MAX, UINT64_MAX, 1ull << 62, 1ull << 63, 1ull << 32 | 3};
    uint8_t bytes[FILE_BYTES];
    struct tw_error error;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        whole(bytes);
        memcpy(bytes + N_HISTORY_AT, &wrong[i], 8);
        seal(bytes, FILE_BYTES);
        assert_int_equal(parse(bytes, FILE_BYTES, &error), TW_ERR_FORMAT);
        whole(bytes);
        memcpy(bytes + N_VALUES_AT, &wrong[i], 8);
        seal(bytes, FILE_BYTES);
        assert_int_equal(parse(bytes, FILE_BYTES, &error),
                         wrong[i] == N_VALUES ? TW_OK : TW_ERR_USAGE);
    }
}

static void more_steps_than_there_is_room_for_are_refused_in_a_whole_file_too(void **state)
{
    (void)state;
    enum { N_STEPS = CAPACITY + 1, MORE = (N_STEPS - N_HISTORY) * 20 };
    uint8_t bytes[FILE_BYTES + MORE] = {0};
    uint64_t n_steps = N_STEPS;
    struct tw_error error;
    whole(bytes);
    memcpy(bytes + N_HISTORY_AT, &n_steps, 8);
    seal(bytes, sizeof bytes);
    assert_int_equal(parse(bytes, sizeof bytes, &error), TW_ERR_FORMAT);
    assert_non_null(strstr(error.text, "more steps than the recipe"));
}

static void a_history_that_no_run_has_is_refused_in_a_whole_file_too(void **state)
{
    (void)state;
    static const struct tw_train_point wrong[] = {
        {2, 1, NAN, 1e-3f, 7},  {0, 1, NAN, 1e-3f, 7},       {1, NAN, NAN, 1e-3f, 7},
        {1, INFINITY, 0, 1, 7}, {1, 1, -INFINITY, 1e-3f, 7},
    };
    static const struct tw_train_point right = {1, -0.0f, NAN, NAN, INFINITY};
    uint8_t bytes[FILE_BYTES];
    struct tw_error error;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        whole(bytes);
        memcpy(bytes + 40 + 20, &wrong[i], 20);
        seal(bytes, FILE_BYTES);
        assert_int_equal(parse(bytes, FILE_BYTES, &error), TW_ERR_FORMAT);
        assert_non_null(strstr(error.text, "a step that cannot be"));
    }
    memcpy(bytes + 40 + 20, &right, 20);
    seal(bytes, FILE_BYTES);
    assert_int_equal(parse(bytes, FILE_BYTES, &error), TW_OK);
}

static void another_recipe_and_another_version_are_told_apart(void **state)
{
    (void)state;
    uint8_t bytes[FILE_BYTES];
    struct tw_error error;
    whole(bytes);
    bytes[FINGERPRINT_AT] ^= 1;
    seal(bytes, FILE_BYTES);
    assert_int_equal(parse(bytes, FILE_BYTES, &error), TW_ERR_USAGE);
    assert_non_null(strstr(error.text, "belongs to another recipe"));
    whole(bytes);
    bytes[7] = '2';
    seal(bytes, FILE_BYTES);
    assert_int_equal(parse(bytes, FILE_BYTES, &error), TW_ERR_FORMAT);
    assert_non_null(strstr(error.text, "TWTRAIN1"));
}

static void a_file_that_is_not_there_or_cannot_be_made_is_an_error(void **state)
{
    (void)state;
    struct memory memory;
    fill(&memory);
    assert_int_equal(tw_checkpoint_read("/tmp/absent/c.tw", &memory.state, NULL), TW_ERR_NOT_FOUND);
    assert_int_equal(tw_checkpoint_write("/tmp/absent/c.tw", &memory.state, NULL),
                     TW_ERR_NOT_FOUND);
}

#define WITH_PATH(test) cmocka_unit_test_setup_teardown(test, make_path, remove_path)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_PATH(what_was_written_is_read),
        WITH_PATH(the_bytes_are_those_of_the_documented_format),
        WITH_PATH(a_run_without_a_step_can_be_saved),
        WITH_PATH(one_wrong_bit_anywhere_is_noticed),
        WITH_PATH(a_file_of_any_other_length_is_refused),
        WITH_PATH(numbers_that_claim_too_much_are_refused),
        WITH_PATH(more_steps_than_there_is_room_for_are_refused_in_a_whole_file_too),
        WITH_PATH(a_history_that_no_run_has_is_refused_in_a_whole_file_too),
        WITH_PATH(another_recipe_and_another_version_are_told_apart),
        WITH_PATH(a_file_that_is_not_there_or_cannot_be_made_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
