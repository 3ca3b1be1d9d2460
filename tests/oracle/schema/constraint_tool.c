/* constraint_tool: compiles forms and writes texts of them, for programs that compare.
 *
 *     constraint_tool
 *
 * Standard input is a JSON object a line, standard output another for each:
 *
 *     {"kind": "schema"|"regex"|"choices"|"object", "form": ..., "texts": [T...],
 *      "walks": N, "seed": S, "vocabulary": "bytes"|"pieces"}
 *     {"status": "ok", "accepted": [true|false...], "written": [T...]}
 *     {"status": "unsupported", "error": "..."}
 *
 * A text is written by drawing among the admissible tokens, with a leaning towards what closes, and
 * only closing what is open once it is long. At every step the mask is compared with what each
 * token by itself would do; a difference ends the program.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "text/constraint.h"

enum { LONG_TEXT = 150, TOO_LONG_TEXT = 5000, CHECKED_STEPS = 400 };

static const char *const pieces[] = {
    "{\"",      "\":",    "\": ",  "\": \"", "\",",  "\", \"",   "\"}",      "\"]",  "]}",
    "}}",       "[]",     "{}",    "[[",     "[\"",  "[{\"",     ", ",       ",\"",  ": ",
    "true",     "false",  "null",  "tr",     "ue",   "al",       "the",      " the", "an",
    " a",       "name",   "value", "12",     "0.",   "00",       "-1",       "1e",   "e+",
    "\\u",      "\\u00",  "\\n",   "\\\"",   "\\\\", "\xc3\xa9", "\xe2\x82", "\xac", "\xf0\x9f",
    "\x98\x80", "d83d\\", "20",    "-0",     "T1",   ":0",       "@a",       ".c",   "//",
    "://",      "aa",     "aaa",   "ab",     "ba",   "bb",       "abc",      " \"",  "\" ",
    "}, {\"",   "1,",     "1]",    "1}",
};

static struct tw_tokenizer *make_tokenizer(bool with_pieces)
{
    struct tw_bytes tokens[512];
    uint8_t kinds[512];
    static char texts[512][32];
    size_t n = 0;
    /* SentencePiece spells any byte as "<0xNN>" and text as it is, but for spaces. */
    for (; n < 256; n++) {
        snprintf(texts[n], sizeof texts[n], "<0x%02X>", (unsigned)n);
        kinds[n] = TW_TOKEN_BYTE;
    }
    for (size_t i = 0; with_pieces && i < sizeof pieces / sizeof pieces[0]; i++, n++) {
        size_t at = 0;
        for (const char *p = pieces[i]; *p != '\0'; p++) {
            at += (size_t)snprintf(texts[n] + at, sizeof texts[n] - at, "%s%c",
                                   *p == ' ' ? "\xe2\x96" : "", *p == ' ' ? '\x81' : *p);
        }
        kinds[n] = TW_TOKEN_NORMAL;
    }
    snprintf(texts[n], sizeof texts[n], "</s>");
    kinds[n++] = TW_TOKEN_CONTROL;
    snprintf(texts[n], sizeof texts[n], "<|x|>");
    kinds[n++] = TW_TOKEN_CONTROL;
    float scores[512] = {0};
    for (size_t i = 0; i < n; i++) {
        tokens[i] = tw_bytes_of(texts[i]);
    }
    const struct tw_tokenizer_spec spec = {
        .family = TW_TOKENIZER_SPM,
        .n_tokens = n,
        .tokens = tokens,
        .kinds = kinds,
        .scores = scores,
        .bos = TW_TOKEN_NONE,
        .eos = (tw_token)(n - 2),
        .unknown = TW_TOKEN_NONE,
    };
    struct tw_tokenizer *tokenizer;
    struct tw_error error;
    if (tw_tokenizer_create(&spec, &tokenizer, &error) != TW_OK) {
        fprintf(stderr, "constraint_tool: %s\n", error.text);
        exit(1);
    }
    return tokenizer;
}

/* ---- writing ---- */

struct writer {
    struct tw_constraint constraint;
    const struct tw_automaton *automaton;
    const uint32_t *distances; /* [states] */
    const struct tw_tokenizer *tokenizer;
    uint64_t seed, n_drawn;
    struct tw_buf text;
    size_t n_steps;
};

static double draw(struct writer *w)
{
    return tw_rng_uniform(w->seed, w->n_drawn++);
}

static void check_mask(const struct writer *w, const uint64_t *mask)
{
    for (size_t t = 0; t < tw_tokenizer_size(w->tokenizer); t++) {
        struct tw_constraint copy = w->constraint;
        bool by_itself = tw_constraint_advance(&copy, (tw_token)t);
        bool by_mask = (mask[t / 64] >> (t % 64) & 1) != 0;
        if (by_itself != by_mask) {
            fprintf(stderr, "constraint_tool: token %zu, mask %d, by itself %d, behind '%.*s'\n", t,
                    by_mask, by_itself, (int)w->text.size_bytes, w->text.data);
            exit(1);
        }
    }
}

enum { FAR = 1 << 24 };

static uint32_t return_distance(const struct tw_automaton *automaton, const uint32_t *distances,
                                uint32_t call)
{
    const struct tw_automaton_call *c = &automaton->calls[call];
    uint32_t least = FAR;
    for (uint32_t i = 0; i < c->n_returns; i++) {
        uint32_t d = distances[automaton->returns[c->first_return + i].target];
        least = d < least ? d : least;
    }
    return least;
}

static uint32_t state_distance(const struct tw_automaton *automaton, const uint32_t *distances,
                               uint32_t state)
{
    const struct tw_automaton_state *s = &automaton->states[state];
    uint32_t least = s->flags != 0 ? 0 : FAR;
    for (uint32_t i = 0; i < s->n_edges; i++) {
        uint32_t d = 1 + distances[automaton->edges[s->first_edge + i].target];
        least = d < least ? d : least;
    }
    for (uint32_t i = 0; i < s->n_calls; i++) {
        uint32_t entry = automaton->calls[s->extra + i].entry;
        uint32_t d = 1 + distances[entry] + return_distance(automaton, distances, s->extra + i);
        least = d < least ? d : least;
    }
    return least;
}

/* The bytes that each state is away from the end of its frame. */
static uint32_t *find_distances(const struct tw_automaton *automaton)
{
    uint32_t *distances = tw_mem_alloc(automaton->n_states, sizeof *distances);
    for (uint32_t s = 0; s < automaton->n_states; s++) {
        distances[s] = FAR;
    }
    bool changed = true;
    while (changed) {
        changed = false;
        for (uint32_t s = automaton->n_states; s > 0; s--) {
            uint32_t d = state_distance(automaton, distances, s - 1);
            changed |= d != distances[s - 1];
            distances[s - 1] = d;
        }
    }
    return distances;
}

/* How far a text is from its end when it goes on with a token. */
static uint32_t rank_of(const struct writer *w, tw_token token)
{
    struct tw_constraint copy = w->constraint;
    tw_constraint_advance(&copy, token);
    uint32_t far =
        tw_tokenizer_ends_generation(w->tokenizer, token) ? 0 : 1 + w->distances[copy.walk.state];
    for (uint32_t i = 0; i < copy.walk.depth; i++) {
        far += return_distance(w->automaton, w->distances, copy.walk.calls[i]);
    }
    return far;
}

/* Any admissible token, or one of those that lead to the end soonest. */
static tw_token choose(struct writer *w, const uint64_t *mask, bool closing)
{
    tw_token best = TW_TOKEN_NONE;
    double best_key = 1e9;
    for (size_t t = 0; t < tw_tokenizer_size(w->tokenizer); t++) {
        if ((mask[t / 64] >> (t % 64) & 1) != 0) {
            double key = draw(w) + (closing ? (double)rank_of(w, (tw_token)t) : 0.0);
            if (key < best_key) {
                best = (tw_token)t;
                best_key = key;
            }
        }
    }
    return best;
}

/* False when the text did not come to its end. */
static bool write_text(struct writer *w)
{
    for (w->n_steps = 0; w->n_steps < TOO_LONG_TEXT; w->n_steps++) {
        const uint64_t *mask;
        struct tw_error error;
        if (tw_constraint_is_over(&w->constraint)) {
            return true;
        }
        if (tw_constraint_mask(&w->constraint, &mask, &error) != TW_OK) {
            fprintf(stderr, "constraint_tool: %s, behind '%.*s'\n", error.text,
                    (int)w->text.size_bytes, w->text.data);
            exit(1);
        }
        bool closing = w->n_steps > LONG_TEXT || draw(w) < 0.3;
        tw_token token = choose(w, mask, closing);
        if (w->n_steps < CHECKED_STEPS) {
            check_mask(w, mask);
        }
        if (tw_tokenizer_ends_generation(w->tokenizer, token)) {
            return true;
        }
        struct tw_bytes bytes = tw_tokenizer_token_bytes(w->tokenizer, token, false);
        if (!tw_constraint_advance(&w->constraint, token) ||
            !tw_buf_append(&w->text, bytes.data, bytes.size_bytes)) {
            fprintf(stderr, "constraint_tool: token %d was not taken\n", token);
            exit(1);
        }
    }
    return false;
}

static void write_texts(const json_t *request, const struct tw_automaton *automaton,
                        struct tw_json_writer *out)
{
    uint32_t *distances = find_distances(automaton);
    const char *vocabulary = json_string_value(json_object_get(request, "vocabulary"));
    int64_t n = json_integer_value(json_object_get(request, "walks"));
    struct tw_tokenizer *tokenizer =
        make_tokenizer(vocabulary != NULL && strcmp(vocabulary, "pieces") == 0);
    struct tw_token_trie *trie;
    struct tw_masker *masker;
    struct tw_error error;
    if (tw_token_trie_create(tokenizer, 0, &trie, &error) != TW_OK ||
        tw_masker_create(automaton, trie, &masker, &error) != TW_OK) {
        fprintf(stderr, "constraint_tool: %s\n", error.text);
        exit(1);
    }
    for (int64_t i = 0; i < n; i++) {
        struct writer w = {
            .constraint = tw_constraint_begin(masker),
            .automaton = automaton,
            .distances = distances,
            .tokenizer = tokenizer,
            .seed = (uint64_t)(json_integer_value(json_object_get(request, "seed")) * 1000 + i),
        };
        tw_buf_init(&w.text, 1 << 20);
        if (write_text(&w)) {
            tw_json_string(out, w.text.size_bytes > 0 ? w.text.data : "", w.text.size_bytes);
        } else {
            tw_json_null(out);
        }
        tw_buf_free(&w.text);
    }
    tw_mem_free(distances);
    tw_masker_free(masker);
    tw_token_trie_free(trie);
    tw_tokenizer_free(tokenizer);
}

/* ---- requests ---- */

static bool accepts(const struct tw_automaton *automaton, const char *text, size_t n_bytes)
{
    struct tw_walk walk;
    tw_walk_begin(&walk);
    for (size_t i = 0; i < n_bytes; i++) {
        if (!tw_walk_step(automaton, &walk, (unsigned char)text[i])) {
            return false;
        }
    }
    return tw_walk_accepts(automaton, &walk);
}

static enum tw_status compile(const json_t *request, struct tw_automaton **ret_automaton,
                              struct tw_error *error)
{
    const char *kind = json_string_value(json_object_get(request, "kind"));
    const json_t *form = json_object_get(request, "form");
    if (strcmp(kind, "schema") == 0) {
        return tw_constraint_compile_schema(form, false, ret_automaton, error);
    }
    if (strcmp(kind, "object") == 0) {
        return tw_constraint_compile_object(false, ret_automaton, error);
    }
    if (strcmp(kind, "regex") == 0) {
        struct tw_bytes pattern = {json_string_value(form), json_string_length(form)};
        return tw_constraint_compile_regex(pattern, false, ret_automaton, error);
    }
    size_t n = json_array_size(form);
    struct tw_bytes *texts = tw_mem_alloc(n, sizeof *texts);
    for (size_t i = 0; i < n; i++) {
        const json_t *text = json_array_get(form, i);
        texts[i] = (struct tw_bytes){json_string_value(text), json_string_length(text)};
    }
    enum tw_status status = tw_constraint_compile_choices(texts, n, false, ret_automaton, error);
    tw_mem_free(texts);
    return status;
}

static void answer(const json_t *request)
{
    struct tw_automaton *automaton = NULL;
    struct tw_error error = {0};
    struct tw_buf buf;
    struct tw_json_writer out;
    enum tw_status status = compile(request, &automaton, &error);
    tw_buf_init(&buf, (size_t)64 << 20);
    tw_json_begin(&out, &buf);
    tw_json_object_begin(&out);
    tw_json_put_text(&out, "status", tw_status_name(status));
    tw_json_put_text(&out, "error", status == TW_OK ? "" : error.text);
    if (status == TW_OK) {
        const json_t *texts = json_object_get(request, "texts");
        tw_json_put_uint(&out, "states", automaton->n_states);
        tw_json_key(&out, "accepted");
        tw_json_array_begin(&out);
        for (size_t i = 0; i < json_array_size(texts); i++) {
            const json_t *text = json_array_get(texts, i);
            tw_json_bool(&out,
                         accepts(automaton, json_string_value(text), json_string_length(text)));
        }
        tw_json_array_end(&out);
        tw_json_key(&out, "written");
        tw_json_array_begin(&out);
        if (json_integer_value(json_object_get(request, "walks")) > 0) {
            write_texts(request, automaton, &out);
        }
        tw_json_array_end(&out);
    }
    tw_json_object_end(&out);
    printf("%.*s\n", (int)buf.size_bytes, buf.data);
    fflush(stdout);
    tw_buf_free(&buf);
    tw_automaton_free(automaton);
}

int main(void)
{
    char *line = NULL;
    size_t capacity = 0;
    ssize_t n;
    while ((n = getline(&line, &capacity, stdin)) > 0) {
        json_t *request;
        struct tw_error error;
        if (tw_json_parse(line, (size_t)n, "request", &request, &error) != TW_OK) {
            fprintf(stderr, "constraint_tool: %s\n", error.text);
            return 1;
        }
        answer(request);
        json_decref(request);
    }
    free(line);
    return 0;
}
