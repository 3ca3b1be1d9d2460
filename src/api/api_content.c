#include "api/api_content.h"

#include <inttypes.h>
#include <stdio.h>

#include "api/api_refusals.h"

bool tw_api_content_name(struct tw_content *content, const json_t *body, struct tw_api_error *error)
{
    static const char *const names[] = {"safety_identifier", "user"};
    const char *field = NULL;
    const json_t *value = NULL;
    struct tw_error cause;
    for (size_t i = 0; field == NULL && i < sizeof names / sizeof *names; i++) {
        value = json_object_get(body, names[i]);
        if (json_is_string(value) && json_string_length(value) > 0) {
            field = names[i];
        } else if (value != NULL && !json_is_null(value) && !json_is_string(value)) {
            return tw_api_refuse(error, names[i], "'%s' must be a string", names[i]);
        }
    }
    enum tw_status status =
        tw_content_name_subject(content, field != NULL ? json_string_value(value) : NULL,
                                field != NULL ? json_string_length(value) : 0, &cause);
    if (status == TW_OK) {
        return true;
    }
    if (status == TW_ERR_LIMIT) {
        return tw_api_refuse_status(error, 429, "rate_limit_error", "too_many_users", "'%s': %s",
                                    field, cause.text);
    }
    return status == TW_ERR_USAGE ? tw_api_refuse(error, field, "'%s': %s", field, cause.text)
                                  : tw_api_refuse_unrecorded(error);
}

bool tw_api_content_begin(struct tw_content *content, size_t n_answers, struct tw_api_error *error)
{
    struct tw_error cause;
    return tw_content_begin_answers(content, n_answers, &cause) == TW_OK ||
           tw_api_refuse_memory(error);
}

/* ---- terms ---- */

static void put_text(struct tw_json_writer *writer, const char *key, const char *text)
{
    if (text != NULL) {
        tw_json_put_text(writer, key, text);
    }
}

static void put_parameters(struct tw_json_writer *writer, const struct tw_generation *generation)
{
    const struct tw_sampler_params *sampling = &generation->sampling;
    const struct tw_stop_rules *rules = &generation->rules;
    tw_json_key(writer, "parameters");
    tw_json_object_begin(writer);
    tw_json_key(writer, "biases");
    tw_json_array_begin(writer);
    for (size_t i = 0; i < sampling->n_biases; i++) {
        tw_json_array_begin(writer);
        tw_json_int(writer, sampling->biases[i].token);
        tw_json_float(writer, sampling->biases[i].bias);
        tw_json_array_end(writer);
    }
    tw_json_array_end(writer);
    tw_json_put_double(writer, "frequency_penalty", sampling->frequency_penalty);
    tw_json_put_bool(writer, "ignore_end_tokens", rules->ignore_end_tokens);
    tw_json_put_double(writer, "min_p", sampling->min_p);
    tw_json_put_double(writer, "presence_penalty", sampling->presence_penalty);
    tw_json_put_uint(writer, "repeat_last_n", sampling->repeat_last_n);
    tw_json_put_double(writer, "repetition_penalty", sampling->repetition_penalty);
    tw_json_put_bool(writer, "show_special", rules->show_special);
    tw_json_key(writer, "stop");
    tw_json_array_begin(writer);
    for (size_t i = 0; i < rules->n_strings; i++) {
        tw_json_string(writer, rules->strings[i].data, rules->strings[i].size_bytes);
    }
    tw_json_array_end(writer);
    tw_json_put_double(writer, "temperature", sampling->temperature);
    tw_json_put_uint(writer, "top_k", sampling->top_k);
    tw_json_put_double(writer, "top_p", sampling->top_p);
    tw_json_object_end(writer);
}

static void put_form(struct tw_json_writer *writer, const struct tw_prescribed_form *form)
{
    if (form->kind == TW_PRESCRIBED_NOTHING) {
        return;
    }
    tw_json_key(writer, "form");
    tw_json_object_begin(writer);
    tw_json_put_bool(writer, "is_thinking", form->is_thinking);
    tw_json_put_text(writer, "kind", tw_prescribed_kind_name(form->kind));
    tw_json_put_bool(writer, "may_repeat", form->may_repeat);
    tw_json_key(writer, "value");
    tw_json_value(writer, form->value);
    tw_json_object_end(writer);
}

static void put_answers(struct tw_json_writer *writer, const struct tw_api_terms *terms)
{
    const size_t n_each = terms->n_answers / terms->n_prompts;
    char seed[24];
    tw_json_key(writer, "answers");
    tw_json_array_begin(writer);
    for (size_t i = 0; i < terms->n_answers; i++) {
        const struct tw_generation *generation = terms->generation(terms->context, i);
        snprintf(seed, sizeof seed, "%" PRIu64, generation->sampling.seed);
        tw_json_object_begin(writer);
        tw_json_put_uint(writer, "max_tokens", generation->rules.max_tokens);
        tw_json_put_uint(writer, "prompt", i / n_each);
        tw_json_put_text(writer, "seed", seed);
        tw_json_object_end(writer);
    }
    tw_json_array_end(writer);
}

static void put_prompts(struct tw_json_writer *writer, const struct tw_api_terms *terms)
{
    tw_json_key(writer, "prompts");
    tw_json_array_begin(writer);
    for (size_t i = 0; i < terms->n_prompts; i++) {
        tw_json_array_begin(writer);
        for (size_t k = 0; k < terms->prompts[i].n_tokens; k++) {
            tw_json_int(writer, terms->prompts[i].ids[k]);
        }
        tw_json_array_end(writer);
    }
    tw_json_array_end(writer);
}

bool tw_api_content_terms(struct tw_content *content, const struct tw_api_terms *terms,
                          struct tw_api_error *error)
{
    const struct tw_generation *first = terms->generation(terms->context, 0);
    struct tw_json_writer writer;
    if (!tw_api_content_begin(content, terms->n_answers, error)) {
        return false;
    }
    if (!tw_content_is_kept(content)) {
        return true;
    }
    tw_json_begin(&writer, tw_content_terms(content));
    tw_json_object_begin(&writer);
    put_answers(&writer, terms);
    put_form(&writer, terms->form);
    put_text(&writer, "kv", terms->model->kv_type);
    tw_json_put_bool(&writer, "only_prompt", first->only_prompt);
    put_text(&writer, "pack", terms->model->pack_version);
    put_parameters(&writer, first);
    put_prompts(&writer, terms);
    tw_json_object_end(&writer);
    return true;
}

struct tw_audit_sampling tw_api_content_sampling(const struct tw_generation *generation)
{
    const struct tw_sampler_params *sampling = &generation->sampling;
    return (struct tw_audit_sampling){.temperature = sampling->temperature,
                                      .top_p = sampling->top_p,
                                      .min_p = sampling->min_p,
                                      .repetition_penalty = sampling->repetition_penalty,
                                      .frequency_penalty = sampling->frequency_penalty,
                                      .presence_penalty = sampling->presence_penalty,
                                      .top_k = sampling->top_k,
                                      .max_tokens = (int64_t)generation->rules.max_tokens,
                                      .seed = sampling->seed};
}
