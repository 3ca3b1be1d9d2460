#include "text/jinja.h"

#include <string.h>

#include "base/mem.h"
#include "text/jinja_run.h"

struct tw_jinja_template {
    struct tw_jinja work; /* its arena has the tree */
    struct tw_jinja_parser parser;
    const struct tw_jinja_node *root;
};

static void start(struct tw_jinja *j, struct tw_error *error)
{
    *j = (struct tw_jinja){.error = error, .line = 1};
    tw_arena_init(&j->arena, TW_LIMIT_JINJA_MEMORY_BYTES);
}

enum tw_status tw_jinja_compile(const char *source, size_t source_bytes,
                                struct tw_jinja_template **ret_template, struct tw_error *error)
{
    struct tw_jinja_template *t = tw_mem_zalloc(1, sizeof *t);
    if (t == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a template");
    }
    start(&t->work, error);
    t->parser.j = &t->work;
    t->parser.lexer = tw_jinja_lexer(&t->work, source, source_bytes);
    t->root = tw_jinja_failed(&t->work) ? NULL : tw_jinja_parse(&t->parser);
    enum tw_status status = t->work.status;
    t->work.error = NULL;
    if (status != TW_OK) {
        tw_jinja_free(t);
        return status;
    }
    *ret_template = t;
    return TW_OK;
}

void tw_jinja_free(struct tw_jinja_template *t)
{
    if (t != NULL) {
        tw_arena_clear(&t->work.arena);
        tw_mem_free(t);
    }
}

/* A name's value before the first statement: a setting, data, or a function. */
static void set_global(struct tw_jinja *j, const struct tw_jinja_input *input,
                       const struct tw_jinja_name *name)
{
    const json_t *setting = json_object_get(input->settings, name->text);
    const json_t *data = json_object_get(input->data, name->text);
    const struct tw_jinja_builtin *function =
        tw_jinja_find_builtin(TW_JINJA_IS_FUNCTION, name->text, name->n_bytes);
    bool has_now = input->now != NULL || strcmp(name->text, "strftime_now") != 0;
    if (setting != NULL || data != NULL) {
        const json_t *json = setting != NULL ? setting : data;
        tw_jinja_set(j, j->scope, name, tw_jinja_from_json(j, json, setting == NULL));
    } else if (function != NULL && has_now) {
        tw_jinja_set(j, j->scope, name,
                     (struct tw_jinja_value){.kind = TW_JINJA_FUNCTION, .function = function});
    }
}

/* Text and spans outside of the arena. */
static void copy_output(struct tw_jinja *j, const struct tw_jinja_builder *b,
                        struct tw_jinja_output *ret_output)
{
    char *text = tw_mem_alloc(b->size_bytes + 1, 1);
    struct tw_text_span *spans = tw_mem_alloc(b->n_spans + 1, sizeof *spans);
    if (text == NULL || spans == NULL) {
        tw_mem_free(text);
        tw_mem_free(spans);
        j->status = tw_error_set(j->error, TW_ERR_MEMORY, TW_NO_POSITION,
                                 "no memory for a conversation's text");
        return;
    }
    memcpy(text, b->size_bytes > 0 ? b->data : "", b->size_bytes);
    if (b->n_spans > 0) {
        memcpy(spans, b->spans, b->n_spans * sizeof *spans);
    }
    tw_jinja_output_free(ret_output);
    *ret_output = (struct tw_jinja_output){text, b->size_bytes, spans, b->n_spans};
}

enum tw_status tw_jinja_render(const struct tw_jinja_template *t,
                               const struct tw_jinja_input *input,
                               struct tw_jinja_output *ret_output, struct tw_error *error)
{
    struct tw_jinja j;
    start(&j, error);
    struct tw_jinja_builder out = tw_jinja_builder(&j);
    j.out = &out;
    j.now = input->now;
    j.scope = tw_jinja_open_scope(&j, NULL);
    for (size_t i = 0; i < TW_JINJA_NAME_BUCKETS; i++) {
        for (const struct tw_jinja_name *name = t->parser.names[i];
             name != NULL && !tw_jinja_failed(&j); name = name->next) {
            set_global(&j, input, name);
        }
    }
    if (t->root != NULL) {
        tw_jinja_execute(&j, t->root);
    }
    if (!tw_jinja_failed(&j)) {
        copy_output(&j, &out, ret_output);
    }
    tw_arena_clear(&j.arena);
    return j.status;
}

void tw_jinja_output_free(struct tw_jinja_output *output)
{
    tw_mem_free(output->text);
    tw_mem_free(output->spans);
    *output = (struct tw_jinja_output){0};
}

enum tw_status tw_jinja_encode(const struct tw_jinja_output *output,
                               const struct tw_tokenizer *tokenizer, struct tw_token_list *list,
                               struct tw_error *error)
{
    return tw_tokenizer_encode_spans(tokenizer, output->text, output->text_bytes, output->spans,
                                     output->n_spans, list, error);
}
