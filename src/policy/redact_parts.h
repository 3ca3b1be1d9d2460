/* redact_parts.h: what the files of redact.h share: the table of pseudonyms. Not for others. */
#ifndef TW_POLICY_REDACT_PARTS_H
#define TW_POLICY_REDACT_PARTS_H

#include "policy/detect.h"
#include "policy/redact.h"

enum { TW_PSEUDONYM_BYTES = TW_LIMIT_POLICY_NAME_BYTES + 12 };

/* name: without brackets. escaped: the value as within a string of JSON. */
struct tw_pseudonym {
    char name[TW_PSEUDONYM_BYTES];
    unsigned detector;
    char *value, *escaped;
    size_t value_bytes, escaped_bytes;
};

struct tw_redact_span {
    size_t begin, end;
    unsigned detector;
};

/* The tables hold numbers of items plus one, by the hash of a value and by that of a name. */
struct tw_redaction {
    const struct tw_policy *policy;
    uint64_t detectors;
    struct tw_detect_work work;
    struct tw_pseudonym *items; /* [n_items] */
    size_t n_items, capacity;
    uint32_t *by_value, *by_name; /* [n_places] */
    size_t n_places;              /* a power of two, at least twice the capacity */
    uint64_t seed;
    uint32_t n_taken;                           /* numbers up to this stand in the request */
    uint32_t n_last[TW_LIMIT_POLICY_DETECTORS]; /* number given last */
    uint64_t n_replaced;                        /* findings */
    size_t longest_name_bytes;
};

/* The pseudonym of a value, which is made where there is none. */
enum tw_status tw_redact_pseudonym(struct tw_redaction *redaction, unsigned detector,
                                   const char *value, size_t value_bytes,
                                   const struct tw_pseudonym **ret_pseudonym,
                                   struct tw_error *error);

/* NULL: nothing is called that. */
const struct tw_pseudonym *tw_redact_find(const struct tw_redaction *redaction, const char *name,
                                          size_t name_bytes);

/* A text that is an object, a list or a string of JSON; *ret_value is NULL where it is not.
 * TW_ERR_LIMIT where it lies so deep, or is so large, that nobody can say what its escapes hide. */
enum tw_status tw_redact_parse(const char *text, size_t text_bytes, unsigned texts_deep,
                               json_t **ret_value, struct tw_error *error);

enum tw_status tw_redact_no_memory(struct tw_error *error);

#endif
