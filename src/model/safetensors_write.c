#include "model/safetensors_write.h"

#include <assert.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "model/tensors.h"

enum { LENGTH_BYTES = 8, ALIGNMENT = 64 };

struct tw_safetensors_writer {
    struct tw_file_writer *file;
    struct tw_buf header;
    struct tw_json_writer json;
    struct tw_buf ends;     /* uint64_t where each tensor's data ends */
    uint64_t data_bytes;    /* of the tensors added so far */
    uint64_t written_bytes; /* of the data */
    size_t n_tensors;
    size_t tensor; /* the one whose data comes next */
    bool has_begun;
};

enum tw_status tw_safetensors_writer_open(const char *path,
                                          struct tw_safetensors_writer **ret_writer,
                                          struct tw_error *error)
{
    struct tw_safetensors_writer *writer = tw_mem_zalloc(1, sizeof *writer);
    if (writer == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory to write '%s'", path);
    }
    enum tw_status status = tw_file_writer_open(path, &writer->file, error);
    if (status != TW_OK) {
        tw_mem_free(writer);
        return status;
    }
    tw_buf_init(&writer->header, TW_LIMIT_MODEL_CONFIG_BYTES);
    tw_buf_init(&writer->ends, TW_LIMIT_MODEL_DIRECTORY_BYTES);
    tw_json_begin(&writer->json, &writer->header);
    tw_json_object_begin(&writer->json);
    tw_json_key(&writer->json, "__metadata__");
    tw_json_object_begin(&writer->json);
    tw_json_key(&writer->json, "format");
    tw_json_text(&writer->json, "pt");
    tw_json_object_end(&writer->json);
    *ret_writer = writer;
    return TW_OK;
}

static const char *dtype_name(enum tw_dtype dtype)
{
    assert(dtype == TW_DTYPE_F32 || dtype == TW_DTYPE_F16 || dtype == TW_DTYPE_BF16);
    return dtype == TW_DTYPE_F32 ? "F32" : dtype == TW_DTYPE_F16 ? "F16" : "BF16";
}

void tw_safetensors_add_tensor(struct tw_safetensors_writer *writer, const char *name,
                               enum tw_dtype dtype, const uint64_t *shape, size_t n_dims)
{
    struct tw_json_writer *json = &writer->json;
    uint64_t element_bytes = tw_dtype_traits(dtype)->block_bytes;
    uint64_t size_bytes = element_bytes;
    assert(!writer->has_begun && n_dims >= 1 && n_dims <= TW_TENSOR_DIMS);
    assert(name[0] != '\0' && strlen(name) <= TW_LIMIT_MODEL_NAME_BYTES);
    assert(writer->data_bytes % element_bytes == 0);
    tw_json_key(json, name);
    tw_json_object_begin(json);
    tw_json_key(json, "dtype");
    tw_json_text(json, dtype_name(dtype));
    tw_json_key(json, "shape");
    tw_json_array_begin(json);
    for (size_t i = n_dims; i-- > 0;) {
        tw_json_uint(json, shape[i]);
        size_bytes *= shape[i];
    }
    tw_json_array_end(json);
    tw_json_key(json, "data_offsets");
    tw_json_array_begin(json);
    tw_json_uint(json, writer->data_bytes);
    writer->data_bytes += size_bytes;
    tw_json_uint(json, writer->data_bytes);
    tw_json_array_end(json);
    tw_json_object_end(json);
    tw_buf_append(&writer->ends, &writer->data_bytes, sizeof writer->data_bytes);
    writer->n_tensors++;
}

enum tw_status tw_safetensors_writer_begin(struct tw_safetensors_writer *writer,
                                           struct tw_error *error)
{
    assert(!writer->has_begun);
    writer->has_begun = true;
    tw_json_object_end(&writer->json);
    while ((LENGTH_BYTES + writer->header.size_bytes) % ALIGNMENT != 0 && !writer->header.failed) {
        tw_buf_append_text(&writer->header, " ");
    }
    if (writer->header.failed || writer->ends.failed) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION,
                            "no memory for the header of a safetensors file");
    }
    uint64_t n = writer->header.size_bytes;
    enum tw_status status = tw_file_writer_write(writer->file, &n, sizeof n, error);
    return status == TW_OK ? tw_file_writer_write(writer->file, writer->header.data,
                                                  writer->header.size_bytes, error)
                           : status;
}

enum tw_status tw_safetensors_writer_data(struct tw_safetensors_writer *writer, const void *bytes,
                                          size_t n_bytes, struct tw_error *error)
{
    uint64_t end = 0;
    assert(writer->has_begun && writer->tensor < writer->n_tensors);
    memcpy(&end, writer->ends.data + writer->tensor * sizeof end, sizeof end);
    assert(n_bytes <= end - writer->written_bytes);
    writer->written_bytes += n_bytes;
    writer->tensor += writer->written_bytes == end;
    return tw_file_writer_write(writer->file, bytes, n_bytes, error);
}

static void free_writer(struct tw_safetensors_writer *writer)
{
    tw_buf_free(&writer->header);
    tw_buf_free(&writer->ends);
    tw_mem_free(writer);
}

enum tw_status tw_safetensors_writer_commit(struct tw_safetensors_writer *writer,
                                            struct tw_error *error)
{
    assert(writer->has_begun && writer->written_bytes == writer->data_bytes);
    enum tw_status status = tw_file_writer_commit(writer->file, error);
    free_writer(writer);
    return status;
}

void tw_safetensors_writer_abort(struct tw_safetensors_writer *writer)
{
    if (writer != NULL) {
        tw_file_writer_abort(writer->file);
        free_writer(writer);
    }
}
