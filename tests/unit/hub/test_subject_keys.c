/* Keys of subjects: on the disk before they are used, one each, and gone when they are erased. */
#include <dirent.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/limits.h"
#include "hub/subject_keys.h"

#define PROJECT 5
#define THREADS 8

struct place {
    char folder[64], keys[80];
    struct tw_subject_keys *open;
};

static const unsigned char PEPPER[TW_SUBJECT_PEPPER_BYTES] = {1, 2, 3};

static void must(enum tw_status status, const struct tw_error *error)
{
    if (status != TW_OK) {
        fail_msg("%s", error->text);
    }
}

static void reopen(struct place *place)
{
    struct tw_error error;
    tw_subject_keys_close(place->open);
    place->open = NULL;
    must(tw_subject_keys_open(place->keys, PEPPER, &place->open, &error), &error);
}

static int setup(void **state)
{
    static struct place place;
    place = (struct place){.open = NULL};
    snprintf(place.folder, sizeof place.folder, "/tmp/tw-keys-XXXXXX");
    assert_non_null(mkdtemp(place.folder));
    snprintf(place.keys, sizeof place.keys, "%s/subjects", place.folder);
    reopen(&place);
    *state = &place;
    return 0;
}

/* The names of the files; how many. */
static size_t list(const struct place *place, char ret_paths[][400], size_t most)
{
    size_t n = 0;
    DIR *folder = opendir(place->keys);
    const struct dirent *entry;
    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        if (entry->d_name[0] != '.' && n < most) {
            snprintf(ret_paths[n++], 400, "%s/%s", place->keys, entry->d_name);
        }
    }
    if (folder != NULL) {
        closedir(folder);
    }
    return n;
}

static int teardown(void **state)
{
    struct place *place = *state;
    char paths[64][400];
    tw_subject_keys_close(place->open);
    for (size_t n; (n = list(place, paths, 64)) > 0;) {
        while (n > 0) {
            remove(paths[--n]);
        }
    }
    remove(place->keys);
    remove(place->folder);
    return 0;
}

static struct tw_subject subject_of(const struct place *place, const char *name)
{
    return tw_subject_of(place->open, TW_SUBJECT_USER, name, strlen(name));
}

static struct tw_subject_key *take(const struct place *place, const char *name)
{
    struct tw_error error;
    struct tw_subject_key *key = NULL;
    const struct tw_subject subject = subject_of(place, name);
    must(tw_subject_keys_take(place->open, &subject, PROJECT, NULL, 0, &key, &error), &error);
    return key;
}

static bool erase(const struct place *place, const char *name, int64_t erasure)
{
    struct tw_error error;
    bool was_there = false;
    const struct tw_subject subject = subject_of(place, name);
    must(tw_subject_keys_erase(place->open, &subject, PROJECT, erasure, &was_there, &error),
         &error);
    return was_there;
}

static void seal(struct tw_subject_key *key, const char *text, struct tw_buf *ret_sealed)
{
    tw_buf_init(ret_sealed, 4096);
    assert_true(tw_subject_key_seal(key, 7, text, strlen(text), ret_sealed));
    assert_false(ret_sealed->failed);
}

static enum tw_status unseal(struct tw_subject_key *key, int64_t request,
                             const struct tw_buf *sealed, const char *expected)
{
    struct tw_error error;
    struct tw_buf plain;
    tw_buf_init(&plain, 4096);
    enum tw_status status =
        tw_subject_key_unseal(key, request, sealed->data, sealed->size_bytes, &plain, &error);
    if (status == TW_OK) {
        assert_int_equal(plain.size_bytes, strlen(expected));
        assert_memory_equal(plain.data, expected, plain.size_bytes);
    }
    tw_buf_free(&plain);
    return status;
}

static void what_is_sealed_is_opened_after_a_restart_by_that_key_for_that_request_alone(
    void **state)
{
    struct place *place = *state;
    struct tw_buf sealed;
    struct tw_subject_key *key = take(place, "alice");
    seal(key, "what alice asked", &sealed);
    tw_subject_key_give_back(key);
    reopen(place);
    key = take(place, "alice");
    assert_int_equal(unseal(key, 7, &sealed, "what alice asked"), TW_OK);
    assert_int_equal(unseal(key, 8, &sealed, ""), TW_ERR_FORMAT);
    struct tw_subject_key *other = take(place, "bob");
    assert_int_equal(unseal(other, 7, &sealed, ""), TW_ERR_FORMAT);
    for (size_t i = 0; i < sealed.size_bytes; i++) {
        sealed.data[i] ^= 1;
        assert_int_equal(unseal(key, 7, &sealed, ""), TW_ERR_FORMAT);
        sealed.data[i] ^= 1;
    }
    sealed.size_bytes = 30;
    assert_int_equal(unseal(key, 7, &sealed, ""), TW_ERR_FORMAT);
    tw_subject_key_give_back(key);
    tw_subject_key_give_back(other);
    tw_buf_free(&sealed);
}

static void a_key_is_in_a_file_for_us_alone_whose_name_does_not_tell_the_subject(void **state)
{
    const struct place *place = *state;
    char paths[4][400];
    struct stat stat_of;
    tw_subject_key_give_back(take(place, "alice"));
    assert_int_equal(list(place, paths, 4), 1);
    assert_null(strstr(paths[0], "alice"));
    assert_int_equal(stat(paths[0], &stat_of), 0);
    assert_int_equal(stat_of.st_mode & 0777, 0600);
    assert_int_equal(stat(place->keys, &stat_of), 0);
    assert_int_equal(stat_of.st_mode & 0777, 0700);
}

static void an_erased_key_is_of_no_use_to_whoever_had_it_and_another_one_follows(void **state)
{
    const struct place *place = *state;
    char paths[4][400];
    unsigned char salt[TW_SUBJECT_SALT_BYTES], tag[TW_SUBJECT_TAG_BYTES];
    struct tw_buf sealed, again;
    struct tw_subject_key *key = take(place, "alice");
    seal(key, "what alice asked", &sealed);
    tw_subject_keys_set_erasures(place->open, 1);
    assert_true(erase(place, "alice", 1));
    assert_int_equal(list(place, paths, 4), 0);
    tw_buf_init(&again, 4096);
    assert_false(tw_subject_key_seal(key, 7, "more", 4, &again));
    assert_false(tw_subject_key_salt(key, 7, salt));
    assert_false(tw_subject_key_tag(key, 7, tag));
    assert_int_equal(unseal(key, 7, &sealed, ""), TW_ERR_NOT_FOUND);
    struct tw_subject_key *next = take(place, "alice");
    assert_int_equal(unseal(next, 7, &sealed, ""), TW_ERR_FORMAT);
    assert_false(erase(place, "alice", 1)); /* it is newer than that erasure */
    assert_true(tw_subject_key_salt(next, 7, salt));
    tw_subject_key_give_back(key);
    tw_subject_key_give_back(next);
    tw_buf_free(&sealed);
}

/* What is read of the disk's blocks is another matter; through the file system it is gone, also for
 * who had the file open. */
static void the_bytes_of_an_erased_key_are_overwritten(void **state)
{
    const struct place *place = *state;
    char paths[4][400], before[32], after[32];
    tw_subject_key_give_back(take(place, "alice"));
    assert_int_equal(list(place, paths, 4), 1);
    FILE *file = fopen(paths[0], "rb");
    assert_non_null(file);
    setvbuf(file, NULL, _IONBF, 0);
    assert_int_equal(fread(before, 1, sizeof before, file), sizeof before);
    assert_true(erase(place, "alice", 1));
    rewind(file);
    assert_int_equal(fread(after, 1, sizeof after, file), sizeof after);
    fclose(file);
    assert_memory_not_equal(before, after, sizeof before);
    for (size_t i = 0; i < sizeof after; i++) {
        assert_int_equal(after[i], 0);
    }
}

static int64_t all_erased_by_3(void *context, const struct tw_subject *subject, int64_t project)
{
    const struct tw_subject *alice = context;
    return project == PROJECT && memcmp(subject, alice, sizeof *subject) == 0 ? 3 : 0;
}

static void a_key_that_a_backup_brings_back_is_erased_again(void **state)
{
    struct place *place = *state;
    char paths[4][400], bytes[64];
    struct tw_error error;
    struct tw_subject alice = subject_of(place, "alice");
    tw_subject_key_give_back(take(place, "alice"));
    assert_int_equal(list(place, paths, 4), 1);
    FILE *file = fopen(paths[0], "rb");
    const size_t n = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    assert_true(erase(place, "alice", 3));
    file = fopen(paths[0], "wb");
    assert_int_equal(fwrite(bytes, 1, n, file), n);
    fclose(file);
    tw_subject_key_give_back(take(place, "bob"));
    reopen(place);
    tw_subject_keys_set_erasures(place->open, 3);
    must(tw_subject_keys_sweep(place->open, all_erased_by_3, &alice, &error), &error);
    assert_int_equal(list(place, paths, 4), 1); /* bob's */
    tw_subject_key_give_back(take(place, "alice"));
    must(tw_subject_keys_sweep(place->open, all_erased_by_3, &alice, &error), &error);
    assert_int_equal(list(place, paths, 4), 2); /* alice's new one is not touched */
}

static void a_file_that_was_begun_is_finished_and_one_that_was_damaged_is_not_replaced(void **state)
{
    struct place *place = *state;
    char paths[4][400];
    struct tw_error error;
    struct tw_subject_key *key = NULL;
    const struct tw_subject alice = subject_of(place, "alice");
    tw_subject_key_give_back(take(place, "alice"));
    assert_int_equal(list(place, paths, 4), 1);
    assert_int_equal(truncate(paths[0], 20), 0);
    reopen(place);
    assert_int_equal(tw_subject_keys_find(place->open, &alice, PROJECT, &key, &error),
                     TW_ERR_NOT_FOUND);
    tw_subject_key_give_back(take(place, "alice"));
    FILE *file = fopen(paths[0], "r+b");
    fseek(file, 5, SEEK_SET);
    const int byte = fgetc(file);
    fseek(file, 5, SEEK_SET);
    fputc(byte ^ 1, file);
    fclose(file);
    reopen(place);
    assert_int_equal(tw_subject_keys_take(place->open, &alice, PROJECT, NULL, 0, &key, &error),
                     TW_ERR_FORMAT);
    assert_non_null(strstr(error.text, "damaged"));
}

static enum tw_status take_within(const struct place *place, const char *name,
                                  struct tw_subject_quota *quota, int64_t now_ns,
                                  struct tw_error *error)
{
    struct tw_subject_key *key = NULL;
    const struct tw_subject subject = subject_of(place, name);
    enum tw_status status =
        tw_subject_keys_take(place->open, &subject, PROJECT, quota, now_ns, &key, error);
    if (status == TW_OK) {
        tw_subject_key_give_back(key);
    }
    return status;
}

static void names_that_are_made_up_make_only_so_many_keys_in_a_day(void **state)
{
    struct place *place = *state;
    const int64_t day_ns = INT64_C(86400000000000), today_ns = 20000 * day_ns;
    struct tw_subject_quota quota = {.most = 3};
    struct tw_error error;
    char paths[8][400], name[16];
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "user %d", i);
        assert_int_equal(take_within(place, name, &quota, today_ns + i, &error),
                         i < 3 ? TW_OK : TW_ERR_LIMIT);
    }
    assert_non_null(strstr(error.text, "have named 3 new users today"));
    assert_int_equal(list(place, paths, 8), 3);
    reopen(place);
    /* Who is known is known, nobody in particular has no quota, and a clock that was set back does
     * not begin the day anew. */
    assert_int_equal(take_within(place, "user 1", &quota, today_ns, &error), TW_OK);
    assert_int_equal(take_within(place, "user 9", &quota, today_ns - day_ns, &error), TW_ERR_LIMIT);
    assert_int_equal(take_within(place, "a person", NULL, today_ns, &error), TW_OK);
    assert_int_equal(take_within(place, "user 9", &quota, today_ns + day_ns, &error), TW_OK);
    assert_int_equal(list(place, paths, 8), 5);
}

/* Copies of one file under other names: to make as many keys would take a sync each. */
static void more_keys_than_are_remembered_are_all_found(void **state)
{
    struct place *place = *state;
    char paths[4][400], path[400], bytes[64], text[TW_SUBJECT_HEX_BYTES];
    unsigned char first[TW_SUBJECT_SALT_BYTES], again[TW_SUBJECT_SALT_BYTES];
    struct tw_error error;
    const struct tw_subject alice = subject_of(place, "alice");
    struct tw_subject_key *key = take(place, "alice");
    assert_true(tw_subject_key_salt(key, 1, first));
    tw_subject_key_give_back(key);
    assert_int_equal(list(place, paths, 4), 1);
    FILE *file = fopen(paths[0], "rb");
    const size_t n = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    tw_subject_write(&alice, text);
    for (int i = 0; i < TW_LIMIT_SUBJECT_KEYS + 10; i++) {
        snprintf(path, sizeof path, "%s/%s-%d", place->keys, text, 100 + i);
        file = fopen(path, "wb");
        assert_int_equal(fwrite(bytes, 1, n, file), n);
        fclose(file);
        must(tw_subject_keys_find(place->open, &alice, 100 + i, &key, &error), &error);
        assert_true(tw_subject_key_salt(key, 1, again));
        assert_memory_equal(first, again, sizeof first);
        tw_subject_key_give_back(key);
    }
    remove(paths[0]); /* is it remembered? */
    assert_int_equal(tw_subject_keys_find(place->open, &alice, PROJECT, &key, &error),
                     TW_ERR_NOT_FOUND);
    must(tw_subject_keys_find(place->open, &alice, 100 + TW_LIMIT_SUBJECT_KEYS, &key, &error),
         &error);
    tw_subject_key_give_back(key);
}

struct worker {
    const struct place *place;
    pthread_t thread;
    unsigned char salt[TW_SUBJECT_SALT_BYTES];
};

static void *work(void *context)
{
    struct worker *worker = context;
    for (int i = 0; i < 200; i++) {
        struct tw_subject_key *key = take(worker->place, "alice");
        tw_subject_key_salt(key, 1, worker->salt);
        tw_subject_key_give_back(key);
    }
    return NULL;
}

static void all_threads_get_the_same_key(void **state)
{
    static struct worker workers[THREADS];
    for (int i = 0; i < THREADS; i++) {
        workers[i].place = *state;
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(workers[i].thread, NULL);
        assert_memory_equal(workers[i].salt, workers[0].salt, sizeof workers[i].salt);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            what_is_sealed_is_opened_after_a_restart_by_that_key_for_that_request_alone, setup,
            teardown),
        cmocka_unit_test_setup_teardown(
            a_key_is_in_a_file_for_us_alone_whose_name_does_not_tell_the_subject, setup, teardown),
        cmocka_unit_test_setup_teardown(
            an_erased_key_is_of_no_use_to_whoever_had_it_and_another_one_follows, setup, teardown),
        cmocka_unit_test_setup_teardown(the_bytes_of_an_erased_key_are_overwritten, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_key_that_a_backup_brings_back_is_erased_again, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            a_file_that_was_begun_is_finished_and_one_that_was_damaged_is_not_replaced, setup,
            teardown),
        cmocka_unit_test_setup_teardown(names_that_are_made_up_make_only_so_many_keys_in_a_day,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(more_keys_than_are_remembered_are_all_found, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(all_threads_get_the_same_key, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
