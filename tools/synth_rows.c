#include "synth_rows.h"

#include <string.h>

#include "base/mem.h"

#define CHUNK_VALUES (4u << 20)

struct synth_rows {
    const struct synth_plan *plan;
    struct tw_threadpool *pool;
    size_t n_columns_most;
    float *values;         /* [n_threads, n_columns_most] */
    unsigned char *blocks; /* [n_threads, n_columns_most] of at most 4 bytes */
    unsigned char *chunk;  /* [CHUNK_VALUES or one row] of at most 4 bytes */
    uint8_t *choices;      /* [n_threads, n_columns_most] */
};

static size_t widest_row(const struct synth_plan *plan)
{
    size_t widest = 0;
    for (uint32_t i = 0; i < plan->n_tensors; i++) {
        size_t n = plan->tensors[i].n_columns;
        widest = n > widest ? n : widest;
    }
    return widest;
}

enum tw_status synth_rows_create(const struct synth_plan *plan, int n_threads,
                                 struct synth_rows **ret_rows, struct tw_error *error)
{
    struct synth_rows *rows = tw_mem_zalloc(1, sizeof *rows);
    if (rows == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory");
    }
    rows->plan = plan;
    rows->n_columns_most = widest_row(plan);
    size_t chunk_values =
        rows->n_columns_most > CHUNK_VALUES ? rows->n_columns_most : (size_t)CHUNK_VALUES;
    enum tw_status status = tw_threadpool_create(n_threads, &rows->pool, error);
    if (status == TW_OK) {
        rows->values = tw_mem_alloc((size_t)n_threads * rows->n_columns_most, sizeof(float));
        rows->blocks = tw_mem_alloc((size_t)n_threads * rows->n_columns_most, sizeof(float));
        rows->chunk = tw_mem_alloc(chunk_values, sizeof(float));
        rows->choices = tw_mem_alloc((size_t)n_threads * rows->n_columns_most, 1);
        if (rows->values == NULL || rows->blocks == NULL || rows->chunk == NULL ||
            rows->choices == NULL) {
            status = tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for rows");
        }
    }
    if (status != TW_OK) {
        synth_rows_free(rows);
        return status;
    }
    *ret_rows = rows;
    return TW_OK;
}

void synth_rows_free(struct synth_rows *rows)
{
    if (rows == NULL) {
        return;
    }
    if (rows->pool != NULL) {
        tw_threadpool_free(rows->pool);
    }
    tw_mem_free(rows->values);
    tw_mem_free(rows->blocks);
    tw_mem_free(rows->chunk);
    tw_mem_free(rows->choices);
    tw_mem_free(rows);
}

/* The stock of one tensor in the form of the file: [n_steps, n_places, SYNTH_STOCK] blocks. Places
 * are the blocks of a row where it matters which columns a block holds, otherwise one. */
struct stock {
    unsigned char *blocks;
    size_t n_columns, block_bytes, n_places;
    int first_step, n_steps;
};

struct chunk_job {
    struct synth_rows *rows;
    const struct synth_tensor *tensor;
    enum tw_dtype dtype;
    bool hf_order;
    uint64_t first_row, n_rows;
    size_t row_bytes;
    struct stock stock;
};

/* What the tensor's blocks make of n values. */
static void go_through_blocks(const struct chunk_job *job, int thread, float *values, size_t n)
{
    enum tw_dtype dtype = job->tensor->dtype;
    unsigned char *blocks =
        job->rows->blocks + (size_t)thread * job->rows->n_columns_most * sizeof(float);
    tw_dtype_traits(dtype)->quantise(values, blocks, n);
    tw_dtype_traits(dtype)->dequantise(blocks, values, n);
}

/* n values to the form of the file. */
static void store(const struct chunk_job *job, int thread, float *values, size_t n,
                  unsigned char *ret_bytes)
{
    if (job->rows->plan->dequantised) {
        go_through_blocks(job, thread, values, n);
    }
    tw_dtype_traits(job->dtype)->quantise(values, ret_bytes, n);
}

/* ---- rows from a stock ---- */

static void fill_stock(void *context, int thread, int n_threads)
{
    const struct chunk_job *job = context;
    const struct stock *stock = &job->stock;
    float *values = job->rows->values + (size_t)thread * job->rows->n_columns_most;
    size_t begin, end;
    tw_threadpool_share((size_t)stock->n_steps * stock->n_places * SYNTH_STOCK, thread, n_threads,
                        &begin, &end);
    for (size_t i = begin; i < end; i++) {
        size_t place = i / SYNTH_STOCK % stock->n_places;
        int step = stock->first_step + (int)(i / SYNTH_STOCK / stock->n_places);
        synth_stock_fill(job->rows->plan, job->tensor, step, place * stock->n_columns,
                         i % SYNTH_STOCK, values);
        store(job, thread, values, stock->n_columns, stock->blocks + i * stock->block_bytes);
    }
}

static enum tw_status make_stock(struct chunk_job *job, struct tw_error *error)
{
    const struct synth_tensor *tensor = job->tensor;
    struct stock *stock = &job->stock;
    int last_step = 0;
    for (uint64_t row = 0; row < tensor->n_rows; row++) {
        int step = synth_stock_step(job->rows->plan, tensor, row);
        stock->first_step = step < stock->first_step ? step : stock->first_step;
        last_step = step > last_step ? step : last_step;
    }
    stock->n_steps = last_step - stock->first_step + 1;
    stock->n_columns = synth_stock_columns(tensor);
    stock->n_places = tensor->role == SYNTH_EMBED ? tensor->n_columns / stock->n_columns : 1;
    stock->block_bytes = tw_dtype_row_bytes(job->dtype, stock->n_columns);
    size_t n_blocks = (size_t)stock->n_steps * stock->n_places * SYNTH_STOCK;
    stock->blocks = tw_mem_alloc(n_blocks, stock->block_bytes);
    if (stock->blocks == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION,
                            "no memory for a stock of blocks");
    }
    tw_threadpool_run(job->rows->pool, fill_stock, job);
    return TW_OK;
}

static void put_row_together(const struct chunk_job *job, int thread, uint64_t row,
                             unsigned char *ret_bytes)
{
    const struct stock *stock = &job->stock;
    size_t n_blocks = job->tensor->n_columns / stock->n_columns;
    uint8_t *choices = job->rows->choices + (size_t)thread * job->rows->n_columns_most;
    synth_stock_choose(job->tensor, row, n_blocks, choices);
    int step = synth_stock_step(job->rows->plan, job->tensor, row) - stock->first_step;
    for (size_t j = 0; j < n_blocks; j++) {
        size_t place = stock->n_places > 1 ? j : 0;
        size_t i = ((size_t)step * stock->n_places + place) * SYNTH_STOCK + choices[j];
        memcpy(ret_bytes + j * stock->block_bytes, stock->blocks + i * stock->block_bytes,
               stock->block_bytes);
    }
}

/* ---- rows one by one ---- */

static void make_chunk(void *context, int thread, int n_threads)
{
    const struct chunk_job *job = context;
    float *values = job->rows->values + (size_t)thread * job->rows->n_columns_most;
    size_t begin, end;
    tw_threadpool_share(job->n_rows, thread, n_threads, &begin, &end);
    for (size_t i = begin; i < end; i++) {
        uint64_t row = job->first_row + i;
        if (job->hf_order) {
            row = synth_hf_row(job->rows->plan, job->tensor, row);
        }
        unsigned char *bytes = job->rows->chunk + i * job->row_bytes;
        if (job->stock.blocks != NULL) {
            put_row_together(job, thread, row, bytes);
            continue;
        }
        synth_fill_row(job->rows->plan, job->tensor, row, values);
        store(job, thread, values, job->tensor->n_columns, bytes);
    }
}

enum tw_status synth_rows_write(struct synth_rows *rows, const struct synth_tensor *tensor,
                                enum tw_dtype dtype, bool hf_order, const struct synth_sink *sink,
                                struct tw_error *error)
{
    struct chunk_job job = {.rows = rows, .tensor = tensor, .dtype = dtype, .hf_order = hf_order};
    job.row_bytes = tw_dtype_row_bytes(dtype, tensor->n_columns);
    uint64_t rows_a_chunk = CHUNK_VALUES / tensor->n_columns;
    rows_a_chunk = rows_a_chunk == 0 ? 1 : rows_a_chunk;
    enum tw_status status = TW_OK;
    if (rows->plan->has_stock && !tensor->is_vector) {
        status = make_stock(&job, error);
    }
    while (job.first_row < tensor->n_rows && status == TW_OK) {
        uint64_t left = tensor->n_rows - job.first_row;
        job.n_rows = left < rows_a_chunk ? left : rows_a_chunk;
        tw_threadpool_run(rows->pool, make_chunk, &job);
        status = sink->write(sink->context, rows->chunk, job.n_rows * job.row_bytes, error);
        job.first_row += job.n_rows;
    }
    tw_mem_free(job.stock.blocks);
    return status;
}
