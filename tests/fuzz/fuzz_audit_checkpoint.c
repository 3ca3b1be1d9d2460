/* Any bytes as a checkpoint of an audit log that somebody kept, and as the public half of a key: a
 * reason, or what would be written. */
#include <assert.h>
#include <string.h>

#include "fuzz_target.h"
#include "hub/audit_chain.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    struct tw_audit_public_key key = {{0}};
    struct tw_audit_checkpoint checkpoint;
    struct tw_error error = {0};
    struct tw_buf again;
    if (tw_audit_public_key_parse(text, size, "key", &key, &error) != TW_OK) {
        assert(strncmp(error.text, "'key'", 5) == 0);
    }
    if (tw_audit_checkpoint_parse(text, size, "kept", &checkpoint, &error) != TW_OK) {
        assert(strncmp(error.text, "'kept'", 6) == 0);
        return 0;
    }
    assert(checkpoint.number > 0 && checkpoint.seq > 0);
    assert(tw_audit_log_name_is_valid(checkpoint.log, strlen(checkpoint.log)));
    assert(!tw_audit_checkpoint_verify(&checkpoint, &key));
    tw_buf_init(&again, TW_LIMIT_AUDIT_FILE_BYTES);
    bool is_written = tw_audit_checkpoint_write(&checkpoint, &again);
    assert(is_written && again.size_bytes == size && memcmp(again.data, text, size) == 0);
    tw_buf_free(&again);
    return 0;
}
