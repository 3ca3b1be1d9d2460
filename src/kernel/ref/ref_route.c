/* Routing: the only form there is. */
#include "kernel/ref/ref.h"

/* Keeps the best so far in order: an insertion among n_used, which for most logits is one look. */
static void choose(const float *logits, uint32_t n_experts, uint32_t n_used, uint32_t *ret_experts)
{
    for (uint32_t i = 0; i < n_experts; i++) {
        uint32_t at = i < n_used ? i : n_used;
        while (at > 0 && logits[i] > logits[ret_experts[at - 1]]) {
            if (at < n_used) {
                ret_experts[at] = ret_experts[at - 1];
            }
            at--;
        }
        if (at < n_used) {
            ret_experts[at] = i;
        }
    }
}

static float share_of(float logit, float largest)
{
    return tw_ref_exp2((logit - largest) * TW_LOG2_E);
}

void tw_kernels_route(const float *logits, uint32_t n_experts, uint32_t n_used, bool is_normed,
                      uint32_t *ret_experts, float *ret_weights)
{
    choose(logits, n_experts, n_used, ret_experts);
    float largest = logits[ret_experts[0]];
    float sum = 0;
    for (uint32_t i = 0; i < n_used; i++) {
        ret_weights[i] = share_of(logits[ret_experts[i]], largest);
        sum = sum + ret_weights[i];
    }
    if (!is_normed) {
        sum = 0;
        for (uint32_t i = 0; i < n_experts; i++) {
            sum = sum + share_of(logits[i], largest);
        }
    }
    for (uint32_t i = 0; i < n_used; i++) {
        ret_weights[i] = ret_weights[i] / sum;
    }
}
