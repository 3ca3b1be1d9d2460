/* route_nodes.h: nodes that compute in virtual time, with caches as sched keeps them.
 *
 * A node computes one prompt after another, at a speed, without what its prefix tree has; answers
 * go on beside that. Pages are bounded: what nobody uses is evicted, and where nothing is left to
 * evict the next prompt waits for an answer to end. A page of the tree is a block of the trace.
 */
#ifndef TW_TEST_ROUTE_NODES_H
#define TW_TEST_ROUTE_NODES_H

#include "route/router.h"
#include "sched/prefix_tree.h"

enum { MOST_NODES = 8, MOST_QUEUED = 4096, MOST_RUNNING = 1024 };

struct trace_request {
    int64_t at_ns;
    uint32_t n_prompt_tokens, n_answer_tokens, n_blocks;
    const int32_t *blocks; /* [n_blocks] */
};

struct trace {
    struct trace_request *requests; /* [n] */
    int32_t *blocks;
    uint32_t n;
    uint32_t block_tokens;
};

/* Conversations that grow turn by turn, with one beginning for all. Made of the seed alone. */
struct trace trace_make(uint64_t seed, uint32_t n_conversations);
/* A file of JSON lines, {"timestamp": ms, "input_length", "output_length", "hash_ids"}; n is 0
 * where there is none. */
struct trace trace_load(const char *path);
void trace_free(struct trace *trace);

struct plant {
    uint32_t n_nodes, n_pages;         /* pages of each */
    int64_t token_ns, answer_token_ns; /* to compute one of a prompt, to give one of an answer */
};

struct plant_result {
    uint64_t n_prompt_tokens, n_hit_tokens;
    double most_requests, most_work; /* of a node, beside the mean of all */
    double mean_first_s, p90_first_s;
};

/* router NULL: in turns. Its table has the nodes 0, 1, ... in that order, with a model "m". */
struct plant_result plant_run(const struct plant *plant, const struct trace *trace,
                              struct tw_router *router);

#endif
