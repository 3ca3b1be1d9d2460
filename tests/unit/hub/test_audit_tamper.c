/* Every way of changing an audit log, at random places, by somebody who has all but the signing
 * key: each is found at its place, in the store and in an export, except where nothing could tell.
 *
 *     test_audit_tamper RECORDS TAMPERS
 *
 * The store's tables have no keys, as somebody leaves them who wants to have a number twice. What
 * is expected is computed here from the tamper, never by asking the code that is tested. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit_fixture.h"
#include "base/mem.h"
#include "base/rng.h"
#include "hub/audit_export.h"
#include "hub/audit_rows.h"

enum { BODY_BYTES = 1200, KIND_BYTES = 24, MAX_CHECKPOINTS = 200 };

/* A row of either table. */
struct item {
    bool is_checkpoint;
    char log[TW_LIMIT_AUDIT_LOG_BYTES + 1];
    int64_t seq, at_ns, number;
    char kind[KIND_BYTES];
    char body[BODY_BYTES];
    size_t kind_bytes, body_bytes;
    struct tw_audit_hash hash;
    struct tw_audit_signature signature;
    size_t line_at, line_bytes; /* of what it is in the export; 0 bytes once it was changed */
};

/* A log as its rows, in the order of an export. */
struct model {
    struct item *items;
    size_t n_items;
};

static struct bench {
    int64_t n_records;
    uint64_t n_tampers;
    char folder[256];
    struct tw_db *db;
    struct tw_audit_key *key, *foreign_key;
    struct tw_audit_public_key public_key;
    struct tw_db_statement *insert_record, *insert_checkpoint;
    struct model original, model;
    struct tw_buf original_text, text;
    int64_t signed_seqs[MAX_CHECKPOINTS]; /* of the checkpoints 1 to n */
    int n_checkpoints;
} bench;

/* A tamper: what to do, with which random numbers, and what must come of it. */
struct tamper {
    const char *name;
    bool in_store; /* otherwise in an export */
    uint64_t number;
    uint32_t n_drawn;
    const struct tw_audit_checkpoint *kept; /* NULL: none */
    struct tw_audit_checkpoint kept_room;
    bool is_found;
    int64_t seq; /* where */
};

static uint64_t draw(struct tamper *tamper, uint64_t below)
{
    uint32_t words[4];
    tw_rng_block(tamper->number, tamper->n_drawn++, words);
    return ((uint64_t)words[1] << 32 | words[0]) % below;
}

static int64_t draw_seq(struct tamper *tamper, int64_t last)
{
    return 1 + (int64_t)draw(tamper, (uint64_t)last);
}

static void expect_at(struct tamper *tamper, int64_t seq)
{
    tamper->is_found = true;
    tamper->seq = seq;
}

static int64_t kept_seq(const struct tamper *tamper)
{
    return tamper->kept != NULL ? tamper->kept->seq : 0;
}

/* The first checkpoint that covers a record, 0 where none does. */
static int64_t covering_seq(int64_t seq)
{
    for (int i = 0; i < bench.n_checkpoints; i++) {
        if (bench.signed_seqs[i] >= seq) {
            return bench.signed_seqs[i];
        }
    }
    return 0;
}

static bool is_signed_seq(int64_t seq)
{
    return covering_seq(seq) == seq;
}

/* The index of a record, or of the checkpoint behind it: about that of its number. */
static size_t find(bool is_checkpoint, int64_t seq)
{
    const size_t n = bench.model.n_items;
    for (size_t i = 0; i < n; i++) {
        size_t at = ((size_t)seq - 1 + i) % n;
        const struct item *item = &bench.model.items[at];
        if (item->is_checkpoint == is_checkpoint && item->seq == seq) {
            return at;
        }
    }
    fail_msg("no item of record %" PRId64, seq);
    return 0;
}

static struct item *record_of(int64_t seq)
{
    return &bench.model.items[find(false, seq)];
}

static struct item *checkpoint_of(int number)
{
    return &bench.model.items[find(true, bench.signed_seqs[number - 1])];
}

static void remove_at(size_t i)
{
    struct model *model = &bench.model;
    memmove(&model->items[i], &model->items[i + 1],
            (model->n_items - i - 1) * sizeof *model->items);
    model->n_items--;
}

static void insert_at(size_t i, const struct item *item)
{
    struct model *model = &bench.model;
    struct item copy = *item;
    memmove(&model->items[i + 1], &model->items[i], (model->n_items - i) * sizeof *model->items);
    model->items[i] = copy;
    model->n_items++;
}

static void touch(struct item *item)
{
    item->line_bytes = 0;
}

static struct tw_audit_record view(const struct item *item)
{
    return (struct tw_audit_record){.seq = item->seq,
                                    .at_ns = item->at_ns,
                                    .kind = item->kind,
                                    .kind_bytes = item->kind_bytes,
                                    .body = item->body,
                                    .body_bytes = item->body_bytes,
                                    .hash = item->hash};
}

static struct tw_audit_checkpoint checkpoint_view(const struct item *item)
{
    struct tw_audit_checkpoint checkpoint = {.number = item->number,
                                             .seq = item->seq,
                                             .at_ns = item->at_ns,
                                             .hash = item->hash,
                                             .signature = item->signature};
    snprintf(checkpoint.log, sizeof checkpoint.log, "%s", AUDIT_LOG);
    return checkpoint;
}

/* Hashes anew from a record on, as the one who changed it would. */
static void rewrite_from(int64_t seq, int64_t until_seq)
{
    struct tw_audit_hash before = tw_audit_genesis(AUDIT_LOG);
    for (size_t i = 0; i < bench.model.n_items; i++) {
        struct item *item = &bench.model.items[i];
        if (item->is_checkpoint) {
            continue;
        }
        if (item->seq >= seq && item->seq <= until_seq) {
            struct tw_audit_record record = view(item);
            item->hash = tw_audit_record_hash(&before, AUDIT_LOG, &record);
            touch(item);
        }
        before = item->hash;
    }
}

/* One more for every record from index i on. */
static void renumber_from(size_t i, int64_t by)
{
    for (; i < bench.model.n_items; i++) {
        struct item *item = &bench.model.items[i];
        if (!item->is_checkpoint) {
            item->seq += by;
            touch(item);
        }
    }
}

/* Content without its number. */
static void swap_contents(struct item *a, struct item *b)
{
    struct item c = *a;
    int64_t a_seq = a->seq;
    int64_t b_seq = b->seq;
    *a = *b;
    *b = c;
    a->seq = a_seq;
    b->seq = b_seq;
    touch(a);
    touch(b);
}

static void change_integer(struct tamper *tamper, int64_t *value)
{
    *value ^= (int64_t)((1 + draw(tamper, 255)) << 8 * draw(tamper, 8));
}

/* Any byte that the place can have: a line of an export is UTF-8, and so are PostgreSQL's texts,
 * without zero bytes. */
static void change_text(struct tamper *tamper, char *text, size_t n_bytes)
{
    char *byte = &text[draw(tamper, n_bytes)];
    char old = *byte;
    bool is_postgres = tamper->in_store && tw_db_is_postgres(bench.db);
    uint64_t least = is_postgres ? 1 : 0;
    uint64_t n_values = tamper->in_store && !is_postgres ? 256 : 128;
    while (*byte == old) {
        *byte = (char)(least + draw(tamper, n_values - least));
    }
}

static void change_bytes(struct tamper *tamper, unsigned char *bytes, size_t n_bytes)
{
    bytes[draw(tamper, n_bytes)] ^= (unsigned char)(1 + draw(tamper, 255));
}

/* A record that is not there any more. */
static void expect_missing(struct tamper *tamper, int64_t seq)
{
    if (seq < bench.n_records || is_signed_seq(seq)) {
        expect_at(tamper, seq);
    }
}

/* A checkpoint that is not there any more: the next one, or the one that was kept, tells. */
static void expect_missing_checkpoint(struct tamper *tamper, int number)
{
    if (number < bench.n_checkpoints) {
        expect_at(tamper, bench.signed_seqs[number]);
    } else if (tamper->kept != NULL && tamper->kept->number == number) {
        expect_at(tamper, tamper->kept->seq);
    }
}

static void edit_record(struct tamper *tamper)
{
    struct item *item = record_of(draw_seq(tamper, bench.n_records));
    const int64_t seq = item->seq;
    touch(item);
    switch (draw(tamper, 6)) {
    case 0:
        item->log[draw(tamper, 32)] = 'z';
        expect_missing(tamper, seq);
        return;
    case 1:
        change_integer(tamper, &item->seq);
        expect_at(tamper, item->seq < seq ? item->seq : seq);
        return;
    case 2:
        change_integer(tamper, &item->at_ns);
        break;
    case 3:
        change_text(tamper, item->kind, item->kind_bytes);
        break;
    case 4:
        change_text(tamper, item->body, item->body_bytes);
        break;
    default:
        change_bytes(tamper, item->hash.bytes, sizeof item->hash.bytes);
        break;
    }
    expect_at(tamper, seq);
}

/* In a store the rows are read by their numbers, so that another checkpoint may come first. */
static void expect_moved_checkpoint(struct tamper *tamper, int number, int64_t new_seq)
{
    bool is_last = number == bench.n_checkpoints;
    bool is_passed = tamper->in_store && !is_last && new_seq > bench.signed_seqs[number];
    expect_at(tamper, is_passed ? bench.signed_seqs[number] : new_seq);
}

static void edit_checkpoint(struct tamper *tamper)
{
    int number = 1 + (int)draw(tamper, (uint64_t)bench.n_checkpoints);
    struct item *item = checkpoint_of(number);
    const int64_t seq = item->seq;
    touch(item);
    switch (draw(tamper, 6)) {
    case 0:
        item->log[draw(tamper, 32)] = 'z';
        expect_missing_checkpoint(tamper, number);
        return;
    case 1:
        change_integer(tamper, &item->seq);
        expect_moved_checkpoint(tamper, number, item->seq);
        return;
    case 2:
        change_integer(tamper, &item->at_ns);
        break;
    case 3:
        change_integer(tamper, &item->number);
        break;
    case 4:
        change_bytes(tamper, item->hash.bytes, sizeof item->hash.bytes);
        break;
    default:
        change_bytes(tamper, item->signature.bytes, sizeof item->signature.bytes);
        break;
    }
    expect_at(tamper, seq);
}

static void delete_record(struct tamper *tamper)
{
    int64_t seq = draw_seq(tamper, bench.n_records);
    remove_at(find(false, seq));
    expect_missing(tamper, seq);
}

static void delete_checkpoint(struct tamper *tamper)
{
    int number = 1 + (int)draw(tamper, (uint64_t)bench.n_checkpoints);
    remove_at(find(true, bench.signed_seqs[number - 1]));
    expect_missing_checkpoint(tamper, number);
}

static void swap_records(struct tamper *tamper)
{
    int64_t a = draw_seq(tamper, bench.n_records - 1);
    int64_t b = a + draw_seq(tamper, bench.n_records - a);
    swap_contents(record_of(a), record_of(b));
    expect_at(tamper, a);
}

static void swap_checkpoints(struct tamper *tamper)
{
    int a = 1 + (int)draw(tamper, (uint64_t)bench.n_checkpoints - 1);
    int b = a + 1 + (int)draw(tamper, (uint64_t)(bench.n_checkpoints - a));
    swap_contents(checkpoint_of(a), checkpoint_of(b));
    expect_at(tamper, bench.signed_seqs[a - 1]);
}

static void duplicate_record(struct tamper *tamper)
{
    int64_t seq = draw_seq(tamper, bench.n_records);
    size_t i = find(false, seq);
    insert_at(i + 1, &bench.model.items[i]);
    expect_at(tamper, seq);
}

static void duplicate_record_as_the_next(struct tamper *tamper)
{
    int64_t seq = draw_seq(tamper, bench.n_records);
    size_t i = find(false, seq);
    renumber_from(i + 1, 1);
    insert_at(i + 1, &bench.model.items[i]);
    bench.model.items[i + 1].seq = seq + 1;
    touch(&bench.model.items[i + 1]);
    if (is_signed_seq(seq)) { /* its checkpoint stays behind it */
        struct item copy = bench.model.items[i + 1];
        bench.model.items[i + 1] = bench.model.items[i + 2];
        bench.model.items[i + 2] = copy;
    }
    expect_at(tamper, seq + 1);
}

static void duplicate_checkpoint(struct tamper *tamper)
{
    int64_t seq = bench.signed_seqs[draw(tamper, (uint64_t)bench.n_checkpoints)];
    size_t i = find(true, seq);
    insert_at(i, &bench.model.items[i]);
    expect_at(tamper, seq);
}

/* A new record in the place of seq; what was there and behind it is one further. */
static void insert_record(int64_t seq)
{
    struct item item = *record_of(seq <= bench.n_records ? seq : bench.n_records);
    size_t i = seq <= bench.n_records ? find(false, seq) : bench.model.n_items;
    renumber_from(i, 1);
    item.seq = seq;
    memcpy(item.body, "{\"cost_nano\":0}", 15);
    item.body_bytes = 15;
    touch(&item);
    insert_at(i, &item);
    if (is_signed_seq(seq)) { /* the checkpoint of that number stays with it */
        size_t at = find(true, seq);
        struct item checkpoint = bench.model.items[at];
        remove_at(at);
        insert_at(i + 1, &checkpoint);
    }
}

static void insert_any_record(struct tamper *tamper)
{
    int64_t seq = draw_seq(tamper, bench.n_records + 1);
    insert_record(seq);
    expect_at(tamper, seq);
}

static void insert_record_that_fits(struct tamper *tamper)
{
    int64_t seq = draw_seq(tamper, bench.n_records + 1);
    insert_record(seq);
    rewrite_from(seq, seq);
    if (seq <= bench.n_records) {
        expect_at(tamper, is_signed_seq(seq) ? seq : seq + 1);
    }
}

static void cut(int64_t last_seq, bool with_checkpoints)
{
    for (size_t i = bench.model.n_items; i-- > 0;) {
        const struct item *item = &bench.model.items[i];
        if (item->seq > last_seq && (with_checkpoints || !item->is_checkpoint)) {
            remove_at(i);
        }
    }
}

static void cut_tail(struct tamper *tamper)
{
    int64_t last_seq = draw_seq(tamper, bench.n_records) - 1;
    cut(last_seq, true);
    if (kept_seq(tamper) > last_seq) {
        expect_at(tamper, last_seq + 1);
    }
}

static void cut_tail_of_records(struct tamper *tamper)
{
    int64_t last_seq = draw_seq(tamper, bench.n_records) - 1;
    cut(last_seq, false);
    if (bench.signed_seqs[bench.n_checkpoints - 1] > last_seq) {
        expect_at(tamper, last_seq + 1);
    }
}

static void move_record(struct tamper *tamper)
{
    int64_t from = draw_seq(tamper, bench.n_records);
    int64_t to = draw_seq(tamper, bench.n_records);
    to = to != from ? to : from > 1 ? from - 1 : from + 1;
    const int64_t step = to > from ? 1 : -1;
    for (int64_t seq = from; seq != to; seq += step) {
        swap_contents(record_of(seq), record_of(seq + step));
    }
    expect_at(tamper, from < to ? from : to);
}

static void rewrite_record(struct tamper *tamper)
{
    int64_t seq = draw_seq(tamper, bench.n_records);
    struct item *item = record_of(seq);
    change_text(tamper, item->body, item->body_bytes);
    rewrite_from(seq, bench.n_records);
    if (covering_seq(seq) != 0) {
        expect_at(tamper, covering_seq(seq));
    }
}

static void sign_foreign(struct item *item)
{
    struct tw_audit_checkpoint checkpoint = checkpoint_view(item);
    tw_audit_checkpoint_sign(&checkpoint, bench.foreign_key);
    item->signature = checkpoint.signature;
    touch(item);
}

static void rewrite_record_and_sign(struct tamper *tamper)
{
    int64_t seq = draw_seq(tamper, bench.n_records);
    struct item *item = record_of(seq);
    change_text(tamper, item->body, item->body_bytes);
    rewrite_from(seq, bench.n_records);
    for (int number = 1; number <= bench.n_checkpoints; number++) {
        struct item *checkpoint = checkpoint_of(number);
        if (checkpoint->seq >= seq) {
            checkpoint->hash = record_of(checkpoint->seq)->hash;
            sign_foreign(checkpoint);
        }
    }
    if (covering_seq(seq) != 0) {
        expect_at(tamper, covering_seq(seq));
    }
}

static void sign_the_end(struct tamper *tamper)
{
    struct item item = *checkpoint_of(bench.n_checkpoints);
    item.seq = bench.n_records;
    item.number = bench.n_checkpoints + 1;
    item.hash = record_of(bench.n_records)->hash;
    sign_foreign(&item);
    insert_at(bench.model.n_items, &item);
    expect_at(tamper, bench.n_records);
}

static const struct {
    const char *name;
    void (*apply)(struct tamper *tamper);
} ways[] = {
    {"edit of a record", edit_record},
    {"edit of a record", edit_record},
    {"edit of a checkpoint", edit_checkpoint},
    {"removal of a record", delete_record},
    {"removal of a checkpoint", delete_checkpoint},
    {"exchange of records", swap_records},
    {"exchange of checkpoints", swap_checkpoints},
    {"a record twice", duplicate_record},
    {"a record again as the next", duplicate_record_as_the_next},
    {"a checkpoint twice", duplicate_checkpoint},
    {"a new record", insert_any_record},
    {"a new record with its hash", insert_record_that_fits},
    {"a cut", cut_tail},
    {"a cut of records only", cut_tail_of_records},
    {"a record moved", move_record},
    {"an edit with all hashes", rewrite_record},
    {"an edit with all hashes and foreign signatures", rewrite_record_and_sign},
    {"a foreign checkpoint", sign_the_end},
};
enum { N_WAYS = sizeof ways / sizeof ways[0] };

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
        assert_true(bench.n_checkpoints < MAX_CHECKPOINTS);
        bench.signed_seqs[bench.n_checkpoints++] = item.seq;
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
        .record = view(item),
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
    for (size_t i = 0; i < bench.model.n_items; i++) {
        const struct item *item = &bench.model.items[i];
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
    while (i < bench.original.n_items && i < bench.model.n_items &&
           is_same(&bench.original.items[i], &bench.model.items[i])) {
        i++;
    }
    return i;
}

/* The model in the store, in place of what is there from its first change on. */
static void fill_store(size_t from)
{
    char sql[200];
    int64_t seq = from < bench.original.n_items ? bench.original.items[from].seq : INT64_MAX;
    while (from > 0 && bench.original.items[from - 1].seq == seq) {
        from--; /* a record and its checkpoint have one number */
    }
    snprintf(sql, sizeof sql,
             "DELETE FROM audit WHERE seq >= %" PRId64
             "; DELETE FROM checkpoint WHERE seq >= %" PRId64,
             seq, seq);
    run_sql(bench.db, sql);
    for (size_t i = from; i < bench.model.n_items; i++) {
        insert_item(&bench.model.items[i]);
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
        choice < 2 ? bench.n_checkpoints : 1 + (int)draw(tamper, (uint64_t)bench.n_checkpoints);
    if (choice < 3) {
        tamper->kept_room = checkpoint_view(checkpoint_of(number));
        tamper->kept = &tamper->kept_room;
    }
}

static void reset_model(void)
{
    memcpy(bench.model.items, bench.original.items,
           bench.original.n_items * sizeof *bench.original.items);
    bench.model.n_items = bench.original.n_items;
}

/* What is not found lies behind the kept checkpoint and behind every signature that is left. */
static void assert_nothing_could_tell(const struct tamper *tamper,
                                      const struct tw_audit_report *report)
{
    size_t i = first_change();
    assert_true(i < bench.original.n_items || i < bench.model.n_items);
    int64_t seq = i < bench.original.n_items ? bench.original.items[i].seq : bench.n_records + 1;
    assert_true(seq > kept_seq(tamper));
    assert_true(seq > report->signed_seq);
}

static void run_tamper(uint64_t number, bool in_store, size_t *n_found, size_t *n_not_found)
{
    struct tamper tamper = {
        .name = ways[number % N_WAYS].name, .in_store = in_store, .number = number};
    reset_model();
    choose_kept(&tamper);
    ways[number % N_WAYS].apply(&tamper);
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
    for (int number = 0; number <= bench.n_checkpoints; number++) {
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
            assert_int_equal(report.n_records, bench.n_records);
            assert_int_equal(report.n_checkpoints, bench.n_checkpoints);
            assert_int_equal(report.signed_seq, bench.signed_seqs[bench.n_checkpoints - 1]);
            assert_int_equal(report.n_unsigned, bench.n_records - report.signed_seq);
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
        take_row(&row, &bench.original.items[bench.original.n_items++]);
    }
    tw_audit_rows_close(rows);
    reset_model();
    render(&bench.original_text);
    const char *text = bench.original_text.data;
    n_bytes = (size_t)(strchr(text, '\n') + 1 - text);
    for (size_t i = 0; i < bench.original.n_items; i++) {
        struct item *item = &bench.original.items[i];
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
    size_t n_room = (size_t)bench.n_records + MAX_CHECKPOINTS + 2;
    make_folder(bench.folder);
    open_tables();
    bench.key = open_key(bench.folder, "key", AUDIT_KEY_PEM);
    bench.foreign_key = open_key(bench.folder, "foreign", NULL);
    bench.public_key = tw_audit_key_public(bench.key);
    bench.original.items = tw_mem_zalloc(n_room, sizeof(struct item));
    bench.model.items = tw_mem_zalloc(n_room, sizeof(struct item));
    assert_true(bench.original.items != NULL && bench.model.items != NULL);
    tw_buf_init(&bench.original_text, (size_t)1 << 28);
    tw_buf_init(&bench.text, (size_t)1 << 28);
    struct tw_audit_log *log = open_log(bench.db, bench.key);
    append_requests(bench.db, log, bench.n_records);
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
    tw_mem_free(bench.original.items);
    tw_mem_free(bench.model.items);
    tw_audit_key_free(bench.key);
    tw_audit_key_free(bench.foreign_key);
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
    bench.n_records = strtoll(argv[1], NULL, 10);
    bench.n_tampers = strtoull(argv[2], NULL, 10);
    return cmocka_run_group_tests(tests, make_bench, remove_bench);
}
