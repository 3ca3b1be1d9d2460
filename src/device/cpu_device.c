/* The CPU device: threads, buffers and packed weights. */
#include "device/cpu_device.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

enum tw_status tw_device_cpu_create(int n_threads, enum tw_cpu_level level,
                                    struct tw_device **ret_device, struct tw_error *error)
{
    if (n_threads == 0) {
        n_threads = tw_cpu_count();
    }
    struct tw_device *device = tw_mem_zalloc(1, sizeof *device);
    if (device == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for the device");
    }
    enum tw_status status = tw_threadpool_create(n_threads, &device->pool, error);
    if (status != TW_OK) {
        tw_mem_free(device);
        return status;
    }
    device->n_threads = n_threads;
    tw_kernels_init(&device->kernels, level);
    snprintf(device->name, sizeof device->name, "cpu %s, %d thread%s", device->kernels.name,
             n_threads, n_threads == 1 ? "" : "s");
    *ret_device = device;
    return TW_OK;
}

void tw_device_free(struct tw_device *device)
{
    if (device != NULL) {
        tw_threadpool_free(device->pool);
        tw_mem_free(device);
    }
}

const char *tw_device_name(const struct tw_device *device)
{
    return device->name;
}

enum tw_cpu_level tw_device_level(const struct tw_device *device)
{
    return device->kernels.level;
}

int tw_device_threads(const struct tw_device *device)
{
    return device->n_threads;
}

void tw_device_run(struct tw_device *device,
                   void (*function)(void *context, int thread, int n_threads), void *context)
{
    tw_threadpool_run(device->pool, function, context);
}

enum tw_status tw_device_buffer_create(struct tw_device *device, size_t size_bytes,
                                       struct tw_device_buffer **ret_buffer, struct tw_error *error)
{
    (void)device;
    struct tw_device_buffer *buffer = tw_mem_zalloc(1, sizeof *buffer);
    uint8_t *data = tw_mem_map(size_bytes);
    if (buffer == NULL || data == NULL) {
        tw_mem_free(buffer);
        tw_mem_unmap(data, size_bytes);
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION,
                            "no memory for a buffer of %zu bytes", size_bytes);
    }
    *buffer = (struct tw_device_buffer){.data = data, .size_bytes = size_bytes};
    *ret_buffer = buffer;
    return TW_OK;
}

void tw_device_buffer_free(struct tw_device_buffer *buffer)
{
    if (buffer != NULL) {
        tw_mem_unmap(buffer->data, buffer->size_bytes);
        tw_mem_free(buffer);
    }
}

void tw_device_buffer_write(struct tw_device_buffer *buffer, size_t offset_bytes, const void *bytes,
                            size_t n_bytes)
{
    assert(offset_bytes <= buffer->size_bytes && n_bytes <= buffer->size_bytes - offset_bytes);
    memcpy(buffer->data + offset_bytes, bytes, n_bytes);
}

const void *tw_device_buffer_read(struct tw_device_buffer *buffer)
{
    return buffer->data;
}

struct pack_job {
    const struct tw_matrix_source *sources[TW_GROUP_PANELS]; /* the same twice, or gate and up */
    struct tw_device_matrix *matrix;
};

/* Row i (0..31) of an expert's group: file row, or NULL beyond the end. */
static const void *source_row(const struct pack_job *job, size_t expert, size_t group, size_t i)
{
    size_t panel = i / TW_PANEL_ROWS;
    size_t row = job->matrix->interleaved ? group * TW_PANEL_ROWS + i % TW_PANEL_ROWS
                                          : group * TW_GROUP_ROWS + i;
    const struct tw_matrix_source *source = job->sources[panel];
    if (row >= source->n_rows) {
        return NULL;
    }
    size_t row_bytes = tw_dtype_row_bytes(source->dtype, source->n_columns);
    const uint8_t *rows = source->experts != NULL
                              ? source->experts[expert]
                              : (const uint8_t *)source->data + expert * source->n_rows * row_bytes;
    return rows + (source->row_map != NULL ? source->row_map[row] : row) * row_bytes;
}

static void pack_groups(void *context, int thread, int n_threads)
{
    const struct pack_job *job = context;
    struct tw_device_matrix *matrix = job->matrix;
    size_t begin, end;
    tw_threadpool_share(matrix->n_experts * matrix->n_groups, thread, n_threads, &begin, &end);
    for (size_t at = begin; at < end; at++) {
        const void *rows[TW_GROUP_ROWS];
        for (size_t i = 0; i < TW_GROUP_ROWS; i++) {
            rows[i] = source_row(job, at / matrix->n_groups, at % matrix->n_groups, i);
        }
        tw_layout_pack_group(matrix->dtype, rows, matrix->n_columns,
                             matrix->own_groups + at * matrix->group_bytes);
    }
}

static size_t count_experts(const struct tw_matrix_source *source)
{
    return source->n_experts != 0 ? source->n_experts : 1;
}

static struct tw_device_matrix matrix_of(const struct tw_matrix_source *source,
                                         const struct tw_matrix_source *second)
{
    assert(second == NULL || (second->dtype == source->dtype && second->n_rows == source->n_rows &&
                              second->n_columns == source->n_columns &&
                              count_experts(second) == count_experts(source)));
    size_t panel_rows = second != NULL ? TW_PANEL_ROWS : TW_GROUP_ROWS;
    size_t n_groups = (source->n_rows + panel_rows - 1) / panel_rows;
    size_t group_bytes = tw_layout_group_bytes(source->dtype, source->n_columns);
    return (struct tw_device_matrix){
        .dtype = source->dtype,
        .n_rows = second != NULL ? 2 * source->n_rows : source->n_rows,
        .n_columns = source->n_columns,
        .interleaved = second != NULL,
        .n_experts = count_experts(source),
        .n_groups = n_groups,
        .group_bytes = group_bytes,
        .size_bytes = count_experts(source) * n_groups * group_bytes,
    };
}

enum tw_status tw_device_matrix_create(struct tw_device *device,
                                       const struct tw_matrix_source *source,
                                       const struct tw_matrix_source *second,
                                       struct tw_device_matrix **ret_matrix, struct tw_error *error)
{
    struct tw_device_matrix shape = matrix_of(source, second);
    struct tw_device_matrix *matrix = tw_mem_zalloc(1, sizeof *matrix);
    uint8_t *groups = tw_mem_map(shape.size_bytes);
    if (matrix == NULL || groups == NULL) {
        tw_mem_free(matrix);
        tw_mem_unmap(groups, shape.size_bytes);
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION,
                            "no memory for %zu bytes of weights", shape.size_bytes);
    }
    shape.groups = groups;
    shape.own_groups = groups;
    *matrix = shape;
    struct pack_job job = {.sources = {source, second != NULL ? second : source}, .matrix = matrix};
    tw_threadpool_run(device->pool, pack_groups, &job);
    *ret_matrix = matrix;
    return TW_OK;
}

void tw_device_matrix_free(struct tw_device_matrix *matrix)
{
    if (matrix != NULL) {
        tw_mem_unmap(matrix->own_groups, matrix->size_bytes);
        tw_mem_free(matrix);
    }
}

/* One form for all instruction sets: layout.h. Other kinds of devices count from elsewhere. */
uint32_t tw_device_form(const struct tw_device *device)
{
    (void)device;
    return TW_LAYOUT_VERSION;
}

const void *tw_device_matrix_packed(const struct tw_device_matrix *matrix)
{
    return matrix->groups;
}

enum tw_status tw_device_matrix_view(struct tw_device *device,
                                     const struct tw_matrix_source *source,
                                     const struct tw_matrix_source *second, const void *packed,
                                     size_t packed_bytes, struct tw_device_matrix **ret_matrix,
                                     struct tw_error *error)
{
    (void)device;
    struct tw_device_matrix shape = matrix_of(source, second);
    if (packed_bytes != shape.size_bytes || (uintptr_t)packed % TW_DEVICE_FORM_ALIGNMENT != 0) {
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "%zu packed bytes where a matrix of %zu rows has %zu", packed_bytes,
                            shape.n_rows, shape.size_bytes);
    }
    struct tw_device_matrix *matrix = tw_mem_zalloc(1, sizeof *matrix);
    if (matrix == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a matrix");
    }
    shape.groups = packed;
    *matrix = shape;
    *ret_matrix = matrix;
    return TW_OK;
}

void tw_device_matrix_move(struct tw_device_matrix *matrix, const void *packed)
{
    assert((uintptr_t)packed % TW_DEVICE_FORM_ALIGNMENT == 0);
    tw_mem_unmap(matrix->own_groups, matrix->size_bytes);
    matrix->own_groups = NULL;
    matrix->groups = packed;
}

size_t tw_device_matrix_bytes(const struct tw_device_matrix *matrix)
{
    return matrix->size_bytes;
}

enum tw_status tw_device_table_create(struct tw_device *device,
                                      const struct tw_matrix_source *source,
                                      struct tw_device_table **ret_table, struct tw_error *error)
{
    (void)device;
    assert(source->row_map == NULL);
    struct tw_device_table *table = tw_mem_zalloc(1, sizeof *table);
    if (table == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a table");
    }
    *table = (struct tw_device_table){
        .dtype = source->dtype,
        .n_rows = source->n_rows,
        .n_columns = source->n_columns,
        .row_bytes = tw_dtype_row_bytes(source->dtype, source->n_columns),
        .data = source->data,
    };
    *ret_table = table;
    return TW_OK;
}

void tw_device_table_free(struct tw_device_table *table)
{
    tw_mem_free(table);
}

size_t tw_device_kv_page_bytes(const struct tw_kv_shape *shape)
{
    return (size_t)shape->n_layers * shape->n_kv_heads *
           tw_kv_head_page_bytes(shape->dtype, shape->head_dim);
}
