#include "app/sampling_args.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"

/* Drawn seeds fit a double, so that every JSON reader gives them back unharmed. */
#define DRAWN_SEED_MASK ((1ull << 53) - 1)

#define ROW(field) offsetof(struct tw_sampling_args, field)

static const struct tw_option options[] = {
    {.name = "max-tokens",
     .kind = TW_OPTION_INT,
     .offset = ROW(max_tokens),
     .value_name = "N",
     .least = 1,
     .most = TW_LIMIT_MODEL_CONTEXT_TOKENS,
     .help = "Most tokens of an answer. Default: 512."},
    {.name = "temperature",
     .kind = TW_OPTION_DOUBLE,
     .offset = ROW(temperature),
     .value_name = "X",
     .least = 0,
     .most = 100,
     .help = "0 always takes the most likely token; 1 draws from the model's distribution; more "
             "flattens it. Default: 0 for run, 0.7 for chat."},
    {.name = "top-k",
     .kind = TW_OPTION_INT,
     .offset = ROW(top_k),
     .value_name = "N",
     .least = 0,
     .most = TW_LIMIT_VOCAB_TOKENS,
     .help = "Draw from the N most likely tokens only. Default: 0, off."},
    {.name = "top-p",
     .kind = TW_OPTION_DOUBLE,
     .offset = ROW(top_p),
     .value_name = "X",
     .least = 0,
     .most = 1,
     .help = "Draw from the most likely tokens that together have this share of the probability. "
             "Default: 1, off; 0.9 for chat."},
    {.name = "min-p",
     .kind = TW_OPTION_DOUBLE,
     .offset = ROW(min_p),
     .value_name = "X",
     .least = 0,
     .most = 1,
     .help = "Drop tokens with less than this share of the best one's probability. Default: 0, "
             "off."},
    {.name = "repeat-penalty",
     .kind = TW_OPTION_DOUBLE,
     .offset = ROW(repeat_penalty),
     .value_name = "X",
     .least = 0.01,
     .most = 100,
     .help = "Make tokens of prompt and answer less likely (more than 1). Default: 1, off."},
    {.name = "frequency-penalty",
     .kind = TW_OPTION_DOUBLE,
     .offset = ROW(frequency_penalty),
     .value_name = "X",
     .least = -100,
     .most = 100,
     .help = "Taken from a token's logit for each time it stands in the answer. Default: 0."},
    {.name = "presence-penalty",
     .kind = TW_OPTION_DOUBLE,
     .offset = ROW(presence_penalty),
     .value_name = "X",
     .least = -100,
     .most = 100,
     .help = "Taken once from the logit of a token that stands in the answer. Default: 0."},
    {.name = "repeat-last-n",
     .kind = TW_OPTION_INT,
     .offset = ROW(repeat_last_n),
     .value_name = "N",
     .least = 0,
     .most = TW_LIMIT_MODEL_CONTEXT_TOKENS,
     .help = "How many of the last tokens the penalties look at. Default: 0, all."},
    {.name = "logit-bias",
     .kind = TW_OPTION_STRINGS,
     .offset = ROW(logit_biases),
     .value_name = "ID=X",
     .help = "Add X to the logit of token ID; -100 bans it. May be given several times."},
    {.name = "seed",
     .kind = TW_OPTION_UINT64,
     .offset = ROW(seed),
     .value_name = "N",
     .help = "Makes random choices repeatable. Default: a new one each time."},
    {.name = "stop",
     .kind = TW_OPTION_STRINGS,
     .offset = ROW(stops),
     .value_name = "S",
     .help = "End the answer where this text would begin. May be given several times."},
    {.name = "ignore-eos",
     .kind = TW_OPTION_FLAG,
     .offset = ROW(ignore_eos),
     .help = "Do not end at the model's end token."},
};

const struct tw_option_group tw_sampling_args_group = {"Sampling", options,
                                                       sizeof options / sizeof options[0]};

struct tw_sampling_args tw_sampling_args_defaults(void)
{
    return (struct tw_sampling_args){
        .top_p = 1.0,
        .repeat_penalty = 1.0,
        .max_tokens = 512,
    };
}

void tw_sampling_args_free(struct tw_sampling_args *args)
{
    tw_option_strings_free(&args->logit_biases);
    tw_option_strings_free(&args->stops);
}

static enum tw_status read_bias(const char *text, struct tw_logit_bias *ret_bias,
                                struct tw_error *error)
{
    char *end;
    errno = 0;
    long token = strtol(text, &end, 10);
    bool is_right = end != text && *end == '=' && errno == 0 && token >= 0 &&
                    token < (long)TW_LIMIT_VOCAB_TOKENS;
    const char *number = end + 1;
    double bias = is_right ? strtod(number, &end) : 0.0;
    if (!is_right || end == number || *end != '\0' || !(bias >= -1e6 && bias <= 1e6)) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "--logit-bias '%.60s': it must be a token id, '=' and a number", text);
    }
    *ret_bias = (struct tw_logit_bias){(tw_token)token, (float)bias};
    return TW_OK;
}

/* Before a model is loaded for minutes, a stop string that cannot work should be told. */
static enum tw_status check_stops(const struct tw_bytes *stops, size_t n_stops,
                                  struct tw_error *error)
{
    struct tw_stop_matcher *matcher;
    enum tw_status status = tw_stop_matcher_create(stops, n_stops, &matcher, error);
    if (status == TW_OK) {
        tw_stop_matcher_free(matcher);
    }
    return status;
}

enum tw_status tw_sampling_args_generation(const struct tw_sampling_args *args,
                                           struct tw_sampling_arrays *arrays,
                                           struct tw_generation *ret_generation,
                                           struct tw_error *error)
{
    for (size_t i = 0; i < args->logit_biases.n_items; i++) {
        enum tw_status status = read_bias(args->logit_biases.items[i], &arrays->biases[i], error);
        if (status != TW_OK) {
            return status;
        }
    }
    for (size_t i = 0; i < args->stops.n_items; i++) {
        const char *text = args->stops.items[i];
        arrays->stops[i] = (struct tw_bytes){text, strlen(text)};
    }
    enum tw_status status = check_stops(arrays->stops, args->stops.n_items, error);
    if (status != TW_OK) {
        return status;
    }
    *ret_generation = (struct tw_generation){
        .sampling =
            {
                .temperature = args->temperature,
                .top_k = (uint32_t)args->top_k,
                .top_p = args->top_p,
                .min_p = args->min_p,
                .repetition_penalty = args->repeat_penalty,
                .frequency_penalty = args->frequency_penalty,
                .presence_penalty = args->presence_penalty,
                .repeat_last_n = (uint32_t)args->repeat_last_n,
                .seed =
                    args->seed.is_set ? args->seed.value : tw_rng_system_seed() & DRAWN_SEED_MASK,
                .biases = arrays->biases,
                .n_biases = args->logit_biases.n_items,
            },
        .rules =
            {
                .strings = arrays->stops,
                .n_strings = args->stops.n_items,
                .max_tokens = (uint64_t)args->max_tokens,
                .ignore_end_tokens = args->ignore_eos,
            },
    };
    return TW_OK;
}
