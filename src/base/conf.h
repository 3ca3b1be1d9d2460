/* conf.h: configuration files in YAML, read with libcyaml into plain structs.
 *
 *     text --[schema: names, types, bounds]--> struct, or one sentence with line and column
 *
 * Unknown keys, wrong types and missing required keys are errors; an unknown key gets the one that
 * was probably meant, or those there are. Aliases and directives are refused, so a small file
 * cannot grow large or take long, and so are zero bytes. Numbers are decimal and nothing else
 * (libcyaml alone would read 10_000 as 10); a switch is true, false, yes or no, in any of YAML's
 * three spellings (true, True, TRUE). Whoever reads a configuration checks the ranges of its
 * numbers. Schemas are mappings of at most 64 keys and sequences of UINT, FLOAT, BOOL, ENUM and
 * STRING.
 * Ownership: the struct belongs to the caller until tw_conf_free with the same schema.
 * Threads: any. Errors: TW_ERR_FORMAT, TW_ERR_MEMORY; TW_ERR_LIMIT beyond TW_LIMIT_CONF_DEPTH.
 */
#ifndef TW_BASE_CONF_H
#define TW_BASE_CONF_H

#include <cyaml/cyaml.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

/* schema: a CYAML_VALUE_MAPPING with CYAML_FLAG_POINTER. name goes into messages. */
enum tw_status tw_conf_parse(const char *text, size_t text_bytes, const char *name,
                             const cyaml_schema_value_t *schema, void **ret_conf,
                             struct tw_error *error);

/* Where a value stands in a text that was read, both from 1. path: keys, and numbers of entries of
 * lists from 0, with dots between them ("models.0.ctx"). False where it is not there. */
struct tw_conf_place {
    size_t line, column;
};

bool tw_conf_find(const char *text, size_t text_bytes, const char *path,
                  struct tw_conf_place *ret_place);

/* A path in a configuration is seen from the configuration's folder: *path, which came from
 * tw_conf_parse or is NULL, is replaced where it has to be. False: no memory. */
bool tw_conf_resolve(const char *conf_path, char **path);

/* NULL is allowed. */
void tw_conf_free(const cyaml_schema_value_t *schema, void *conf);

#endif
