/* classify_parts.h: what the files of classify.h share. Not for others. */
#ifndef TW_POLICY_CLASSIFY_PARTS_H
#define TW_POLICY_CLASSIFY_PARTS_H

#include "policy/classify.h"

/* Raises the class, and notes why; the same once more of a text is counted. */
void tw_classify_add(struct tw_classified *out, enum tw_classify_source source, unsigned class,
                     int detector, const char *place);

/* All that detectors find in a body, and what they cannot read of it. */
void tw_classify_body(const struct tw_policy *policy, const json_t *body,
                      struct tw_classified *out);

/* A number as people would write it, with its sign: how many bytes. */
enum { TW_CLASSIFY_DIGITS = 40 };
size_t tw_classify_digits(const json_t *number, char ret_digits[TW_CLASSIFY_DIGITS]);

#endif
