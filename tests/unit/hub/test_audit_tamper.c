/* Every way of changing an audit log, at random places, by somebody who has all but the signing
 * key: each is found at its place, in the store and in an export, except where nothing could tell.
 *
 *     test_audit_tamper RECORDS TAMPERS
 *
 * The store's tables have no keys, as somebody leaves them who wants to have a number twice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit_fixture.h"
#include "audit_tampers.h"
#include "base/mem.h"
#include "hub/audit_export.h"
#include "hub/audit_rows.h"

static struct bench {
    uint64_t n_tampers;
    char folder[256];
    struct tw_db *db;
    struct tw_audit_key *key;
    struct tw_audit_public_key public_key;
    struct tw_db_statement *insert_record, *insert_checkpoint;
    struct tw_buf original_text, text;
} bench;

static void take_row(const struct tw_audit_row *row, struct item *ret_item)
{
    struct item item = {.is_checkpoint = row->is_checkpoint};
    snprintf(item.log, sizeof item.log, "%s", AUDIT_LOG);
    assert_true(row->is_whole);
    if (row->is_checkpoint) {
        item.seq = row->checkpoint.seq;
        item.at_ns = row->checkpoint.at_ns;
        item.number = row->checkpoint.number;
        item.hash = row->checkpoint.hash;
        item.signature = row->checkpoint.signature;
        assert_true(scene.n_checkpoints < MAX_CHECKPOINTS);
        scene.signed_seqs[scene.n_checkpoints++] = item.seq;
    } else {
        assert_true(row->record.kind_bytes < KIND_BYTES && row->record.body_bytes < BODY_BYTES);
        item.seq = row->record.seq;
        item.at_ns = row->record.at_ns;
        item.kind_bytes = row->record.kind_bytes;
        item.body_bytes = row->record.body_bytes;
        memcpy(item.kind, row->record.kind, item.kind_bytes);
        memcpy(item.body, row->record.body, item.body_bytes);
        item.hash = row->record.hash;
    }
    *ret_item = item;
}

static bool write_line(const struct item *item, struct tw_buf *buf)
{
    struct tw_audit_line line = {
        .kind = item->is_checkpoint ? TW_AUDIT_LINE_CHECKPOINT : TW_AUDIT_LINE_RECORD,
        .record = record_view(item),
        .checkpoint = checkpoint_view(item),
    };
    return tw_audit_line_write(&line, buf);
}

/* The model as an export, with a first and a last line that fit. */
static void render(struct tw_buf *text)
{
    struct tw_audit_line head = {.kind = TW_AUDIT_LINE_HEAD,
                                 .first_seq = 1,
                                 .log = AUDIT_LOG,
                                 .previous = tw_audit_genesis(AUDIT_LOG)};
    struct tw_audit_line end = {.kind = TW_AUDIT_LINE_END};
    tw_buf_clear(text);
    assert_true(tw_audit_line_write(&head, text));
    for (size_t i = 0; i < scene.model.n_items; i++) {
        const struct item *item = &scene.model.items[i];
        if (strcmp(item->log, AUDIT_LOG) != 0) {
            continue;
        }
        end.n_checkpoints += item->is_checkpoint ? 1 : 0;
        end.n_records += item->is_checkpoint ? 0 : 1;
        end.last_seq = item->is_checkpoint ? end.last_seq : item->seq;
        assert_true(
            item->line_bytes != 0
                ? tw_buf_append(text, bench.original_text.data + item->line_at, item->line_bytes)
                : write_line(item, text));
    }
    assert_true(tw_audit_line_write(&end, text));
}

static void insert_item(const struct item *item)
{
    struct tw_error error = {0};
    enum tw_status status;
    if (item->is_checkpoint) {
        struct tw_db_value values[] = {
            tw_db_text(item->log),
            tw_db_integer(item->number),
            tw_db_integer(item->seq),
            tw_db_integer(item->at_ns),
            tw_db_bytes(item->hash.bytes, sizeof item->hash.bytes),
            tw_db_bytes(item->signature.bytes, sizeof item->signature.bytes)};
        status = tw_db_run(bench.insert_checkpoint, values, 6, &error);
    } else {
        struct tw_db_value values[] = {tw_db_text(item->log),
                                       tw_db_integer(item->seq),
                                       tw_db_integer(item->at_ns),
                                       tw_db_bytes(item->kind, item->kind_bytes),
                                       tw_db_bytes(item->body, item->body_bytes),
                                       tw_db_bytes(item->hash.bytes, sizeof item->hash.bytes)};
        status = tw_db_run(bench.insert_record, values, 6, &error);
    }
    if (status != TW_OK) {
        fail_msg("%s", error.text);
    }
}

static bool is_same(const struct item *a, const struct item *b)
{
    return a->is_checkpoint == b->is_checkpoint && strcmp(a->log, b->log) == 0 &&
           a->seq == b->seq && a->at_ns == b->at_ns && a->number == b->number &&
           a->kind_bytes == b->kind_bytes && a->body_bytes == b->body_bytes &&
           memcmp(a->kind, b->kind, a->kind_bytes) == 0 &&
           memcmp(a->body, b->body, a->body_bytes) == 0 &&
           tw_audit_hash_equal(&a->hash, &b->hash) &&
           memcmp(&a->signature, &b->signature, sizeof a->signature) == 0;
}

/* The number of the first item that is not the original's. */
static size_t first_change(void)
{
    size_t i = 0;
    while (i < scene.original.n_items && i < scene.model.n_items &&
           is_same(&scene.original.items[i], &scene.model.items[i])) {
        i++;
    }
    return i;
}

/* The model in the store, in place of what is there from its first change on. */
static void fill_store(size_t from)
{
    char sql[200];
    int64_t seq = from < scene.original.n_items ? scene.original.items[from].seq : INT64_MAX;
    while (from > 0 && scene.original.items[from - 1].seq == seq) {
        from--; /* a record and its checkpoint have one number */
    }
    snprintf(sql, sizeof sql,
             "DELETE FROM audit WHERE seq >= %" PRId64
             "; DELETE FROM checkpoint WHERE seq >= %" PRId64,
             seq, seq);
    run_sql(bench.db, sql);
    for (size_t i = from; i < scene.model.n_items; i++) {
        insert_item(&scene.model.items[i]);
    }
}

static struct tw_audit_report verify(const struct tamper *tamper)
{
    struct tw_audit_verify_options options = {.key = &bench.public_key, .kept = tamper->kept};
    struct tw_audit_report report = {0};
    struct tw_error error = {0};
    enum tw_status status;
    if (tamper->in_store) {
        assert_int_equal(tw_db_begin(bench.db, &error), TW_OK);
        fill_store(first_change());
        status = tw_audit_verify_store(bench.db, AUDIT_LOG, &options, &report, &error);
        tw_db_rollback(bench.db);
    } else {
        render(&bench.text);
        status =
            tw_audit_verify_text(bench.text.data, bench.text.size_bytes, &options, &report, &error);
    }
    if (status != TW_OK) {
        fail_msg("%s: %s", tamper->name, error.text);
    }
    return report;
}

static void choose_kept(struct tamper *tamper)
{
    uint64_t choice = draw(tamper, 4);
    int number =
        choice < 2 ? scene.n_checkpoints : 1 + (int)draw(tamper, (uint64_t)scene.n_checkpoints);
    if (choice < 3) {
        tamper->kept_room = checkpoint_view(checkpoint_of(number));
        tamper->kept = &tamper->kept_room;
    }
}

static void reset_model(void)
{
    memcpy(scene.model.items, scene.original.items,
           scene.original.n_items * sizeof *scene.original.items);
    scene.model.n_items = scene.original.n_items;
}

/* What is not found lies behind the kept checkpoint and behind every signature that is left. */
static void assert_nothing_could_tell(const struct tamper *tamper,
                                      const struct tw_audit_report *report)
{
    size_t i = first_change();
    assert_true(i < scene.original.n_items || i < scene.model.n_items);
    int64_t seq = i < scene.original.n_items ? scene.original.items[i].seq : scene.n_records + 1;
    assert_true(seq > kept_seq(tamper));
    assert_true(seq > report->signed_seq);
}

static void run_tamper(uint64_t number, bool in_store, size_t *n_found, size_t *n_not_found)
{
    struct tamper tamper = {.in_store = in_store, .number = number};
    reset_model();
    choose_kept(&tamper);
    apply_tamper(&tamper);
    struct tw_audit_report report = verify(&tamper);
    bool is_found = report.fault != TW_AUDIT_FAULT_NONE;
    if (is_found != tamper.is_found || (is_found && report.seq != tamper.seq)) {
        fail_msg("tamper %" PRIu64 ", %s: expected %s at %" PRId64 ", got %s at %" PRId64 ": %s",
                 number, tamper.name, tamper.is_found ? "a fault" : "none", tamper.seq,
                 tw_audit_fault_name(report.fault), report.seq, report.text);
    }
    if (is_found) {
        assert_true(report.since_seq <= report.seq && report.text[0] != '\0');
        (*n_found)++;
    } else {
        assert_nothing_could_tell(&tamper, &report);
        (*n_not_found)++;
    }
}

static void run_tampers(bool in_store)
{
    size_t n_found = 0;
    size_t n_not_found = 0;
    for (uint64_t number = 0; number < bench.n_tampers; number++) {
        run_tamper(number, in_store, &n_found, &n_not_found);
    }
    print_message("%zu found at their place, %zu behind every checkpoint\n", n_found, n_not_found);
    assert_true(n_found > 2 * n_not_found);
}

static void a_log_that_nobody_touched_verifies(void **state)
{
    (void)state;
    struct tamper none = {.name = "nothing"};
    for (int number = 0; number <= scene.n_checkpoints; number++) {
        for (int in_store = 0; in_store < 2; in_store++) {
            reset_model();
            none.in_store = in_store != 0;
            if (number > 0) {
                none.kept_room = checkpoint_view(checkpoint_of(number));
                none.kept = &none.kept_room;
            }
            struct tw_audit_report report = verify(&none);
            assert_string_equal(report.text, "");
            assert_int_equal(report.fault, TW_AUDIT_FAULT_NONE);
            assert_int_equal(report.n_records, scene.n_records);
            assert_int_equal(report.n_checkpoints, scene.n_checkpoints);
            assert_int_equal(report.signed_seq, scene.signed_seqs[scene.n_checkpoints - 1]);
            assert_int_equal(report.n_unsigned, scene.n_records - report.signed_seq);
        }
    }
    assert_int_equal(bench.text.size_bytes, bench.original_text.size_bytes);
    assert_memory_equal(bench.text.data, bench.original_text.data, bench.text.size_bytes);
}

static void every_change_of_a_store_is_found_at_its_place(void **state)
{
    (void)state;
    run_tampers(true);
}

static void every_change_of_an_export_is_found_at_its_place(void **state)
{
    (void)state;
    run_tampers(false);
}

static void read_original(void)
{
    struct tw_audit_rows *rows;
    struct tw_audit_row row;
    bool is_there = true;
    size_t n_bytes = tw_buf_append(&bench.original_text, "", 0) ? 0 : 1;
    assert_int_equal(tw_audit_rows_open(bench.db, AUDIT_LOG, 1, INT64_MAX, &rows, NULL), TW_OK);
    for (;;) {
        assert_int_equal(tw_audit_rows_next(rows, &is_there, &row, NULL), TW_OK);
        if (!is_there) {
            break;
        }
        take_row(&row, &scene.original.items[scene.original.n_items++]);
    }
    tw_audit_rows_close(rows);
    reset_model();
    render(&bench.original_text);
    const char *text = bench.original_text.data;
    n_bytes = (size_t)(strchr(text, '\n') + 1 - text);
    for (size_t i = 0; i < scene.original.n_items; i++) {
        struct item *item = &scene.original.items[i];
        item->line_at = n_bytes;
        item->line_bytes = (size_t)(strchr(text + n_bytes, '\n') + 1 - (text + n_bytes));
        n_bytes += item->line_bytes;
    }
}

static void prepare_inserts(void)
{
    const char *record = tw_db_is_postgres(bench.db)
                             ? "INSERT INTO audit VALUES (?, ?, ?, convert_from(?, 'UTF8'), "
                               "convert_from(?, 'UTF8'), ?)"
                             : "INSERT INTO audit VALUES (?, ?, ?, CAST(? AS TEXT), "
                               "CAST(? AS TEXT), ?)";
    assert_int_equal(tw_db_prepare(bench.db, record, &bench.insert_record, NULL), TW_OK);
    assert_int_equal(tw_db_prepare(bench.db, "INSERT INTO checkpoint VALUES (?, ?, ?, ?, ?, ?)",
                                   &bench.insert_checkpoint, NULL),
                     TW_OK);
}

/* The tables of a log, without their keys. */
static void open_tables(void)
{
    bench.db = open_empty_store(bench.folder);
    scene.is_postgres = tw_db_is_postgres(bench.db);
    run_sql(bench.db,
            "CREATE TABLE audit (log TEXT NOT NULL, seq %I NOT NULL, at_ns %I NOT NULL, "
            "kind TEXT NOT NULL, body TEXT NOT NULL, hash %B NOT NULL) %S;"
            "CREATE TABLE checkpoint (log TEXT NOT NULL, number %I NOT NULL, seq %I NOT NULL, "
            "at_ns %I NOT NULL, hash %B NOT NULL, signature %B NOT NULL) %S;"
            "CREATE INDEX audit_seq ON audit (log, seq);"
            "CREATE INDEX checkpoint_seq ON checkpoint (log, seq)");
}

static int make_bench(void **state)
{
    (void)state;
    size_t n_room = (size_t)scene.n_records + MAX_CHECKPOINTS + 2;
    make_folder(bench.folder);
    open_tables();
    bench.key = open_key(bench.folder, "key", AUDIT_KEY_PEM);
    scene.foreign_key = open_key(bench.folder, "foreign", NULL);
    bench.public_key = tw_audit_key_public(bench.key);
    scene.original.items = tw_mem_zalloc(n_room, sizeof(struct item));
    scene.model.items = tw_mem_zalloc(n_room, sizeof(struct item));
    assert_true(scene.original.items != NULL && scene.model.items != NULL);
    tw_buf_init(&bench.original_text, (size_t)1 << 28);
    tw_buf_init(&bench.text, (size_t)1 << 28);
    struct tw_audit_log *log = open_log(bench.db, bench.key);
    append_requests(bench.db, log, scene.n_records);
    tw_audit_log_close(log);
    prepare_inserts();
    read_original();
    return 0;
}

static int remove_bench(void **state)
{
    (void)state;
    tw_buf_free(&bench.original_text);
    tw_buf_free(&bench.text);
    tw_mem_free(scene.original.items);
    tw_mem_free(scene.model.items);
    tw_audit_key_free(bench.key);
    tw_audit_key_free(scene.foreign_key);
    tw_db_finalize(bench.insert_record);
    tw_db_finalize(bench.insert_checkpoint);
    tw_db_close(bench.db);
    remove_folder(bench.folder);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_log_that_nobody_touched_verifies),
        cmocka_unit_test(every_change_of_a_store_is_found_at_its_place),
        cmocka_unit_test(every_change_of_an_export_is_found_at_its_place),
    };
    if (argc != 3) {
        fprintf(stderr, "usage: test_audit_tamper RECORDS TAMPERS\n");
        return 2;
    }
    scene.n_records = strtoll(argv[1], NULL, 10);
    bench.n_tampers = strtoull(argv[2], NULL, 10);
    return cmocka_run_group_tests(tests, make_bench, remove_bench);
}
