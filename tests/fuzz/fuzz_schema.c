/* Any bytes as a JSON schema; what compiles is written at random and must have no dead ends. */
#include <assert.h>
#include <string.h>

#include "base/rng.h"
#include "fuzz_target.h"
#include "text/constraint.h"

enum { STEPS = 600 };

/* Random bytes that may come, with a leaning towards what closes. */
static void write_at_random(const struct tw_automaton *automaton, uint64_t seed)
{
    static const char closing[] = "\"}]";
    struct tw_walk walk;
    tw_walk_begin(&walk);
    for (uint64_t i = 0; i < STEPS && !tw_walk_is_over(automaton, &walk); i++) {
        uint32_t words[4];
        tw_rng_block(seed, i, words);
        unsigned byte = words[0] % 256;
        unsigned wish = (unsigned char)closing[words[1] % 3];
        int n_tries = 0;
        if (words[2] % 2 != 0 && tw_walk_step(automaton, &walk, (unsigned char)wish)) {
            continue;
        }
        while (!tw_walk_step(automaton, &walk, (unsigned char)byte)) {
            byte = (byte + 1) % 256;
            n_tries++;
            if (n_tries == 256) {
                assert(tw_walk_accepts(automaton, &walk));
                return;
            }
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *schema;
    struct tw_error error;
    struct tw_automaton *automaton;
    if (tw_json_parse((const char *)data, size, "input", &schema, &error) != TW_OK) {
        return 0;
    }
    if (tw_constraint_compile_schema(schema, false, &automaton, &error) == TW_OK) {
        write_at_random(automaton, 1);
        write_at_random(automaton, 2);
        tw_automaton_free(automaton);
    } else {
        assert(strlen(error.text) > 0);
    }
    json_decref(schema);
    return 0;
}
