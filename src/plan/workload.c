#include "plan/workload.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"

/* ---- random numbers in a row ---- */

struct draw {
    uint64_t seed, at;
};

static double uniform(struct draw *draw) /* in (0, 1) */
{
    double u = tw_rng_uniform(draw->seed, draw->at++);
    return u > 0 ? u : 0x1p-60;
}

static double normal(struct draw *draw)
{
    return tw_rng_normal(draw->seed, draw->at++);
}

/* Marsaglia and Tsang, "A simple method for generating gamma variables", ACM TOMS 26(3), 2000;
 * below shape 1 by its section 6. Mean: the shape. */
static double gamma_of(struct draw *draw, double shape)
{
    if (shape < 1) {
        double u = uniform(draw);
        return gamma_of(draw, shape + 1) * pow(u, 1 / shape);
    }
    const double d = shape - 1.0 / 3, c = 1 / sqrt(9 * d);
    for (;;) {
        double x = normal(draw), v = 1 + c * x;
        v = v * v * v;
        if (v > 0 && log(uniform(draw)) < 0.5 * x * x + d - d * v + d * log(v)) {
            return d * v;
        }
    }
}

/* Between two arrivals at a rate of 1. Of a smaller variation the square would vanish. */
static double gap(struct draw *draw, double cv)
{
    if (cv < 1e-6) {
        return 1;
    }
    return cv == 1 ? -log(uniform(draw)) : gamma_of(draw, 1 / (cv * cv)) * cv * cv;
}

/* ---- making ---- */

static uint32_t cut(const struct tw_length *length, double n)
{
    const double least = length->least_tokens > 0 ? length->least_tokens : 1;
    const double most =
        length->most_tokens > 0 ? length->most_tokens : TW_LIMIT_PLAN_CONTEXT_TOKENS / 4;
    return (uint32_t)(n < least ? least : n > most ? most : n + 0.5);
}

static uint32_t length_of(struct draw *draw, const struct tw_length *length)
{
    if (length->kind == TW_LENGTH_FIXED || length->cv <= 0) {
        return cut(length, length->mean_tokens);
    }
    const double s2 = log(1 + length->cv * length->cv);
    return cut(length, length->mean_tokens * exp(sqrt(s2) * normal(draw) - s2 / 2));
}

enum { MADE_BLOCK_TOKENS = 64 };
#define MOST_TIME_S 9e9 /* in ns a clock of 64 bits */

static uint64_t blocks_of(const struct tw_use_case *one)
{
    return one->n_prefixes == 0 ? 0 : one->prefix_tokens / MADE_BLOCK_TOKENS;
}

static void draw_request(struct draw *draw, const struct tw_use_case *one,
                         struct tw_plan_request *request)
{
    if (one->lengths_of != NULL && one->lengths_of->n_requests > 0) {
        const struct tw_workload *of = one->lengths_of;
        uint32_t i = (uint32_t)(uniform(draw) * of->n_requests);
        request->n_input = of->requests[i].n_input;
        request->n_output = of->requests[i].n_output;
    } else {
        request->n_input = length_of(draw, &one->input);
        request->n_output = length_of(draw, &one->output);
    }
    const uint64_t n_blocks = blocks_of(one);
    if (n_blocks > 0) {
        if (request->n_input <= one->prefix_tokens) {
            request->n_input = one->prefix_tokens + 1;
        }
        request->n_blocks = (uint32_t)n_blocks;
        request->first_block = (uint32_t)(n_blocks * (uint32_t)(uniform(draw) * one->n_prefixes));
    }
}

static enum tw_status have_room(struct tw_workload *workload, uint64_t n_requests,
                                uint64_t n_blocks, struct tw_error *error)
{
    if (n_blocks > TW_LIMIT_PLAN_BLOCKS) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "shared beginnings of %llu blocks of tokens; at most %u: fewer "
                            "prefixes, or shorter ones",
                            (unsigned long long)n_blocks, TW_LIMIT_PLAN_BLOCKS);
    }
    if (n_requests > TW_LIMIT_PLAN_REQUESTS) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "a workload of %llu requests; at most %u",
                            (unsigned long long)n_requests, TW_LIMIT_PLAN_REQUESTS);
    }
    workload->requests = tw_mem_zalloc(n_requests, sizeof *workload->requests);
    workload->blocks = tw_mem_zalloc(n_blocks, sizeof *workload->blocks);
    if (workload->requests == NULL || workload->blocks == NULL) {
        tw_workload_free(workload);
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for %llu requests",
                            (unsigned long long)n_requests);
    }
    return TW_OK;
}

/* Of use cases: when the next request of each comes. */
struct stream {
    struct draw arrivals, lengths;
    double next_s;
    uint64_t first_block;
};

static void begin_stream(struct stream *stream, const struct tw_use_case *one, uint64_t seed,
                         uint64_t first_block)
{
    *stream = (struct stream){.arrivals = {seed, 0}, .lengths = {seed ^ 0x9e3779b97f4a7c15u, 0}};
    stream->first_block = first_block;
    stream->next_s =
        one->rate_requests_s > 0
            ? gap(&stream->arrivals, one->arrivals == TW_ARRIVAL_REGULAR ? 0 : one->arrival_cv) /
                  one->rate_requests_s
            : INFINITY;
}

static uint32_t first_stream(const struct stream *streams, uint32_t n)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < n; i++) {
        best = streams[i].next_s < streams[best].next_s ? i : best;
    }
    return best;
}

static void make_all(const struct tw_use_case *cases, uint32_t n_cases, struct stream *streams,
                     uint32_t n_requests, struct tw_workload *workload)
{
    for (uint32_t i = 0; i < n_requests; i++) {
        const uint32_t which = first_stream(streams, n_cases);
        struct stream *stream = &streams[which];
        const struct tw_use_case *one = &cases[which];
        struct tw_plan_request *request = &workload->requests[i];
        request->arrival_ns = (uint64_t)(fmin(stream->next_s, MOST_TIME_S) * 1e9 + 0.5);
        request->use_case = which;
        draw_request(&stream->lengths, one, request);
        request->first_block += (uint32_t)stream->first_block;
        stream->next_s +=
            gap(&stream->arrivals, one->arrivals == TW_ARRIVAL_REGULAR ? 0 : one->arrival_cv) /
            one->rate_requests_s;
    }
    workload->n_requests = n_requests;
    workload->duration_s =
        streams[first_stream(streams, n_cases)].next_s - workload->requests[0].arrival_ns / 1e9;
}

static enum tw_status check_cases(const struct tw_use_case *cases, uint32_t n_cases,
                                  uint64_t *ret_n_blocks, struct tw_error *error)
{
    double rate = 0;
    uint64_t n_blocks = 0;
    for (uint32_t i = 0; i < n_cases; i++) {
        const struct tw_use_case *one = &cases[i];
        if (!(one->rate_requests_s >= 0) || !isfinite(one->rate_requests_s) ||
            !(one->arrival_cv >= 0) || one->arrival_cv > 100) {
            return tw_error_set(error, TW_ERR_FORMAT, i,
                                "use case %u: its rate must be 0 or more, and the coefficient of "
                                "variation of arrivals from 0 to 100",
                                i + 1);
        }
        rate += one->rate_requests_s;
        n_blocks += blocks_of(one) * one->n_prefixes;
    }
    if (!(rate > 0) || n_cases > TW_LIMIT_PLAN_USE_CASES) {
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "a workload needs 1 to %d use cases, and one with a rate above 0",
                            TW_LIMIT_PLAN_USE_CASES);
    }
    *ret_n_blocks = n_blocks;
    return TW_OK;
}

enum tw_status tw_workload_make(const struct tw_use_case *cases, uint32_t n_cases,
                                uint32_t n_requests, uint64_t seed,
                                struct tw_workload *ret_workload, struct tw_error *error)
{
    uint64_t n_blocks = 0;
    struct tw_workload workload = {.block_tokens = MADE_BLOCK_TOKENS};
    enum tw_status status = check_cases(cases, n_cases, &n_blocks, error);
    if (status != TW_OK || n_requests == 0) {
        return status != TW_OK ? status
                               : tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                                              "a workload must have a request");
    }
    struct stream *streams = tw_mem_zalloc(n_cases, sizeof *streams);
    if (streams == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a workload");
    }
    status = have_room(&workload, n_requests, n_blocks, error);
    if (status == TW_OK) {
        uint64_t first = 0;
        for (uint32_t i = 0; i < n_cases; i++) {
            begin_stream(&streams[i], &cases[i], seed + i * 0xd1342543de82ef95u, first);
            first += blocks_of(&cases[i]) * cases[i].n_prefixes;
        }
        for (uint64_t i = 0; i < n_blocks; i++) {
            workload.blocks[i] = i;
        }
        workload.n_blocks = n_blocks;
        make_all(cases, n_cases, streams, n_requests, &workload);
        *ret_workload = workload;
    }
    tw_mem_free(streams);
    return status;
}

enum tw_status tw_workload_rearrive(const struct tw_workload *workload, double cv, uint64_t seed,
                                    struct tw_workload *ret_workload, struct tw_error *error)
{
    struct tw_workload copy = *workload;
    enum tw_status status = have_room(&copy, workload->n_requests, workload->n_blocks, error);
    if (status != TW_OK) {
        return status;
    }
    memcpy(copy.requests, workload->requests, workload->n_requests * sizeof *copy.requests);
    memcpy(copy.blocks, workload->blocks, workload->n_blocks * sizeof *copy.blocks);
    struct draw draw = {seed, 0};
    double at = 0;
    for (uint32_t i = 0; i < copy.n_requests; i++) {
        copy.requests[i].arrival_ns = (uint64_t)(at * 1e9);
        at += gap(&draw, cv);
    }
    /* The same mean exactly, however the draw came out. */
    const double factor = workload->duration_s / at;
    for (uint32_t i = 0; i < copy.n_requests; i++) {
        copy.requests[i].arrival_ns = (uint64_t)((double)copy.requests[i].arrival_ns * factor);
    }
    *ret_workload = copy;
    return TW_OK;
}

void tw_workload_free(struct tw_workload *workload)
{
    if (workload != NULL) {
        tw_mem_free(workload->requests);
        tw_mem_free(workload->blocks);
        *workload = (struct tw_workload){0};
    }
}

/* ---- looking ---- */

static int compare_u64(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Tokens in blocks that came before: every id counts once as new. */
static double shared_share(const struct tw_workload *w, double input_tokens)
{
    uint64_t n = 0, n_new = 0;
    for (uint32_t i = 0; i < w->n_requests; i++) {
        n += w->requests[i].n_blocks;
    }
    uint64_t *ids = n > 0 && n <= TW_LIMIT_PLAN_BLOCKS ? tw_mem_alloc(n, sizeof *ids) : NULL;
    if (ids == NULL) {
        return 0;
    }
    n = 0;
    for (uint32_t i = 0; i < w->n_requests; i++) {
        memcpy(ids + n, w->blocks + w->requests[i].first_block,
               w->requests[i].n_blocks * sizeof *ids);
        n += w->requests[i].n_blocks;
    }
    qsort(ids, n, sizeof *ids, compare_u64);
    for (uint64_t i = 0; i < n; i++) {
        n_new += i == 0 || ids[i] != ids[i - 1];
    }
    tw_mem_free(ids);
    double share = (double)(n - n_new) * w->block_tokens / input_tokens;
    return share < 1 ? share : 1;
}

struct tw_workload_summary tw_workload_summarise(const struct tw_workload *w)
{
    struct tw_workload_summary s = {0};
    double input = 0, output = 0, sum = 0, squares = 0;
    for (uint32_t i = 0; i < w->n_requests; i++) {
        const struct tw_plan_request *r = &w->requests[i];
        input += r->n_input;
        output += r->n_output;
        s.input_most = r->n_input > s.input_most ? r->n_input : s.input_most;
        s.output_most = r->n_output > s.output_most ? r->n_output : s.output_most;
        const uint32_t total = r->n_input + r->n_output;
        s.total_most = total > s.total_most ? total : s.total_most;
        if (i > 0) {
            double x = (double)(r->arrival_ns - w->requests[i - 1].arrival_ns) / 1e9;
            sum += x;
            squares += x * x;
        }
    }
    if (w->n_requests == 0) {
        return s;
    }
    const double n = w->n_requests, n_gaps = n > 1 ? n - 1 : 1;
    s.input_mean = input / n;
    s.output_mean = output / n;
    s.rate_requests_s = w->duration_s > 0 ? n / w->duration_s : 0;
    const double mean = sum / n_gaps, variance = squares / n_gaps - mean * mean;
    s.arrival_cv = mean > 0 && variance > 0 ? sqrt(variance) / mean : 0;
    s.shared_share = shared_share(w, input);
    return s;
}
