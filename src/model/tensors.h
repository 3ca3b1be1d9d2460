/* tensors.h: a model's files on disk, opened and checked: metadata and named tensors.
 *
 * One view of two worlds: GGUF (v2, v3, split into several files) and Hugging Face folders
 * (config.json, *.safetensors with their index). Tensors of a Hugging Face model appear under
 * their GGUF names (docs/formats/names.md), so architectures know one set of names only.
 *
 *     path --[tw_model_files_open]--> checked directory of tensors, data in read-only maps
 *
 * Invariants, all checked at open, before any byte of a tensor is used: 1. every offset and length
 * lies inside its file; 2. shape, type and byte length of a tensor agree; 3. data is aligned as
 * the format says; 4. names are unique; 5. nothing was allocated in proportion to a number that
 * the file merely claims.
 * Ownership: strings and data live as long as the object. Threads: any may read.
 * Errors: TW_ERR_FORMAT with file, position and what was expected; TW_ERR_LIMIT; TW_ERR_UNSUPPORTED
 * for versions and types we do not read.
 */
#ifndef TW_MODEL_TENSORS_H
#define TW_MODEL_TENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/json.h"
#include "base/status.h"
#include "tensor/dtype.h"
#include "text/tokenizer.h"

enum { TW_TENSOR_DIMS = 4 };

/* shape[0] is the contiguous dimension (columns, what a product sums over), shape[1] the rows.
 * Missing dimensions are 1. */
struct tw_tensor_view {
    const char *name; /* GGUF name, e.g. "blk.0.attn_q.weight" */
    enum tw_dtype dtype;
    uint64_t shape[TW_TENSOR_DIMS];
    const void *data;
    size_t size_bytes;
};

enum tw_model_source { TW_MODEL_GGUF = 0, TW_MODEL_HF_FOLDER };

struct tw_model_files;

/* path: a .gguf file (the first of a split model brings the others), a folder, or a file inside
 * such a folder. */
enum tw_status tw_model_files_open(const char *path, struct tw_model_files **ret_files,
                                   struct tw_error *error);
void tw_model_files_close(struct tw_model_files *files);

enum tw_model_source tw_model_files_source(const struct tw_model_files *files);
size_t tw_model_files_count(const struct tw_model_files *files); /* tensors */
const struct tw_tensor_view *tw_model_files_tensor(const struct tw_model_files *files, size_t i);

/* By GGUF name; NULL where there is none. Hashed: cheap. */
const struct tw_tensor_view *tw_model_files_find(const struct tw_model_files *files,
                                                 const char *name);

/* Metadata of a GGUF file by key ("qwen2.block_count"). HF folders answer false throughout; their
 * numbers come from tw_model_files_config. Integers of any width convert when they fit. */
bool tw_model_files_uint(const struct tw_model_files *files, const char *key, uint64_t *ret_value);
bool tw_model_files_double(const struct tw_model_files *files, const char *key, double *ret_value);
bool tw_model_files_bool(const struct tw_model_files *files, const char *key, bool *ret_value);
bool tw_model_files_string(const struct tw_model_files *files, const char *key,
                           struct tw_bytes *ret_value);
/* Length of an array value; false when the key is absent or no array. */
bool tw_model_files_array_length(const struct tw_model_files *files, const char *key,
                                 uint64_t *ret_length);

/* The parsed config.json and generation_config.json of an HF folder; NULL otherwise. */
const json_t *tw_model_files_config(const struct tw_model_files *files);
const json_t *tw_model_files_generation_config(const struct tw_model_files *files);

/* The model's tokenizer, from tokenizer.ggml.* or from tokenizer.json. */
enum tw_status tw_model_files_tokenizer(const struct tw_model_files *files,
                                        struct tw_tokenizer **ret_tokenizer,
                                        struct tw_error *error);

/* The model's chat template (Jinja source); empty where there is none. */
struct tw_bytes tw_model_files_chat_template(const struct tw_model_files *files);

#endif
