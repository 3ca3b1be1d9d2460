#include "engine/softmax.h"

#include <math.h>

const struct tw_softmax *tw_softmax_of(enum tw_cpu_level level)
{
    return level >= TW_CPU_AVX512 ? &tw_softmax_avx512
           : level >= TW_CPU_AVX2 ? &tw_softmax_avx2
                                  : &tw_softmax_ref;
}

float tw_softmax_logprob(float logit, float max, double total)
{
    return (float)(((double)logit - (double)max) - log(total));
}
