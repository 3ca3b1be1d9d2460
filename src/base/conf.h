/* conf.h: configuration files in YAML, read with libcyaml into plain structs.
 *
 *     file --[schema: names, types, bounds]--> struct, or one sentence with line and column
 *
 * Unknown keys, wrong types and missing required keys are errors. Aliases and directives are
 * refused, so a small file cannot grow large or take long, and so are zero bytes. Numbers are
 * decimal and nothing else (libcyaml alone would read 10_000 as 10); a switch is true, false, yes
 * or no. Whoever reads a configuration checks the ranges of its numbers. Schemas are mappings and
 * sequences of UINT, FLOAT, BOOL, ENUM and STRING.
 * Ownership: the struct belongs to the caller until tw_conf_free with the same schema.
 * Threads: any. Errors: TW_ERR_NOT_FOUND, TW_ERR_IO, TW_ERR_FORMAT, TW_ERR_MEMORY; TW_ERR_LIMIT
 * beyond TW_LIMIT_CONF_BYTES or TW_LIMIT_CONF_DEPTH.
 */
#ifndef TW_BASE_CONF_H
#define TW_BASE_CONF_H

#include <cyaml/cyaml.h>

#include "base/status.h"

/* schema: a CYAML_VALUE_MAPPING with CYAML_FLAG_POINTER. */
enum tw_status tw_conf_load(const char *path, const cyaml_schema_value_t *schema, void **ret_conf,
                            struct tw_error *error);

/* The same from memory; name goes into messages. */
enum tw_status tw_conf_parse(const char *text, size_t text_bytes, const char *name,
                             const cyaml_schema_value_t *schema, void **ret_conf,
                             struct tw_error *error);

/* NULL is allowed. */
void tw_conf_free(const cyaml_schema_value_t *schema, void *conf);

#endif
