#include "train/packing.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"

enum { OPEN_ROWS = 64 };

#define SHUFFLE_KEY UINT64_C(0x7061636b)
#define UNKNOWN     UINT64_MAX

struct tw_packing {
    const struct tw_dataset *dataset;
    uint32_t n_context_tokens;
    uint64_t seed;
    uint32_t n_documents;
    struct tw_packing_epoch plan; /* what the arrays below are about */
    uint64_t first_row_before;    /* of the epoch before it, or UNKNOWN */
    uint32_t *documents;          /* [n_documents] row by row */
    uint32_t *row_starts;         /* [n_rows + 1] in documents */
    uint32_t *shuffled;           /* [n_documents] */
    uint32_t *row_of;             /* [n_documents] of shuffled[i], as opened, later as closed */
    uint32_t *closed_as;          /* [n_documents] number of a row, by when it was opened */
};

/* A row that is being filled. */
struct open_row {
    uint32_t opened_as;
    uint32_t n_tokens;
};

/* ---- the plan of an epoch ---- */

static void shuffle(struct tw_packing *self, uint64_t epoch)
{
    __extension__ typedef unsigned __int128 wide;
    for (uint32_t i = 0; i < self->n_documents; i++) {
        self->shuffled[i] = i;
    }
    for (uint32_t i = self->n_documents; i-- > 1;) {
        uint32_t words[4];
        tw_rng_block(self->seed ^ SHUFFLE_KEY, epoch << 32 | i, words);
        uint64_t r = (uint64_t)words[1] << 32 | words[0];
        uint32_t other = (uint32_t)((wide)r * (i + 1) >> 64);
        uint32_t document = self->shuffled[i];
        self->shuffled[i] = self->shuffled[other];
        self->shuffled[other] = document;
    }
}

/* The place of the open row with the most tokens that still has room, or n_open. Rows stand in the
 * order in which they were opened. */
static size_t fullest(const struct open_row *open, size_t n_open, uint32_t most_tokens)
{
    size_t best = n_open;
    for (size_t i = 0; i < n_open; i++) {
        if (open[i].n_tokens <= most_tokens &&
            (best == n_open || open[i].n_tokens > open[best].n_tokens)) {
            best = i;
        }
    }
    return best;
}

static void close_row(struct tw_packing *self, struct open_row *open, size_t *n_open, size_t place)
{
    self->closed_as[open[place].opened_as] = (uint32_t)self->plan.n_rows++;
    --*n_open;
    memmove(open + place, open + place + 1, (*n_open - place) * sizeof *open);
}

static void fill_rows(struct tw_packing *self)
{
    struct open_row open[OPEN_ROWS];
    size_t n_open = 0;
    uint32_t n_opened = 0;
    for (uint32_t i = 0; i < self->n_documents; i++) {
        uint32_t n = tw_dataset_document_tokens(self->dataset, self->shuffled[i]);
        size_t place = fullest(open, n_open, self->n_context_tokens - n);
        if (place == n_open) {
            if (n_open == OPEN_ROWS) {
                close_row(self, open, &n_open, fullest(open, n_open, self->n_context_tokens));
            }
            place = n_open++;
            open[place] = (struct open_row){.opened_as = n_opened++};
        }
        open[place].n_tokens += n;
        self->row_of[i] = open[place].opened_as;
        self->plan.n_tokens += n;
    }
    while (n_open > 0) {
        close_row(self, open, &n_open, 0);
    }
}

/* Documents in the order of their rows, and in a row in the order of the shuffle. */
static void sort_by_row(struct tw_packing *self)
{
    uint64_t n_rows = self->plan.n_rows;
    memset(self->row_starts, 0, (n_rows + 1) * sizeof *self->row_starts);
    for (uint32_t i = 0; i < self->n_documents; i++) {
        self->row_of[i] = self->closed_as[self->row_of[i]];
        self->row_starts[self->row_of[i] + 1]++;
    }
    for (uint64_t row = 0; row < n_rows; row++) {
        self->row_starts[row + 1] += self->row_starts[row];
        self->closed_as[row] = self->row_starts[row]; /* from here on: the next free place */
    }
    for (uint32_t i = 0; i < self->n_documents; i++) {
        self->documents[self->closed_as[self->row_of[i]]++] = self->shuffled[i];
    }
}

static void make_plan(struct tw_packing *self, uint64_t epoch, uint64_t first_row)
{
    assert(epoch < TW_LIMIT_PACKING_EPOCHS);
    self->plan = (struct tw_packing_epoch){.epoch = epoch, .first_row = first_row};
    shuffle(self, epoch);
    fill_rows(self);
    sort_by_row(self);
}

/* Epochs have different numbers of rows, so those before count. */
static void next_plan(struct tw_packing *self)
{
    self->first_row_before = self->plan.first_row;
    make_plan(self, self->plan.epoch + 1, self->plan.first_row + self->plan.n_rows);
}

/* A step that reaches into the next epoch reads its rows twice, so one epoch back is remembered;
 * the way to an earlier one begins at the first. */
static void earlier_plan(struct tw_packing *self, bool is_just_before)
{
    uint64_t first_row = self->first_row_before;
    self->first_row_before = UNKNOWN;
    if (is_just_before && first_row != UNKNOWN) {
        make_plan(self, self->plan.epoch - 1, first_row);
    } else {
        make_plan(self, 0, 0);
    }
}

void tw_packing_epoch(struct tw_packing *packing, uint64_t epoch,
                      struct tw_packing_epoch *ret_epoch)
{
    if (epoch < packing->plan.epoch) {
        earlier_plan(packing, epoch + 1 == packing->plan.epoch);
    }
    while (packing->plan.epoch < epoch) {
        next_plan(packing);
    }
    *ret_epoch = packing->plan;
}

void tw_packing_epoch_of_row(struct tw_packing *packing, uint64_t row,
                             struct tw_packing_epoch *ret_epoch)
{
    if (row < packing->plan.first_row) {
        earlier_plan(packing, row >= packing->first_row_before);
    }
    while (row - packing->plan.first_row >= packing->plan.n_rows) {
        next_plan(packing);
    }
    *ret_epoch = packing->plan;
}

/* ---- creation ---- */

enum tw_status tw_packing_create(const struct tw_dataset *dataset, uint32_t n_context_tokens,
                                 uint64_t seed, struct tw_packing **ret_packing,
                                 struct tw_error *error)
{
    size_t n = tw_dataset_n_documents(dataset);
    assert(n_context_tokens >= tw_dataset_n_context(dataset));
    if (n == 0) {
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "there is no document that fits into %u tokens", n_context_tokens);
    }
    struct tw_packing *packing = tw_mem_zalloc(1, sizeof *packing);
    if (packing == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory to pack documents");
    }
    packing->dataset = dataset;
    packing->n_context_tokens = n_context_tokens;
    packing->seed = seed;
    packing->n_documents = (uint32_t)n;
    packing->documents = tw_mem_alloc(n, sizeof *packing->documents);
    packing->row_starts = tw_mem_alloc(n + 1, sizeof *packing->row_starts);
    packing->shuffled = tw_mem_alloc(n, sizeof *packing->shuffled);
    packing->row_of = tw_mem_alloc(n, sizeof *packing->row_of);
    packing->closed_as = tw_mem_alloc(n, sizeof *packing->closed_as);
    if (packing->documents == NULL || packing->row_starts == NULL || packing->shuffled == NULL ||
        packing->row_of == NULL || packing->closed_as == NULL) {
        tw_packing_free(packing);
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory to pack %zu documents",
                            n);
    }
    packing->first_row_before = UNKNOWN;
    make_plan(packing, 0, 0);
    *ret_packing = packing;
    return TW_OK;
}

void tw_packing_free(struct tw_packing *packing)
{
    if (packing != NULL) {
        tw_mem_free(packing->documents);
        tw_mem_free(packing->row_starts);
        tw_mem_free(packing->shuffled);
        tw_mem_free(packing->row_of);
        tw_mem_free(packing->closed_as);
        tw_mem_free(packing);
    }
}

/* ---- rows ---- */

enum tw_status tw_packed_row_init(struct tw_packed_row *row, uint32_t n_context_tokens,
                                  struct tw_error *error)
{
    *row = (struct tw_packed_row){
        .tokens = tw_mem_zalloc(n_context_tokens, sizeof *row->tokens),
        .is_target = tw_mem_zalloc(n_context_tokens, sizeof *row->is_target),
        .document_starts =
            tw_mem_zalloc((size_t)n_context_tokens + 1, sizeof *row->document_starts),
    };
    if (row->tokens == NULL || row->is_target == NULL || row->document_starts == NULL) {
        tw_packed_row_free(row);
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION,
                            "no memory for a row of %u tokens", n_context_tokens);
    }
    return TW_OK;
}

void tw_packed_row_free(struct tw_packed_row *row)
{
    tw_mem_free(row->tokens);
    tw_mem_free(row->is_target);
    tw_mem_free(row->document_starts);
    *row = (struct tw_packed_row){0};
}

void tw_packing_row(struct tw_packing *packing, uint64_t row, struct tw_packed_row *ret_row)
{
    struct tw_packing_epoch epoch;
    tw_packing_epoch_of_row(packing, row, &epoch);
    const uint32_t *starts = packing->row_starts + (row - epoch.first_row);
    uint32_t n = 0;
    ret_row->n_documents = starts[1] - starts[0];
    for (uint32_t i = 0; i < ret_row->n_documents; i++) {
        uint32_t document = packing->documents[starts[0] + i];
        ret_row->document_starts[i] = n;
        tw_dataset_copy(packing->dataset, document, ret_row->tokens + n, ret_row->is_target + n);
        n += tw_dataset_document_tokens(packing->dataset, document);
    }
    ret_row->document_starts[ret_row->n_documents] = n;
    ret_row->n_tokens = n;
    ret_row->n_targets = 0;
    for (uint32_t i = 0; i < n; i++) {
        ret_row->n_targets += ret_row->is_target[i];
    }
    for (uint32_t i = n; i < packing->n_context_tokens; i++) {
        ret_row->tokens[i] = tw_dataset_end_of_text(packing->dataset);
        ret_row->is_target[i] = 0;
    }
}
