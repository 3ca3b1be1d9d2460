/* Any bytes as a pattern; whatever text is written of what compiles can be written to its end. */
#include <assert.h>
#include <string.h>

#include "base/rng.h"
#include "fuzz_target.h"
#include "text/constraint.h"
#include "text/utf8.h"

enum { STEPS = 400 };

static void write_at_random(const struct tw_automaton *automaton)
{
    char text[STEPS + 1];
    struct tw_walk walk;
    size_t n = 0, at = 0;
    tw_walk_begin(&walk);
    while (n < STEPS && !tw_walk_is_over(automaton, &walk)) {
        uint32_t words[4];
        tw_rng_block(3, n, words);
        unsigned byte = words[0] % 256;
        int n_tries = 0;
        while (n_tries < 256 && !tw_walk_step(automaton, &walk, (unsigned char)byte)) {
            byte = (byte + 1) % 256;
            n_tries++;
        }
        assert(n_tries < 256 || tw_walk_accepts(automaton, &walk));
        if (n_tries == 256) {
            break;
        }
        text[n++] = (char)byte;
    }
    n -= tw_utf8_unfinished(text, n);
    while (at < n) {
        uint32_t code;
        at += tw_utf8_decode(text + at, n - at, &code);
        assert(code != TW_UTF8_INVALID);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tw_error error;
    struct tw_automaton *automaton;
    const struct tw_bytes pattern = {(const char *)data, size};
    if (tw_constraint_compile_regex(pattern, false, &automaton, &error) == TW_OK) {
        write_at_random(automaton);
        tw_automaton_free(automaton);
    } else {
        assert(strlen(error.text) > 0 && strchr(error.text, '\n') == NULL);
    }
    return 0;
}
