/* What would break if the verdict believed a signature in what nobody but the hub itself could have
 * got wrong: times, numbers, a log that was brought back from a backup and went on another way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "audit_fixture.h"
#include "hub/audit_check.h"

static char folder[256];
static struct tw_audit_key *key;
static struct tw_audit_public_key public_key;
static struct tw_audit_check check;

static int make_key(void **state)
{
    (void)state;
    make_folder(folder);
    key = open_key(folder, "key", AUDIT_KEY_PEM);
    public_key = tw_audit_key_public(key);
    return 0;
}

static int remove_key(void **state)
{
    (void)state;
    tw_audit_key_free(key);
    remove_folder(folder);
    return 0;
}

static void begin(int64_t first_seq, const struct tw_audit_checkpoint *kept)
{
    struct tw_audit_verify_options options = {.key = &public_key, .kept = kept};
    struct tw_audit_hash genesis = tw_audit_genesis(AUDIT_LOG);
    assert_int_equal(tw_audit_check_begin(&check, AUDIT_LOG, first_seq, &genesis, &options, NULL),
                     TW_OK);
}

/* A record whose hash is right. */
static bool put_record(int64_t seq, int64_t at_ns, const char *body)
{
    struct tw_audit_record record = {.seq = seq,
                                     .at_ns = at_ns,
                                     .kind = "x",
                                     .kind_bytes = 1,
                                     .body = body,
                                     .body_bytes = strlen(body)};
    record.hash = tw_audit_record_hash(&check.head, AUDIT_LOG, &record);
    return tw_audit_check_record(&check, &record);
}

/* A checkpoint of the last record whose signature is right. */
static struct tw_audit_checkpoint checkpoint_of(int64_t number, int64_t seq, int64_t at_ns)
{
    struct tw_audit_checkpoint checkpoint = {
        .log = AUDIT_LOG, .number = number, .seq = seq, .at_ns = at_ns, .hash = check.head};
    tw_audit_checkpoint_sign(&checkpoint, key);
    return checkpoint;
}

static bool put_checkpoint(int64_t number, int64_t seq, int64_t at_ns)
{
    struct tw_audit_checkpoint checkpoint = checkpoint_of(number, seq, at_ns);
    return tw_audit_check_checkpoint(&check, &checkpoint);
}

static void assert_fault(enum tw_audit_fault fault, int64_t seq, const char *message)
{
    assert_false(tw_audit_check_end(&check));
    assert_int_equal(check.report.fault, fault);
    assert_int_equal(check.report.seq, seq);
    if (strstr(check.report.text, message) == NULL) {
        fail_msg("'%s' has no '%s'", check.report.text, message);
    }
}

static void times_do_not_go_back_whatever_the_hashes_say(void **state)
{
    (void)state;
    begin(1, NULL);
    assert_true(put_record(1, 5, "a"));
    assert_true(put_record(2, 5, "b"));
    assert_false(put_record(3, 4, "c"));
    assert_false(put_record(4, 9, "d"));
    assert_fault(TW_AUDIT_FAULT_TIME, 3, "earlier time");
    begin(1, NULL);
    assert_true(put_record(1, 5, "a"));
    assert_false(put_checkpoint(1, 1, 4));
    assert_fault(TW_AUDIT_FAULT_CHECKPOINT, 1, "earlier time than its record");
}

static void checkpoints_are_numbered_from_one_and_stand_behind_their_records(void **state)
{
    (void)state;
    begin(1, NULL);
    assert_true(put_record(1, 1, "a"));
    assert_false(put_checkpoint(2, 1, 1));
    assert_fault(TW_AUDIT_FAULT_CHECKPOINT, 1, "checkpoint 1 is missing");
    begin(1, NULL);
    assert_true(put_record(1, 1, "a") && put_record(2, 2, "b"));
    assert_false(put_checkpoint(1, 1, 2));
    assert_fault(TW_AUDIT_FAULT_CHECKPOINT, 1, "does not stand behind it");
    begin(1, NULL);
    assert_true(put_record(1, 1, "a"));
    assert_false(put_checkpoint(1, 3, 3));
    assert_fault(TW_AUDIT_FAULT_MISSING, 2, "checkpoint 1 is of record 3");
    begin(5, NULL);
    assert_false(put_checkpoint(4, 4, 3));
    assert_fault(TW_AUDIT_FAULT_CHECKPOINT, 4, "does not stand behind it");
    begin(5, NULL);
    assert_true(put_record(5, 1, "a"));
    assert_true(put_checkpoint(7, 5, 3));
    assert_true(put_record(6, 4, "a"));
    assert_false(put_checkpoint(9, 6, 4));
    assert_fault(TW_AUDIT_FAULT_CHECKPOINT, 6, "checkpoint 8 is missing");
}

static void a_log_that_went_on_another_way_is_not_the_one_of_the_kept_checkpoint(void **state)
{
    (void)state;
    begin(1, NULL);
    assert_true(put_record(1, 1, "a") && put_checkpoint(1, 1, 1));
    assert_true(put_record(2, 2, "b") && put_record(3, 2, "b"));
    struct tw_audit_checkpoint kept = checkpoint_of(2, 3, 3);
    begin(1, &kept);
    assert_true(put_record(1, 1, "a") && put_checkpoint(1, 1, 1));
    assert_true(put_record(2, 2, "other"));
    assert_false(put_record(3, 2, "b"));
    assert_fault(TW_AUDIT_FAULT_REWRITTEN, 3, "from record 2 on");
    assert_int_equal(check.report.since_seq, 2);
    begin(1, &kept);
    assert_true(put_record(1, 1, "a") && put_checkpoint(1, 1, 1));
    assert_true(put_record(2, 2, "other"));
    assert_false(put_checkpoint(2, 2, 3));
    assert_fault(TW_AUDIT_FAULT_CHECKPOINT, 2, "another than the one that was kept");
    begin(1, &kept);
    assert_true(put_record(1, 1, "a") && put_checkpoint(1, 1, 1));
    assert_true(put_record(2, 2, "b") && put_record(3, 2, "b"));
    assert_fault(TW_AUDIT_FAULT_CHECKPOINT, 3, "was kept and is not in the log");
    begin(1, &kept);
    assert_true(put_record(1, 1, "a") && put_checkpoint(1, 1, 1) && put_record(2, 2, "b"));
    assert_fault(TW_AUDIT_FAULT_CUT, 3, "the end was cut off");
}

static void what_is_behind_the_last_checkpoint_is_counted(void **state)
{
    (void)state;
    begin(1, NULL);
    assert_true(put_record(1, 1, "a") && put_record(2, 1, "a"));
    assert_true(tw_audit_check_end(&check));
    assert_int_equal(check.report.n_unsigned, 2);
    assert_int_equal(check.report.signed_seq, 0);
    begin(5, NULL);
    assert_true(put_record(5, 1, "a") && put_checkpoint(3, 5, 1) && put_record(6, 1, "a"));
    assert_true(tw_audit_check_end(&check));
    assert_int_equal(check.report.n_unsigned, 1);
    assert_int_equal(check.report.signed_seq, 5);
    assert_memory_equal(&check.report.head, &check.head, sizeof check.head);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_do_not_go_back_whatever_the_hashes_say),
        cmocka_unit_test(checkpoints_are_numbered_from_one_and_stand_behind_their_records),
        cmocka_unit_test(a_log_that_went_on_another_way_is_not_the_one_of_the_kept_checkpoint),
        cmocka_unit_test(what_is_behind_the_last_checkpoint_is_counted),
    };
    return cmocka_run_group_tests(tests, make_key, remove_key);
}
