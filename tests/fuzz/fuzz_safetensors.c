/* Any bytes as a safetensors file: what opens fills the bytes behind the header exactly. */
#include <assert.h>
#include <string.h>

#include "fuzz_target.h"
#include "model/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tw_safetensors *file = NULL;
    struct tw_error error = {0};
    if (tw_safetensors_open_memory(data, size, "fuzz.safetensors", &file, &error) != TW_OK) {
        assert(strlen(error.text) > 0 && error.status != TW_ERR_MEMORY);
        return 0;
    }
    uint64_t header_bytes = 0;
    memcpy(&header_bytes, data, sizeof header_bytes);
    const uint8_t *at = data + 8 + header_bytes;
    for (size_t i = 0; i < tw_safetensors_count(file); i++) {
        const struct tw_tensor_view *view = tw_safetensors_tensor(file, i);
        size_t element_bytes = tw_dtype_traits(view->dtype)->block_bytes;
        assert(view->data == at && (uintptr_t)at % element_bytes == 0);
        assert(view->shape[0] * view->shape[1] * view->shape[2] * view->shape[3] * element_bytes ==
               view->size_bytes);
        assert(tw_safetensors_find(file, view->name) == view);
        at += view->size_bytes;
    }
    assert(at == data + size);
    tw_safetensors_close(file);
    return 0;
}
