#include "audit_tampers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "audit_fixture.h"
#include "base/rng.h"

struct scene scene;

uint64_t draw(struct tamper *tamper, uint64_t below)
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

int64_t kept_seq(const struct tamper *tamper)
{
    return tamper->kept != NULL ? tamper->kept->seq : 0;
}

/* The first checkpoint that covers a record, 0 where none does. */
static int64_t covering_seq(int64_t seq)
{
    for (int i = 0; i < scene.n_checkpoints; i++) {
        if (scene.signed_seqs[i] >= seq) {
            return scene.signed_seqs[i];
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
    const size_t n = scene.model.n_items;
    for (size_t i = 0; i < n; i++) {
        size_t at = ((size_t)seq - 1 + i) % n;
        const struct item *item = &scene.model.items[at];
        if (item->is_checkpoint == is_checkpoint && item->seq == seq) {
            return at;
        }
    }
    fail_msg("no item of record %" PRId64, seq);
    return 0;
}

static struct item *record_of(int64_t seq)
{
    return &scene.model.items[find(false, seq)];
}

struct item *checkpoint_of(int number)
{
    return &scene.model.items[find(true, scene.signed_seqs[number - 1])];
}

static void remove_at(size_t i)
{
    struct model *model = &scene.model;
    memmove(&model->items[i], &model->items[i + 1],
            (model->n_items - i - 1) * sizeof *model->items);
    model->n_items--;
}

static void insert_at(size_t i, const struct item *item)
{
    struct model *model = &scene.model;
    struct item copy = *item;
    memmove(&model->items[i + 1], &model->items[i], (model->n_items - i) * sizeof *model->items);
    model->items[i] = copy;
    model->n_items++;
}

static void touch(struct item *item)
{
    item->line_bytes = 0;
}

struct tw_audit_record record_view(const struct item *item)
{
    return (struct tw_audit_record){.seq = item->seq,
                                    .at_ns = item->at_ns,
                                    .kind = item->kind,
                                    .kind_bytes = item->kind_bytes,
                                    .body = item->body,
                                    .body_bytes = item->body_bytes,
                                    .hash = item->hash};
}

struct tw_audit_checkpoint checkpoint_view(const struct item *item)
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
    for (size_t i = 0; i < scene.model.n_items; i++) {
        struct item *item = &scene.model.items[i];
        if (item->is_checkpoint) {
            continue;
        }
        if (item->seq >= seq && item->seq <= until_seq) {
            struct tw_audit_record record = record_view(item);
            item->hash = tw_audit_record_hash(&before, AUDIT_LOG, &record);
            touch(item);
        }
        before = item->hash;
    }
}

/* One more for every record from index i on. */
static void renumber_from(size_t i, int64_t by)
{
    for (; i < scene.model.n_items; i++) {
        struct item *item = &scene.model.items[i];
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
    bool is_postgres = tamper->in_store && scene.is_postgres;
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
    if (seq < scene.n_records || is_signed_seq(seq)) {
        expect_at(tamper, seq);
    }
}

/* A checkpoint that is not there any more: the next one, or the one that was kept, tells. */
static void expect_missing_checkpoint(struct tamper *tamper, int number)
{
    if (number < scene.n_checkpoints) {
        expect_at(tamper, scene.signed_seqs[number]);
    } else if (tamper->kept != NULL && tamper->kept->number == number) {
        expect_at(tamper, tamper->kept->seq);
    }
}

static void edit_record(struct tamper *tamper)
{
    struct item *item = record_of(draw_seq(tamper, scene.n_records));
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

/* Behind a zero byte where the place can have one: whoever reads texts up to there sees nothing. */
static void lengthen_text(struct tamper *tamper)
{
    struct item *item = record_of(draw_seq(tamper, scene.n_records));
    bool is_postgres = tamper->in_store && scene.is_postgres;
    bool is_kind = draw(tamper, 2) == 0;
    char *text = is_kind ? item->kind : item->body;
    size_t *n_bytes = is_kind ? &item->kind_bytes : &item->body_bytes;
    text[*n_bytes] = is_postgres ? ' ' : '\0';
    text[*n_bytes + 1] = 'x';
    *n_bytes += 1 + (size_t)draw(tamper, 2);
    touch(item);
    expect_at(tamper, item->seq);
}

/* In a store the rows are read by their numbers, so that another checkpoint may come first. */
static void expect_moved_checkpoint(struct tamper *tamper, int number, int64_t new_seq)
{
    bool is_last = number == scene.n_checkpoints;
    bool is_passed = tamper->in_store && !is_last && new_seq > scene.signed_seqs[number];
    expect_at(tamper, is_passed ? scene.signed_seqs[number] : new_seq);
}

static void edit_checkpoint(struct tamper *tamper)
{
    int number = 1 + (int)draw(tamper, (uint64_t)scene.n_checkpoints);
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
    int64_t seq = draw_seq(tamper, scene.n_records);
    remove_at(find(false, seq));
    expect_missing(tamper, seq);
}

static void delete_checkpoint(struct tamper *tamper)
{
    int number = 1 + (int)draw(tamper, (uint64_t)scene.n_checkpoints);
    remove_at(find(true, scene.signed_seqs[number - 1]));
    expect_missing_checkpoint(tamper, number);
}

static void swap_records(struct tamper *tamper)
{
    int64_t a = draw_seq(tamper, scene.n_records - 1);
    int64_t b = a + draw_seq(tamper, scene.n_records - a);
    swap_contents(record_of(a), record_of(b));
    expect_at(tamper, a);
}

static void swap_checkpoints(struct tamper *tamper)
{
    int a = 1 + (int)draw(tamper, (uint64_t)scene.n_checkpoints - 1);
    int b = a + 1 + (int)draw(tamper, (uint64_t)(scene.n_checkpoints - a));
    swap_contents(checkpoint_of(a), checkpoint_of(b));
    expect_at(tamper, scene.signed_seqs[a - 1]);
}

static void duplicate_record(struct tamper *tamper)
{
    int64_t seq = draw_seq(tamper, scene.n_records);
    size_t i = find(false, seq);
    insert_at(i + 1, &scene.model.items[i]);
    expect_at(tamper, seq);
}

static void duplicate_record_as_the_next(struct tamper *tamper)
{
    int64_t seq = draw_seq(tamper, scene.n_records);
    size_t i = find(false, seq);
    renumber_from(i + 1, 1);
    insert_at(i + 1, &scene.model.items[i]);
    scene.model.items[i + 1].seq = seq + 1;
    touch(&scene.model.items[i + 1]);
    if (is_signed_seq(seq)) { /* its checkpoint stays behind it */
        struct item copy = scene.model.items[i + 1];
        scene.model.items[i + 1] = scene.model.items[i + 2];
        scene.model.items[i + 2] = copy;
    }
    expect_at(tamper, seq + 1);
}

static void duplicate_checkpoint(struct tamper *tamper)
{
    int64_t seq = scene.signed_seqs[draw(tamper, (uint64_t)scene.n_checkpoints)];
    size_t i = find(true, seq);
    insert_at(i, &scene.model.items[i]);
    expect_at(tamper, seq);
}

/* A new record in the place of seq; what was there and behind it is one further. */
static void insert_record(int64_t seq)
{
    struct item item = *record_of(seq <= scene.n_records ? seq : scene.n_records);
    size_t i = seq <= scene.n_records ? find(false, seq) : scene.model.n_items;
    renumber_from(i, 1);
    item.seq = seq;
    memcpy(item.body, "{\"cost_nano\":0}", 15);
    item.body_bytes = 15;
    touch(&item);
    insert_at(i, &item);
    if (is_signed_seq(seq)) { /* the checkpoint of that number stays with it */
        size_t at = find(true, seq);
        struct item checkpoint = scene.model.items[at];
        remove_at(at);
        insert_at(i + 1, &checkpoint);
    }
}

static void insert_any_record(struct tamper *tamper)
{
    int64_t seq = draw_seq(tamper, scene.n_records + 1);
    insert_record(seq);
    expect_at(tamper, seq);
}

static void insert_record_that_fits(struct tamper *tamper)
{
    int64_t seq = draw_seq(tamper, scene.n_records + 1);
    insert_record(seq);
    rewrite_from(seq, seq);
    if (seq <= scene.n_records) {
        expect_at(tamper, is_signed_seq(seq) ? seq : seq + 1);
    }
}

static void cut(int64_t last_seq, bool with_checkpoints)
{
    for (size_t i = scene.model.n_items; i-- > 0;) {
        const struct item *item = &scene.model.items[i];
        if (item->seq > last_seq && (with_checkpoints || !item->is_checkpoint)) {
            remove_at(i);
        }
    }
}

static void cut_tail(struct tamper *tamper)
{
    int64_t last_seq = draw_seq(tamper, scene.n_records) - 1;
    cut(last_seq, true);
    if (kept_seq(tamper) > last_seq) {
        expect_at(tamper, last_seq + 1);
    }
}

static void cut_tail_of_records(struct tamper *tamper)
{
    int64_t last_seq = draw_seq(tamper, scene.n_records) - 1;
    cut(last_seq, false);
    if (scene.signed_seqs[scene.n_checkpoints - 1] > last_seq) {
        expect_at(tamper, last_seq + 1);
    }
}

static void move_record(struct tamper *tamper)
{
    int64_t from = draw_seq(tamper, scene.n_records);
    int64_t to = draw_seq(tamper, scene.n_records);
    to = to != from ? to : from > 1 ? from - 1 : from + 1;
    const int64_t step = to > from ? 1 : -1;
    for (int64_t seq = from; seq != to; seq += step) {
        swap_contents(record_of(seq), record_of(seq + step));
    }
    expect_at(tamper, from < to ? from : to);
}

static void rewrite_record(struct tamper *tamper)
{
    int64_t seq = draw_seq(tamper, scene.n_records);
    struct item *item = record_of(seq);
    change_text(tamper, item->body, item->body_bytes);
    rewrite_from(seq, scene.n_records);
    if (covering_seq(seq) != 0) {
        expect_at(tamper, covering_seq(seq));
    }
}

static void sign_foreign(struct item *item)
{
    struct tw_audit_checkpoint checkpoint = checkpoint_view(item);
    tw_audit_checkpoint_sign(&checkpoint, scene.foreign_key);
    item->signature = checkpoint.signature;
    touch(item);
}

static void rewrite_record_and_sign(struct tamper *tamper)
{
    int64_t seq = draw_seq(tamper, scene.n_records);
    struct item *item = record_of(seq);
    change_text(tamper, item->body, item->body_bytes);
    rewrite_from(seq, scene.n_records);
    for (int number = 1; number <= scene.n_checkpoints; number++) {
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
    struct item item = *checkpoint_of(scene.n_checkpoints);
    item.seq = scene.n_records;
    item.number = scene.n_checkpoints + 1;
    item.hash = record_of(scene.n_records)->hash;
    sign_foreign(&item);
    insert_at(scene.model.n_items, &item);
    expect_at(tamper, scene.n_records);
}
static const struct {
    const char *name;
    void (*apply)(struct tamper *tamper);
} ways[] = {
    {"edit of a record", edit_record},
    {"edit of a record", edit_record},
    {"bytes behind a text", lengthen_text},
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

void apply_tamper(struct tamper *tamper)
{
    size_t way = tamper->number % (sizeof ways / sizeof ways[0]);
    tamper->name = ways[way].name;
    ways[way].apply(tamper);
}
