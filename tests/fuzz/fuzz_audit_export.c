/* Any bytes as an export of an audit log: a verdict, with a place and a sentence where it is bad;
 * what is good reads back, line by line, as it was. */
#include <assert.h>
#include <string.h>

#include "fuzz_target.h"
#include "hub/audit_export.h"
#include "hub/audit_verify.h"

/* Of the key that signed the corpus: the bytes 0 to 31. */
static const struct tw_audit_public_key key = {{0x03, 0xa1, 0x07, 0xbf, 0xf3, 0xce, 0x10, 0xbe,
                                                0x1d, 0x70, 0xdd, 0x18, 0xe7, 0x4b, 0xc0, 0x99,
                                                0x67, 0xe4, 0xd6, 0x30, 0x9b, 0xa5, 0x0d, 0x5f,
                                                0x1d, 0xdc, 0x86, 0x64, 0x12, 0x55, 0x31, 0xb8}};

/* Whether all of it are lines of an export; each of those is written as it was read. */
static bool read_lines(const char *text, size_t n_bytes)
{
    bool is_all = true;
    size_t at = 0;
    while (at < n_bytes) {
        const char *end = memchr(text + at, '\n', n_bytes - at);
        size_t line_bytes = end != NULL ? (size_t)(end - text) - at : n_bytes - at;
        struct tw_audit_line line;
        struct tw_error error = {0};
        if (tw_audit_line_parse(text + at, line_bytes, &line, &error) == TW_OK) {
            struct tw_buf again;
            tw_buf_init(&again, TW_LIMIT_AUDIT_LINE_BYTES);
            bool is_written = tw_audit_line_write(&line, &again);
            assert(is_written && again.size_bytes == line_bytes + 1);
            assert(memcmp(again.data, text + at, line_bytes) == 0);
            tw_buf_free(&again);
            tw_audit_line_free(&line);
        } else {
            assert(error.text[0] != '\0');
            is_all = false;
        }
        at += line_bytes + 1;
    }
    return is_all;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    struct tw_audit_verify_options options = {.key = &key};
    struct tw_audit_report report = {0};
    struct tw_error error;
    enum tw_status status = tw_audit_verify_text(text, size, &options, &report, &error);
    assert(status == TW_OK);
    (void)status;
    bool is_all = read_lines(text, size);
    if (report.fault != TW_AUDIT_FAULT_NONE) {
        assert(report.text[0] != '\0' && report.line > 0 && report.since_seq <= report.seq);
        return 0;
    }
    assert(is_all && report.text[0] == '\0');
    assert(report.n_records == report.last_seq - report.first_seq + 1);
    assert(report.n_unsigned >= 0 && report.n_unsigned <= report.n_records);
    return 0;
}
