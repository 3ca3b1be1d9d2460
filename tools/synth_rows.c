#include "synth_rows.h"

#include "base/mem.h"

#define CHUNK_VALUES (4u << 20)

struct synth_rows {
    const struct synth_plan *plan;
    struct tw_threadpool *pool;
    size_t n_columns_most;
    float *values;         /* [n_threads, n_columns_most] */
    unsigned char *blocks; /* [n_threads, n_columns_most] of at most 4 bytes */
    unsigned char *chunk;  /* [CHUNK_VALUES or one row] of at most 4 bytes */
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
        if (rows->values == NULL || rows->blocks == NULL || rows->chunk == NULL) {
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
    tw_mem_free(rows);
}

struct chunk_job {
    struct synth_rows *rows;
    const struct synth_tensor *tensor;
    enum tw_dtype dtype;
    bool hf_order;
    uint64_t first_row, n_rows;
    size_t row_bytes;
};

/* What the tensor's blocks make of the values. */
static void go_through_blocks(const struct chunk_job *job, int thread, float *values)
{
    enum tw_dtype dtype = job->tensor->dtype;
    size_t n = job->tensor->n_columns;
    unsigned char *blocks =
        job->rows->blocks + (size_t)thread * job->rows->n_columns_most * sizeof(float);
    tw_dtype_traits(dtype)->quantise(values, blocks, n);
    tw_dtype_traits(dtype)->dequantise(blocks, values, n);
}

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
        synth_fill_row(job->rows->plan, job->tensor, row, values);
        if (job->rows->plan->dequantised) {
            go_through_blocks(job, thread, values);
        }
        tw_dtype_traits(job->dtype)
            ->quantise(values, job->rows->chunk + i * job->row_bytes, job->tensor->n_columns);
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
    while (job.first_row < tensor->n_rows) {
        uint64_t left = tensor->n_rows - job.first_row;
        job.n_rows = left < rows_a_chunk ? left : rows_a_chunk;
        tw_threadpool_run(rows->pool, make_chunk, &job);
        enum tw_status status =
            sink->write(sink->context, rows->chunk, job.n_rows * job.row_bytes, error);
        if (status != TW_OK) {
            return status;
        }
        job.first_row += job.n_rows;
    }
    return TW_OK;
}
