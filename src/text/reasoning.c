#include "text/reasoning.h"

#include <string.h>

#include "base/limits.h"

static struct tw_bytes held_of(const struct tw_reasoning *reasoning)
{
    return (struct tw_bytes){reasoning->held.data, reasoning->held.size_bytes};
}

bool tw_reasoning_suits(struct tw_bytes chat_template)
{
    return chat_template.size_bytes - tw_bytes_find(chat_template, TW_REASONING_BEGIN) >=
           strlen(TW_REASONING_BEGIN);
}

static bool ends_with(struct tw_bytes text, const char *end)
{
    const size_t n = strlen(end);
    return text.size_bytes >= n && memcmp(text.data + text.size_bytes - n, end, n) == 0;
}

enum tw_reasoning_state tw_reasoning_behind(struct tw_bytes prompt)
{
    prompt.size_bytes = tw_bytes_trimmed(prompt);
    return ends_with(prompt, TW_REASONING_END)     ? TW_REASONING_TEXT
           : ends_with(prompt, TW_REASONING_BEGIN) ? TW_REASONING_INSIDE
                                                   : TW_REASONING_AT_BEGIN;
}

void tw_reasoning_init(struct tw_reasoning *reasoning, enum tw_reasoning_state state,
                       tw_reasoning_fn give, void *context)
{
    *reasoning = (struct tw_reasoning){.state = state, .give = give, .context = context};
    tw_buf_init(&reasoning->held, TW_LIMIT_GENERATED_BYTES);
}

void tw_reasoning_free(struct tw_reasoning *reasoning)
{
    tw_buf_free(&reasoning->held);
}

static void give(struct tw_reasoning *reasoning, size_t n_bytes)
{
    const bool is_reasoning = reasoning->state == TW_REASONING_INSIDE;
    if (n_bytes > 0) {
        reasoning->has_given = true;
        reasoning->give(reasoning->context, is_reasoning,
                        (struct tw_bytes){reasoning->held.data, n_bytes});
        tw_buf_drop_front(&reasoning->held, n_bytes);
    }
}

/* True: the state is another one. */
static bool begin(struct tw_reasoning *reasoning)
{
    struct tw_bytes held = held_of(reasoning);
    const size_t n_spaces = tw_bytes_skip_spaces(held, 0), n_tag = strlen(TW_REASONING_BEGIN);
    const size_t n_left = held.size_bytes - n_spaces;
    if (memcmp(held.data + n_spaces, TW_REASONING_BEGIN, n_left < n_tag ? n_left : n_tag) != 0) {
        reasoning->state = TW_REASONING_TEXT;
        return true;
    }
    if (n_left < n_tag) {
        return false;
    }
    tw_buf_drop_front(&reasoning->held, n_spaces + n_tag);
    reasoning->state = TW_REASONING_INSIDE;
    return true;
}

static bool think(struct tw_reasoning *reasoning)
{
    if (!reasoning->has_given) {
        tw_buf_drop_front(&reasoning->held, tw_bytes_skip_spaces(held_of(reasoning), 0));
    }
    struct tw_bytes held = held_of(reasoning);
    const size_t n_thought = tw_bytes_find(held, TW_REASONING_END);
    const size_t n_sure = tw_bytes_trimmed((struct tw_bytes){held.data, n_thought});
    const bool is_over = held.size_bytes - n_thought >= strlen(TW_REASONING_END);
    give(reasoning, n_sure);
    if (is_over) {
        tw_buf_drop_front(&reasoning->held, n_thought - n_sure + strlen(TW_REASONING_END));
        reasoning->state = TW_REASONING_AT_GAP;
        reasoning->n_gap_left = strlen(TW_REASONING_GAP);
    }
    return is_over;
}

static bool pass_gap(struct tw_reasoning *reasoning)
{
    size_t n = 0;
    while (n < reasoning->held.size_bytes && reasoning->n_gap_left > 0 &&
           reasoning->held.data[n] == '\n') {
        n++;
        reasoning->n_gap_left--;
    }
    tw_buf_drop_front(&reasoning->held, n);
    if (reasoning->n_gap_left == 0 || reasoning->held.size_bytes > 0) {
        reasoning->state = TW_REASONING_TEXT;
    }
    return reasoning->state == TW_REASONING_TEXT;
}

static bool step(struct tw_reasoning *reasoning)
{
    switch (reasoning->state) {
    case TW_REASONING_AT_BEGIN:
        return begin(reasoning);
    case TW_REASONING_INSIDE:
        return think(reasoning);
    case TW_REASONING_AT_GAP:
        return pass_gap(reasoning);
    case TW_REASONING_TEXT:
        break;
    }
    give(reasoning, reasoning->held.size_bytes);
    return false;
}

bool tw_reasoning_push(struct tw_reasoning *reasoning, const char *text, size_t text_bytes)
{
    if (!tw_buf_append(&reasoning->held, text, text_bytes)) {
        return false;
    }
    while (reasoning->held.size_bytes > 0 && step(reasoning)) {
    }
    return true;
}

void tw_reasoning_finish(struct tw_reasoning *reasoning)
{
    if (reasoning->state == TW_REASONING_INSIDE) {
        reasoning->held.size_bytes = tw_bytes_trimmed(held_of(reasoning));
    }
    give(reasoning, reasoning->held.size_bytes);
}
