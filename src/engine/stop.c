#include "engine/stop.h"

#include <assert.h>

#include "base/mem.h"

const char *tw_finish_name(enum tw_finish finish)
{
    static const char *const names[TW_FINISH_COUNT] = {
        [TW_FINISH_NONE] = "",         [TW_FINISH_STOP] = "stop",
        [TW_FINISH_LENGTH] = "length", [TW_FINISH_CANCELLED] = "cancelled",
        [TW_FINISH_ERROR] = "error",
    };
    assert(finish >= TW_FINISH_NONE && finish < TW_FINISH_COUNT);
    return names[finish];
}

struct tw_stop {
    const struct tw_tokenizer *tokenizer;
    struct tw_stop_matcher *matcher;
    struct tw_detokenizer detokenizer;
    struct tw_buf piece; /* the text of one token */
    uint64_t n_tokens;
    uint64_t max_tokens;
    bool ignore_end_tokens;
};

enum tw_status tw_stop_create(const struct tw_stop_rules *rules,
                              const struct tw_tokenizer *tokenizer, struct tw_stop **ret_stop,
                              struct tw_error *error)
{
    struct tw_stop *stop = tw_mem_zalloc(1, sizeof *stop);
    if (stop == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for an answer");
    }
    enum tw_status status =
        tw_stop_matcher_create(rules->strings, rules->n_strings, &stop->matcher, error);
    if (status != TW_OK) {
        tw_mem_free(stop);
        return status;
    }
    stop->tokenizer = tokenizer;
    stop->max_tokens = rules->max_tokens;
    stop->ignore_end_tokens = rules->ignore_end_tokens;
    tw_buf_init(&stop->piece, TW_LIMIT_TOKEN_BYTES * 4);
    tw_detokenizer_init(&stop->detokenizer, tokenizer, rules->show_special);
    /* An answer goes on where the prompt ended: its first space is text. */
    stop->detokenizer.drop_leading_space = false;
    *ret_stop = stop;
    return TW_OK;
}

void tw_stop_free(struct tw_stop *stop)
{
    if (stop == NULL) {
        return;
    }
    tw_stop_matcher_free(stop->matcher);
    tw_buf_free(&stop->piece);
    tw_mem_free(stop);
}

void tw_stop_finish(struct tw_stop *stop, struct tw_buf *out)
{
    tw_buf_clear(&stop->piece);
    tw_detokenizer_finish(&stop->detokenizer, &stop->piece);
    if (!tw_stop_matcher_push(stop->matcher, stop->piece.data, stop->piece.size_bytes, out)) {
        tw_stop_matcher_finish(stop->matcher, out);
    }
}

enum tw_finish tw_stop_push(struct tw_stop *stop, tw_token token, struct tw_buf *out)
{
    bool is_end = tw_tokenizer_ends_generation(stop->tokenizer, token);
    if (is_end && !stop->ignore_end_tokens) {
        tw_stop_finish(stop, out);
        return TW_FINISH_STOP;
    }
    tw_buf_clear(&stop->piece);
    tw_detokenizer_push(&stop->detokenizer, token, &stop->piece);
    if (tw_stop_matcher_push(stop->matcher, stop->piece.data, stop->piece.size_bytes, out)) {
        return TW_FINISH_STOP;
    }
    stop->n_tokens++;
    if (stop->max_tokens != 0 && stop->n_tokens >= stop->max_tokens) {
        tw_stop_finish(stop, out);
        return TW_FINISH_LENGTH;
    }
    return TW_FINISH_NONE;
}
