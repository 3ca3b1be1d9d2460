#include "fuzz_target.h"

#include "plan/catalogue_state.h"
#include "plan/plant.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    struct tw_plan_model model;
    struct tw_error error;
    if (tw_plan_model_read_config("m", (const char *)data, n_bytes, &model, &error) == TW_OK) {
        const struct tw_number_format *format = tw_number_format_at(0);
        if (!(tw_plan_weights_bytes(&model, format) > 0) ||
            !(tw_plan_kv_sequence_bytes(&model, format, 1, 1000) >= 0)) {
            __builtin_trap();
        }
    }
    return 0;
}
