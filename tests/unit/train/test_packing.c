/* Documents in rows: each once an epoch, and the same rows wherever a run begins. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/rng.h"
#include "train/packing.h"
#include "train_fixture.h"

enum { CONTEXT = 512, DOCUMENTS = 3000 };

static struct trained trained;
static struct tw_dataset *dataset;

/* Texts of digits: one token each, so that lengths are known. Every text begins with its number in
 * six digits. */
static int set_up(void **state)
{
    (void)state;
    struct tw_buf lines;
    trained_init(&trained, "it", TW_BPE_LEAST_TOKENS);
    struct tw_chat_format format =
        tw_chat_format_detect(trained.tokenizer, (struct tw_bytes){"", 0});
    tw_buf_init(&lines, 16 << 20);
    for (unsigned i = 0; i < DOCUMENTS; i++) {
        double u = tw_rng_uniform(7, i);
        unsigned n = 1 + (unsigned)(u * u * u * 400);
        tw_buf_append_format(&lines, "{\"text\": \"%06u", i);
        for (unsigned k = 0; k < n; k++) {
            tw_buf_append_format(&lines, "%u", (i + k) % 10);
        }
        tw_buf_append_text(&lines, "\"}\n");
    }
    assert_int_equal(tw_dataset_create(&format, CONTEXT, &dataset, NULL), TW_OK);
    assert_int_equal(
        tw_dataset_add_rows(dataset, (struct tw_bytes){lines.data, lines.size_bytes}, "f", NULL),
        TW_OK);
    assert_int_equal(tw_dataset_n_documents(dataset), DOCUMENTS);
    tw_buf_free(&lines);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tw_dataset_free(dataset);
    trained_free(&trained);
    return 0;
}

static struct tw_packing *pack(uint64_t seed)
{
    struct tw_packing *packing = NULL;
    assert_int_equal(tw_packing_create(dataset, CONTEXT, seed, &packing, NULL), TW_OK);
    return packing;
}

static void init_row(struct tw_packed_row *row)
{
    assert_int_equal(tw_packed_row_init(row, CONTEXT, NULL), TW_OK);
}

/* The number a document begins with. */
static unsigned number_of(const int32_t *tokens)
{
    unsigned number = 0;
    for (int i = 0; i < 6; i++) {
        struct tw_bytes b = tw_tokenizer_token_bytes(trained.tokenizer, tokens[i], false);
        number = number * 10 + (unsigned)(b.data[0] - '0');
    }
    return number;
}

/* A row's document i is the dataset's of that number, whole. */
static unsigned check_document(const struct tw_packed_row *row, uint32_t i)
{
    int32_t tokens[CONTEXT];
    uint8_t is_target[CONTEXT];
    uint32_t begin = row->document_starts[i];
    uint32_t n = row->document_starts[i + 1] - begin;
    unsigned number = number_of(row->tokens + begin);
    assert_int_equal(n, tw_dataset_document_tokens(dataset, number));
    tw_dataset_copy(dataset, number, tokens, is_target);
    assert_memory_equal(row->tokens + begin, tokens, n * sizeof *tokens);
    assert_memory_equal(row->is_target + begin, is_target, n);
    assert_int_equal(row->is_target[begin], 0);
    return number;
}

static void check_padding(const struct tw_packed_row *row)
{
    uint32_t n_targets = 0;
    assert_int_equal(row->document_starts[0], 0);
    assert_int_equal(row->document_starts[row->n_documents], row->n_tokens);
    for (uint32_t i = 0; i < CONTEXT; i++) {
        n_targets += row->is_target[i];
        assert_true(i < row->n_tokens ||
                    (row->is_target[i] == 0 && row->tokens[i] == tw_dataset_end_of_text(dataset)));
    }
    assert_int_equal(row->n_targets, n_targets);
}

static void every_document_is_in_exactly_one_row_of_each_epoch(void **state)
{
    (void)state;
    struct tw_packing *packing = pack(3);
    struct tw_packed_row row;
    init_row(&row);
    uint64_t next_row = 0;
    for (uint64_t e = 0; e < 3; e++) {
        struct tw_packing_epoch epoch;
        unsigned char seen[DOCUMENTS] = {0};
        uint64_t n_tokens = 0;
        tw_packing_epoch(packing, e, &epoch);
        assert_int_equal(epoch.first_row, next_row);
        for (; next_row < epoch.first_row + epoch.n_rows; next_row++) {
            tw_packing_row(packing, next_row, &row);
            check_padding(&row);
            n_tokens += row.n_tokens;
            for (uint32_t i = 0; i < row.n_documents; i++) {
                seen[check_document(&row, i)]++;
            }
        }
        assert_int_equal(n_tokens, epoch.n_tokens);
        assert_int_equal(n_tokens, tw_dataset_report(dataset)->n_tokens);
        for (unsigned i = 0; i < DOCUMENTS; i++) {
            assert_int_equal(seen[i], 1);
        }
    }
    tw_packed_row_free(&row);
    tw_packing_free(packing);
}

static bool same_row(const struct tw_packed_row *a, const struct tw_packed_row *b)
{
    return a->n_tokens == b->n_tokens && a->n_targets == b->n_targets &&
           a->n_documents == b->n_documents &&
           memcmp(a->tokens, b->tokens, CONTEXT * sizeof *a->tokens) == 0 &&
           memcmp(a->is_target, b->is_target, CONTEXT) == 0 &&
           memcmp(a->document_starts, b->document_starts,
                  (a->n_documents + 1) * sizeof *a->document_starts) == 0;
}

static void a_run_that_begins_at_any_row_gets_the_same_rows(void **state)
{
    (void)state;
    static const uint64_t rows[] = {0, 1, 700, 5, 2999, 3000, 1200, 0, 4321, 4320};
    struct tw_packing *through = pack(11);
    struct tw_packing *jumping = pack(11);
    struct tw_packed_row row, *kept = calloc(5000, sizeof *kept);
    assert_non_null(kept);
    init_row(&row);
    for (uint64_t r = 0; r < 5000; r++) {
        init_row(&kept[r]);
        tw_packing_row(through, r, &kept[r]);
    }
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tw_packing *fresh = pack(11);
        tw_packing_row(jumping, rows[i], &row);
        assert_true(same_row(&row, &kept[rows[i]]));
        tw_packing_row(fresh, rows[i], &row);
        assert_true(same_row(&row, &kept[rows[i]]));
        tw_packing_free(fresh);
    }
    for (uint64_t r = 0; r < 5000; r++) {
        tw_packed_row_free(&kept[r]);
    }
    free(kept);
    tw_packed_row_free(&row);
    tw_packing_free(through);
    tw_packing_free(jumping);
}

/* A step at the end of an epoch looks at the next one and goes back. */
static void an_epoch_is_the_same_from_whichever_side_it_is_reached(void **state)
{
    (void)state;
    static const uint64_t order[] = {0, 1, 0, 1, 2, 3, 2, 1, 3, 1, 2, 0, 3, 2};
    struct tw_packing *forward = pack(5), *jumping = pack(5);
    struct tw_packing_epoch epochs[4], epoch;
    struct tw_packed_row last[4], row;
    init_row(&row);
    for (uint64_t e = 0; e < 4; e++) {
        tw_packing_epoch(forward, e, &epochs[e]);
        init_row(&last[e]);
        tw_packing_row(forward, epochs[e].first_row + epochs[e].n_rows - 1, &last[e]);
    }
    size_t n_jumps = sizeof order / sizeof order[0];
    for (size_t i = 0; i < 3 * n_jumps; i++) {
        uint64_t e = order[i % n_jumps];
        const struct tw_packing_epoch *want = &epochs[e];
        if (i >= 2 * n_jumps || (i + i / n_jumps) % 2 == 0) { /* by number, otherwise by row */
            tw_packing_epoch(jumping, e, &epoch);
            assert_memory_equal(&epoch, want, sizeof epoch);
        }
        tw_packing_row(jumping, want->first_row + want->n_rows - 1, &row);
        assert_true(same_row(&row, &last[e]));
    }
    for (uint64_t e = 0; e < 4; e++) {
        tw_packed_row_free(&last[e]);
    }
    tw_packed_row_free(&row);
    tw_packing_free(forward);
    tw_packing_free(jumping);
}

static void seeds_and_epochs_shuffle_differently(void **state)
{
    (void)state;
    struct tw_packing *a = pack(1), *b = pack(2);
    struct tw_packing_epoch second;
    struct tw_packed_row x, y;
    init_row(&x);
    init_row(&y);
    tw_packing_row(a, 0, &x);
    tw_packing_row(b, 0, &y);
    assert_false(same_row(&x, &y));
    tw_packing_epoch(a, 1, &second);
    tw_packing_row(a, second.first_row, &y);
    assert_false(same_row(&x, &y));
    tw_packed_row_free(&x);
    tw_packed_row_free(&y);
    tw_packing_free(a);
    tw_packing_free(b);
}

static void rows_are_at_least_97_percent_full(void **state)
{
    (void)state;
    struct tw_packing *packing = pack(5);
    struct tw_packing_epoch epoch;
    tw_packing_epoch(packing, 0, &epoch);
    double share = (double)epoch.n_tokens / ((double)epoch.n_rows * CONTEXT);
    print_message("# %.2f%% of %d rows\n", 100 * share, (int)epoch.n_rows);
    assert_true(share >= 0.97);
    tw_packing_free(packing);
}

/* Worked out by hand from the rule in packing.h, with documents so large that none share a row:
 * rows close in the order of the shuffle, since of equals the first opened goes first. */
static void the_shuffle_is_the_one_that_is_written_down(void **state)
{
    (void)state;
    __extension__ typedef unsigned __int128 wide;
    struct tw_chat_format format =
        tw_chat_format_detect(trained.tokenizer, (struct tw_bytes){"", 0});
    struct tw_dataset *small = NULL;
    struct tw_packing *packing = NULL;
    struct tw_packed_row row;
    unsigned order[100];
    char line[64];
    init_row(&row);
    assert_int_equal(tw_dataset_create(&format, 8, &small, NULL), TW_OK);
    for (unsigned i = 0; i < 100; i++) {
        order[i] = i;
        snprintf(line, sizeof line, "{\"text\": \"%06u\"}", i);
        assert_int_equal(tw_dataset_add_rows(small, tw_bytes_of(line), "f", NULL), TW_OK);
    }
    for (unsigned i = 99; i > 0; i--) {
        uint32_t w[4];
        tw_rng_block(9 ^ 0x7061636b, (UINT64_C(2) << 32) + i, w);
        uint64_t r = (uint64_t)w[1] << 32 | w[0];
        unsigned j = (unsigned)((wide)r * (i + 1) >> 64), kept = order[i];
        order[i] = order[j];
        order[j] = kept;
    }
    assert_int_equal(tw_packing_create(small, 8, 9, &packing, NULL), TW_OK);
    for (unsigned i = 0; i < 100; i++) {
        tw_packing_row(packing, 200 + i, &row);
        assert_int_equal(number_of(row.tokens), order[i]);
    }
    tw_packing_free(packing);
    tw_dataset_free(small);
    tw_packed_row_free(&row);
}

/* 300 documents of 34 to 64 tokens in rows of 64: none share a row, so that row after row is opened
 * and, from the 65th on, the fullest of the open ones closed. */
static void the_fullest_of_sixty_four_open_rows_is_closed(void **state)
{
    (void)state;
    enum { N = 300, ROW = 64, MOST_OPEN = 64 };
    struct tw_chat_format format =
        tw_chat_format_detect(trained.tokenizer, (struct tw_bytes){"", 0});
    struct tw_dataset *many = NULL;
    struct tw_packing *packing = NULL;
    struct tw_packed_row row;
    __extension__ typedef unsigned __int128 wide;
    unsigned shuffled[N], open[MOST_OPEN], closed[N], n_open = 0, n_closed = 0;
    init_row(&row);
    assert_int_equal(tw_dataset_create(&format, ROW, &many, NULL), TW_OK);
    for (unsigned i = 0; i < N; i++) {
        char line[128] = {0};
        int n_digits = 27 + (int)(i * 7 % 31); /* behind the six of the number; a token each */
        snprintf(line, sizeof line, "{\"text\": \"%06u%0*d\"}", i, n_digits, 0);
        assert_int_equal(tw_dataset_add_rows(many, tw_bytes_of(line), "f", NULL), TW_OK);
        assert_int_equal(tw_dataset_document_tokens(many, i), 6 + n_digits + 1);
        shuffled[i] = i;
    }
    for (unsigned i = N - 1; i > 0; i--) {
        uint32_t w[4];
        tw_rng_block(3 ^ 0x7061636b, i, w);
        unsigned j = (unsigned)((wide)((uint64_t)w[1] << 32 | w[0]) * (i + 1) >> 64);
        unsigned kept = shuffled[i];
        shuffled[i] = shuffled[j];
        shuffled[j] = kept;
    }
    for (unsigned i = 0; i < N; i++) {
        unsigned fullest = 0;
        for (unsigned k = 1; n_open == MOST_OPEN && k < MOST_OPEN; k++) {
            fullest = open[k] * 7 % 31 > open[fullest] * 7 % 31 ? k : fullest;
        }
        if (n_open == MOST_OPEN) {
            closed[n_closed++] = open[fullest];
            memmove(open + fullest, open + fullest + 1, (--n_open - fullest) * sizeof *open);
        }
        open[n_open++] = shuffled[i];
    }
    memcpy(closed + n_closed, open, n_open * sizeof *open);
    assert_int_equal(tw_packing_create(many, ROW, 3, &packing, NULL), TW_OK);
    for (unsigned i = 0; i < N; i++) {
        tw_packing_row(packing, i, &row);
        assert_int_equal(row.n_documents, 1);
        assert_int_equal(number_of(row.tokens), closed[i]);
    }
    tw_packing_free(packing);
    tw_dataset_free(many);
    tw_packed_row_free(&row);
}

static void without_a_document_there_is_nothing_to_pack(void **state)
{
    (void)state;
    struct tw_chat_format format =
        tw_chat_format_detect(trained.tokenizer, (struct tw_bytes){"", 0});
    struct tw_dataset *empty = NULL;
    struct tw_packing *packing = NULL;
    struct tw_error error;
    assert_int_equal(tw_dataset_create(&format, 8, &empty, NULL), TW_OK);
    assert_int_equal(tw_packing_create(empty, 8, 9, &packing, &error), TW_ERR_FORMAT);
    assert_non_null(strstr(error.text, "8 tokens"));
    tw_dataset_free(empty);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_document_is_in_exactly_one_row_of_each_epoch),
        cmocka_unit_test(a_run_that_begins_at_any_row_gets_the_same_rows),
        cmocka_unit_test(an_epoch_is_the_same_from_whichever_side_it_is_reached),
        cmocka_unit_test(seeds_and_epochs_shuffle_differently),
        cmocka_unit_test(rows_are_at_least_97_percent_full),
        cmocka_unit_test(the_shuffle_is_the_one_that_is_written_down),
        cmocka_unit_test(the_fullest_of_sixty_four_open_rows_is_closed),
        cmocka_unit_test(without_a_document_there_is_nothing_to_pack),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
