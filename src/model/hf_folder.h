/* hf_folder.h: a Hugging Face model folder: its JSON files and the names of its weight files.
 *
 *     config.json (must)              generation_config.json (may)
 *     tokenizer.json (for text)       tokenizer_config.json (may), chat_template.jinja (may)
 *     model.safetensors, or model.safetensors.index.json and the files it names
 *
 * Ownership: everything handed out lives as long as the folder. Threads: any may read.
 * Errors: TW_ERR_NOT_FOUND, TW_ERR_FORMAT with file and position, TW_ERR_LIMIT.
 */
#ifndef TW_MODEL_HF_FOLDER_H
#define TW_MODEL_HF_FOLDER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/file.h"
#include "base/json.h"
#include "base/status.h"
#include "model/arch.h"
#include "model/tensors.h"
#include "text/tokenizer.h"

struct tw_hf_folder;

enum tw_status tw_hf_folder_open(const char *path, struct tw_hf_folder **ret_folder,
                                 struct tw_error *error);
/* NULL is allowed. */
void tw_hf_folder_close(struct tw_hf_folder *folder);

/* As given to open. */
const char *tw_hf_folder_path(const struct tw_hf_folder *folder);
const struct tw_arch *tw_hf_folder_arch(const struct tw_hf_folder *folder);
const json_t *tw_hf_folder_config(const struct tw_hf_folder *folder);
/* NULL where the file is missing. */
const json_t *tw_hf_folder_generation_config(const struct tw_hf_folder *folder);
const json_t *tw_hf_folder_tokenizer_config(const struct tw_hf_folder *folder);

/* Parsed when asked for: it is large. The caller frees it with json_decref. */
enum tw_status tw_hf_folder_load_tokenizer(const struct tw_hf_folder *folder,
                                           json_t **ret_tokenizer, struct tw_error *error);

/* Jinja source; empty where there is none. */
struct tw_bytes tw_hf_folder_chat_template(const struct tw_hf_folder *folder);

/* Tensors under their GGUF names, in the order of the files. */
size_t tw_hf_folder_n_tensors(const struct tw_hf_folder *folder);
const struct tw_tensor_view *tw_hf_folder_tensor(const struct tw_hf_folder *folder, size_t i);

/* The files that tensors lie in, and what they were when they were mapped. */
size_t tw_hf_folder_n_files(const struct tw_hf_folder *folder);
struct tw_file_stamp tw_hf_folder_stamp(const struct tw_hf_folder *folder, size_t i);

#endif
