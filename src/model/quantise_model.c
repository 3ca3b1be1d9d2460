#include "model/quantise_model.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/cpu.h"
#include "base/mem.h"
#include "base/threadpool.h"
#include "model/arch.h"
#include "model/convert.h"
#include "model/gguf.h"
#include "model/gguf_write.h"

/* ---- mixes ---- */

static const struct {
    const char *name;
    enum tw_dtype dtype;
    uint32_t file_type;
} mix_rows[TW_MODEL_MIX_COUNT] = {
    [TW_MODEL_MIX_KEEP] = {"keep", TW_DTYPE_F32, 0},
    [TW_MODEL_MIX_F32] = {"F32", TW_DTYPE_F32, 0},
    [TW_MODEL_MIX_F16] = {"F16", TW_DTYPE_F16, 1},
    [TW_MODEL_MIX_BF16] = {"BF16", TW_DTYPE_BF16, 32},
    [TW_MODEL_MIX_Q8_0] = {"Q8_0", TW_DTYPE_Q8_0, 7},
    [TW_MODEL_MIX_Q4_0] = {"Q4_0", TW_DTYPE_Q4_0, 2},
    [TW_MODEL_MIX_Q4_1] = {"Q4_1", TW_DTYPE_Q4_1, 3},
    [TW_MODEL_MIX_Q5_0] = {"Q5_0", TW_DTYPE_Q5_0, 8},
    [TW_MODEL_MIX_Q5_1] = {"Q5_1", TW_DTYPE_Q5_1, 9},
    [TW_MODEL_MIX_Q4_K_S] = {"Q4_K_S", TW_DTYPE_Q4_K, 14},
    [TW_MODEL_MIX_Q4_K_M] = {"Q4_K_M", TW_DTYPE_Q4_K, 15},
    [TW_MODEL_MIX_Q5_K_S] = {"Q5_K_S", TW_DTYPE_Q5_K, 16},
    [TW_MODEL_MIX_Q5_K_M] = {"Q5_K_M", TW_DTYPE_Q5_K, 17},
    [TW_MODEL_MIX_Q6_K] = {"Q6_K", TW_DTYPE_Q6_K, 18},
};

const char *tw_model_mix_name(enum tw_model_mix mix)
{
    return mix_rows[mix].name;
}

bool tw_model_mix_from_name(const char *name, enum tw_model_mix *ret_mix)
{
    name = strcasecmp(name, "Q4_K") == 0   ? "Q4_K_M"
           : strcasecmp(name, "Q5_K") == 0 ? "Q5_K_M"
                                           : name;
    for (int i = 0; i < TW_MODEL_MIX_COUNT; i++) {
        if (strcasecmp(mix_rows[i].name, name) == 0) {
            *ret_mix = (enum tw_model_mix)i;
            return true;
        }
    }
    return false;
}

uint32_t tw_model_mix_file_type(enum tw_model_mix mix, enum tw_dtype dtype)
{
    for (int i = TW_MODEL_MIX_F32; mix == TW_MODEL_MIX_KEEP && i < TW_MODEL_MIX_COUNT; i++) {
        if (mix_rows[i].dtype == dtype) {
            return mix_rows[i].file_type;
        }
    }
    return mix_rows[mix].file_type;
}

static bool is_plain(enum tw_dtype dtype)
{
    return dtype == TW_DTYPE_F32 || dtype == TW_DTYPE_F16 || dtype == TW_DTYPE_BF16;
}

static bool is_matrix(const struct tw_tensor_view *tensor)
{
    size_t n = strlen(tensor->name);
    bool is_weight = n > 7 && strcmp(tensor->name + n - 7, ".weight") == 0;
    bool is_router = strstr(tensor->name, ".ffn_gate_inp.") != NULL;
    return tensor->shape[1] > 1 && is_weight && !is_router &&
           strstr(tensor->name, "_norm.") == NULL;
}

/* The layers whose attn_v and ffn_down matter most: the first and last eighth, and every third of
 * the others. */
static bool gets_more_bits(uint32_t layer, uint32_t n_layers)
{
    return layer < n_layers / 8 || layer >= 7 * n_layers / 8 || (layer - n_layers / 8) % 3 == 2;
}

/* Beside eight experts the attention is a small part of a model, and more bits cost little. */
static enum tw_dtype dtype_beside_eight_experts(enum tw_model_mix mix,
                                                const struct tw_arch_tensor *row,
                                                enum tw_dtype dtype)
{
    if (strcmp(row->gguf_name, "blk.%u.attn_v.weight") == 0 ||
        strcmp(row->gguf_name, "blk.%u.attn_k.weight") == 0) {
        return TW_DTYPE_Q8_0;
    }
    bool is_output = strcmp(row->gguf_name, "blk.%u.attn_output.weight") == 0;
    bool is_q4_k = mix == TW_MODEL_MIX_Q4_K_S || mix == TW_MODEL_MIX_Q4_K_M;
    return is_output && is_q4_k ? TW_DTYPE_Q5_K : dtype;
}

static enum tw_dtype layer_dtype(enum tw_model_mix mix, const struct tw_model_shape *shape,
                                 const char *name)
{
    uint32_t layer = 0;
    const struct tw_arch *arch = tw_arch_find(shape->arch, strlen(shape->arch));
    const struct tw_arch_tensor *row = tw_arch_match(arch, name, true, &layer);
    enum tw_dtype dtype = mix_rows[mix].dtype;
    if (row == NULL) {
        return dtype;
    }
    bool is_v = strcmp(row->gguf_name, "blk.%u.attn_v.weight") == 0;
    bool is_down = strcmp(row->gguf_name, "blk.%u.ffn_down.weight") == 0 ||
                   strcmp(row->gguf_name, "blk.%u.ffn_down_exps.weight") == 0;
    if ((mix == TW_MODEL_MIX_Q4_K_M || mix == TW_MODEL_MIX_Q5_K_M) && (is_v || is_down) &&
        gets_more_bits(layer, shape->n_layers)) {
        dtype = TW_DTYPE_Q6_K;
    }
    uint32_t n_better = is_v ? 4 : is_down ? shape->n_layers / 8 : 0;
    if (mix == TW_MODEL_MIX_Q4_K_S && layer < n_better) {
        dtype = TW_DTYPE_Q5_K;
    }
    /* In 70B models eight heads share one attn_v, which makes more bits nearly free. */
    bool is_70b = shape->n_layers == 80 && shape->n_heads != shape->n_kv_heads;
    dtype = is_v && is_70b && dtype == TW_DTYPE_Q4_K ? TW_DTYPE_Q5_K : dtype;
    return shape->n_experts == 8 ? dtype_beside_eight_experts(mix, row, dtype) : dtype;
}

static bool is_head(const struct tw_model_shape *shape, const char *name)
{
    return strcmp(name, "output.weight") == 0 ||
           (shape->tied_head && strcmp(name, "token_embd.weight") == 0);
}

static enum tw_dtype fall_back(enum tw_dtype dtype, uint64_t n_columns)
{
    if (n_columns % tw_dtype_traits(dtype)->block_elements == 0) {
        return dtype;
    }
    enum tw_dtype small = dtype == TW_DTYPE_Q4_K   ? TW_DTYPE_Q5_0
                          : dtype == TW_DTYPE_Q5_K ? TW_DTYPE_Q5_1
                          : dtype == TW_DTYPE_Q6_K ? TW_DTYPE_Q8_0
                                                   : TW_DTYPE_F16;
    return n_columns % tw_dtype_traits(small)->block_elements == 0 ? small : TW_DTYPE_F16;
}

enum tw_dtype tw_model_mix_dtype(enum tw_model_mix mix, const struct tw_model_shape *shape,
                                 const struct tw_tensor_view *tensor)
{
    if (!is_matrix(tensor)) {
        return TW_DTYPE_F32;
    }
    if (mix == TW_MODEL_MIX_KEEP) {
        return tensor->dtype;
    }
    enum tw_dtype dtype = mix_rows[mix].dtype;
    if (is_plain(dtype)) {
        return dtype;
    }
    if (is_head(shape, tensor->name)) {
        dtype = dtype == TW_DTYPE_Q8_0 ? TW_DTYPE_Q8_0 : TW_DTYPE_Q6_K;
    } else {
        dtype = layer_dtype(mix, shape, tensor->name);
    }
    return fall_back(dtype, tensor->shape[0]);
}

/* ---- rows ---- */

enum { CHUNK_BYTES = 8 << 20 }; /* of output made between two writes */

#define NO_ROW SIZE_MAX

/* A run of rows of one tensor on its way from a map to a buffer. */
struct rows {
    const struct tw_tensor_view *source;
    const uint32_t *row_map; /* or NULL */
    enum tw_dtype dtype;
    size_t n_columns;
    size_t first;
    size_t n_rows;
    unsigned char *out;
    float *scratch;                    /* n_columns f32 for each thread */
    size_t bad_rows[TW_LIMIT_THREADS]; /* by thread: a row that cannot be written, or NO_ROW */
};

/* F16 numbers and the F16 scales of blocks end here. */
#define LARGEST_HALF 65504.0f

static bool is_writable(const float *values, size_t n, enum tw_dtype dtype)
{
    float largest = 0;
    float sum = 0; /* of x - x: 0, or NaN as soon as one is not finite */
    for (size_t i = 0; i < n; i++) {
        largest = fmaxf(largest, fabsf(values[i]));
        sum += values[i] - values[i];
    }
    bool is_wide = dtype == TW_DTYPE_F32 || dtype == TW_DTYPE_BF16;
    return sum == 0 && (is_wide || largest <= LARGEST_HALF);
}

/* Row `place` as it lies in the source, counted through all experts. */
static const unsigned char *source_row(const struct rows *rows, size_t place)
{
    size_t row_bytes = tw_dtype_row_bytes(rows->source->dtype, rows->n_columns);
    size_t slice_rows = (size_t)rows->source->shape[1];
    return (const unsigned char *)tw_tensor_slice(rows->source, place / slice_rows) +
           place % slice_rows * row_bytes;
}

static void convert_rows(void *context, int thread, int n_threads)
{
    struct rows *rows = context;
    const struct tw_dtype_traits *from = tw_dtype_traits(rows->source->dtype);
    const struct tw_dtype_traits *to = tw_dtype_traits(rows->dtype);
    size_t to_bytes = tw_dtype_row_bytes(rows->dtype, rows->n_columns);
    float *values = rows->scratch + (size_t)thread * rows->n_columns;
    size_t begin = 0;
    size_t end = 0;
    tw_threadpool_share(rows->n_rows, thread, n_threads, &begin, &end);
    for (size_t i = begin; i < end; i++) {
        size_t row = rows->first + i;
        size_t place = rows->row_map != NULL ? rows->row_map[row] : row;
        const unsigned char *in = source_row(rows, place);
        if (from == to) {
            memcpy(rows->out + i * to_bytes, in, to_bytes);
            continue;
        }
        from->dequantise(in, values, rows->n_columns);
        if (!is_writable(values, rows->n_columns, rows->dtype)) {
            rows->bad_rows[thread] = row;
            return;
        }
        to->quantise(values, rows->out + i * to_bytes, rows->n_columns);
    }
}

/* ---- the whole model ---- */

struct job {
    const struct tw_model_files *files;
    struct tw_model_shape shape;
    enum tw_model_mix mix;
    struct tw_gguf_writer *writer;
    struct tw_threadpool *pool;
    tw_model_writing_fn progress;
    void *progress_context;
    uint64_t done_bytes;
    uint64_t total_bytes;
};

static enum tw_status check_rows(const struct rows *rows, int n_threads, struct tw_error *error)
{
    for (int i = 0; i < n_threads; i++) {
        if (rows->bad_rows[i] != NO_ROW) {
            return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                                "tensor '%s': row %zu has a weight that is not finite or does not "
                                "fit %s",
                                rows->source->name, rows->bad_rows[i],
                                tw_dtype_traits(rows->dtype)->name);
        }
    }
    return TW_OK;
}

static enum tw_status write_rows(struct job *job, struct rows *rows, struct tw_error *error)
{
    size_t n_rows =
        rows->source->size_bytes / tw_dtype_row_bytes(rows->source->dtype, rows->n_columns);
    size_t row_bytes = tw_dtype_row_bytes(rows->dtype, rows->n_columns);
    size_t chunk_rows = CHUNK_BYTES / row_bytes + 1;
    for (rows->first = 0; rows->first < n_rows; rows->first += chunk_rows) {
        rows->n_rows = n_rows - rows->first < chunk_rows ? n_rows - rows->first : chunk_rows;
        tw_threadpool_run(job->pool, convert_rows, rows);
        enum tw_status status = check_rows(rows, tw_threadpool_size(job->pool), error);
        if (status == TW_OK) {
            status = tw_gguf_writer_data(job->writer, rows->out, rows->n_rows * row_bytes, error);
        }
        if (status != TW_OK) {
            return status;
        }
        job->done_bytes += rows->n_rows * tw_dtype_row_bytes(rows->source->dtype, rows->n_columns);
        if (job->progress != NULL &&
            !job->progress(job->progress_context, job->done_bytes, job->total_bytes)) {
            return tw_error_set(error, TW_ERR_CANCELLED, TW_NO_POSITION,
                                "stopped before the file was complete; nothing is written");
        }
    }
    return TW_OK;
}

/* Query rows come in n_heads groups, key rows in n_kv_heads. */
static uint32_t *make_row_map(const struct job *job, const struct tw_tensor_view *tensor)
{
    uint32_t *map = tw_mem_alloc((size_t)tensor->shape[1], sizeof *map);
    bool is_query = strstr(tensor->name, ".attn_q.") != NULL;
    if (map != NULL) {
        tw_tensor_row_map(tensor, is_query ? job->shape.n_heads : job->shape.n_kv_heads, map);
    }
    return map;
}

static enum tw_status write_tensor(struct job *job, const struct tw_tensor_view *tensor,
                                   struct tw_error *error)
{
    int n_threads = tw_threadpool_size(job->pool);
    struct rows rows = {.source = tensor,
                        .dtype = tw_model_mix_dtype(job->mix, &job->shape, tensor),
                        .n_columns = (size_t)tensor->shape[0]};
    assert(rows.dtype == tensor->dtype || tw_dtype_traits(rows.dtype)->quantise != NULL);
    for (int i = 0; i < n_threads; i++) {
        rows.bad_rows[i] = NO_ROW;
    }
    size_t row_bytes = tw_dtype_row_bytes(rows.dtype, rows.n_columns);
    uint32_t *map = tensor->rows_are_half_split ? make_row_map(job, tensor) : NULL;
    rows.row_map = map;
    rows.scratch = tw_mem_alloc(rows.n_columns * (size_t)n_threads, sizeof *rows.scratch);
    rows.out = tw_mem_alloc(CHUNK_BYTES + row_bytes, 1);
    enum tw_status status = TW_OK;
    if (rows.scratch == NULL || rows.out == NULL || (tensor->rows_are_half_split && map == NULL)) {
        status = tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory to convert '%s'",
                              tensor->name);
    } else {
        status = write_rows(job, &rows, error);
    }
    tw_mem_free(rows.scratch);
    tw_mem_free(rows.out);
    tw_mem_free(map);
    return status;
}

/* Keys that say something about the file they come from. */
static bool is_about_the_file(struct tw_bytes key)
{
    static const char *const prefixes[] = {"general.file_type", "general.quantization_version",
                                           "general.alignment", "split."};
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++) {
        size_t n = strlen(prefixes[i]);
        if (key.size_bytes >= n && memcmp(key.data, prefixes[i], n) == 0) {
            return true;
        }
    }
    return false;
}

static enum tw_status put_metadata(const struct job *job, struct tw_error *error)
{
    const struct tw_gguf *gguf = tw_model_files_gguf(job->files);
    enum tw_status status = TW_OK;
    if (gguf == NULL) {
        status = tw_convert_put_metadata(job->files, &job->shape, job->writer, error);
    } else {
        for (size_t i = 0; i < tw_gguf_n_values(gguf); i++) {
            const struct tw_gguf_value *value = tw_gguf_value(gguf, i);
            if (!is_about_the_file(value->key)) {
                tw_gguf_put_value(job->writer, value);
            }
        }
    }
    if (status != TW_OK) {
        return status;
    }
    const struct tw_tensor_view *sample = tw_model_files_find(job->files, "blk.0.attn_q.weight");
    tw_gguf_put_u32(job->writer, "general.file_type",
                    tw_model_mix_file_type(job->mix, sample->dtype));
    tw_gguf_put_u32(job->writer, "general.quantization_version", 2);
    return TW_OK;
}

/* llama3 scaling from a config.json becomes the tensor that GGUF readers look for. */
static bool needs_rope_freqs(const struct job *job)
{
    return job->shape.rope.scaling == TW_ROPE_SCALING_LLAMA3 &&
           tw_model_files_find(job->files, "rope_freqs.weight") == NULL;
}

static void add_tensors(struct job *job)
{
    if (needs_rope_freqs(job)) {
        uint64_t shape[TW_TENSOR_DIMS] = {job->shape.rope.n_dims / 2, 1, 1, 1};
        tw_gguf_add_tensor(job->writer, "rope_freqs.weight", TW_DTYPE_F32, shape);
    }
    for (size_t i = 0; i < tw_model_files_count(job->files); i++) {
        const struct tw_tensor_view *tensor = tw_model_files_tensor(job->files, i);
        tw_gguf_add_tensor(job->writer, tensor->name,
                           tw_model_mix_dtype(job->mix, &job->shape, tensor), tensor->shape);
        job->total_bytes += tensor->size_bytes;
    }
}

static enum tw_status write_rope_freqs(struct job *job, struct tw_error *error)
{
    float factors[TW_LIMIT_MODEL_HEAD_DIM / 2];
    enum tw_status status = tw_arch_rope_factors(job->files, &job->shape, factors, error);
    if (status != TW_OK) {
        return status;
    }
    size_t n_bytes = job->shape.rope.n_dims / 2 * sizeof factors[0];
    return tw_gguf_writer_data(job->writer, factors, n_bytes, error);
}

static enum tw_status write_all(struct job *job, struct tw_error *error)
{
    enum tw_status status = put_metadata(job, error);
    if (status != TW_OK) {
        return status;
    }
    add_tensors(job);
    status = tw_gguf_writer_begin(job->writer, error);
    if (status == TW_OK && needs_rope_freqs(job)) {
        status = write_rope_freqs(job, error);
    }
    for (size_t i = 0; i < tw_model_files_count(job->files) && status == TW_OK; i++) {
        status = write_tensor(job, tw_model_files_tensor(job->files, i), error);
    }
    return status;
}

static enum tw_status write_file(struct job *job, const char *out_path, struct tw_error *error)
{
    enum tw_status status = tw_gguf_writer_open(out_path, &job->writer, error);
    if (status != TW_OK) {
        return status;
    }
    status = write_all(job, error);
    if (status != TW_OK) {
        tw_gguf_writer_abort(job->writer);
        return status;
    }
    return tw_gguf_writer_commit(job->writer, error);
}

enum tw_status tw_model_quantise(const char *in_path, const char *out_path, enum tw_model_mix mix,
                                 int n_threads, tw_model_writing_fn progress,
                                 void *progress_context, struct tw_error *error)
{
    struct tw_model_files *files = NULL;
    enum tw_status status = tw_model_files_open(in_path, &files, error);
    if (status != TW_OK) {
        return status;
    }
    struct job job = {
        .files = files, .mix = mix, .progress = progress, .progress_context = progress_context};
    status = tw_model_read_shape(files, &job.shape, error);
    if (status == TW_OK) {
        status = tw_arch_check_tensors(files, &job.shape, error);
    }
    if (status == TW_OK) {
        int n = n_threads > 0 ? n_threads : tw_cpu_count();
        status =
            tw_threadpool_create(n < TW_LIMIT_THREADS ? n : TW_LIMIT_THREADS, &job.pool, error);
    }
    if (status == TW_OK) {
        status = write_file(&job, out_path, error);
        tw_threadpool_free(job.pool);
    }
    tw_model_files_close(files);
    return status;
}
