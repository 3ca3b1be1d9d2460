/* joined_parts.h: the texts of one message that stand in several parts, as a model may read them.
 *
 *     [{"text": "4111 1111 "}, {"text": "1111 1111"}]  -->  "4111 1111 1111 1111"
 *
 * Servers join the parts of a message with nothing between them, or a space; a line's end would end
 * whatever detectors look for. Places are bytes of the joined text.
 *
 * Threads: as detect.h.
 */
#ifndef TW_POLICY_JOINED_PARTS_H
#define TW_POLICY_JOINED_PARTS_H

#include "base/json.h"
#include "policy/detect.h"

/* The text of a part: of a string itself, of an object the one that its type has. NULL: none. */
const json_t *tw_parts_text(const json_t *part);

/* Whether the list in a field of this name, of a message, is one of parts. */
bool tw_parts_are_in(const char *field);

/* What may stand between two parts; NULL behind the last. */
extern const char *const tw_parts_betweens[];

/* Failure shows in out->failed. */
void tw_parts_join(const json_t *parts, const char *between, struct tw_buf *out);

/* What detectors find across the ends of parts. *ret_failed: as tw_detect, and all of them where
 * there is no memory. */
void tw_parts_detect(const struct tw_policy *policy, struct tw_detect_work *work,
                     uint64_t detectors, const json_t *parts, const char *between,
                     tw_detect_found found, void *context, uint64_t *ret_failed);

/* Puts a text in place of [begin, end), into the part where that begins. False: no memory. */
bool tw_parts_replace(json_t *parts, const char *between, size_t begin, size_t end,
                      const char *text);

#endif
