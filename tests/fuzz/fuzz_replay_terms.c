/* Any bytes as stored content: what is accepted has what a replay needs, within its bounds. */
#include <assert.h>
#include <string.h>

#include "app/replay_terms.h"
#include "fuzz_target.h"

static void check(const struct tw_replay_terms *terms)
{
    assert(terms->model_digest != NULL && terms->build != NULL && terms->isa != NULL);
    assert(terms->pack != NULL && terms->kv != NULL);
    assert(terms->n_prompts > 0 && terms->n_answers > 0);
    assert(terms->generation.rules.n_strings <= TW_LIMIT_STOP_STRINGS);
    for (size_t i = 0; i < terms->n_prompts; i++) {
        assert(terms->prompts[i].n_tokens > 0);
    }
    for (size_t i = 0; i < terms->n_answers; i++) {
        const struct tw_replay_answer *answer = &terms->answers[i];
        assert(answer->prompt < terms->n_prompts);
        assert(answer->text.data != NULL && answer->finish != NULL);
        assert(strcmp(answer->finish, "error") != 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tw_replay_terms terms;
    struct tw_error error = {0};
    json_t *content = NULL;
    if (tw_json_parse((const char *)data, size, "fuzz", &content, &error) != TW_OK) {
        return 0;
    }
    if (tw_replay_terms_read(content, &terms, &error) == TW_OK) {
        check(&terms);
        tw_replay_terms_free(&terms);
    } else {
        assert(error.text[0] != '\0');
    }
    json_decref(content);
    return 0;
}
