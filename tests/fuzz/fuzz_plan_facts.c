#include "fuzz_target.h"

#include "plan/facts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    struct tw_facts *facts;
    struct tw_error error;
    if (tw_facts_create(&facts, &error) != TW_OK) {
        return 0;
    }
    if (tw_facts_read(facts, "facts.csv", (const char *)data, n_bytes, &error) == TW_OK) {
        for (uint32_t i = 0; i < tw_facts_count(facts); i++) {
            const struct tw_fact *fact = tw_facts_at(facts, i);
            if (fact->is_number && !(fact->number.low <= fact->number.typical &&
                                     fact->number.typical <= fact->number.high)) {
                __builtin_trap();
            }
        }
    }
    tw_facts_free(facts);
    return 0;
}
