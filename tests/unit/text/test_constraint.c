#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "form_fixture.h"
#include "text_fixture.h"

static struct text_fixture fixture;

/* All bytes, some longer tokens, an end token and two special ones. */
struct vocabulary {
    struct tw_tokenizer *tokenizer;
    struct tw_token_trie *trie;
    tw_token end, control, tool;
};

static struct vocabulary make_vocabulary(void)
{
    static const char *const merges[][2] = {
        {"{", "\""}, {"\"", ":"}, {"\"", "}"}, {"\"", ","}, {"[", "["}, {"]", "]"}, {"[", "{"},
        {"a", "b"},  {"1", "2"},  {":", " "},  {",", " "},  {"t", "r"}, {"u", "e"}, {"}", ","},
    };
    struct vocabulary v;
    text_fixture_bpe(&fixture);
    for (size_t i = 0; i < sizeof merges / sizeof merges[0]; i++) {
        text_fixture_merge(&fixture, merges[i][0], merges[i][1]);
    }
    for (char c = 'a'; c <= 'z'; c++) { /* so long that masks of strings are worth keeping */
        char text[256];
        memset(text, c, 240);
        memcpy(text + 240, "\"", 2);
        text_fixture_token(&fixture, text, TW_TOKEN_USER_DEFINED, 0);
    }
    v.end = text_fixture_token(&fixture, "<|end|>", TW_TOKEN_CONTROL, 0);
    v.control = text_fixture_token(&fixture, "ab]", TW_TOKEN_CONTROL, 0);
    v.tool = text_fixture_token(&fixture, "<tool>", TW_TOKEN_USER_DEFINED, 0);
    fixture.spec.eos = v.end;
    v.tokenizer = text_fixture_create(&fixture);
    assert_int_equal(tw_token_trie_create(v.tokenizer, 0, &v.trie, NULL), TW_OK);
    return v;
}

static void free_vocabulary(struct vocabulary *v)
{
    tw_token_trie_free(v->trie);
    tw_tokenizer_free(v->tokenizer);
}

static struct tw_masker *make_masker(const struct vocabulary *v,
                                     const struct tw_automaton *automaton)
{
    struct tw_masker *masker = NULL;
    assert_non_null(automaton);
    assert_int_equal(tw_masker_create(automaton, v->trie, &masker, NULL), TW_OK);
    return masker;
}

static bool has(const uint64_t *mask, tw_token t)
{
    return (mask[t / 64] >> (t % 64) & 1) != 0;
}

static const uint64_t *mask_of(struct tw_constraint *constraint)
{
    const uint64_t *mask = NULL;
    struct tw_error error;
    if (tw_constraint_mask(constraint, &mask, &error) != TW_OK) {
        fail_msg("%s", error.text);
    }
    return mask;
}

static void assert_mask_is_right(const struct vocabulary *v, struct tw_constraint *constraint)
{
    const uint64_t *mask = mask_of(constraint);
    for (size_t t = 0; t < tw_tokenizer_size(v->tokenizer); t++) {
        struct tw_constraint copy = *constraint;
        assert_int_equal(has(mask, (tw_token)t), tw_constraint_advance(&copy, (tw_token)t));
    }
}

static void advance_text(struct tw_constraint *constraint, const char *text)
{
    for (; *text != '\0'; text++) {
        assert_true(tw_constraint_advance(constraint, (unsigned char)*text));
    }
}

static void a_mask_has_the_tokens_that_can_come(void **state)
{
    (void)state;
    struct vocabulary v = make_vocabulary();
    struct tw_error error;
    struct tw_automaton *automaton = form_of_schema(
        "{\"type\":\"array\",\"items\":{\"anyOf\":[{\"$ref\":\"#\"},{\"type\":\"string\"},"
        "{\"type\":\"object\"}]}}",
        &error);
    struct tw_masker *masker = make_masker(&v, automaton);
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct tw_constraint constraint = tw_constraint_begin(masker);
        for (uint64_t i = 0; i < 150 && !tw_constraint_is_over(&constraint); i++) {
            assert_mask_is_right(&v, &constraint);
            const uint64_t *mask = mask_of(&constraint);
            uint32_t words[4];
            tw_rng_block(seed, i, words);
            tw_token t = (tw_token)(words[0] % tw_tokenizer_size(v.tokenizer));
            while (!has(mask, t)) {
                t = (tw_token)((size_t)(t + 1) % tw_tokenizer_size(v.tokenizer));
            }
            assert_true(tw_constraint_advance(&constraint, t));
        }
    }
    tw_masker_free(masker);
    tw_automaton_free(automaton);
    free_vocabulary(&v);
}

static void end_tokens_come_where_the_text_is_complete(void **state)
{
    (void)state;
    struct vocabulary v = make_vocabulary();
    struct tw_error error;
    struct tw_automaton *automaton = form_of_regex("ab?", &error);
    struct tw_masker *masker = make_masker(&v, automaton);
    struct tw_constraint constraint = tw_constraint_begin(masker);
    assert_false(has(mask_of(&constraint), v.end));
    assert_false(tw_constraint_advance(&constraint, v.end));
    assert_true(tw_constraint_advance(&constraint, 'a'));
    assert_true(has(mask_of(&constraint), v.end) && has(mask_of(&constraint), 'b'));
    assert_true(tw_constraint_accepts(&constraint) && !tw_constraint_is_over(&constraint));
    assert_true(tw_constraint_advance(&constraint, v.end));
    assert_true(tw_constraint_advance(&constraint, 'b'));
    assert_true(tw_constraint_is_over(&constraint));
    assert_false(tw_constraint_advance(&constraint, 'b'));
    tw_masker_free(masker);
    tw_automaton_free(automaton);
    free_vocabulary(&v);
}

static void special_tokens_never_come_as_text(void **state)
{
    (void)state;
    struct vocabulary v = make_vocabulary();
    struct tw_error error;
    struct tw_automaton *automaton = form_of_regex("[^]*", &error);
    struct tw_masker *masker = make_masker(&v, automaton);
    struct tw_constraint constraint = tw_constraint_begin(masker);
    const uint64_t *mask = mask_of(&constraint);
    assert_false(has(mask, v.control));
    assert_false(tw_constraint_advance(&constraint, v.control));
    assert_true(has(mask, v.tool) && has(mask, 'a') && !has(mask, 0x80) && has(mask, 0xe2));
    tw_masker_free(masker);
    tw_automaton_free(automaton);
    free_vocabulary(&v);
}

/* Opens a bracket wherever one may come, and closes as soon as possible when none may. */
static void there_is_a_way_out_at_the_bound_of_the_stack(void **state)
{
    (void)state;
    struct vocabulary v = make_vocabulary();
    struct tw_error error;
    struct tw_automaton *automaton = form_of_schema(
        "{\"type\":\"array\",\"minItems\":1,\"items\":{\"anyOf\":[{\"$ref\":\"#\"},"
        "{\"type\":\"object\",\"required\":[\"a\"],\"properties\":{\"a\":{\"type\":\"array\"}}}]}}",
        &error);
    struct tw_masker *masker = make_masker(&v, automaton);
    struct tw_constraint constraint = tw_constraint_begin(masker);
    uint32_t deepest = 0;
    for (int n = 0; !tw_constraint_is_over(&constraint); n++) {
        static const char order[] = "[{]}\"a:,";
        assert_mask_is_right(&v, &constraint);
        const uint64_t *mask = mask_of(&constraint);
        const char *p = order;
        while (!has(mask, (unsigned char)*p)) {
            p++;
            assert_true(*p != '\0' && n < 1000);
        }
        assert_true(tw_constraint_advance(&constraint, (unsigned char)*p));
        deepest = constraint.walk.depth > deepest ? constraint.walk.depth : deepest;
    }
    assert_int_equal(deepest, TW_LIMIT_GRAMMAR_DEPTH);
    tw_masker_free(masker);
    tw_automaton_free(automaton);
    free_vocabulary(&v);
}

/* What must come behind an empty array needs more room than the array itself: close to the bound
 * the walk must not even begin it. */
static void what_must_follow_is_thought_of_before_a_bracket(void **state)
{
    (void)state;
    struct vocabulary v = make_vocabulary();
    struct tw_error error;
    struct tw_automaton *automaton =
        form_of_schema("{\"type\":\"array\",\"anyOf\":["
                       "{\"minItems\":1,\"maxItems\":1,\"prefixItems\":[{\"anyOf\":[{\"$ref\":\"#"
                       "\"},{\"type\":\"null\"}]}]},"
                       "{\"minItems\":2,\"maxItems\":2,\"prefixItems\":[{\"const\":[]},{\"const\":["
                       "[[[[[\"a\"]]]]]]}]}]}",
                       &error);
    struct tw_masker *masker = make_masker(&v, automaton);
    struct tw_constraint constraint = tw_constraint_begin(masker);
    uint32_t deepest = 0;
    for (int n = 0; !tw_constraint_is_over(&constraint); n++) {
        static const char order[] = "[]\"a,nul";
        assert_mask_is_right(&v, &constraint);
        const uint64_t *mask = mask_of(&constraint);
        const char *p = order;
        while (!has(mask, (unsigned char)*p)) {
            p++;
            assert_true(*p != '\0' && n < 20000);
        }
        assert_true(tw_constraint_advance(&constraint, (unsigned char)*p));
        deepest = constraint.walk.depth > deepest ? constraint.walk.depth : deepest;
    }
    assert_in_range(deepest, TW_LIMIT_GRAMMAR_DEPTH - 7, TW_LIMIT_GRAMMAR_DEPTH);
    tw_masker_free(masker);
    tw_automaton_free(automaton);
    free_vocabulary(&v);
}

/* So many states that masks are thrown away: what is kept must not show. Each place of the long
 * string is a state of its own. */
static void a_mask_does_not_depend_on_earlier_ones(void **state)
{
    (void)state;
    struct vocabulary v = make_vocabulary();
    struct tw_error error;
    struct tw_automaton *automaton =
        form_of_schema("{\"type\":\"string\",\"maxLength\":4200}", &error);
    struct tw_masker *used = make_masker(&v, automaton);
    struct tw_constraint constraint = tw_constraint_begin(used);
    advance_text(&constraint, "\"");
    for (int i = 0; i < 4200; i++) {
        uint64_t copy[16];
        const size_t n_words = (v.trie->n_vocab + 63) / 64;
        assert_true(n_words <= 16);
        memcpy(copy, mask_of(&constraint), n_words * sizeof *copy);
        if (i % 97 == 0 || (i > 4090 && i < 4110) || i > 4180) {
            struct tw_masker *fresh = make_masker(&v, automaton);
            struct tw_constraint other = constraint;
            other.masker = fresh;
            assert_memory_equal(copy, mask_of(&other), n_words * sizeof *copy);
            assert_mask_is_right(&v, &constraint);
            tw_masker_free(fresh);
        }
        assert_true(tw_constraint_advance(&constraint, 'x'));
    }
    assert_true(has(mask_of(&constraint), '"') && !has(mask_of(&constraint), 'x'));
    constraint = tw_constraint_begin(used); /* whose first masks are gone by now */
    advance_text(&constraint, "\"");
    for (int i = 0; i < 120; i++) {
        assert_mask_is_right(&v, &constraint);
        assert_true(tw_constraint_advance(&constraint, 'x'));
    }
    tw_masker_free(used);
    tw_automaton_free(automaton);
    free_vocabulary(&v);
}

/* Text around JSON, as a tool call has it: <tool>{"name": "f", "arguments": {...}}</tool> */
static void a_form_may_mix_text_and_json(void **state)
{
    (void)state;
    struct vocabulary v = make_vocabulary();
    struct tw_budget budget = tw_budget_full();
    struct tw_grammar grammar;
    struct tw_error error;
    json_t *schema;
    const char *text = "{\"type\":\"object\",\"properties\":{\"x\":{\"type\":\"integer\"}},"
                       "\"additionalProperties\":false}";
    assert_int_equal(tw_json_parse(text, strlen(text), "schema", &schema, &error), TW_OK);
    assert_true(tw_grammar_init(&grammar, &budget));
    struct tw_grammar_rule rule = tw_grammar_rule_at(&grammar, 0);
    static const char *const names[] = {"f", "ab"};
    for (int i = 0; i < 2; i++) {
        uint32_t open = tw_grammar_add_node(&grammar), name = tw_grammar_add_node(&grammar);
        uint32_t begin = tw_grammar_add_node(&grammar), end = tw_grammar_add_node(&grammar);
        tw_grammar_add_text(&grammar, rule.begin, open, tw_bytes_of("<tool>{\"name\": \""));
        tw_grammar_add_text(&grammar, open, name, tw_bytes_of(names[i]));
        tw_grammar_add_text(&grammar, name, begin, tw_bytes_of("\", \"arguments\": "));
        assert_int_equal(tw_schema_add(&grammar, begin, end, schema, &error), TW_OK);
        tw_grammar_add_text(&grammar, end, rule.end, tw_bytes_of("}</tool>"));
    }
    struct tw_automaton *automaton = NULL;
    assert_int_equal(tw_automaton_create(&grammar, "the call", &automaton, &error), TW_OK);
    tw_budget_end(&budget);
    json_decref(schema);
    struct tw_masker *masker = make_masker(&v, automaton);
    struct tw_constraint constraint = tw_constraint_begin(masker);
    assert_true(has(mask_of(&constraint), v.tool));
    assert_true(tw_constraint_advance(&constraint, v.tool));
    advance_text(&constraint, "{\"name\": \"ab\", \"arguments\": {\"x\": 12}}</tool>");
    assert_true(tw_constraint_is_over(&constraint));
    tw_masker_free(masker);
    tw_automaton_free(automaton);
    free_vocabulary(&v);
}

static void an_opening_byte_with_two_meanings_is_refused(void **state)
{
    (void)state;
    struct tw_budget budget = tw_budget_full();
    struct tw_grammar grammar;
    struct tw_error error;
    struct tw_automaton *automaton = NULL;
    json_t *any = json_true();
    assert_true(tw_grammar_init(&grammar, &budget));
    struct tw_grammar_rule rule = tw_grammar_rule_at(&grammar, 0);
    tw_grammar_add_text(&grammar, rule.begin, rule.end, tw_bytes_of("{x"));
    assert_int_equal(tw_schema_add(&grammar, rule.begin, rule.end, any, &error), TW_OK);
    assert_int_equal(tw_automaton_create(&grammar, "it", &automaton, &error), TW_ERR_UNSUPPORTED);
    assert_non_null(strstr(error.text, "bracket or quote"));
    tw_budget_end(&budget);
}

static void a_vocabulary_that_cannot_spell_is_an_error(void **state)
{
    (void)state;
    text_fixture_bpe(&fixture);
    tw_token end = text_fixture_token(&fixture, "<|end|>", TW_TOKEN_CONTROL, 0);
    fixture.spec.eos = end;
    for (tw_token t = 0; t < 256; t++) {
        if (t == 'b') {
            fixture.tokens[t] = tw_bytes_of("nothing");
        }
    }
    struct vocabulary v = {.tokenizer = text_fixture_create(&fixture)};
    assert_int_equal(tw_token_trie_create(v.tokenizer, 0, &v.trie, NULL), TW_OK);
    struct tw_error error;
    struct tw_automaton *automaton = form_of_regex("ab", &error);
    struct tw_masker *masker = make_masker(&v, automaton);
    struct tw_constraint constraint = tw_constraint_begin(masker);
    assert_true(tw_constraint_advance(&constraint, 'a'));
    const uint64_t *mask;
    assert_int_equal(tw_constraint_mask(&constraint, &mask, &error), TW_ERR_UNSUPPORTED);
    assert_non_null(strstr(error.text, "no token for what must come next"));
    tw_masker_free(masker);
    tw_automaton_free(automaton);
    free_vocabulary(&v);
}

static void choices_and_any_object(void **state)
{
    (void)state;
    struct tw_error error;
    struct tw_automaton *automaton = NULL;
    const struct tw_bytes texts[] = {tw_bytes_of("yes"), tw_bytes_of("yes, but"), tw_bytes_of("{")};
    assert_int_equal(tw_constraint_compile_choices(texts, 3, false, &automaton, &error), TW_OK);
    assert_form_accepts(automaton, (const char *const[]){"yes", "yes, but", "{", NULL});
    assert_form_rejects(automaton, (const char *const[]){"", "yes,", "no", NULL});
    tw_automaton_free(automaton);
    assert_int_equal(tw_constraint_compile_choices(texts, 0, false, &automaton, &error),
                     TW_ERR_USAGE);
    const struct tw_bytes broken = tw_bytes_of("\xff");
    assert_int_equal(tw_constraint_compile_choices(&broken, 1, false, &automaton, &error),
                     TW_ERR_USAGE);
    assert_int_equal(tw_constraint_compile_object(false, &automaton, &error), TW_OK);
    assert_form_accepts(automaton,
                        (const char *const[]){"{}", "{\"a\": [1, {}], \"b\":null}", NULL});
    assert_form_rejects(automaton, (const char *const[]){"", "[]", "1", "{\"a\"}", NULL});
    tw_automaton_free(automaton);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mask_has_the_tokens_that_can_come),
        cmocka_unit_test(end_tokens_come_where_the_text_is_complete),
        cmocka_unit_test(special_tokens_never_come_as_text),
        cmocka_unit_test(there_is_a_way_out_at_the_bound_of_the_stack),
        cmocka_unit_test(what_must_follow_is_thought_of_before_a_bracket),
        cmocka_unit_test(a_mask_does_not_depend_on_earlier_ones),
        cmocka_unit_test(a_form_may_mix_text_and_json),
        cmocka_unit_test(an_opening_byte_with_two_meanings_is_refused),
        cmocka_unit_test(a_vocabulary_that_cannot_spell_is_an_error),
        cmocka_unit_test(choices_and_any_object),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
