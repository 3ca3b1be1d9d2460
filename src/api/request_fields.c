#include "api/request_fields.h"

#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/mem.h"

enum field_kind {
    FIELD_DOUBLE = 0,
    FIELD_INT,
    FIELD_BOOL,
    FIELD_ELSEWHERE, /* read by a function of its own */
    FIELD_NO_EFFECT,
    FIELD_REFUSED /* unless it says what would happen anyway */
};

enum { CHAT = 1, TEXT = 2, BOTH = 3 };

struct field {
    const char *name;
    enum field_kind kind;
    int endpoints;
    size_t offset;
    double least, most;
    const char *why; /* FIELD_REFUSED: what to do instead */
};

#define AT(field) offsetof(struct tw_api_fields, field)
#define MOST_INT  9007199254740992.0 /* 2^53 */

static const struct field table[] = {
    {"temperature", FIELD_DOUBLE, BOTH, AT(temperature), 0, 100, NULL},
    {"top_p", FIELD_DOUBLE, BOTH, AT(top_p), 0, 1, NULL},
    {"min_p", FIELD_DOUBLE, BOTH, AT(min_p), 0, 1, NULL},
    {"top_k", FIELD_INT, BOTH, AT(top_k), -1, MOST_INT, NULL},
    {"repetition_penalty", FIELD_DOUBLE, BOTH, AT(repetition_penalty), 0.01, 100, NULL},
    {"frequency_penalty", FIELD_DOUBLE, BOTH, AT(frequency_penalty), -100, 100, NULL},
    {"presence_penalty", FIELD_DOUBLE, BOTH, AT(presence_penalty), -100, 100, NULL},
    {"n", FIELD_INT, BOTH, AT(n), 1, TW_LIMIT_API_CHOICES, NULL},
    {"max_tokens", FIELD_INT, BOTH, AT(max_tokens), 0, MOST_INT, NULL},
    {"max_completion_tokens", FIELD_INT, CHAT, AT(max_completion_tokens), 0, MOST_INT, NULL},
    {"seed", FIELD_INT, BOTH, AT(seed), -MOST_INT, MOST_INT, NULL},
    {"priority", FIELD_INT, BOTH, AT(priority), INT32_MIN, INT32_MAX, NULL},
    {"stream", FIELD_BOOL, BOTH, AT(is_stream), 0, 0, NULL},
    {"ignore_eos", FIELD_BOOL, BOTH, AT(ignore_eos), 0, 0, NULL},
    {"echo", FIELD_BOOL, TEXT, AT(echo), 0, 0, NULL},
    {"logprobs", FIELD_BOOL, CHAT, AT(wants_logprobs), 0, 0, NULL},
    {"top_logprobs", FIELD_INT, CHAT, AT(top_logprobs), 0, TW_LIMIT_API_TOP_LOGPROBS, NULL},
    {"logprobs", FIELD_INT, TEXT, AT(top_logprobs), 0, TW_LIMIT_API_TOP_LOGPROBS, NULL},
    {"model", FIELD_ELSEWHERE, BOTH, 0, 0, 0, NULL},
    {"messages", FIELD_ELSEWHERE, CHAT, 0, 0, 0, NULL},
    {"tools", FIELD_ELSEWHERE, CHAT, 0, 0, 0, NULL},
    {"tool_choice", FIELD_ELSEWHERE, CHAT, 0, 0, 0, NULL},
    {"parallel_tool_calls", FIELD_BOOL, CHAT, AT(is_parallel), 0, 0, NULL},
    {"chat_template_kwargs", FIELD_ELSEWHERE, CHAT, 0, 0, 0, NULL},
    {"add_generation_prompt", FIELD_ELSEWHERE, CHAT, 0, 0, 0, NULL},
    {"continue_final_message", FIELD_ELSEWHERE, CHAT, 0, 0, 0, NULL},
    {"prompt", FIELD_ELSEWHERE, TEXT, 0, 0, 0, NULL},
    {"stop", FIELD_ELSEWHERE, BOTH, 0, 0, 0, NULL},
    {"logit_bias", FIELD_ELSEWHERE, BOTH, 0, 0, 0, NULL},
    {"stream_options", FIELD_ELSEWHERE, BOTH, 0, 0, 0, NULL},

    {"user", FIELD_NO_EFFECT, BOTH, 0, 0, 0, NULL},
    {"store", FIELD_NO_EFFECT, CHAT, 0, 0, 0, NULL},
    {"metadata", FIELD_NO_EFFECT, CHAT, 0, 0, 0, NULL},
    {"service_tier", FIELD_NO_EFFECT, CHAT, 0, 0, 0, NULL},
    {"safety_identifier", FIELD_NO_EFFECT, BOTH, 0, 0, 0, NULL},
    {"prompt_cache_key", FIELD_NO_EFFECT, CHAT, 0, 0, 0, NULL},
    {"prompt_cache_retention", FIELD_NO_EFFECT, CHAT, 0, 0, 0, NULL},
    {"prompt_cache_options", FIELD_NO_EFFECT, CHAT, 0, 0, 0, NULL},
    {"verbosity", FIELD_NO_EFFECT, CHAT, 0, 0, 0, NULL},
    {"request_id", FIELD_NO_EFFECT, BOTH, 0, 0, 0, NULL},
    {"session_id", FIELD_NO_EFFECT, BOTH, 0, 0, 0, NULL},
    {"cache_prompt", FIELD_NO_EFFECT, BOTH, 0, 0, 0, NULL},
    {"cache_salt", FIELD_ELSEWHERE, BOTH, 0, 0, 0, NULL},

    {"functions", FIELD_REFUSED, CHAT, 0, 0, 0, "it was replaced by 'tools'"},
    {"function_call", FIELD_REFUSED, CHAT, 0, 0, 0, "it was replaced by 'tool_choice'"},
    {"response_format", FIELD_ELSEWHERE, BOTH, 0, 0, 0, NULL},
    {"structured_outputs", FIELD_ELSEWHERE, BOTH, 0, 0, 0, NULL},
    {"guided_json", FIELD_ELSEWHERE, BOTH, 0, 0, 0, NULL},
    {"guided_regex", FIELD_ELSEWHERE, BOTH, 0, 0, 0, NULL},
    {"guided_choice", FIELD_ELSEWHERE, BOTH, 0, 0, 0, NULL},
    {"guided_grammar", FIELD_REFUSED, BOTH, 0, 0, 0,
     "a JSON schema, a pattern or choices can be prescribed"},
    {"grammar", FIELD_REFUSED, BOTH, 0, 0, 0,
     "a JSON schema, a pattern or choices can be prescribed"},
    {"json_schema", FIELD_ELSEWHERE, BOTH, 0, 0, 0, NULL},
    {"audio", FIELD_REFUSED, CHAT, 0, 0, 0, "models here read and write text"},
    {"prediction", FIELD_REFUSED, CHAT, 0, 0, 0, "leave it out"},
    {"web_search_options", FIELD_REFUSED, CHAT, 0, 0, 0, "there is no internet here"},
    {"chat_template", FIELD_REFUSED, CHAT, 0, 0, 0, "the model's own format is used"},
    {"documents", FIELD_REFUSED, CHAT, 0, 0, 0, "put the texts into a message"},
    {"suffix", FIELD_REFUSED, TEXT, 0, 0, 0, "models here write from left to right"},
    {"best_of", FIELD_REFUSED, BOTH, 0, 0, 1, "ask for n answers and choose"},
    {"use_beam_search", FIELD_REFUSED, BOTH, 0, 0, 0, "there is sampling only"},
    {"length_penalty", FIELD_REFUSED, BOTH, 0, 0, 1, "there is no beam search"},
    {"min_tokens", FIELD_REFUSED, BOTH, 0, 0, 0, "use ignore_eos and max_tokens"},
    {"stop_token_ids", FIELD_REFUSED, BOTH, 0, 0, 0, "use stop with texts"},
    {"include_stop_str_in_output", FIELD_REFUSED, BOTH, 0, 0, 0, "stop strings are cut off"},
    {"allowed_token_ids", FIELD_REFUSED, BOTH, 0, 0, 0, "use logit_bias"},
    {"bad_words", FIELD_REFUSED, BOTH, 0, 0, 0, "use logit_bias"},
    {"truncate_prompt_tokens", FIELD_REFUSED, BOTH, 0, 0, 0, "shorten the prompt"},
    {"prompt_logprobs", FIELD_REFUSED, BOTH, 0, 0, 0, "leave it out"},
    {"logprob_token_ids", FIELD_REFUSED, BOTH, 0, 0, 0, "use top_logprobs"},
};

#undef AT

static const struct field *find_field(const char *name, int endpoint)
{
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if ((table[i].endpoints & endpoint) != 0 && strcmp(table[i].name, name) == 0) {
            return &table[i];
        }
    }
    return NULL;
}

/* ---- one value ---- */

static bool read_number(void *at, const struct field *field, const json_t *value,
                        struct tw_api_error *error)
{
    const bool is_int = field->kind == FIELD_INT;
    if (!json_is_number(value) || (is_int && !json_is_integer(value))) {
        return tw_api_refuse(error, field->name, "'%s' must be %s", field->name,
                             is_int ? "a whole number" : "a number");
    }
    double number = json_number_value(value);
    if (!(number >= field->least && number <= field->most)) {
        return tw_api_refuse(error, field->name, "'%s' is %g; it must be from %g to %g",
                             field->name, number, field->least, field->most);
    }
    if (is_int) {
        *(int64_t *)at = json_integer_value(value);
    } else {
        *(double *)at = number;
    }
    return true;
}

/* A value that asks for nothing, or (most) for the number that holds anyway. */
static bool asks_for_nothing(const struct field *field, const json_t *value)
{
    return json_is_null(value) || json_is_false(value) ||
           (json_is_number(value) &&
            (json_number_value(value) == 0 || json_number_value(value) == field->most)) ||
           (json_is_array(value) && json_array_size(value) == 0) ||
           (json_is_object(value) && json_object_size(value) == 0) ||
           (json_is_string(value) && json_string_length(value) == 0);
}

void tw_api_name_unknown(char unknown[API_UNKNOWN_BYTES], const char *name)
{
    size_t n = strlen(unknown);
    if (strspn(name, "abcdefghijklmnopqrstuvwxyz_ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-") ==
            strlen(name) &&
        n + strlen(name) + 3 < API_UNKNOWN_BYTES) {
        snprintf(unknown + n, API_UNKNOWN_BYTES - n, "%s%s", n > 0 ? ", " : "", name);
    }
}

static bool read_field(struct tw_api_fields *fields, const char *name, const json_t *value,
                       struct tw_api_error *error)
{
    const struct field *field = find_field(name, fields->is_chat ? CHAT : TEXT);
    if (field == NULL) {
        tw_api_name_unknown(fields->unknown, name);
        return true;
    }
    char *at = (char *)fields + field->offset;
    switch (field->kind) {
    case FIELD_DOUBLE:
    case FIELD_INT:
        return json_is_null(value) || read_number(at, field, value, error);
    case FIELD_BOOL:
        if (!json_is_boolean(value) && !json_is_null(value)) {
            return tw_api_refuse(error, name, "'%s' must be true or false", name);
        }
        if (!json_is_null(value)) {
            *(bool *)at = json_is_true(value);
        }
        return true;
    case FIELD_REFUSED:
        if (!asks_for_nothing(field, value)) {
            return tw_api_refuse(error, name, "'%s' is not supported here: %s", name, field->why);
        }
        break;
    case FIELD_ELSEWHERE:
    case FIELD_NO_EFFECT:
        break;
    }
    return true;
}

/* ---- those with a shape of their own ---- */

static bool read_stop(struct tw_api_fields *fields, const json_t *body, struct tw_api_error *error)
{
    const json_t *stop = json_object_get(body, "stop");
    if (stop == NULL || json_is_null(stop)) {
        return true;
    }
    const bool is_list = json_is_array(stop);
    const size_t n = is_list ? json_array_size(stop) : 1;
    fields->stops = tw_mem_zalloc(n, sizeof *fields->stops);
    if (fields->stops == NULL || n > TW_LIMIT_STOP_STRINGS) {
        return tw_api_refuse(error, "stop", "'stop' has %zu strings; at most %d can be given", n,
                             TW_LIMIT_STOP_STRINGS);
    }
    for (size_t i = 0; i < n; i++) {
        const json_t *text = is_list ? json_array_get(stop, i) : stop;
        if (!json_is_string(text)) {
            return tw_api_refuse(error, "stop", "'stop' must be a string or a list of strings");
        }
        fields->stops[i] = (struct tw_bytes){json_string_value(text), json_string_length(text)};
    }
    fields->n_stops = n;
    struct tw_stop_matcher *matcher;
    struct tw_error cause;
    if (tw_stop_matcher_create(fields->stops, n, &matcher, &cause) != TW_OK) {
        return tw_api_refuse_error(error, &cause, "stop");
    }
    tw_stop_matcher_free(matcher);
    return true;
}

static bool read_bias(const char *name, const json_t *value, size_t n_vocab,
                      struct tw_logit_bias *ret_bias, struct tw_api_error *error)
{
    char *end;
    errno = 0;
    long token = strtol(name, &end, 10);
    if (errno != 0 || *end != '\0' || end == name || token < 0 || (size_t)token >= n_vocab) {
        return tw_api_refuse(error, "logit_bias",
                             "'logit_bias' has the key '%.30s'; keys are token ids from 0 to %zu",
                             name, n_vocab - 1);
    }
    double bias = json_number_value(value);
    if (!json_is_number(value) || !(fabs(bias) <= 100)) {
        return tw_api_refuse(error, "logit_bias",
                             "'logit_bias' of token %ld must be a number from -100 to 100", token);
    }
    *ret_bias = (struct tw_logit_bias){(tw_token)token, (float)bias};
    return true;
}

static bool read_biases(struct tw_api_fields *fields, const json_t *body, size_t n_vocab,
                        struct tw_api_error *error)
{
    json_t *biases = json_object_get(body, "logit_bias");
    if (biases == NULL || json_is_null(biases)) {
        return true;
    }
    size_t n = json_object_size(biases);
    if (!json_is_object(biases) || n > TW_LIMIT_LOGIT_BIASES) {
        return tw_api_refuse(error, "logit_bias",
                             "'logit_bias' must be an object of at most %d token ids",
                             TW_LIMIT_LOGIT_BIASES);
    }
    fields->biases = tw_mem_zalloc(n, sizeof *fields->biases);
    if (fields->biases == NULL) {
        return tw_api_refuse(error, "logit_bias", "no memory for 'logit_bias'");
    }
    const char *name;
    json_t *value;
    json_object_foreach (biases, name, value) {
        if (!read_bias(name, value, n_vocab, &fields->biases[fields->n_biases], error)) {
            return false;
        }
        fields->n_biases++;
    }
    return true;
}

static bool read_stream_options(struct tw_api_fields *fields, const json_t *body,
                                struct tw_api_error *error)
{
    const json_t *options = json_object_get(body, "stream_options");
    if (options == NULL || json_is_null(options)) {
        return true;
    }
    const json_t *usage = json_object_get(options, "include_usage");
    const json_t *each = json_object_get(options, "continuous_usage_stats"); /* vLLM's */
    if (!json_is_object(options) || (usage != NULL && !json_is_boolean(usage)) ||
        (each != NULL && !json_is_boolean(each))) {
        return tw_api_refuse(
            error, "stream_options",
            "'stream_options' must be an object such as {\"include_usage\": true}");
    }
    fields->include_usage = json_is_true(usage);
    fields->counts_on = fields->include_usage && json_is_true(each);
    return true;
}

/* ---- all of them ---- */

static void fill_generation(struct tw_api_fields *fields)
{
    struct tw_generation *generation = &fields->generation;
    *generation = tw_generation_defaults();
    struct tw_sampler_params *sampling = &generation->sampling;
    sampling->temperature =
        fields->temperature < TW_SAMPLER_LEAST_TEMPERATURE ? 0 : fields->temperature;
    sampling->top_p = fields->top_p;
    sampling->min_p = fields->min_p;
    sampling->top_k = fields->top_k < 0 || fields->top_k > INT32_MAX ? 0 : (uint32_t)fields->top_k;
    sampling->repetition_penalty = fields->repetition_penalty;
    sampling->frequency_penalty = fields->frequency_penalty;
    sampling->presence_penalty = fields->presence_penalty;
    sampling->seed = (uint64_t)fields->seed;
    sampling->biases = fields->biases;
    sampling->n_biases = fields->n_biases;
    sampling->want_logprobs = fields->wants_logprobs;
    sampling->n_top_logprobs = fields->wants_logprobs ? (uint32_t)fields->top_logprobs : 0;
    int64_t most =
        fields->max_completion_tokens >= 0 ? fields->max_completion_tokens : fields->max_tokens;
    generation->priority = (int32_t)fields->priority;
    generation->rules.strings = fields->stops;
    generation->rules.n_strings = fields->n_stops;
    generation->rules.max_tokens = most > 0 ? (uint64_t)most : 0;
    generation->rules.ignore_end_tokens = fields->ignore_eos;
    generation->scores_prompt = fields->echo && fields->wants_logprobs;
    generation->only_prompt = !fields->is_chat && most == 0;
}

/* Without one, answers must differ from request to request. */
static int64_t random_seed(void)
{
    int64_t seed = 0;
    ssize_t n = getrandom(&seed, sizeof seed, 0);
    (void)n;
    return seed;
}

static void set_defaults(struct tw_api_fields *fields, bool is_chat)
{
    *fields = (struct tw_api_fields){
        .is_chat = is_chat,
        .temperature = 1,
        .top_p = 1,
        .repetition_penalty = 1,
        .n = 1,
        .is_parallel = true,
        /* OpenAI's default for completions; a chat answers to its end. */
        .max_tokens = is_chat ? -1 : 16,
        .max_completion_tokens = -1,
        .seed = random_seed(),
        .top_logprobs = -1,
    };
}

static bool check_together(struct tw_api_fields *fields, struct tw_api_error *error)
{
    if (!fields->is_chat) {
        fields->wants_logprobs = fields->top_logprobs >= 0;
    } else if (fields->top_logprobs >= 0 && !fields->wants_logprobs) {
        return tw_api_refuse(error, "top_logprobs", "'top_logprobs' needs 'logprobs': true");
    }
    if (fields->top_logprobs < 0) {
        fields->top_logprobs = 0;
    }
    /* A completion may have none: so a prompt is scored. */
    if (fields->is_chat && (fields->max_completion_tokens == 0 || fields->max_tokens == 0)) {
        return tw_api_refuse(error,
                             fields->max_tokens == 0 ? "max_tokens" : "max_completion_tokens",
                             "an answer has at least one token");
    }
    return true;
}

bool tw_api_fields_read(struct tw_api_fields *fields, bool is_chat, const json_t *body,
                        const struct tw_tokenizer *tokenizer, struct tw_api_error *error)
{
    set_defaults(fields, is_chat);
    const char *name;
    json_t *value;
    json_object_foreach ((json_t *)(uintptr_t)body, name, value) {
        if (!read_field(fields, name, value, error)) {
            return false;
        }
    }
    if (!read_stop(fields, body, error) ||
        !read_biases(fields, body, tw_tokenizer_size(tokenizer), error) ||
        !read_stream_options(fields, body, error) || !check_together(fields, error)) {
        return false;
    }
    fill_generation(fields);
    struct tw_error cause;
    if (tw_sampler_check(&fields->generation.sampling, tw_tokenizer_size(tokenizer), &cause) !=
        TW_OK) {
        return tw_api_refuse_error(error, &cause, NULL);
    }
    return true;
}

void tw_api_fields_free(struct tw_api_fields *fields)
{
    tw_mem_free(fields->stops);
    tw_mem_free(fields->biases);
}

void tw_api_fields_prune(json_t *body, bool has_tools)
{
    const char *name;
    json_t *value;
    void *next;
    json_object_foreach_safe (body, next, name, value) {
        if (strcmp(name, "stop") != 0 && !(has_tools && strcmp(name, "tools") == 0)) {
            json_object_del(body, name);
        }
    }
}
