/* What would break if two records could have one hash, or a checkpoint be read as another. Hashes
 * and signatures here were computed by other programs (Python's hashlib, OpenSSL). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit_fixture.h"

#define GENESIS  "a3b10ae036f794238e870f4049f7ac1395eee1e51408272bd91cb91626385d45"
#define RECORD_1 "cee449c25f9618795d7606a837b2385cc76f613f95a3c57f1c4f51b9842424bc"
#define RECORD_2 "52902e4d18108c71ac1ff93689057a01952d40f75bd94409b73647c8f10c9d23"
#define CHECKPOINT                                                                                 \
    "tokenworks-checkpoint-1\n" AUDIT_LOG "\n7\n2\n1800000000500000000\n" RECORD_2 "\n"            \
    "f3dadda07bbb1639b6d8b40f0e163c42709bca753442db18b243cd24aa474c0d"                             \
    "283abe175e1af3042c99f39a71ef31c438d60859c2c5adf11c37cfb07f6ac10f\n"

static void assert_hex(const void *bytes, size_t n_bytes, const char *want)
{
    char hex[260] = "";
    for (size_t i = 0; i < n_bytes; i++) {
        snprintf(hex + 2 * i, 3, "%02x", ((const unsigned char *)bytes)[i]);
    }
    assert_string_equal(hex, want);
}

static struct tw_audit_record record_of(int64_t seq, int64_t at_ns, const char *kind,
                                        const char *body)
{
    return (struct tw_audit_record){.seq = seq,
                                    .at_ns = at_ns,
                                    .kind = kind,
                                    .kind_bytes = strlen(kind),
                                    .body = body,
                                    .body_bytes = strlen(body)};
}

static void hashes_are_those_of_another_program(void **state)
{
    (void)state;
    struct tw_audit_hash hash = tw_audit_genesis(AUDIT_LOG);
    assert_hex(hash.bytes, sizeof hash.bytes, GENESIS);
    struct tw_audit_record record = record_of(1, AUDIT_START, "hub.started", "{\"build\":\"1\"}");
    hash = tw_audit_record_hash(&hash, AUDIT_LOG, &record);
    assert_hex(hash.bytes, sizeof hash.bytes, RECORD_1);
    record = record_of(2, AUDIT_START + 1, "request.settled", "{\"model\":\"caf\xc3\xa9\"}");
    hash = tw_audit_record_hash(&hash, AUDIT_LOG, &record);
    assert_hex(hash.bytes, sizeof hash.bytes, RECORD_2);
}

static void every_part_of_a_record_changes_its_hash(void **state)
{
    (void)state;
    struct tw_audit_hash genesis = tw_audit_genesis(AUDIT_LOG);
    struct tw_audit_hash other = tw_audit_genesis("another");
    struct tw_audit_record record = record_of(1, 2, "ab", "cd");
    struct tw_audit_record changed[] = {
        record_of(2, 2, "ab", "cd"), record_of(1, 3, "ab", "cd"), record_of(1, 2, "ax", "cd"),
        record_of(1, 2, "ab", "cx"), record_of(1, 2, "abc", "d"), record_of(1, 2, "", "abcd"),
        record_of(2, 1, "ab", "cd"), record_of(1, 2, "ab", ""),
    };
    struct tw_audit_hash hashes[10];
    hashes[0] = tw_audit_record_hash(&genesis, AUDIT_LOG, &record);
    hashes[1] = tw_audit_record_hash(&other, AUDIT_LOG, &record);
    for (size_t i = 0; i < sizeof changed / sizeof changed[0]; i++) {
        hashes[2 + i] = tw_audit_record_hash(&genesis, AUDIT_LOG, &changed[i]);
    }
    for (size_t i = 0; i < 10; i++) {
        for (size_t j = 0; j < i; j++) {
            assert_false(tw_audit_hash_equal(&hashes[i], &hashes[j]));
        }
    }
    struct tw_audit_hash renamed = tw_audit_record_hash(&genesis, "another", &record);
    assert_false(tw_audit_hash_equal(&renamed, &hashes[0]));
    struct tw_audit_hash again = tw_audit_record_hash(&genesis, AUDIT_LOG, &record);
    assert_true(tw_audit_hash_equal(&again, &hashes[0]));
}

static void names_of_logs_are_plain_and_drawn_anew(void **state)
{
    (void)state;
    char long_name[TW_LIMIT_AUDIT_LOG_BYTES + 2];
    char first[33];
    char second[33];
    memset(long_name, 'a', sizeof long_name);
    assert_true(tw_audit_log_name_is_valid(long_name, TW_LIMIT_AUDIT_LOG_BYTES));
    assert_false(tw_audit_log_name_is_valid(long_name, TW_LIMIT_AUDIT_LOG_BYTES + 1));
    assert_false(tw_audit_log_name_is_valid("", 0));
    assert_false(tw_audit_log_name_is_valid("a\nb", 3));
    assert_false(tw_audit_log_name_is_valid("Ab", 2));
    tw_audit_log_name_draw(first);
    tw_audit_log_name_draw(second);
    assert_true(tw_audit_log_name_is_valid(first, 32));
    assert_string_not_equal(first, second);
}

static void a_checkpoint_is_signed_and_written_as_another_program_does(void **state)
{
    (void)state;
    char folder[256];
    struct tw_audit_checkpoint checkpoint;
    struct tw_audit_checkpoint signed_by_us;
    struct tw_buf buf;
    make_folder(folder);
    struct tw_audit_key *key = open_key(folder, "key", AUDIT_KEY_PEM);
    struct tw_audit_public_key public_key = tw_audit_key_public(key);
    assert_int_equal(
        tw_audit_checkpoint_parse(CHECKPOINT, strlen(CHECKPOINT), "kept", &checkpoint, NULL),
        TW_OK);
    assert_int_equal(checkpoint.number, 7);
    assert_int_equal(checkpoint.seq, 2);
    assert_int_equal(checkpoint.at_ns, 1800000000500000000);
    assert_true(tw_audit_checkpoint_verify(&checkpoint, &public_key));
    signed_by_us = checkpoint;
    memset(signed_by_us.signature.bytes, 0, sizeof signed_by_us.signature.bytes);
    assert_false(tw_audit_checkpoint_verify(&signed_by_us, &public_key));
    tw_audit_checkpoint_sign(&signed_by_us, key);
    tw_buf_init(&buf, 4096);
    assert_true(tw_audit_checkpoint_write(&signed_by_us, &buf));
    assert_int_equal(buf.size_bytes, strlen(CHECKPOINT));
    assert_memory_equal(buf.data, CHECKPOINT, buf.size_bytes);
    tw_buf_free(&buf);
    tw_audit_key_free(key);
    remove_folder(folder);
}

static void no_byte_of_a_checkpoint_can_be_changed(void **state)
{
    (void)state;
    char folder[256];
    char text[] = CHECKPOINT;
    const size_t n = strlen(text);
    size_t n_parsed = 0;
    make_folder(folder);
    struct tw_audit_key *key = open_key(folder, "key", AUDIT_KEY_PEM);
    struct tw_audit_public_key public_key = tw_audit_key_public(key);
    for (size_t i = 0; i < n; i++) {
        for (int bit = 0; bit < 8; bit++) {
            struct tw_audit_checkpoint checkpoint;
            text[i] = (char)(text[i] ^ 1 << bit);
            if (tw_audit_checkpoint_parse(text, n, "kept", &checkpoint, NULL) == TW_OK) {
                n_parsed++;
                assert_false(tw_audit_checkpoint_verify(&checkpoint, &public_key));
            }
            text[i] = (char)(text[i] ^ 1 << bit);
        }
    }
    assert_true(n_parsed > 100);
    tw_audit_key_free(key);
    remove_folder(folder);
}

static void assert_no_checkpoint(const char *text, const char *message)
{
    struct tw_audit_checkpoint checkpoint;
    struct tw_error error;
    assert_int_equal(tw_audit_checkpoint_parse(text, strlen(text), "kept", &checkpoint, &error),
                     TW_ERR_FORMAT);
    assert_non_null(strstr(error.text, message));
}

static void what_is_no_checkpoint_is_named_with_its_line(void **state)
{
    (void)state;
    char text[sizeof CHECKPOINT + 8];
    assert_no_checkpoint("", "line 1");
    assert_no_checkpoint("tokenworks-checkpoint-2\n", "line 1");
    assert_no_checkpoint("tokenworks-checkpoint-1\nA\n", "line 2");
    assert_no_checkpoint("tokenworks-checkpoint-1\na\n0\n", "line 3");
    assert_no_checkpoint("tokenworks-checkpoint-1\na\n1\n9223372036854775808\n", "line 4");
    assert_no_checkpoint("tokenworks-checkpoint-1\na\n1\n1\n-1\n", "line 5");
    assert_no_checkpoint("tokenworks-checkpoint-1\na\n1\n1\n1\nff\n", "line 6");
    assert_no_checkpoint("tokenworks-checkpoint-1\na\n1\n1\n1\n" RECORD_1 "\n", "line 7");
    snprintf(text, sizeof text, "%s\n", CHECKPOINT);
    assert_no_checkpoint(text, "seven lines");
    assert_no_checkpoint(
        "tokenworks-checkpoint-1\na\n01\n1\n1\n" RECORD_1 "\n" RECORD_1 RECORD_1 "\n", "zeros");
}

static void a_key_is_made_once_and_read_again(void **state)
{
    (void)state;
    char folder[256];
    char path[300];
    struct stat st;
    struct tw_audit_public_key loaded;
    make_folder(folder);
    struct tw_audit_key *first = open_key(folder, "new", NULL);
    struct tw_audit_key *other = open_key(folder, "other", NULL);
    struct tw_audit_key *again = open_key(folder, "new", NULL);
    struct tw_audit_public_key a = tw_audit_key_public(first);
    struct tw_audit_public_key b = tw_audit_key_public(other);
    struct tw_audit_public_key c = tw_audit_key_public(again);
    assert_memory_equal(a.bytes, c.bytes, sizeof a.bytes);
    assert_memory_not_equal(a.bytes, b.bytes, sizeof a.bytes);
    snprintf(path, sizeof path, "%s/new", folder);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    snprintf(path, sizeof path, "%s/new.pub", folder);
    assert_int_equal(tw_audit_public_key_load(path, &loaded, NULL), TW_OK);
    assert_memory_equal(a.bytes, loaded.bytes, sizeof a.bytes);
    struct tw_audit_signature signature = tw_audit_key_sign(first, "text", 4);
    assert_true(tw_audit_public_key_verify(&loaded, "text", 4, &signature));
    assert_false(tw_audit_public_key_verify(&loaded, "texu", 4, &signature));
    assert_false(tw_audit_public_key_verify(&b, "text", 4, &signature));
    tw_audit_key_free(first);
    tw_audit_key_free(other);
    tw_audit_key_free(again);
    remove_folder(folder);
}

static void keys_are_files_of_openssl(void **state)
{
    (void)state;
    char folder[256];
    char path[300];
    char text[200] = "";
    make_folder(folder);
    struct tw_audit_key *key = open_key(folder, "key", AUDIT_KEY_PEM);
    snprintf(path, sizeof path, "%s/key.pub", folder);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(fread(text, 1, sizeof text, file), strlen(AUDIT_PUBLIC_PEM));
    fclose(file);
    assert_string_equal(text, AUDIT_PUBLIC_PEM);
    tw_audit_key_free(key);
    remove_folder(folder);
}

static void assert_refused(const char *folder, enum tw_status want, const char *message)
{
    char path[300];
    struct tw_audit_key *key;
    struct tw_error error;
    snprintf(path, sizeof path, "%s/key", folder);
    assert_int_equal(tw_audit_key_open(path, &key, &error), want);
    if (strstr(error.text, message) == NULL) {
        fail_msg("'%s' has no '%s'", error.text, message);
    }
}

static void a_key_that_was_lost_opened_or_exchanged_is_refused(void **state)
{
    (void)state;
    char folder[256];
    char path[300];
    char pub[310];
    make_folder(folder);
    tw_audit_key_free(open_key(folder, "key", AUDIT_KEY_PEM));
    snprintf(path, sizeof path, "%s/key", folder);
    snprintf(pub, sizeof pub, "%s.pub", path);
    assert_int_equal(chmod(path, 0640), 0);
    assert_refused(folder, TW_ERR_USAGE, "chmod 600");
    assert_int_equal(unlink(path), 0);
    assert_refused(folder, TW_ERR_NOT_FOUND, "put the key back");
    tw_audit_key_free(open_key(folder, "key", AUDIT_KEY_PEM));
    write_text(path, "-----BEGIN PRIVATE KEY-----\nrubbish\n", 0600);
    assert_refused(folder, TW_ERR_FORMAT, "Ed25519");
    write_text(path, "", 0600);
    assert_refused(folder, TW_ERR_FORMAT, "Ed25519");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(unlink(pub), 0);
    tw_audit_key_free(open_key(folder, "key", NULL));
    write_text(path, AUDIT_KEY_PEM, 0600);
    assert_refused(folder, TW_ERR_FORMAT, "another key");
    write_text(pub, AUDIT_PUBLIC_PEM " ", 0600);
    assert_refused(folder, TW_ERR_FORMAT, "public half");
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes_are_those_of_another_program),
        cmocka_unit_test(every_part_of_a_record_changes_its_hash),
        cmocka_unit_test(names_of_logs_are_plain_and_drawn_anew),
        cmocka_unit_test(a_checkpoint_is_signed_and_written_as_another_program_does),
        cmocka_unit_test(no_byte_of_a_checkpoint_can_be_changed),
        cmocka_unit_test(what_is_no_checkpoint_is_named_with_its_line),
        cmocka_unit_test(a_key_is_made_once_and_read_again),
        cmocka_unit_test(keys_are_files_of_openssl),
        cmocka_unit_test(a_key_that_was_lost_opened_or_exchanged_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
