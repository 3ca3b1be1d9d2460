/* catalogue.h: devices, models and engines that a plan may name, from tables of facts.
 *
 *     data/hardware.csv, data/models.csv, data/engines.csv (built in) + the user's own files
 *         -> facts.h -> struct tw_plan_device, tw_plan_model, tw_plan_engine
 *
 * Which fields a row may have is in docs/plan-catalogue.md; another one is refused. A file that
 * ends with .json is a model's config.json: the model is called as its folder. Money is not here:
 * prices are facts of their own tables.
 *
 * Invariants: every number is finite and in its bounds; a model's heads and layers add up.
 * Ownership: the catalogue owns everything it shows. Threads: any number read.
 * Errors: TW_ERR_NOT_FOUND for a name, with the nearest that exist; those of facts.h.
 */
#ifndef TW_PLAN_CATALOGUE_H
#define TW_PLAN_CATALOGUE_H

#include "plan/facts.h"
#include "plan/number_format.h"

/* A card, or the processor of one socket. Rates are peaks, dense. */
struct tw_plan_device {
    const char *name, *vendor;
    bool is_cpu;
    struct tw_range memory_bytes; /* what programs see, less than the name says */
    struct tw_range bandwidth_bytes_s;
    struct tw_range ops_s[TW_PLAN_N_RATES]; /* 2 per multiply-add; 0: it has none of this kind */
    /* Of ops_s, what large products keep up, where that was measured, against an H100, which is 1:
     * at full load some devices' clocks fall further below their peak's than others'. */
    struct tw_range sustained[TW_PLAN_N_RATES];
    struct tw_range power_w; /* of the device at full load (TDP) */
    struct tw_range idle_w;
    struct tw_range host_w;       /* this device's share of the rest of its server, at load */
    struct tw_range link_bytes_s; /* one direction, to the others of its domain */
    uint32_t n_linked;            /* devices that the fast link joins; beyond: the network */
    const char *source, *date;    /* of its bandwidth */
};

/* Dimensions are elements, per layer. What of a layer differs is counted in layers. */
struct tw_plan_model {
    const char *name;
    uint32_t n_layers, n_embed, n_heads, n_kv_heads, head_dim, n_ffn, n_vocab;
    uint32_t n_context_tokens;
    bool tied_head;
    /* Mixture: n_layers - n_dense_layers have it. n_experts 0: none. */
    uint32_t n_experts, n_experts_used, n_expert_ffn, n_shared_experts, n_dense_layers;
    /* Multi-head latent attention: what is kept of a token. 0: none. */
    uint32_t n_kv_latent, n_rope_latent, n_q_latent, n_value_dim;
    /* Layers that see the last n_window tokens only. */
    uint32_t n_window, n_window_layers;
    /* Layers with a state of fixed size instead of a cache (linear attention, SSM). */
    uint32_t n_state_layers;
    double state_bytes;         /* of one sequence, all such layers */
    double n_parameters;        /* all; as published, else from the dimensions */
    double n_active_parameters; /* of a token */
    const char *format;         /* that it is published in */
    double weights_bytes;       /* of the published files, where known, else 0 */
    const char *licence;        /* "" where not known */
    const char *source, *date;
};

/* What an engine takes of memory and time beyond the model's own arithmetic. */
struct tw_plan_engine {
    const char *name, *version; /* "vllm", "0.19" */
    bool is_ours;
    /* memory of one device */
    double memory_share;                  /* of the device that it may use */
    struct tw_range activation_bytes;     /* whatever the model */
    struct tw_range logit_bytes;          /* for each sequence at once x word of the vocabulary */
    struct tw_range other_bytes;          /* outside its own allocator, alone */
    struct tw_range other_parallel_bytes; /* the same with tensor parallelism */
    /* time */
    struct tw_range compute_share;   /* of a device's ops_s that large products reach */
    struct tw_range attention_share; /* of that again: what attention's products reach */
    struct tw_range bandwidth_share; /* of its bandwidth that reading weights and KV reaches */
    struct tw_range overlap;         /* of the shorter of the two that the longer one hides */
    struct tw_range step_s;          /* of every step: launches, scheduling, sampling */
    struct tw_range row_s;           /* of every sequence in a step */
    struct tw_range request_s;       /* of every request, before its first step: HTTP, tokenizer */
    struct tw_range reduce_s;        /* of a collective, whatever its size */
    struct tw_range link_share;      /* of the link that collectives reach */
    struct tw_range passes;          /* of a token's activations through memory, counted as 1 */
    struct tw_range layer_s;         /* of every layer: its kernels, where nothing takes longer */
    /* its scheduler, as it is set where nobody says otherwise */
    uint32_t step_tokens; /* most tokens of a step, decoded ones among them */
    uint32_t n_sequences; /* most in a step */
    uint32_t page_tokens;
    bool prefix_cache;
    const char *source, *date;
};

struct tw_catalogue;

/* files [n_files]: the user's own; which table a row is of is said by its file's first column
 * title: device, model or engine. Other titles are TW_ERR_FORMAT. */
enum tw_status tw_catalogue_open(const char *const *files, uint32_t n_files,
                                 struct tw_catalogue **ret_catalogue, struct tw_error *error);
/* NULL is allowed. */
void tw_catalogue_free(struct tw_catalogue *catalogue);

uint32_t tw_catalogue_n_devices(const struct tw_catalogue *catalogue);
uint32_t tw_catalogue_n_models(const struct tw_catalogue *catalogue);
uint32_t tw_catalogue_n_engines(const struct tw_catalogue *catalogue);
const struct tw_plan_device *tw_catalogue_device_at(const struct tw_catalogue *catalogue,
                                                    uint32_t i);
const struct tw_plan_model *tw_catalogue_model_at(const struct tw_catalogue *catalogue, uint32_t i);
const struct tw_plan_engine *tw_catalogue_engine_at(const struct tw_catalogue *catalogue,
                                                    uint32_t i);

/* By name, capitals alike. An engine is "vllm-0.19", or "vllm" for the newest row. */
enum tw_status tw_catalogue_device(const struct tw_catalogue *catalogue, const char *name,
                                   const struct tw_plan_device **ret_device,
                                   struct tw_error *error);
enum tw_status tw_catalogue_model(const struct tw_catalogue *catalogue, const char *name,
                                  const struct tw_plan_model **ret_model, struct tw_error *error);
enum tw_status tw_catalogue_engine(const struct tw_catalogue *catalogue, const char *name,
                                   const struct tw_plan_engine **ret_engine,
                                   struct tw_error *error);

/* The facts behind a table, for lists of sources: 0 devices, 1 models, 2 engines. */
enum tw_plan_table { TW_PLAN_DEVICES = 0, TW_PLAN_MODELS, TW_PLAN_ENGINES };
const struct tw_facts *tw_catalogue_facts(const struct tw_catalogue *catalogue,
                                          enum tw_plan_table table);

#endif
