/* conf_check.h: what is wrong with a configuration's text, in plain words and at its own place.
 *
 * libcyaml reads a number as far as it goes, takes every word but a few as yes, and gives the place
 * of the value before when a key is unknown. So a text is gone through along the schema before
 * libcyaml has it. For conf.c alone.
 * Threads: any. Errors: those of conf.h.
 */
#ifndef TW_BASE_CONF_CHECK_H
#define TW_BASE_CONF_CHECK_H

#include "base/conf.h"

/* All of the text is YAML without zero bytes; with a schema, its mapping fits that. */
enum tw_status tw_conf_check(const char *text, size_t text_bytes, const char *name,
                             const cyaml_schema_value_t *schema, struct tw_error *error);

#endif
