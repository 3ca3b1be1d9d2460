#include "app/form_args.h"

#include "base/json.h"

#define ROW(field) offsetof(struct tw_form_args, field)

static const struct tw_option options[] = {
    {.name = "json-schema",
     .kind = TW_OPTION_STRING,
     .offset = ROW(json_schema),
     .value_name = "F",
     .help = "The answer is JSON that the schema in this file allows."},
    {.name = "regex",
     .kind = TW_OPTION_STRING,
     .offset = ROW(regex),
     .value_name = "P",
     .help = "The answer matches this regular expression as a whole."},
};

const struct tw_option_group tw_form_args_group = {"Form of the answer", options,
                                                   sizeof options / sizeof options[0]};

static enum tw_status compile_schema(struct tw_form_args *args, struct tw_error *error)
{
    json_t *schema;
    enum tw_status status = tw_json_load(args->json_schema, TW_LIMIT_SCHEMA_BYTES, &schema, error);
    if (status != TW_OK) {
        return status;
    }
    status = tw_constraint_compile_schema(schema, false, &args->automaton, error);
    if (status != TW_OK) {
        tw_error_prefix(error, "%s", args->json_schema);
    }
    json_decref(schema);
    return status;
}

enum tw_status tw_form_args_compile(struct tw_form_args *args, bool ignores_end_tokens,
                                    struct tw_error *error)
{
    if (args->json_schema == NULL && args->regex == NULL) {
        return TW_OK;
    }
    if (args->json_schema != NULL && args->regex != NULL) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "--json-schema and --regex exclude each other");
    }
    if (ignores_end_tokens) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "--ignore-eos has no place beside %s: the answer ends with its form",
                            args->regex != NULL ? "--regex" : "--json-schema");
    }
    if (args->regex == NULL) {
        return compile_schema(args, error);
    }
    enum tw_status status =
        tw_constraint_compile_regex(tw_bytes_of(args->regex), false, &args->automaton, error);
    if (status != TW_OK) {
        tw_error_prefix(error, "--regex");
    }
    return status;
}

enum tw_status tw_form_args_attach(struct tw_form_args *args, struct tw_engine *engine,
                                   struct tw_generation *generation, struct tw_error *error)
{
    const struct tw_token_trie *trie;
    if (args->automaton == NULL) {
        return TW_OK;
    }
    enum tw_status status = tw_engine_token_trie(engine, &trie, error);
    if (status == TW_OK) {
        status = tw_masker_create(args->automaton, trie, &args->masker, error);
    }
    if (status == TW_OK) {
        generation->masker = args->masker;
    }
    return status;
}

void tw_form_args_free(struct tw_form_args *args)
{
    tw_masker_free(args->masker);
    tw_automaton_free(args->automaton);
    args->masker = NULL;
    args->automaton = NULL;
}
