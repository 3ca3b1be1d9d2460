#include "remote/server_kind.h"

#include <string.h>

/* Places in `kinds`, as bits of a row. */
enum { OPENAI = 1, VLLM = 2, SGLANG = 4, LLAMA = 8, OURS = 16, ALL = 31, OPEN = ALL & ~OPENAI };

static const struct tw_server_kind kinds[] = {
    {"openai", TW_SERVER_ALL, false, false, false, true},
    {"vllm", TW_SERVER_ALL, true, true, true, true},
    {"sglang", TW_SERVER_ALL, true, true, true, true},
    /* Embeddings only when it is started for them, and pictures only with a projector. */
    {"llama.cpp", TW_SERVER_ALL & ~(TW_SERVER_EMBEDDINGS | TW_SERVER_IMAGES), false, false, false,
     false},
    {"tokenworks", TW_SERVER_ALL & ~TW_SERVER_IMAGES, true, false, true, true},
};

/* clang-format off */
static const struct {
    const char *name;
    unsigned kinds; /* that get it */
} members[] = {
    /* OpenAI's own. `model`, limits and usage are written by their own rules. */
    {"messages", ALL}, {"prompt", ALL}, {"input", ALL}, {"stream", ALL},
    {"n", ALL}, {"best_of", OPENAI | VLLM}, {"echo", ALL}, {"suffix", OPENAI | VLLM},
    {"temperature", ALL}, {"top_p", ALL}, {"seed", ALL}, {"stop", ALL},
    {"frequency_penalty", ALL}, {"presence_penalty", ALL}, {"logit_bias", ALL},
    {"logprobs", ALL}, {"top_logprobs", ALL},
    {"response_format", ALL},
    {"tools", ALL}, {"tool_choice", ALL}, {"parallel_tool_calls", ALL},
    {"functions", OPENAI}, {"function_call", OPENAI},
    {"reasoning_effort", ALL}, {"verbosity", OPENAI},
    {"encoding_format", ALL}, {"dimensions", ALL},
    /* Sampling. */
    {"top_k", OPEN}, {"min_p", OPEN}, {"repetition_penalty", VLLM | SGLANG | OURS},
    {"repeat_penalty", LLAMA}, {"repeat_last_n", LLAMA}, {"typical_p", LLAMA},
    {"top_n_sigma", LLAMA}, {"xtc_probability", LLAMA}, {"xtc_threshold", LLAMA},
    {"dynatemp_range", LLAMA}, {"dynatemp_exponent", LLAMA}, {"mirostat", LLAMA},
    {"mirostat_tau", LLAMA}, {"mirostat_eta", LLAMA}, {"dry_multiplier", LLAMA},
    {"dry_base", LLAMA}, {"dry_allowed_length", LLAMA}, {"dry_penalty_last_n", LLAMA},
    {"dry_sequence_breakers", LLAMA}, {"samplers", LLAMA}, {"n_keep", LLAMA},
    {"n_probs", LLAMA}, {"post_sampling_probs", LLAMA},
    {"length_penalty", VLLM}, {"use_beam_search", VLLM}, {"min_tokens", VLLM | SGLANG},
    {"ignore_eos", OPEN}, {"stop_token_ids", VLLM | SGLANG}, {"stop_regex", SGLANG},
    {"no_stop_trim", SGLANG}, {"include_stop_str_in_output", VLLM},
    {"allowed_token_ids", VLLM}, {"bad_words", VLLM},
    {"skip_special_tokens", VLLM | SGLANG}, {"spaces_between_special_tokens", VLLM | SGLANG},
    {"add_special_tokens", VLLM}, {"truncate_prompt_tokens", VLLM},
    {"prompt_logprobs", VLLM}, {"logprob_token_ids", VLLM},
    {"return_tokens_as_token_ids", VLLM}, {"return_token_ids", VLLM},
    /* Forms of answers. */
    {"structured_outputs", VLLM | OURS}, {"guided_json", VLLM | OURS},
    {"guided_regex", VLLM | OURS}, {"guided_choice", VLLM | OURS}, {"guided_grammar", VLLM},
    {"guided_decoding_backend", VLLM}, {"regex", SGLANG}, {"ebnf", SGLANG},
    {"json_schema", SGLANG | LLAMA | OURS}, {"grammar", LLAMA},
    /* Templates and thought; a template of the client's own is refused. */
    {"chat_template_kwargs", OPEN}, {"add_generation_prompt", OPEN},
    {"continue_final_message", OPEN}, {"documents", VLLM},
    {"thinking_token_budget", VLLM}, {"include_reasoning", VLLM},
    {"separate_reasoning", SGLANG}, {"stream_reasoning", SGLANG},
    {"reasoning_format", LLAMA}, {"thinking_budget_tokens", LLAMA}, {"parse_tool_calls", LLAMA},
};

static const struct {
    const char *name;
    uint32_t ability;
} abilities[] = {
    {"tools", TW_SERVER_TOOLS},       {"schemas", TW_SERVER_SCHEMAS},
    {"images", TW_SERVER_IMAGES},     {"logprobs", TW_SERVER_LOGPROBS},
    {"choices", TW_SERVER_CHOICES},   {"embeddings", TW_SERVER_EMBEDDINGS},
    {"answers", TW_SERVER_ANSWERS},
};
/* clang-format on */

/* Who asks, and what for; how the house keeps its books; whose turn it is; what is in which cache.
 * OpenAI's or others', and none changes the text. */
static const char *const kept[] = {"user",
                                   "metadata",
                                   "store",
                                   "service_tier",
                                   "safety_identifier",
                                   "prompt_cache_key",
                                   "prompt_cache_retention",
                                   "prompt_cache_options",
                                   "request_id",
                                   "session_id",
                                   "priority",
                                   "cache_prompt",
                                   "cache_salt",
                                   "extra_key"};

const struct tw_server_kind *tw_server_kind_named(const char *name)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(kinds[i].name, name) == 0) {
            return &kinds[i];
        }
    }
    return NULL;
}

const char *tw_server_kind_names(void)
{
    return "openai, vllm, sglang, llama.cpp, tokenworks";
}

enum tw_server_member tw_server_kind_member(const struct tw_server_kind *kind, const char *name)
{
    const unsigned bit = 1u << (kind - kinds);
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        if (strcmp(members[i].name, name) == 0) {
            return (members[i].kinds & bit) != 0 ? TW_MEMBER_PASSED : TW_MEMBER_UNKNOWN;
        }
    }
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) {
        if (strcmp(kept[i], name) == 0) {
            return TW_MEMBER_KEPT;
        }
    }
    return TW_MEMBER_UNKNOWN;
}

uint32_t tw_server_ability_named(const char *name)
{
    for (size_t i = 0; i < sizeof abilities / sizeof abilities[0]; i++) {
        if (strcmp(abilities[i].name, name) == 0) {
            return abilities[i].ability;
        }
    }
    return 0;
}

const char *tw_server_ability_name(uint32_t wanted)
{
    for (size_t i = 0; i < sizeof abilities / sizeof abilities[0]; i++) {
        if ((abilities[i].ability & wanted) != 0) {
            return abilities[i].name;
        }
    }
    return "nothing";
}
