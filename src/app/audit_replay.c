#include "app/audit_replay.h"

#include <stdio.h>
#include <string.h>

#include "app/ask_books.h"
#include "app/hub_print.h"
#include "app/model_args.h"
#include "app/replay_terms.h"
#include "base/clock.h"
#include "base/mem.h"
#include "hub/model_digest.h"
#include "model/weight_pack.h"

struct replay {
    const struct tw_hub_args *args;
    struct tw_field_value values[TW_LIMIT_HUB_FIELDS];
    json_t *content; /* as it is stored; terms point into it */
    struct tw_replay_terms terms;
    struct tw_engine *engine;
    struct tw_model_files *files; /* for their template, where calls were prescribed */
    struct tw_automaton *automaton;
    struct tw_masker *masker;
    uint64_t n_bytes, n_tokens; /* that were the same */
};

static const struct tw_field_value *value_of(const struct replay *replay, const char *name)
{
    const struct tw_hub_verb *verb = replay->args->verb;
    return &replay->values[tw_commands_field(verb, name) - verb->fields];
}

/* ---- whether it can be compared ---- */

static enum tw_status must_be(const char *what, const char *then, const char *now,
                              struct tw_error *error)
{
    return strcmp(then, now) == 0
               ? TW_OK
               : tw_error_set(error, TW_ERR_UNSUPPORTED, TW_NO_POSITION,
                              "not comparable: %s was %.70s and is %.70s here", what, then, now);
}

static enum tw_status compare_facts(const struct replay *replay, struct tw_error *error)
{
    const struct tw_replay_terms *terms = &replay->terms;
    char digest[TW_MODEL_DIGEST_BYTES], pack[12];
    enum tw_cpu_level level = TW_CPU_REF;
    snprintf(pack, sizeof pack, "%d", TW_PACK_VERSION);
    enum tw_status status = must_be("the build", terms->build, TW_VERSION, error);
    if (status == TW_OK) {
        status = tw_cpu_choose(&level, error);
    }
    if (status == TW_OK) {
        status = must_be("the instruction set (TW_CPU chooses another)", terms->isa,
                         tw_cpu_level_name(level), error);
    }
    if (status == TW_OK) {
        status = must_be("the version of packed weights", terms->pack, pack, error);
    }
    if (status == TW_OK) {
        status = tw_model_digest_of(value_of(replay, "model")->text, NULL, digest, error);
    }
    return status == TW_OK ? must_be("the model's digest", terms->model_digest, digest, error)
                           : status;
}

static enum tw_status load_content(struct replay *replay, struct tw_error *error)
{
    struct tw_error ignored;
    const struct tw_hub_verb *show = tw_commands_find("content", "show", &ignored);
    json_t *fields = json_pack("{s:s}", "request", value_of(replay, "request")->text);
    enum tw_status status =
        tw_ask_books(&replay->args->where, show, fields, &replay->content, error);
    json_decref(fields);
    if (status == TW_ERR_NOT_FOUND) {
        tw_error_prefix(error, "not comparable");
    }
    if (status == TW_OK && !json_is_true(json_object_get(replay->content, "is_as_recorded"))) {
        return tw_error_set(error, TW_ERR_MISSED, TW_NO_POSITION,
                            "the stored content is not what the audit log has a commitment to");
    }
    return status == TW_OK ? tw_replay_terms_read(replay->content, &replay->terms, error) : status;
}

/* ---- again ---- */

static enum tw_status open_engine(struct replay *replay, struct tw_error *error)
{
    struct tw_model_args args = tw_model_args_defaults();
    const struct tw_replay_terms *terms = &replay->terms;
    uint64_t n_most = 0;
    args.path = value_of(replay, "model")->text;
    args.n_threads = value_of(replay, "threads")->integer;
    while (tw_kv_type_names[args.kv_type] != NULL &&
           strcmp(tw_kv_type_names[args.kv_type], terms->kv) != 0) {
        args.kv_type++;
    }
    if (tw_kv_type_names[args.kv_type] == NULL) {
        return must_be("the kind of KV cache", terms->kv, "not known", error);
    }
    for (size_t i = 0; i < terms->n_answers; i++) {
        const struct tw_replay_answer *answer = &terms->answers[i];
        const uint64_t n = terms->prompts[answer->prompt].n_tokens + answer->max_tokens;
        n_most = n > n_most ? n : n_most;
    }
    enum tw_status status = tw_model_args_open(&args, 1, 0, &replay->engine, error);
    return status == TW_OK ? tw_engine_reserve(replay->engine, n_most, error) : status;
}

/* The form that was prescribed, if one was. */
static enum tw_status make_form(struct replay *replay, struct tw_error *error)
{
    struct tw_prescribed_form form = replay->terms.form;
    const struct tw_token_trie *trie = NULL;
    enum tw_status status = TW_OK;
    if (form.kind == TW_PRESCRIBED_NOTHING) {
        return TW_OK;
    }
    if (form.kind == TW_PRESCRIBED_CALLS) {
        status = tw_model_files_open(value_of(replay, "model")->text, &replay->files, error);
        form.tool_form = status == TW_OK
                             ? tw_tool_form_detect(tw_model_files_chat_template(replay->files))
                             : NULL;
        if (status == TW_OK && form.tool_form == NULL) {
            return tw_error_set(error, TW_ERR_UNSUPPORTED, TW_NO_POSITION,
                                "not comparable: the model's template writes no calls of tools");
        }
    }
    if (status == TW_OK) {
        status = tw_prescribed_form_compile(&form, &replay->automaton, error);
    }
    if (status == TW_OK) {
        status = tw_engine_token_trie(replay->engine, &trie, error);
    }
    if (status == TW_OK) {
        status = tw_masker_create(replay->automaton, trie, &replay->masker, error);
    }
    replay->terms.generation.masker = replay->masker;
    return status;
}

struct made {
    struct tw_buf text;
    uint64_t n_tokens;
    enum tw_finish finish;
};

static enum tw_status generate(struct tw_engine *engine, struct tw_sequence *sequence,
                               struct made *made, struct tw_error *error)
{
    enum tw_status status = TW_OK;
    while (status == TW_OK && made->finish == TW_FINISH_NONE) {
        uint32_t n_active;
        status = tw_engine_step(engine, &n_active, error);
        const struct tw_output output = tw_sequence_take(sequence);
        tw_buf_append(&made->text, output.text, output.text_bytes);
        made->n_tokens += output.n_tokens;
        made->finish = output.finish;
        if (output.error != NULL) {
            *error = *output.error;
            status = error->status;
        }
    }
    return status == TW_OK && made->text.failed
               ? tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for an answer")
               : status;
}

/* The first byte that differs, or where one of them ends; -1: none. */
static int64_t first_difference(const struct tw_replay_answer *answer, const struct made *made)
{
    const size_t n = answer->text.size_bytes < made->text.size_bytes ? answer->text.size_bytes
                                                                     : made->text.size_bytes;
    for (size_t i = 0; i < n; i++) {
        if (answer->text.data[i] != made->text.data[i]) {
            return (int64_t)i;
        }
    }
    const bool is_whole = answer->text.size_bytes == made->text.size_bytes ||
                          (answer->is_cut && answer->text.size_bytes == n);
    return is_whole ? -1 : (int64_t)n;
}

static enum tw_status compare(struct replay *replay, size_t i, const struct made *made,
                              struct tw_error *error)
{
    const struct tw_replay_answer *answer = &replay->terms.answers[i];
    const int64_t at = first_difference(answer, made);
    if (at >= 0) {
        return tw_error_set(error, TW_ERR_MISSED, TW_NO_POSITION,
                            "answer %zu differs at byte %lld of %zu", i, (long long)at,
                            answer->text.size_bytes);
    }
    if (!answer->is_cut && (made->n_tokens != answer->n_tokens ||
                            strcmp(tw_finish_name(made->finish), answer->finish) != 0)) {
        return tw_error_set(error, TW_ERR_MISSED, TW_NO_POSITION,
                            "answer %zu has the same text, but %llu tokens and the end '%s', not "
                            "%llu and '%s'",
                            i, (unsigned long long)made->n_tokens, tw_finish_name(made->finish),
                            (unsigned long long)answer->n_tokens, answer->finish);
    }
    replay->n_bytes += answer->text.size_bytes;
    replay->n_tokens += answer->n_tokens;
    return TW_OK;
}

static enum tw_status replay_answer(struct replay *replay, size_t i, struct tw_error *error)
{
    const struct tw_replay_answer *answer = &replay->terms.answers[i];
    const struct tw_replay_prompt *prompt = &replay->terms.prompts[answer->prompt];
    struct tw_generation generation = replay->terms.generation;
    struct tw_sequence *sequence = NULL;
    struct made made = {.n_tokens = 0};
    if (answer->is_cut && answer->n_tokens == 0) {
        return TW_OK;
    }
    tw_buf_init(&made.text, TW_LIMIT_GENERATED_BYTES);
    generation.sampling.seed = answer->seed;
    generation.rules.max_tokens = answer->is_cut ? answer->n_tokens : answer->max_tokens;
    enum tw_status status = tw_sequence_create(replay->engine, &sequence, error);
    if (status == TW_OK) {
        status = tw_sequence_append(sequence, prompt->tokens, prompt->n_tokens, error);
    }
    if (status == TW_OK) {
        status = tw_sequence_generate(sequence, &generation, error);
    }
    if (status == TW_OK) {
        status = generate(replay->engine, sequence, &made, error);
    }
    if (status == TW_OK) {
        status = compare(replay, i, &made, error);
    }
    tw_sequence_free(sequence);
    tw_buf_free(&made.text);
    return status;
}

static enum tw_status print_result(const struct replay *replay, bool is_equal,
                                   struct tw_error *error)
{
    const json_t *content = replay->content;
    json_t *answer = json_pack(
        "{s:O, s:O, s:b, s:I, s:I, s:I, s:s, s:s, s:s}", "request",
        json_object_get(content, "request"), "record", json_object_get(content, "record"), "equal",
        is_equal, "answers", (json_int_t)replay->terms.n_answers, "bytes",
        (json_int_t)replay->n_bytes, "tokens", (json_int_t)replay->n_tokens, "model_digest",
        replay->terms.model_digest, "build", replay->terms.build, "isa", replay->terms.isa);
    const struct tw_hub_print how = {.as_json = replay->args->where.json};
    enum tw_status status = answer != NULL ? tw_hub_print(answer, &how, error)
                                           : tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION,
                                                          "no memory for the result");
    json_decref(answer);
    return status;
}

static enum tw_status run(struct replay *replay, struct tw_error *error)
{
    struct tw_error ignored;
    enum tw_status status = load_content(replay, error);
    if (status == TW_OK) {
        status = compare_facts(replay, error);
    }
    if (status == TW_OK) {
        status = open_engine(replay, error);
    }
    if (status == TW_OK) {
        status = make_form(replay, error);
    }
    for (size_t i = 0; status == TW_OK && i < replay->terms.n_answers; i++) {
        status = replay_answer(replay, i, error);
    }
    if (status == TW_OK) {
        return print_result(replay, true, error);
    }
    if (status == TW_ERR_MISSED && replay->engine != NULL) {
        print_result(replay, false, &ignored);
    }
    return status;
}

enum tw_status tw_audit_replay(const struct tw_hub_args *args, struct tw_error *error)
{
    struct replay replay = {.args = args};
    enum tw_status status =
        tw_commands_read(args->verb, args->fields, tw_clock_wall_ns(), replay.values, error);
    if (status == TW_OK) {
        status = run(&replay, error);
    }
    tw_replay_terms_free(&replay.terms);
    tw_masker_free(replay.masker);
    tw_automaton_free(replay.automaton);
    tw_model_files_close(replay.files);
    tw_engine_close(replay.engine);
    json_decref(replay.content);
    return status;
}
