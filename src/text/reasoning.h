/* reasoning.h: what a model thinks before it answers, split off from the answer's text:
 *
 *     <think>\nThe user greets me.\n</think>\n\nHello!
 *              `---- reasoning --´              `-- text
 *
 *     BEGIN -> INSIDE [at <think>]   INSIDE -> GAP [at </think>]   GAP -> TEXT [2 line ends]
 *     BEGIN -> TEXT   [anything else]
 *
 * A template may have written <think> at the end of the prompt: then the answer begins INSIDE. It
 * may have written a thought that is over: then all is TEXT. White space around a thought belongs
 * to nobody, nor do up to two line ends behind </think>; a thought that never ends is reasoning.
 *
 * Invariant: what is given does not depend on the pieces in which the text came, but for where one
 * piece ends and the next begins.
 * Ownership: pieces are valid during the call. Threads: one at a time. Limits: white space is held
 * up to TW_LIMIT_GENERATED_BYTES.
 */
#ifndef TW_TEXT_REASONING_H
#define TW_TEXT_REASONING_H

#include "base/buf.h"
#include "text/bytes.h"

#define TW_REASONING_BEGIN "<think>"
#define TW_REASONING_END   "</think>"
#define TW_REASONING_GAP   "\n\n"

enum tw_reasoning_state {
    TW_REASONING_TEXT = 0,
    TW_REASONING_AT_BEGIN,
    TW_REASONING_INSIDE,
    TW_REASONING_AT_GAP
};

typedef void (*tw_reasoning_fn)(void *context, bool is_reasoning, struct tw_bytes piece);

struct tw_reasoning {
    enum tw_reasoning_state state;
    struct tw_buf held;
    bool has_given;    /* something of the thought */
    size_t n_gap_left; /* line ends that may still be left out */
    tw_reasoning_fn give;
    void *context;
};

/* Whether a chat template knows thoughts. */
bool tw_reasoning_suits(struct tw_bytes chat_template);

/* How an answer behind this prompt begins: AT_BEGIN, INSIDE, or TEXT. */
enum tw_reasoning_state tw_reasoning_behind(struct tw_bytes prompt);

void tw_reasoning_init(struct tw_reasoning *reasoning, enum tw_reasoning_state state,
                       tw_reasoning_fn give, void *context);
void tw_reasoning_free(struct tw_reasoning *reasoning);

/* False: no memory. */
bool tw_reasoning_push(struct tw_reasoning *reasoning, const char *text, size_t text_bytes);
/* The answer is over. */
void tw_reasoning_finish(struct tw_reasoning *reasoning);

#endif
