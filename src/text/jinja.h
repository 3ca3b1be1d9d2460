/* jinja.h: chat templates: a model's own form of a conversation, written in Jinja.
 *
 *     source --tw_jinja_compile--> template
 *     template, {messages, tools} --tw_jinja_render--> text and spans --tw_jinja_encode--> ids
 *
 * The language is what chat templates use of Python's jinja2 as Hugging Face sets it up:
 * trim_blocks, lstrip_blocks, break and continue, tojson without HTML escapes, raise_exception,
 * strftime_now. What is understood and what is not: docs/chat-templates.md.
 *
 * Every byte of the text is known to come from the template or from the data. A special token is
 * recognised only where the template (or `settings`) wrote it whole: nobody can end his message
 * and begin another's by writing a marker. The one exception: the value of a key "role" that is a
 * word such as "user" or "tool" counts as the template's, since templates make markers of roles.
 *
 * Invariants: 1. A rendering is a function of template, data, settings and `now`. 2. No template
 * and no data, however hostile, makes it run without end, or use more memory than the bound.
 * 3. The spans cover the text: ends rise, the last one is its length.
 * Ownership: the template owns what it keeps; data, settings and `now` are only read, during the
 * call. Threads: any number may render one template.
 * Errors: TW_ERR_FORMAT, a fault of the template, or a conversation it refuses; TW_ERR_LIMIT;
 * TW_ERR_MEMORY. The text names the template's line. Limits: TW_LIMIT_JINJA_*.
 */
#ifndef TW_TEXT_JINJA_H
#define TW_TEXT_JINJA_H

#include <time.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/status.h"
#include "text/tokenizer.h"

struct tw_jinja_template;

enum tw_status tw_jinja_compile(const char *source, size_t source_bytes,
                                struct tw_jinja_template **ret_template, struct tw_error *error);
/* NULL is allowed. */
void tw_jinja_free(struct tw_jinja_template *chat_template);

struct tw_jinja_input {
    const json_t *data;     /* an object: messages, tools, add_generation_prompt, ... */
    const json_t *settings; /* an object whose texts may be special tokens: bos_token; or NULL */
    const struct tm *now;   /* what strftime_now tells; NULL: there is no such function */
};

/* Zero-initialise it; free with tw_jinja_output_free. */
struct tw_jinja_output {
    char *text; /* not terminated; NULL where it is empty */
    size_t text_bytes;
    struct tw_text_span *spans;
    size_t n_spans;
};

/* Replaces what *ret_output has. */
enum tw_status tw_jinja_render(const struct tw_jinja_template *chat_template,
                               const struct tw_jinja_input *input,
                               struct tw_jinja_output *ret_output, struct tw_error *error);
void tw_jinja_output_free(struct tw_jinja_output *output);

/* Appends the ids: special tokens where the template wrote them, and everything between two of
 * them as one piece of text. Errors: those of tw_tokenizer_encode. */
enum tw_status tw_jinja_encode(const struct tw_jinja_output *output,
                               const struct tw_tokenizer *tokenizer, struct tw_token_list *list,
                               struct tw_error *error);

#endif
