#include "route_nodes.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/rng.h"

/* ---- traces ---- */

static int by_time(const void *a, const void *b)
{
    const struct trace_request *x = a, *y = b;
    return x->at_ns < y->at_ns ? -1 : x->at_ns > y->at_ns;
}

enum { TURNS = 12, FIRST_BLOCKS = 12, TURN_BLOCKS = 6, SHARED_BLOCKS = 1, BLOCK_TOKENS = 512 };

struct trace trace_make(uint64_t seed, uint32_t n_conversations)
{
    const uint32_t n_most = FIRST_BLOCKS + TURNS * TURN_BLOCKS;
    struct trace trace = {.block_tokens = BLOCK_TOKENS};
    trace.requests = tw_mem_zalloc((size_t)n_conversations * TURNS, sizeof *trace.requests);
    trace.blocks = tw_mem_alloc((size_t)n_conversations * n_most, sizeof *trace.blocks);
    assert(trace.requests != NULL && trace.blocks != NULL);
    for (uint32_t c = 0; c < n_conversations; c++) {
        uint32_t r[4];
        int32_t *blocks = trace.blocks + (size_t)c * n_most;
        tw_rng_block(seed, (uint64_t)c << 8, r);
        for (uint32_t b = 0; b < n_most; b++) {
            blocks[b] = b < SHARED_BLOCKS ? (int32_t)b : (int32_t)(1000 + c * n_most + b);
        }
        const uint32_t n_turns = 1 + r[1] % TURNS;
        uint32_t n_blocks = SHARED_BLOCKS + 1 + r[2] % (FIRST_BLOCKS - SHARED_BLOCKS);
        int64_t at_ns = (int64_t)(r[0] % 1800000) * 1000000;
        for (uint32_t t = 0; t < n_turns; t++) {
            trace.requests[trace.n++] =
                (struct trace_request){.at_ns = at_ns,
                                       .n_prompt_tokens = n_blocks * BLOCK_TOKENS,
                                       .n_answer_tokens = 100 + r[3] % 400,
                                       .n_blocks = n_blocks,
                                       .blocks = blocks};
            tw_rng_block(seed, (uint64_t)c << 8 | (t + 1), r);
            at_ns += (int64_t)(20000 + r[0] % 100000) * 1000000;
            n_blocks += 1 + r[1] % TURN_BLOCKS;
        }
    }
    qsort(trace.requests, trace.n, sizeof *trace.requests, by_time);
    return trace;
}

static bool read_row(const json_t *row, struct trace_request *ret_request, int32_t *blocks)
{
    const json_t *ids = json_object_get(row, "hash_ids");
    *ret_request = (struct trace_request){
        .at_ns = json_integer_value(json_object_get(row, "timestamp")) * 1000000,
        .n_prompt_tokens = (uint32_t)json_integer_value(json_object_get(row, "input_length")),
        .n_answer_tokens = (uint32_t)json_integer_value(json_object_get(row, "output_length")),
        .n_blocks = (uint32_t)json_array_size(ids),
        .blocks = blocks};
    for (uint32_t i = 0; i < ret_request->n_blocks; i++) {
        blocks[i] = (int32_t)json_integer_value(json_array_get(ids, i));
    }
    return ret_request->n_blocks > 0;
}

struct trace trace_load(const char *path)
{
    struct trace trace = {.block_tokens = BLOCK_TOKENS};
    struct tw_buf text;
    struct tw_error error;
    size_t n_blocks = 0;
    if (tw_file_read(path, (size_t)64 << 20, &text, &error) != TW_OK) {
        return trace;
    }
    /* A row has more than 64 bytes, and each of its blocks two or more. */
    trace.requests = tw_mem_zalloc(text.size_bytes / 64 + 1, sizeof *trace.requests);
    trace.blocks = tw_mem_alloc(text.size_bytes / 2, sizeof *trace.blocks);
    assert(trace.requests != NULL && trace.blocks != NULL);
    const char *at = text.data, *end = text.data + text.size_bytes;
    while (at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        stop = stop != NULL ? stop : end;
        json_t *row = NULL;
        if (tw_json_parse(at, (size_t)(stop - at), "a row", &row, &error) == TW_OK) {
            struct trace_request *request = &trace.requests[trace.n];
            trace.n += read_row(row, request, trace.blocks + n_blocks);
            n_blocks += request->n_blocks;
            json_decref(row);
        }
        at = stop + 1;
    }
    tw_buf_free(&text);
    return trace;
}

void trace_free(struct trace *trace)
{
    tw_mem_free(trace->requests);
    tw_mem_free(trace->blocks);
}

/* ---- nodes ---- */

/* A request at a node. */
struct job {
    const struct trace_request *request;
    struct tw_route_ride ride;
    uint32_t *pages; /* [n_blocks], once it has begun */
    int64_t end_ns;
};

struct node {
    struct tw_page_pool *pool;
    struct tw_prefix_tree *tree;
    struct job queue[MOST_QUEUED]; /* a ring; the first one is being computed if is_busy */
    uint32_t first, n_queued;
    bool is_busy;
    int64_t ready_ns; /* when its prompt is computed */
    struct job running[MOST_RUNNING];
    uint32_t n_running;
    uint64_t n_requests, n_work_tokens;
};

struct run {
    const struct plant *plant;
    const struct trace *trace;
    struct tw_router *router;
    struct node *nodes;
    double *firsts; /* [trace->n] seconds */
    uint32_t n_firsts;
    uint64_t n_hit_tokens, n_prompt_tokens;
};

static void release(struct node *node, struct job *job)
{
    for (uint32_t i = job->request->n_blocks; i-- > 0;) {
        tw_prefix_tree_release(node->tree, job->pages[i], false);
    }
    tw_mem_free(job->pages);
}

/* Pages for a prompt: found ones are used, others are made. False where there is no room now. */
static bool take_pages(struct node *node, struct job *job, uint32_t *ret_n_found)
{
    const struct trace_request *request = job->request;
    uint32_t parent = TW_PREFIX_ROOT, n_found = 0;
    job->pages = tw_mem_alloc(request->n_blocks, sizeof *job->pages);
    assert(job->pages != NULL);
    while (n_found < request->n_blocks) {
        const uint32_t page = tw_prefix_tree_find(node->tree, 0, parent, &request->blocks[n_found]);
        if (page == TW_PREFIX_NONE) {
            break;
        }
        tw_prefix_tree_use(node->tree, page);
        job->pages[n_found++] = parent = page;
    }
    const uint32_t n_new = request->n_blocks - n_found;
    const uint32_t n_free = tw_page_pool_free_pages(node->pool);
    if (n_new > n_free) {
        (void)tw_prefix_tree_evict(node->tree, n_new - n_free);
    }
    if (!tw_page_pool_alloc(node->pool, n_new, job->pages + n_found)) {
        for (uint32_t i = n_found; i-- > 0;) {
            tw_prefix_tree_release(node->tree, job->pages[i], false);
        }
        tw_mem_free(job->pages);
        return false;
    }
    for (uint32_t i = n_found; i < request->n_blocks; i++) {
        tw_prefix_tree_add(node->tree, 0, parent, &request->blocks[i], job->pages[i], 1);
        parent = job->pages[i];
    }
    *ret_n_found = n_found;
    return true;
}

static void start_prompt(struct run *run, struct node *node, int64_t now_ns)
{
    uint32_t n_found;
    if (node->is_busy || node->n_queued == 0 || node->n_running == MOST_RUNNING) {
        return;
    }
    struct job *job = &node->queue[node->first];
    if (!take_pages(node, job, &n_found)) {
        return; /* until an answer ends */
    }
    uint64_t n_hits = (uint64_t)n_found * run->trace->block_tokens;
    n_hits = n_hits < job->request->n_prompt_tokens ? n_hits : job->request->n_prompt_tokens;
    const uint64_t n_work = job->request->n_prompt_tokens - n_hits;
    run->n_hit_tokens += n_hits;
    run->n_prompt_tokens += job->request->n_prompt_tokens;
    node->n_work_tokens += n_work;
    node->is_busy = true;
    node->ready_ns = now_ns + (int64_t)(n_work + 1) * run->plant->token_ns;
}

static void end_prompt(struct run *run, struct node *node)
{
    struct job *job = &node->running[node->n_running++];
    const int64_t now_ns = node->ready_ns;
    *job = node->queue[node->first];
    node->first = (node->first + 1) % MOST_QUEUED;
    node->n_queued--;
    node->is_busy = false;
    job->end_ns = now_ns + (int64_t)job->request->n_answer_tokens * run->plant->answer_token_ns;
    run->firsts[run->n_firsts++] = (double)(now_ns - job->request->at_ns) / (double)TW_SECOND_NS;
    if (run->router != NULL) {
        tw_router_first(run->router, &job->ride, now_ns);
    }
    start_prompt(run, node, now_ns);
}

static void end_answer(struct run *run, struct node *node, uint32_t at)
{
    const int64_t now_ns = node->running[at].end_ns;
    release(node, &node->running[at]);
    if (run->router != NULL) {
        tw_router_end(run->router, &node->running[at].ride, TW_OUTCOME_SUCCESS, now_ns);
    }
    node->running[at] = node->running[--node->n_running];
    start_prompt(run, node, now_ns);
}

/* Does the first thing that happens before a time; false where there is none. */
static bool step(struct run *run, int64_t before_ns)
{
    struct node *node = NULL;
    uint32_t running = UINT32_MAX;
    int64_t first_ns = before_ns;
    for (uint32_t i = 0; i < run->plant->n_nodes; i++) {
        struct node *one = &run->nodes[i];
        if (one->is_busy && one->ready_ns < first_ns) {
            first_ns = one->ready_ns;
            node = one;
            running = UINT32_MAX;
        }
        for (uint32_t r = 0; r < one->n_running; r++) {
            if (one->running[r].end_ns < first_ns) {
                first_ns = one->running[r].end_ns;
                node = one;
                running = r;
            }
        }
    }
    if (node == NULL) {
        return false;
    }
    if (running == UINT32_MAX) {
        end_prompt(run, node);
    } else {
        end_answer(run, node, running);
    }
    return true;
}

static struct tw_route_ride route(struct run *run, const struct trace_request *request)
{
    static uint64_t hashes[TW_LIMIT_ROUTE_BLOCKS];
    const uint32_t n =
        request->n_blocks < TW_LIMIT_ROUTE_BLOCKS ? request->n_blocks : TW_LIMIT_ROUTE_BLOCKS;
    struct tw_route_choice choice;
    struct tw_route_trip trip = {0};
    for (uint32_t i = 0; i < n; i++) {
        uint32_t words[4]; /* a block's number stands for all that comes before it, too */
        tw_rng_block(7, (uint64_t)request->blocks[i], words);
        hashes[i] = (uint64_t)words[0] << 32 | words[1];
    }
    const struct tw_route_request asked = {.model = "m",
                                           .n_prompt_tokens = request->n_prompt_tokens,
                                           .n_answer_tokens = request->n_answer_tokens,
                                           .hashes = hashes,
                                           .n_hashes = n,
                                           .zones = 1,
                                           .hash = (uint64_t)request->at_ns ^ hashes[n - 1]};
    const enum tw_route_verdict verdict =
        tw_router_choose(run->router, &asked, &trip, request->at_ns, &choice);
    assert(verdict == TW_ROUTE_FOUND);
    (void)verdict;
    return tw_router_begin(run->router, &asked, &choice, &trip, request->at_ns);
}

static void arrive(struct run *run, uint32_t number)
{
    const struct trace_request *request = &run->trace->requests[number];
    struct job job = {.request = request, .ride.backend = number % run->plant->n_nodes};
    if (run->router != NULL) {
        job.ride = route(run, request);
    }
    struct node *node = &run->nodes[job.ride.backend];
    assert(node->n_queued < MOST_QUEUED);
    node->queue[(node->first + node->n_queued++) % MOST_QUEUED] = job;
    node->n_requests++;
    start_prompt(run, node, request->at_ns);
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static struct plant_result result_of(struct run *run)
{
    struct plant_result result = {.n_prompt_tokens = run->n_prompt_tokens,
                                  .n_hit_tokens = run->n_hit_tokens};
    double work = 0, sum = 0;
    for (uint32_t i = 0; i < run->plant->n_nodes; i++) {
        const struct node *node = &run->nodes[i];
        work += (double)node->n_work_tokens;
        result.most_requests = (double)node->n_requests > result.most_requests
                                   ? (double)node->n_requests
                                   : result.most_requests;
        result.most_work = (double)node->n_work_tokens > result.most_work
                               ? (double)node->n_work_tokens
                               : result.most_work;
    }
    const double n_nodes = run->plant->n_nodes;
    result.most_requests /= (double)run->trace->n / n_nodes;
    result.most_work /= work / n_nodes;
    for (uint32_t i = 0; i < run->n_firsts; i++) {
        sum += run->firsts[i];
    }
    qsort(run->firsts, run->n_firsts, sizeof *run->firsts, by_value);
    result.mean_first_s = sum / run->n_firsts;
    result.p90_first_s = run->firsts[(size_t)run->n_firsts * 9 / 10];
    return result;
}

struct plant_result plant_run(const struct plant *plant, const struct trace *trace,
                              struct tw_router *router)
{
    struct run run = {.plant = plant, .trace = trace, .router = router};
    assert(plant->n_nodes <= MOST_NODES);
    run.nodes = tw_mem_zalloc(plant->n_nodes, sizeof *run.nodes);
    run.firsts = tw_mem_alloc(trace->n, sizeof *run.firsts);
    assert(run.nodes != NULL && run.firsts != NULL);
    for (uint32_t i = 0; i < plant->n_nodes; i++) {
        struct node *node = &run.nodes[i];
        enum tw_status status = tw_page_pool_create(plant->n_pages, &node->pool, NULL);
        assert(status == TW_OK);
        status = tw_prefix_tree_create(node->pool, 1, 7, &node->tree, NULL);
        assert(status == TW_OK);
        (void)status;
    }
    for (uint32_t i = 0; i < trace->n; i++) {
        while (step(&run, trace->requests[i].at_ns)) {
        }
        arrive(&run, i);
    }
    while (step(&run, INT64_MAX)) {
    }
    assert(run.n_firsts == trace->n);
    const struct plant_result result = result_of(&run);
    for (uint32_t i = 0; i < plant->n_nodes; i++) {
        assert(tw_prefix_tree_check(run.nodes[i].tree));
        tw_prefix_tree_free(run.nodes[i].tree);
        tw_page_pool_free(run.nodes[i].pool);
    }
    tw_mem_free(run.nodes);
    tw_mem_free(run.firsts);
    return result;
}
