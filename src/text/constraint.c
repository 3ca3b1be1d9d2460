#include "text/constraint.h"

#include "text/reasoning.h"
#include "text/regex.h"
#include "text/utf8.h"

/* Any text that is a thought and its end; where the form begins. */
static uint32_t add_thought(struct tw_grammar *grammar, uint32_t from)
{
    const uint32_t thought = tw_grammar_add_node(grammar), behind = tw_grammar_add_node(grammar);
    tw_expr texts = tw_expr_without(&grammar->exprs, tw_bytes_of(TW_REASONING_END));
    tw_grammar_add_expr(grammar, from, thought, texts, TW_SPELLING_PLAIN);
    tw_grammar_add_text(grammar, thought, behind, tw_bytes_of(TW_REASONING_END TW_REASONING_GAP));
    return behind;
}

enum tw_status tw_constraint_compile(tw_constraint_fill_fn fill, const void *what, const char *name,
                                     bool is_thinking, struct tw_automaton **ret_automaton,
                                     struct tw_error *error)
{
    struct tw_budget budget = tw_budget_full();
    struct tw_grammar grammar;
    enum tw_status status = TW_OK;
    if (tw_grammar_init(&grammar, &budget)) {
        struct tw_grammar_rule rule = tw_grammar_rule_at(&grammar, 0);
        rule.begin = is_thinking ? add_thought(&grammar, rule.begin) : rule.begin;
        status = fill(&grammar, rule, what, error);
    }
    if (status == TW_OK) {
        status = tw_automaton_create(&grammar, name, ret_automaton, error);
    }
    tw_budget_end(&budget);
    return status;
}

static enum tw_status fill_schema(struct tw_grammar *grammar, struct tw_grammar_rule rule,
                                  const void *what, struct tw_error *error)
{
    return tw_schema_add(grammar, rule.begin, rule.end, what, error);
}

enum tw_status tw_constraint_compile_schema(const json_t *schema, bool is_thinking,
                                            struct tw_automaton **ret_automaton,
                                            struct tw_error *error)
{
    return tw_constraint_compile(fill_schema, schema, "the schema", is_thinking, ret_automaton,
                                 error);
}

enum tw_status tw_constraint_compile_object(bool is_thinking, struct tw_automaton **ret_automaton,
                                            struct tw_error *error)
{
    static const char text[] = "{\"type\":\"object\"}";
    json_t *schema;
    enum tw_status status = tw_json_parse(text, sizeof text - 1, "schema", &schema, error);
    if (status == TW_OK) {
        status = tw_constraint_compile_schema(schema, is_thinking, ret_automaton, error);
        json_decref(schema);
    }
    return status;
}

static enum tw_status fill_regex(struct tw_grammar *grammar, struct tw_grammar_rule rule,
                                 const void *what, struct tw_error *error)
{
    const struct tw_bytes *pattern = what;
    tw_expr expr;
    enum tw_status status = tw_regex_parse(*pattern, &grammar->exprs, &expr, error);
    if (status == TW_OK) {
        tw_grammar_add_expr(grammar, rule.begin, rule.end, expr, TW_SPELLING_PLAIN);
    }
    return status;
}

enum tw_status tw_constraint_compile_regex(struct tw_bytes pattern, bool is_thinking,
                                           struct tw_automaton **ret_automaton,
                                           struct tw_error *error)
{
    return tw_constraint_compile(fill_regex, &pattern, "the pattern", is_thinking, ret_automaton,
                                 error);
}

struct choices {
    const struct tw_bytes *texts;
    size_t n_texts;
};

static bool is_utf8(struct tw_bytes text)
{
    size_t at = 0;
    while (at < text.size_bytes) {
        uint32_t code;
        at += tw_utf8_decode(text.data + at, text.size_bytes - at, &code);
        if (code == TW_UTF8_INVALID) {
            return false;
        }
    }
    return true;
}

static enum tw_status fill_choices(struct tw_grammar *grammar, struct tw_grammar_rule rule,
                                   const void *what, struct tw_error *error)
{
    const struct choices *choices = what;
    for (size_t i = 0; i < choices->n_texts; i++) {
        if (!is_utf8(choices->texts[i])) {
            return tw_error_set(error, TW_ERR_USAGE, i, "choice %zu is not valid UTF-8", i);
        }
        tw_grammar_add_text(grammar, rule.begin, rule.end, choices->texts[i]);
    }
    return TW_OK;
}

enum tw_status tw_constraint_compile_choices(const struct tw_bytes *texts, size_t n_texts,
                                             bool is_thinking, struct tw_automaton **ret_automaton,
                                             struct tw_error *error)
{
    const struct choices choices = {texts, n_texts};
    if (n_texts == 0) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "no choices: at least one text is needed");
    }
    return tw_constraint_compile(fill_choices, &choices, "the list of choices", is_thinking,
                                 ret_automaton, error);
}
