#include <assert.h>

#include "text/tokenizer_parts.h"
#include "text/utf8.h"

static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD */

void tw_detokenizer_init(struct tw_detokenizer *detokenizer, const struct tw_tokenizer *tokenizer,
                         bool with_special)
{
    *detokenizer = (struct tw_detokenizer){
        .tokenizer = tokenizer,
        .with_special = with_special,
        .drop_leading_space = tokenizer->add_space_prefix,
    };
}

/* Whole characters of text go out; each maximal part of a broken one becomes one U+FFFD, which is
 * what Unicode recommends and browsers do. */
static bool emit(struct tw_bytes text, struct tw_buf *out)
{
    bool ok = true;
    size_t at = 0;
    while (at < text.size_bytes && ok) {
        uint32_t code;
        size_t n = tw_utf8_decode(text.data + at, text.size_bytes - at, &code);
        if (code != TW_UTF8_INVALID) {
            ok = tw_buf_append(out, text.data + at, n);
        } else {
            n = tw_utf8_broken(text.data + at, text.size_bytes - at);
            ok = tw_buf_append(out, replacement, 3);
        }
        at += n;
    }
    return ok;
}

/* Puts bytes behind the kept ones, as far as the character that is being kept can need them. */
static bool complete_kept(struct tw_detokenizer *detokenizer, struct tw_bytes *text,
                          struct tw_buf *out)
{
    char joined[8];
    size_t n_kept = (size_t)detokenizer->n_kept;
    size_t n_more = text->size_bytes < 3 ? text->size_bytes : 3;
    memcpy(joined, detokenizer->kept, n_kept);
    memcpy(joined + n_kept, text->data, n_more);
    size_t n_joined = n_kept + n_more;
    if (tw_utf8_unfinished(joined, n_joined) == n_joined) {
        memcpy(detokenizer->kept, joined, n_joined);
        detokenizer->n_kept = (int)n_joined;
        *text = (struct tw_bytes){"", 0};
        return true;
    }
    uint32_t code;
    size_t n = tw_utf8_decode(joined, n_joined, &code);
    n = code != TW_UTF8_INVALID ? n : tw_utf8_broken(joined, n_joined);
    assert(n >= n_kept); /* what is kept begins a valid sequence */
    detokenizer->n_kept = 0;
    text->data += n - n_kept;
    text->size_bytes -= n - n_kept;
    return emit((struct tw_bytes){joined, n}, out);
}

bool tw_detokenizer_push(struct tw_detokenizer *detokenizer, tw_token id, struct tw_buf *out)
{
    struct tw_bytes text =
        tw_tokenizer_token_bytes(detokenizer->tokenizer, id, detokenizer->with_special);
    if (text.size_bytes == 0) {
        return true;
    }
    if (detokenizer->drop_leading_space && text.data[0] == ' ') {
        text.data++;
        text.size_bytes--;
    }
    detokenizer->drop_leading_space = false;
    if (detokenizer->n_kept != 0 && text.size_bytes != 0 &&
        !complete_kept(detokenizer, &text, out)) {
        return false;
    }
    size_t n_tail = tw_utf8_unfinished(text.data, text.size_bytes);
    if (n_tail != 0) {
        text.size_bytes -= n_tail;
        memcpy(detokenizer->kept, text.data + text.size_bytes, n_tail);
        detokenizer->n_kept = (int)n_tail;
    }
    return emit(text, out);
}

bool tw_detokenizer_finish(struct tw_detokenizer *detokenizer, struct tw_buf *out)
{
    bool has_kept = detokenizer->n_kept != 0;
    detokenizer->n_kept = 0;
    return !has_kept || tw_buf_append(out, replacement, 3);
}
