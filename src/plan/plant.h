/* plant.h: machines that serve one model: what they hold, and what fits.
 *
 *     device x (tensor parallel) x (pipeline stages) = replica;  replicas behind one router = plant
 *
 * Memory of a device (bytes):
 *     memory x memory_share = weights + activations + other + KV pool
 * The same identity as the engines' own; constants by engine and version (catalogue.h). KV bytes of
 * a token are exact: grouped heads 2 L H d, latent attention L (latent + rope) on every device,
 * window layers hold min(context, window) tokens; divided over tensor parallel devices as far as
 * there are heads.
 *
 * Invariants: sums are exact to the byte; more memory never fits less.
 * Ownership: a plant points into the catalogue. Threads: any.
 * Errors: TW_ERR_UNSUPPORTED with the term that does not fit or divide, and what would.
 */
#ifndef TW_PLAN_PLANT_H
#define TW_PLAN_PLANT_H

#include "plan/catalogue.h"

/* Which end of every range is taken. */
enum tw_plan_outlook { TW_PLAN_TYPICAL = 0, TW_PLAN_PESSIMISTIC, TW_PLAN_OPTIMISTIC };

struct tw_plant {
    const struct tw_plan_model *model;
    const struct tw_plan_device *device;
    const struct tw_plan_engine *engine;
    const struct tw_number_format *weights, *kv;
    uint32_t n_tensor;   /* devices that share each layer */
    uint32_t n_pipeline; /* stages of whole layers */
    uint32_t n_replicas;
    uint32_t n_context_tokens; /* the longest request; 0: a page */
    /* 0: as the engine's row has it */
    uint32_t step_tokens, n_sequences, page_tokens;
    bool no_prefix_cache;
    uint64_t n_kv_tokens; /* of a replica's pool, as its server says; 0: what the memory gives */
    enum tw_plan_outlook outlook;
};

/* Of one device, in bytes. Of pipeline stages the fullest. */
struct tw_plan_memory {
    double total_bytes, usable_bytes, weights_bytes, activation_bytes, other_bytes, kv_bytes;
    double kv_token_bytes;   /* of one token on one device */
    uint64_t n_kv_tokens;    /* that the pool of a replica holds; window layers not counted */
    double n_full_sequences; /* at n_context_tokens, whole pages, windows counted */
};

/* KV bytes of one token in all layers on one of n_tensor devices, without windows. */
double tw_plan_kv_token_bytes(const struct tw_plan_model *model, const struct tw_number_format *kv,
                              uint32_t n_tensor);
/* Of a whole sequence of n_tokens; with windows and states. */
double tw_plan_kv_sequence_bytes(const struct tw_plan_model *model,
                                 const struct tw_number_format *kv, uint32_t n_tensor,
                                 uint64_t n_tokens);
/* All weights in a format, matrices that engines keep in bf16 (embeddings, head, norms) in bf16. */
double tw_plan_weights_bytes(const struct tw_plan_model *model,
                             const struct tw_number_format *weights);

/* Weights and everything else; TW_ERR_UNSUPPORTED when not one sequence of n_context_tokens has
 * room, when heads do not divide, or when the device cannot compute. *ret_memory is filled in any
 * case but the latter two, with kv_bytes below 0 where weights alone are too much. */
enum tw_status tw_plan_fit(const struct tw_plant *plant, struct tw_plan_memory *ret_memory,
                           struct tw_error *error);

/* At the plant's outlook: what is good low or high. */
double tw_plan_low_is_bad(const struct tw_plant *plant, struct tw_range r);
double tw_plan_high_is_bad(const struct tw_plant *plant, struct tw_range r);

#endif
