/* step_time.h: how long one step of an engine takes on a plant's replica: a roofline.
 *
 *     t = step + rows x row
 *         + max(operations / (ops_s x compute_share), bytes / (bandwidth x bandwidth_share))
 *         + collectives (2 a layer with tensor parallel; 1 a stage boundary with pipeline)
 *
 * operations: 2 per active weight and token, attention beside; bytes: weights that the step's tokens
 * touch (of experts: those that at least one token is expected to choose), and the KV cache read.
 * Pure arithmetic in doubles; the result is whole nanoseconds, so that sums have no order.
 *
 * Invariants: more tokens, longer contexts, less bandwidth never make a step faster.
 * Threads: any. Errors: none.
 */
#ifndef TW_PLAN_STEP_TIME_H
#define TW_PLAN_STEP_TIME_H

#include "plan/plant.h"

/* What a step computes. Sums over its rows. */
struct tw_step_work {
    uint64_t n_tokens;       /* that pass through the layers */
    uint64_t n_rows;         /* sequences */
    uint64_t n_results;      /* rows whose next token is sampled */
    double n_context_tokens; /* read from KV caches: each row's positions before its last token */
    double n_attended;       /* pairs of token and position: sum over tokens of what they see */
};

/* The plant's numbers, multiplied out once. */
struct tw_step_cost {
    double step_s, row_s, request_s;
    double ops_token, ops_attended, ops_result; /* operations */
    double ops_s;                               /* reached */
    double weights_bytes;                       /* read whatever the batch */
    double experts_bytes;                       /* of all experts */
    double expert_share;                        /* that one token takes */
    double context_bytes;                       /* of a context token */
    double bytes_s;                             /* reached */
    double floor_s;                             /* of all layers' launches */
    double collective_s, collective_token_s;    /* of a step, and of a token in it */
    uint32_t n_pipeline;
    uint32_t n_window;              /* tokens; 0: none */
    double window_share;            /* of the layers */
    double idle_w, power_w, host_w; /* of the replica */
};

enum tw_status tw_step_cost_make(const struct tw_plant *plant, struct tw_step_cost *ret_cost,
                                 struct tw_error *error);

struct tw_step_parts {
    double fixed_s, compute_s, memory_s, link_s; /* as if each were alone */
    double total_s;
};
struct tw_step_parts tw_step_parts(const struct tw_step_cost *cost,
                                   const struct tw_step_work *work);
uint64_t tw_step_ns(const struct tw_step_cost *cost, const struct tw_step_work *work);

/* A step of n_sequences that decode at n_context_tokens each, and of a prompt of n_tokens alone. */
double tw_step_decode_s(const struct tw_step_cost *cost, uint32_t n_sequences,
                        double n_context_tokens);
double tw_step_prefill_s(const struct tw_step_cost *cost, uint32_t n_tokens);

#endif
