/* content.h: what one request brings and what it is answered, on its way into the books.
 *
 *     tw_content_create                 the body as it was sent
 *         tw_content_name_subject       whom it is about; before tw_hub_reserve
 *         tw_content_terms              what the answers are made by
 *         tw_content_begin_answers, { tw_content_add ..., tw_content_end }
 *     tw_hub_settle                     a commitment into the record; where the project stores
 *                                       content, all of it, sealed, into a row
 *     tw_content_free
 *
 * The commitment is BLAKE2b-256, keyed with the request's salt (subject_keys.h), of BLAKE2b-256 of
 * the body and of each answer's text, one behind the other. Of a project that stores nothing no
 * more than these hashes is remembered. What is stored is one JSON object:
 *
 *     {"answers": [{"finish", "text" or "hash", "tokens"}], "body", "build", "isa",
 *      "max_answer_tokens", "model", "model_digest", "terms", "version": 1}
 *
 * and of more than TW_LIMIT_CONTENT_BYTES nothing is stored: the record says so.
 *
 * Ownership: the caller's, until the call back of the settlement; the hub outlives it.
 * Threads: one at a time. Errors: those of subject_keys.h; TW_ERR_USAGE for a name that is none.
 */
#ifndef TW_HUB_CONTENT_H
#define TW_HUB_CONTENT_H

#include "hub/hub.h"

struct tw_content;

enum tw_status tw_content_create(struct tw_hub *hub, const struct tw_hub_caller *caller,
                                 const char *body, size_t body_bytes,
                                 struct tw_content **ret_content, struct tw_error *error);
/* NULL is allowed. */
void tw_content_free(struct tw_content *content);

/* Whether it is to be stored, and not too large already: otherwise terms are of no use. */
bool tw_content_is_kept(const struct tw_content *content);
/* user: as the request has it, or NULL. Makes the subject's key, which may take a sync. Of a
 * project's users at most TW_LIMIT_SUBJECT_NEW_KEYS get one in a day: TW_ERR_LIMIT. */
enum tw_status tw_content_name_subject(struct tw_content *content, const char *user,
                                       size_t user_bytes, struct tw_error *error);
/* Where the caller writes a JSON object. */
struct tw_buf *tw_content_terms(struct tw_content *content);

enum tw_status tw_content_begin_answers(struct tw_content *content, size_t n,
                                        struct tw_error *error);
void tw_content_add(struct tw_content *content, size_t answer, const char *text, size_t text_bytes,
                    uint64_t n_tokens);
/* The same for what is too much to be stored: its hash is. */
void tw_content_add_hashed(struct tw_content *content, size_t answer, const char *text,
                           size_t text_bytes);
/* finish stays, as a literal does. */
void tw_content_end(struct tw_content *content, size_t answer, const char *finish);

#endif
