/* Any bytes as a key file: tenants within the bounds they promise, or a reason. */
#include <assert.h>
#include <string.h>

#include "api/api_keys.h"
#include "fuzz_target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tw_api_keys *keys = NULL;
    struct tw_api_tenant tenant;
    struct tw_error error = {0};
    if (tw_api_keys_parse((const char *)data, size, "keys", &keys, &error) != TW_OK) {
        assert(strncmp(error.text, "'keys': ", 8) == 0);
        return 0;
    }
    size_t n = 0;
    for (; tw_api_keys_tenant(keys, n, &tenant); n++) {
        assert(tenant.number == n + 1);
        assert(tenant.weight >= 1 && tenant.weight <= TW_LIMIT_TENANT_WEIGHT);
        assert(tenant.priority_class <= TW_CLASS_IDLE);
    }
    assert(n >= 1 && n <= TW_LIMIT_API_KEYS);
    assert(tw_api_keys_check(keys, "nobody's key", "::1", 0, &tenant) == TW_API_KEY_BAD);
    tw_api_keys_free(keys);
    return 0;
}
