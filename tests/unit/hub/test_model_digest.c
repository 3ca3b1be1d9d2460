/* Which model it is: a hash of its files that others can compute, and a cache of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "hub/model_digest.h"

/* printf abc | b2sum -l 256, and so on. */
#define OF_ABC  "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319"
#define OF_PAIR "4f64c09e5ac083a76adf1412d85f957c939436b71331460ebf4744683565a7a9"

struct place {
    char folder[64], cache[80];
};

static void write_file(const struct place *place, const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", place->folder, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void digest_of(const struct place *place, const char *name,
                      char ret_digest[TW_MODEL_DIGEST_BYTES])
{
    char path[128];
    struct tw_error error;
    snprintf(path, sizeof path, "%s%s%s", place->folder, name[0] != '\0' ? "/" : "", name);
    if (tw_model_digest_of(path, place->cache, ret_digest, &error) != TW_OK) {
        fail_msg("%s", error.text);
    }
}

static int setup(void **state)
{
    static struct place place;
    snprintf(place.folder, sizeof place.folder, "/tmp/tw-digest-XXXXXX");
    assert_non_null(mkdtemp(place.folder));
    snprintf(place.cache, sizeof place.cache, "%s/cache", place.folder);
    *state = &place;
    return 0;
}

static int teardown(void **state)
{
    static const char *const names[] = {
        "cache",         "m.gguf",   "m-00001-of-00002.gguf", "m-00002-of-00002.gguf", "a.json",
        "b.safetensors", "README.md"};
    const struct place *place = *state;
    char path[128];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", place->folder, names[i]);
        remove(path);
    }
    remove(place->folder);
    return 0;
}

static void a_files_digest_is_that_of_b2sum(void **state)
{
    char digest[TW_MODEL_DIGEST_BYTES];
    write_file(*state, "m.gguf", "abc");
    digest_of(*state, "m.gguf", digest);
    assert_string_equal(digest, OF_ABC);
}

static void a_split_models_and_a_folders_digest_is_of_all_its_files(void **state)
{
    const struct place *place = *state;
    char first[TW_MODEL_DIGEST_BYTES], second[TW_MODEL_DIGEST_BYTES];
    write_file(place, "m-00001-of-00002.gguf", "abc");
    write_file(place, "m-00002-of-00002.gguf", "def");
    digest_of(place, "m-00001-of-00002.gguf", first);
    write_file(place, "m-00002-of-00002.gguf", "defg");
    digest_of(place, "m-00001-of-00002.gguf", second);
    assert_string_not_equal(first, second);
    write_file(place, "a.json", "abc");
    write_file(place, "b.safetensors", "abc");
    digest_of(place, "", first);
    write_file(place, "README.md", "no part of it");
    digest_of(place, "", second);
    assert_string_equal(first, second);
    assert_string_equal(first, OF_PAIR);
}

static void a_file_that_changed_is_read_again_and_one_that_did_not_is_not(void **state)
{
    const struct place *place = *state;
    char digest[TW_MODEL_DIGEST_BYTES], again[TW_MODEL_DIGEST_BYTES];
    write_file(place, "m.gguf", "abc");
    digest_of(place, "m.gguf", digest);
    FILE *file = fopen(place->cache, "r+b"); /* what stands there is believed */
    assert_non_null(file);
    fputc('0', file);
    fclose(file);
    digest_of(place, "m.gguf", again);
    assert_int_equal(again[0], '0');
    assert_string_equal(digest + 1, again + 1);
    write_file(place, "m.gguf", "abd");
    digest_of(place, "m.gguf", again);
    assert_string_not_equal(digest + 1, again + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_files_digest_is_that_of_b2sum, setup, teardown),
        cmocka_unit_test_setup_teardown(a_split_models_and_a_folders_digest_is_of_all_its_files,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_file_that_changed_is_read_again_and_one_that_did_not_is_not, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
