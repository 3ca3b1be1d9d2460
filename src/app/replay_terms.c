#include "app/replay_terms.h"

#include <string.h>

#include "base/mem.h"

static enum tw_status malformed(const char *what, struct tw_error *error)
{
    return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                        "the stored content is not of the form we know: %s", what);
}

static enum tw_status no_memory(struct tw_error *error)
{
    return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a stored request");
}

static enum tw_status incomparable(const char *why, struct tw_error *error)
{
    return tw_error_set(error, TW_ERR_UNSUPPORTED, TW_NO_POSITION, "not comparable: %s", why);
}

static bool take_text(const json_t *object, const char *name, const char **ret_text)
{
    *ret_text = json_string_value(json_object_get(object, name));
    return *ret_text != NULL;
}

static bool take_uint(const json_t *object, const char *name, uint64_t most, uint64_t *ret_number)
{
    const json_t *value = json_object_get(object, name);
    const json_int_t number = json_integer_value(value);
    if (!json_is_integer(value) || number < 0 || (uint64_t)number > most) {
        return false;
    }
    *ret_number = (uint64_t)number;
    return true;
}

static bool take_double(const json_t *object, const char *name, double *ret_number)
{
    const json_t *value = json_object_get(object, name);
    *ret_number = json_number_value(value);
    return json_is_number(value);
}

/* 64 bits in decimal digits. */
static bool take_seed(const json_t *object, uint64_t *ret_seed)
{
    const char *text;
    uint64_t seed = 0;
    if (!take_text(object, "seed", &text) || *text == '\0') {
        return false;
    }
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9' || __builtin_mul_overflow(seed, UINT64_C(10), &seed) ||
            __builtin_add_overflow(seed, (uint64_t)(*text - '0'), &seed)) {
            return false;
        }
    }
    *ret_seed = seed;
    return true;
}

/* ---- parameters ---- */

static enum tw_status read_biases(const json_t *list, struct tw_replay_terms *terms,
                                  struct tw_error *error)
{
    const size_t n = json_array_size(list);
    if (!json_is_array(list) || n > TW_LIMIT_LOGIT_BIASES) {
        return malformed("biases", error);
    }
    terms->biases = tw_mem_zalloc(n > 0 ? n : 1, sizeof *terms->biases);
    if (terms->biases == NULL) {
        return no_memory(error);
    }
    for (size_t i = 0; i < n; i++) {
        const json_t *pair = json_array_get(list, i);
        const json_t *token = json_array_get(pair, 0), *bias = json_array_get(pair, 1);
        if (!json_is_integer(token) || !json_is_number(bias) || json_integer_value(token) < 0 ||
            json_integer_value(token) > INT32_MAX) {
            return malformed("biases", error);
        }
        terms->biases[i] = (struct tw_logit_bias){(tw_token)json_integer_value(token),
                                                  (float)json_number_value(bias)};
    }
    terms->generation.sampling.biases = terms->biases;
    terms->generation.sampling.n_biases = n;
    return TW_OK;
}

static enum tw_status read_stops(const json_t *list, struct tw_replay_terms *terms,
                                 struct tw_error *error)
{
    const size_t n = json_array_size(list);
    if (!json_is_array(list) || n > TW_LIMIT_STOP_STRINGS) {
        return malformed("stop", error);
    }
    terms->stops = tw_mem_zalloc(n > 0 ? n : 1, sizeof *terms->stops);
    if (terms->stops == NULL) {
        return no_memory(error);
    }
    for (size_t i = 0; i < n; i++) {
        const json_t *text = json_array_get(list, i);
        if (!json_is_string(text)) {
            return malformed("stop", error);
        }
        terms->stops[i] = (struct tw_bytes){json_string_value(text), json_string_length(text)};
    }
    terms->generation.rules.strings = terms->stops;
    terms->generation.rules.n_strings = n;
    return TW_OK;
}

static enum tw_status read_parameters(const json_t *object, struct tw_replay_terms *terms,
                                      struct tw_error *error)
{
    struct tw_sampler_params *sampling = &terms->generation.sampling;
    struct tw_stop_rules *rules = &terms->generation.rules;
    uint64_t top_k = 0, last_n = 0;
    if (!take_double(object, "frequency_penalty", &sampling->frequency_penalty) ||
        !take_double(object, "min_p", &sampling->min_p) ||
        !take_double(object, "presence_penalty", &sampling->presence_penalty) ||
        !take_double(object, "repetition_penalty", &sampling->repetition_penalty) ||
        !take_double(object, "temperature", &sampling->temperature) ||
        !take_double(object, "top_p", &sampling->top_p) ||
        !take_uint(object, "top_k", UINT32_MAX, &top_k) ||
        !take_uint(object, "repeat_last_n", UINT32_MAX, &last_n)) {
        return malformed("parameters", error);
    }
    sampling->top_k = (uint32_t)top_k;
    sampling->repeat_last_n = (uint32_t)last_n;
    rules->ignore_end_tokens = json_is_true(json_object_get(object, "ignore_end_tokens"));
    rules->show_special = json_is_true(json_object_get(object, "show_special"));
    enum tw_status status = read_biases(json_object_get(object, "biases"), terms, error);
    return status == TW_OK ? read_stops(json_object_get(object, "stop"), terms, error) : status;
}

static enum tw_status read_form(const json_t *object, struct tw_replay_terms *terms,
                                struct tw_error *error)
{
    const char *kind;
    if (object == NULL) {
        return TW_OK;
    }
    terms->form.value = json_object_get(object, "value");
    terms->form.is_thinking = json_is_true(json_object_get(object, "is_thinking"));
    terms->form.may_repeat = json_is_true(json_object_get(object, "may_repeat"));
    return take_text(object, "kind", &kind) && tw_prescribed_kind_parse(kind, &terms->form.kind) &&
                   terms->form.value != NULL
               ? TW_OK
               : malformed("the form of the answer", error);
}

/* ---- prompts and answers ---- */

static enum tw_status read_prompt(const json_t *list, struct tw_replay_prompt *prompt,
                                  struct tw_error *error)
{
    const size_t n = json_array_size(list);
    if (n == 0 || n > TW_LIMIT_MODEL_CONTEXT_TOKENS) {
        return malformed("a prompt", error);
    }
    prompt->tokens = tw_mem_zalloc(n, sizeof *prompt->tokens);
    if (prompt->tokens == NULL) {
        return no_memory(error);
    }
    prompt->n_tokens = n;
    for (size_t i = 0; i < n; i++) {
        const json_int_t token = json_integer_value(json_array_get(list, i));
        if (!json_is_integer(json_array_get(list, i)) || token < 0 || token > INT32_MAX) {
            return malformed("a prompt", error);
        }
        prompt->tokens[i] = (tw_token)token;
    }
    return TW_OK;
}

static enum tw_status read_prompts(const json_t *list, struct tw_replay_terms *terms,
                                   struct tw_error *error)
{
    const size_t n = json_array_size(list);
    enum tw_status status = TW_OK;
    if (n == 0 || n > TW_LIMIT_API_CHOICES) {
        return malformed("prompts", error);
    }
    terms->prompts = tw_mem_zalloc(n, sizeof *terms->prompts);
    if (terms->prompts == NULL) {
        return no_memory(error);
    }
    terms->n_prompts = n;
    for (size_t i = 0; status == TW_OK && i < n; i++) {
        status = read_prompt(json_array_get(list, i), &terms->prompts[i], error);
    }
    return status;
}

static enum tw_status read_answer(const json_t *made, const json_t *given, uint64_t most_tokens,
                                  const struct tw_replay_terms *terms,
                                  struct tw_replay_answer *answer, struct tw_error *error)
{
    uint64_t prompt = 0;
    const json_t *text = json_object_get(given, "text");
    if (!take_seed(made, &answer->seed) ||
        !take_uint(made, "max_tokens", INT64_MAX, &answer->max_tokens) ||
        !take_uint(made, "prompt", terms->n_prompts - 1, &prompt) ||
        !take_uint(given, "tokens", INT64_MAX, &answer->n_tokens) || !json_is_string(text)) {
        return malformed("an answer", error);
    }
    if (!take_text(given, "finish", &answer->finish) || strcmp(answer->finish, "error") == 0) {
        return incomparable("an answer failed while it was made", error);
    }
    answer->prompt = (size_t)prompt;
    answer->text = (struct tw_bytes){json_string_value(text), json_string_length(text)};
    answer->is_cut = strcmp(answer->finish, "cancelled") == 0;
    if (most_tokens < answer->max_tokens || answer->max_tokens == 0) {
        answer->max_tokens = most_tokens;
    }
    return TW_OK;
}

static enum tw_status read_answers(const json_t *made, const json_t *given, uint64_t most_tokens,
                                   struct tw_replay_terms *terms, struct tw_error *error)
{
    const size_t n = json_array_size(given);
    enum tw_status status = TW_OK;
    if (n == 0 || n > TW_LIMIT_API_CHOICES || n != json_array_size(made)) {
        return malformed("answers", error);
    }
    terms->answers = tw_mem_zalloc(n, sizeof *terms->answers);
    if (terms->answers == NULL) {
        return no_memory(error);
    }
    terms->n_answers = n;
    for (size_t i = 0; status == TW_OK && i < n; i++) {
        status = read_answer(json_array_get(made, i), json_array_get(given, i), most_tokens, terms,
                             &terms->answers[i], error);
    }
    return status;
}

/* ---- the whole ---- */

static enum tw_status read_facts(const json_t *content, const json_t *made,
                                 struct tw_replay_terms *terms, struct tw_error *error)
{
    if (!json_is_object(made)) {
        return incomparable("it was no completion", error);
    }
    if (json_is_true(json_object_get(made, "only_prompt"))) {
        return incomparable("no answer was asked for", error);
    }
    if (!take_text(content, "model_digest", &terms->model_digest) ||
        !take_text(content, "build", &terms->build) || !take_text(content, "isa", &terms->isa) ||
        !take_text(made, "pack", &terms->pack) || !take_text(made, "kv", &terms->kv)) {
        return incomparable("the record does not say by what the answer was made", error);
    }
    return TW_OK;
}

enum tw_status tw_replay_terms_read(const json_t *content, struct tw_replay_terms *ret_terms,
                                    struct tw_error *error)
{
    const json_t *made = json_object_get(content, "terms");
    uint64_t most_tokens = 0, version = 0;
    struct tw_replay_terms terms = {.generation = tw_generation_defaults()};
    enum tw_status status = TW_OK;
    if (!take_uint(content, "version", 1, &version) || version != 1 ||
        !take_uint(content, "max_answer_tokens", INT64_MAX, &most_tokens)) {
        status = malformed("its version", error);
    }
    if (status == TW_OK) {
        status = read_facts(content, made, &terms, error);
    }
    if (status == TW_OK) {
        status = read_parameters(json_object_get(made, "parameters"), &terms, error);
    }
    if (status == TW_OK) {
        status = read_form(json_object_get(made, "form"), &terms, error);
    }
    if (status == TW_OK) {
        status = read_prompts(json_object_get(made, "prompts"), &terms, error);
    }
    if (status == TW_OK) {
        status = read_answers(json_object_get(made, "answers"), json_object_get(content, "answers"),
                              most_tokens, &terms, error);
    }
    if (status != TW_OK) {
        tw_replay_terms_free(&terms);
        return status;
    }
    *ret_terms = terms;
    return TW_OK;
}

void tw_replay_terms_free(struct tw_replay_terms *terms)
{
    for (size_t i = 0; terms->prompts != NULL && i < terms->n_prompts; i++) {
        tw_mem_free(terms->prompts[i].tokens);
    }
    tw_mem_free(terms->prompts);
    tw_mem_free(terms->answers);
    tw_mem_free(terms->biases);
    tw_mem_free(terms->stops);
}
