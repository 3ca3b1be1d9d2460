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

#include "base/file.h"
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
    const void *data; /* NULL with slices */
    /* Experts of a Hugging Face folder: [shape[2]] places of [shape[0], shape[1]] each, which do
     * not follow one another. NULL for all that lies in one piece. */
    const void *const *slices;
    size_t size_bytes; /* of everything */
    /* Query and key weights of a Hugging Face `llama`: rows of a head come as two halves, where the
     * program (and GGUF) wants them in pairs. tw_tensor_row_map says which row goes where. */
    bool rows_are_half_split;
};

/* The row order of the program: row r of the matrix is row ret_map[r] of view->data. Identity
 * unless rows_are_half_split. n_heads: heads in this tensor, with an even number of rows each.
 * ret_map: [shape[1]]. */
void tw_tensor_row_map(const struct tw_tensor_view *view, uint32_t n_heads, uint32_t *ret_map);

/* Where the i-th matrix of a tensor of three dimensions begins, i < shape[2], and how long it
 * is. */
const void *tw_tensor_slice(const struct tw_tensor_view *view, uint64_t i);
size_t tw_tensor_slice_bytes(const struct tw_tensor_view *view);

enum tw_model_source { TW_MODEL_GGUF = 0, TW_MODEL_HF_FOLDER };

struct tw_model_files;
struct tw_gguf;
struct tw_hf_folder;

/* path: a .gguf file (the first of a split model brings the others), a folder, or a file inside
 * such a folder. */
enum tw_status tw_model_files_open(const char *path, struct tw_model_files **ret_files,
                                   struct tw_error *error);
/* One GGUF file held in memory, which must outlive the object and be aligned as malloc aligns. name
 * goes into messages. */
enum tw_status tw_model_files_open_memory(const void *data, size_t size_bytes, const char *name,
                                          struct tw_model_files **ret_files,
                                          struct tw_error *error);
void tw_model_files_close(struct tw_model_files *files);

enum tw_model_source tw_model_files_source(const struct tw_model_files *files);
size_t tw_model_files_count(const struct tw_model_files *files); /* tensors */
const struct tw_tensor_view *tw_model_files_tensor(const struct tw_model_files *files, size_t i);

/* The files that tensors lie in, and what they were when they were mapped. */
size_t tw_model_files_n_parts(const struct tw_model_files *files);
struct tw_file_stamp tw_model_files_stamp(const struct tw_model_files *files, size_t i);

/* By GGUF name; NULL where there is none. Cheap: a search in sorted names. */
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

/* The folder, for what is particular to it; NULL for GGUF. */
const struct tw_hf_folder *tw_model_files_folder(const struct tw_model_files *files);

/* The GGUF file (the first of a split model), for what needs its metadata whole; NULL otherwise. */
const struct tw_gguf *tw_model_files_gguf(const struct tw_model_files *files);

/* The parsed config.json and generation_config.json of an HF folder; NULL otherwise. */
const json_t *tw_model_files_config(const struct tw_model_files *files);
const json_t *tw_model_files_generation_config(const struct tw_model_files *files);

/* The model's tokenizer, from tokenizer.ggml.* or from tokenizer.json. Tokens that end an answer
 * are in it, those of generation_config.json included. */
enum tw_status tw_model_files_tokenizer(const struct tw_model_files *files,
                                        struct tw_tokenizer **ret_tokenizer,
                                        struct tw_error *error);

/* The same as the text of a tokenizer.json: a folder's own file, or one made of a GGUF file's keys.
 * TW_ERR_UNSUPPORTED for a GGUF file whose tokenizer is not byte-level BPE, cuts words in another
 * way than tokenizer_json_write.h can say, or adds tokens of its own accord. */
enum tw_status tw_model_files_tokenizer_json(const struct tw_model_files *files,
                                             struct tw_buf *ret_text, struct tw_error *error);

/* How the states of a text's tokens become one embedding: <arch>.pooling_type of a GGUF file, or
 * modules.json and the pooling module's config.json of a folder as sentence-transformers writes it.
 * The numbers are GGUF's. TW_ERR_FORMAT for files that cannot be read. */
enum tw_pooling {
    TW_POOLING_NONE = 0, /* nothing is said: a decoder's is that of its last token */
    TW_POOLING_MEAN = 1,
    TW_POOLING_FIRST = 2, /* CLS */
    TW_POOLING_LAST = 3,
    TW_POOLING_OTHER = 4 /* one that we do not compute, or with further layers behind it */
};
enum tw_status tw_model_files_pooling(const struct tw_model_files *files,
                                      enum tw_pooling *ret_pooling, struct tw_error *error);

/* The model's chat template (Jinja source); empty where there is none. */
struct tw_bytes tw_model_files_chat_template(const struct tw_model_files *files);

#endif
