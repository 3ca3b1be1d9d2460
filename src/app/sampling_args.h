/* sampling_args.h: the options that say how tokens are chosen: shared by run and chat. What they
 * mean exactly is in engine/sampler.h and, for users, in docs/sampling.md. */
#ifndef TW_APP_SAMPLING_ARGS_H
#define TW_APP_SAMPLING_ARGS_H

#include "app/options.h"
#include "engine/engine.h"

struct tw_sampling_args {
    double temperature, top_p, min_p;
    int64_t top_k;
    double repeat_penalty, frequency_penalty, presence_penalty;
    int64_t repeat_last_n;
    struct tw_option_strings logit_biases; /* "ID=X" */
    struct tw_option_uint64 seed;
    int64_t max_tokens;
    struct tw_option_strings stops;
    bool ignore_eos;
};

extern const struct tw_option_group tw_sampling_args_group;

/* Temperature 0 and everything else off. */
struct tw_sampling_args tw_sampling_args_defaults(void);
void tw_sampling_args_free(struct tw_sampling_args *args);

/* What the options come to. The arrays are the caller's; the result points into them and into
 * args. Without --seed a seed is drawn from the system. */
struct tw_sampling_arrays {
    struct tw_logit_bias biases[TW_LIMIT_OPTION_REPEATS];
    struct tw_bytes stops[TW_LIMIT_OPTION_REPEATS];
};

enum tw_status tw_sampling_args_generation(const struct tw_sampling_args *args,
                                           struct tw_sampling_arrays *arrays,
                                           struct tw_generation *ret_generation,
                                           struct tw_error *error);

#endif
