/* pretokenize.h: text cut into the words that are merged one by one.
 *
 *     text --step 0--> pieces --step 1--> pieces ... --last step--> words
 *
 * Each step cuts every piece it is given on its own: a piece's end is the end of the text to it.
 * The three patterns nearly every model has are written by hand and follow the regular expression
 * exactly, Unicode categories included; any other goes through pattern.h.
 *
 * Invariants: 1. The words put together are the text, except for what REMOVED drops and for the
 * spaces and marks that SPACE_PREFIX and METASPACE put in. 2. No word is empty. 3. Invalid bytes
 * count as characters that are neither letter, number nor space.
 * Ownership: a list copies nothing; the tokenizer keeps its steps. Threads: a list may be used by
 * any number, a scratch by one. Errors: those of pattern.h; what the callback returns.
 */
#ifndef TW_TEXT_PRETOKENIZE_H
#define TW_TEXT_PRETOKENIZE_H

#include "base/buf.h"
#include "base/limits.h"
#include "text/pattern.h"

enum tw_pretokenize_kind {
    TW_PRETOKENIZE_GPT2 = 0,
    TW_PRETOKENIZE_LLAMA3,
    TW_PRETOKENIZE_QWEN2,
    TW_PRETOKENIZE_PATTERN,      /* cut at the matches of a regular expression */
    TW_PRETOKENIZE_STRING,       /* cut at a literal string */
    TW_PRETOKENIZE_DIGITS,       /* runs of numbers apart from the rest */
    TW_PRETOKENIZE_EACH_DIGIT,   /* every number character on its own */
    TW_PRETOKENIZE_SPACE_PREFIX, /* " " before a piece that does not begin with one */
    TW_PRETOKENIZE_METASPACE,    /* " " becomes the mark, one may be put before, cut before marks */
    TW_PRETOKENIZE_KIND_COUNT
};

/* What becomes of a match. */
enum tw_pretokenize_behaviour {
    TW_PRETOKENIZE_ISOLATED = 0,
    TW_PRETOKENIZE_REMOVED,
    TW_PRETOKENIZE_MERGED_WITH_PREVIOUS,
    TW_PRETOKENIZE_MERGED_WITH_NEXT,
    TW_PRETOKENIZE_CONTIGUOUS
};

/* Whether METASPACE puts its mark before a piece. */
enum tw_pretokenize_prepend {
    TW_PRETOKENIZE_PREPEND_ALWAYS = 0,
    TW_PRETOKENIZE_PREPEND_FIRST, /* only before the piece the text begins with */
    TW_PRETOKENIZE_PREPEND_NEVER
};

struct tw_pretokenize_step {
    enum tw_pretokenize_kind kind;
    struct tw_bytes text; /* PATTERN: the expression; STRING: the string; METASPACE: the mark */
    enum tw_pretokenize_behaviour behaviour; /* PATTERN, STRING */
    bool invert;                         /* PATTERN, STRING: matches and the rest change roles */
    enum tw_pretokenize_prepend prepend; /* METASPACE */
    bool keep_whole;                     /* METASPACE: replace only, do not cut */
    const struct tw_pattern *pattern;    /* PATTERN: compiled, by the owner of the list */
};

/* Memory one thread cuts with; zero-initialise it. */
struct tw_pretokenize_scratch {
    struct tw_pattern_matcher matchers[TW_LIMIT_TOKENIZER_STEPS];
    struct tw_buf changed[TW_LIMIT_TOKENIZER_STEPS];
};

typedef enum tw_status (*tw_pretokenize_fn)(void *context, struct tw_bytes word,
                                            struct tw_error *error);

/* Calls fn for each word in order. is_first: the text begins where the user's text begins. */
enum tw_status tw_pretokenize(const struct tw_pretokenize_step *steps, size_t n_steps,
                              struct tw_pretokenize_scratch *scratch, struct tw_bytes text,
                              bool is_first, tw_pretokenize_fn fn, void *context,
                              struct tw_error *error);

/* The end of the word of GPT2, LLAMA3 or QWEN2 that begins at `from` < text.size_bytes. */
size_t tw_pretokenize_next(enum tw_pretokenize_kind kind, struct tw_bytes text, size_t from);

/* The hand-written kind whose expression is exactly this one; false when there is none. */
bool tw_pretokenize_known(struct tw_bytes expression, enum tw_pretokenize_kind *ret_kind);

/* The other way round: the expression GPT2, LLAMA3 or QWEN2 follows. */
const char *tw_pretokenize_expression(enum tw_pretokenize_kind kind);

void tw_pretokenize_scratch_free(struct tw_pretokenize_scratch *scratch);

#endif
