/* What a mask costs: the time for each token of texts of a form, written through a real vocabulary.
 *
 *     mask_rates TOKENIZER.json SCHEMA.json [TEXTS]
 *
 * Texts are written by drawing among the admissible tokens, closing sooner or later. Prints one CSV
 * row: the schema, tokens of the vocabulary, nodes of its trie, states of the automaton, times to
 * sort the vocabulary and to compile the schema in ms, masks taken, and the median, the 90th and
 * the 99th percentile and the largest of the times for a mask and its step in us.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
#include "text/constraint.h"

enum { MOST_TIMES = 1 << 20, MOST_TOKENS = 400 };

struct bench {
    struct tw_tokenizer *tokenizer;
    struct tw_automaton *automaton;
    struct tw_token_trie *trie;
    struct tw_masker *masker;
    int64_t trie_ns, compile_ns;
    int64_t *times_ns; /* [MOST_TIMES] */
    size_t n_times;
};

static int fail(const struct tw_error *error)
{
    fprintf(stderr, "mask_rates: %s\n", error->text);
    return tw_status_exit_code(error->status);
}

static enum tw_status prepare(struct bench *b, const char *tokenizer, const char *schema,
                              struct tw_error *error)
{
    json_t *json = NULL;
    enum tw_status status = tw_json_load(tokenizer, TW_LIMIT_MODEL_JSON_BYTES, &json, error);
    if (status == TW_OK) {
        status = tw_tokenizer_from_json(json, NULL, &b->tokenizer, error);
        json_decref(json);
    }
    if (status == TW_OK) {
        int64_t begin = tw_clock_monotonic_ns();
        status = tw_token_trie_create(b->tokenizer, 0, &b->trie, error);
        b->trie_ns = tw_clock_monotonic_ns() - begin;
    }
    if (status == TW_OK) {
        status = tw_json_load(schema, TW_LIMIT_SCHEMA_BYTES, &json, error);
    }
    if (status == TW_OK) {
        int64_t begin = tw_clock_monotonic_ns();
        status = tw_constraint_compile_schema(json, false, &b->automaton, error);
        b->compile_ns = tw_clock_monotonic_ns() - begin;
        json_decref(json);
    }
    return status == TW_OK ? tw_masker_create(b->automaton, b->trie, &b->masker, error) : status;
}

/* One of the admissible tokens from a random place on; a closing one where that is wished for. */
static tw_token choose(const struct bench *b, const uint64_t *mask, uint64_t seed, uint64_t i)
{
    static const char closing[] = "\"}]";
    uint32_t words[4];
    tw_rng_block(seed, i, words);
    for (const char *p = closing; *p != '\0' && words[1] % 8 == 0; p++) {
        tw_token t = tw_tokenizer_find(b->tokenizer, p, 1);
        if (t != TW_TOKEN_NONE && (mask[t / 64] >> (t % 64) & 1) != 0) {
            return t;
        }
    }
    size_t n = tw_tokenizer_size(b->tokenizer), t = words[0] % n;
    while ((mask[t / 64] >> (t % 64) & 1) == 0) {
        t = (t + 1) % n;
    }
    return (tw_token)t;
}

static enum tw_status write_text(struct bench *b, uint64_t seed, struct tw_error *error)
{
    struct tw_constraint constraint = tw_constraint_begin(b->masker);
    for (uint64_t i = 0; i < MOST_TOKENS && !tw_constraint_is_over(&constraint); i++) {
        const uint64_t *mask;
        int64_t begin = tw_clock_monotonic_ns();
        enum tw_status status = tw_constraint_mask(&constraint, &mask, error);
        int64_t masked = tw_clock_monotonic_ns();
        if (status != TW_OK) {
            return status;
        }
        tw_token token = choose(b, mask, seed, i);
        int64_t chosen = tw_clock_monotonic_ns();
        tw_constraint_advance(&constraint, token);
        if (b->n_times < MOST_TIMES) {
            b->times_ns[b->n_times++] = tw_clock_monotonic_ns() - chosen + masked - begin;
        }
        if (tw_tokenizer_ends_generation(b->tokenizer, token)) {
            break;
        }
    }
    return TW_OK;
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static double time_at(const struct bench *b, double share)
{
    return b->n_times > 0 ? (double)b->times_ns[(size_t)(share * (double)(b->n_times - 1))] / 1e3
                          : 0.0;
}

int main(int argc, char **argv)
{
    struct bench b = {0};
    struct tw_error error;
    if (argc < 3) {
        fprintf(stderr, "usage: mask_rates TOKENIZER.json SCHEMA.json [TEXTS]\n");
        return 2;
    }
    int n_texts = argc > 3 ? (int)strtol(argv[3], NULL, 10) : 50;
    b.times_ns = tw_mem_alloc(MOST_TIMES, sizeof *b.times_ns);
    enum tw_status status = prepare(&b, argv[1], argv[2], &error);
    for (int i = 0; status == TW_OK && i < n_texts; i++) {
        status = write_text(&b, (uint64_t)i, &error);
    }
    if (status != TW_OK) {
        return fail(&error);
    }
    qsort(b.times_ns, b.n_times, sizeof *b.times_ns, compare);
    printf("schema,tokens,nodes,states,trie_ms,compile_ms,masks,p50_us,p90_us,p99_us,most_us\n");
    printf("%s,%zu,%u,%u,%.1f,%.2f,%zu,%.1f,%.1f,%.1f,%.1f\n", argv[2],
           tw_tokenizer_size(b.tokenizer), b.trie->n_nodes, b.automaton->n_states,
           (double)b.trie_ns / 1e6, (double)b.compile_ns / 1e6, b.n_times, time_at(&b, 0.5),
           time_at(&b, 0.9), time_at(&b, 0.99), time_at(&b, 1.0));
    tw_masker_free(b.masker);
    tw_automaton_free(b.automaton);
    tw_token_trie_free(b.trie);
    tw_tokenizer_free(b.tokenizer);
    tw_mem_free(b.times_ns);
    return 0;
}
