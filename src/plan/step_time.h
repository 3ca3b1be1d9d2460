/* step_time.h: how long one step of an engine takes on a plant's replica: rooflines of its kernels.
 *
 *     t = step + rows x row + layers x layer + collectives
 *         + join(products, weights)      matrix products: arithmetic, and reading weights
 *         + max(attention of one token, cache) + attention of further tokens
 *                                        reading keys and values, and arithmetic with them
 *         + activations                  norms, gates, rotations, quantising: memory alone
 *     join(c, m) = (c^p + m^p)^(1/p), p = 1 / (1 - overlap), at most 50: of what kernels do partly
 *         at once; the sum at overlap 0, the longer one at 1
 *     c = operations / (ops_s x sustained x compute_share);  m = bytes / (bandwidth x
 *         bandwidth_share)
 *
 * operations: 2 per active weight and token, and 4 per head, dimension, token and position it sees;
 * bytes: weights that the step's tokens touch (of experts: those that at least one token is
 * expected to choose, if choices are even), the KV cache read, and a token's activations: between
 * products every layer writes and reads them, which takes as long as a good part of the products
 * where a model is narrow or its arithmetic is fast (step_time.c counts them). All of one device:
 * tensor parallelism divides them, and adds two all-reduces a layer: 2 (n - 1) / n of the tokens'
 * states through each link, and a fixed time. A step passes through all pipeline stages one after
 * another; so many steps are under way at once (simulator.h).
 *
 * Pure arithmetic in doubles; the result is whole nanoseconds, so that sums have no order.
 *
 * Invariants: more tokens, longer contexts, less bandwidth never make a step faster.
 * Threads: any. Errors: none but tw_plan_fit's.
 */
#ifndef TW_PLAN_STEP_TIME_H
#define TW_PLAN_STEP_TIME_H

#include "plan/plant.h"

/* What a step computes. Sums over its rows. */
struct tw_step_work {
    uint64_t n_tokens;       /* that pass through the layers */
    uint64_t n_rows;         /* sequences */
    uint64_t n_results;      /* rows whose next token is sampled */
    double n_context_tokens; /* read from KV caches: sum over rows of their positions */
    double n_window_tokens;  /* the same, of each row at most the model's window */
    double n_attended;       /* pairs of token and position: sum over tokens of what they see */
};

/* The plant's numbers, multiplied out once. Seconds per unit at the rates that are reached. */
struct tw_step_cost {
    double fixed_s; /* step and layers */
    double overlap;
    double row_s;          /* a sequence */
    double request_s;      /* a request, before its first step */
    double token_s;        /* arithmetic of a token's products */
    double activation_s;   /* a token's activations through memory */
    double attended_s;     /* arithmetic of a pair of token and position */
    double result_s;       /* of the head, for a token that is sampled */
    double weights_s;      /* reading what every step reads */
    double experts_s;      /* reading all experts */
    double expert_share;   /* of the experts that one token takes */
    double context_read_s; /* reading a context token's keys and values */
    double context_s;      /* the same, or its arithmetic with one token if that takes longer */
    double window_s;       /* reading it in layers with a window */
    double n_window;       /* tokens; 0: none */
    double reduce_s;       /* of a step's collectives, whatever their size */
    double reduce_token_s;
    double idle_w, busy_w; /* of all devices of the replica at the wall; hosts included */
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

/* Steps of the same rows, which differ in the sum n of their contexts alone (n_context_tokens and
 * n_attended): fixed_s + token_s n is tw_step_parts' total to the last bit, and
 * compute_s + compute_token_s n its compute_s. */
struct tw_step_line {
    double fixed_s, token_s, compute_s, compute_token_s;
};
struct tw_step_line tw_step_line_of(const struct tw_step_cost *cost,
                                    const struct tw_step_work *work);

/* A step of n_sequences that decode at n_context_tokens each, and of a prompt of n_tokens alone. */
double tw_step_decode_s(const struct tw_step_cost *cost, uint32_t n_sequences,
                        double n_context_tokens);
double tw_step_prefill_s(const struct tw_step_cost *cost, uint32_t n_tokens);

#endif
