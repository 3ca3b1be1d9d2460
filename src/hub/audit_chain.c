#include "hub/audit_chain.h"

#include <assert.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"

/* The three beginnings; none is the beginning of another. */
static const char genesis_prefix[] = "tokenworks-audit-genesis-1\n";
static const char record_prefix[] = "tokenworks-audit-record-1\n";
static const char checkpoint_prefix[] = "tokenworks-checkpoint-1\n";

enum { SIGNED_TEXT_BYTES = 384 };

bool tw_audit_hash_equal(const struct tw_audit_hash *a, const struct tw_audit_hash *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

bool tw_audit_log_name_is_valid(const char *name, size_t n_bytes)
{
    for (size_t i = 0; i < n_bytes; i++) {
        bool is_fine = (name[i] >= 'a' && name[i] <= 'z') || (name[i] >= '0' && name[i] <= '9') ||
                       name[i] == '-';
        if (!is_fine) {
            return false;
        }
    }
    return n_bytes >= 1 && n_bytes <= TW_LIMIT_AUDIT_LOG_BYTES;
}

void tw_audit_log_name_draw(char ret_name[33])
{
    unsigned char bytes[16];
    randombytes_buf(bytes, sizeof bytes);
    sodium_bin2hex(ret_name, 33, bytes, sizeof bytes);
}

static void add_integer(crypto_generichash_state *state, uint64_t value)
{
    unsigned char bytes[8];
    for (int i = 0; i < 8; i++) {
        bytes[i] = (unsigned char)(value >> 8 * i);
    }
    crypto_generichash_update(state, bytes, sizeof bytes);
}

static void add_text(crypto_generichash_state *state, const char *text, size_t n_bytes)
{
    add_integer(state, n_bytes);
    crypto_generichash_update(state, (const unsigned char *)text, n_bytes);
}

static void begin_hash(crypto_generichash_state *state, const char *prefix)
{
    crypto_generichash_init(state, NULL, 0, TW_AUDIT_HASH_BYTES);
    crypto_generichash_update(state, (const unsigned char *)prefix, strlen(prefix));
}

static struct tw_audit_hash end_hash(crypto_generichash_state *state)
{
    struct tw_audit_hash hash;
    crypto_generichash_final(state, hash.bytes, sizeof hash.bytes);
    return hash;
}

/* Every log begins here, so this is where libsodium chooses its fastest code. */
struct tw_audit_hash tw_audit_genesis(const char *log)
{
    crypto_generichash_state state;
    int is_ready = sodium_init();
    (void)is_ready;
    begin_hash(&state, genesis_prefix);
    add_text(&state, log, strlen(log));
    return end_hash(&state);
}

struct tw_audit_hash tw_audit_record_hash(const struct tw_audit_hash *before, const char *log,
                                          const struct tw_audit_record *record)
{
    crypto_generichash_state state;
    begin_hash(&state, record_prefix);
    crypto_generichash_update(&state, before->bytes, sizeof before->bytes);
    add_text(&state, log, strlen(log));
    add_integer(&state, (uint64_t)record->seq);
    add_integer(&state, (uint64_t)record->at_ns);
    add_text(&state, record->kind, record->kind_bytes);
    add_text(&state, record->body, record->body_bytes);
    return end_hash(&state);
}

/* What is signed; returns its length. A log's name has no newline (tw_audit_log_name_is_valid). */
static size_t write_signed(const struct tw_audit_checkpoint *checkpoint,
                           char ret_text[SIGNED_TEXT_BYTES])
{
    char hex[TW_AUDIT_HEX_BYTES + 1];
    sodium_bin2hex(hex, sizeof hex, checkpoint->hash.bytes, sizeof checkpoint->hash.bytes);
    int n = snprintf(ret_text, SIGNED_TEXT_BYTES,
                     "%s%s\n%" PRId64 "\n%" PRId64 "\n%" PRId64 "\n%s\n", checkpoint_prefix,
                     checkpoint->log, checkpoint->number, checkpoint->seq, checkpoint->at_ns, hex);
    assert(n > 0 && n < SIGNED_TEXT_BYTES);
    return (size_t)n;
}

void tw_audit_checkpoint_sign(struct tw_audit_checkpoint *checkpoint,
                              const struct tw_audit_key *key)
{
    char text[SIGNED_TEXT_BYTES];
    size_t n_bytes = write_signed(checkpoint, text);
    checkpoint->signature = tw_audit_key_sign(key, text, n_bytes);
}

bool tw_audit_checkpoint_verify(const struct tw_audit_checkpoint *checkpoint,
                                const struct tw_audit_public_key *key)
{
    char text[SIGNED_TEXT_BYTES];
    size_t n_bytes = write_signed(checkpoint, text);
    return tw_audit_public_key_verify(key, text, n_bytes, &checkpoint->signature);
}

bool tw_audit_checkpoint_write(const struct tw_audit_checkpoint *checkpoint, struct tw_buf *buf)
{
    char text[SIGNED_TEXT_BYTES];
    char hex[2 * TW_AUDIT_SIGNATURE_BYTES + 1];
    size_t n_bytes = write_signed(checkpoint, text);
    sodium_bin2hex(hex, sizeof hex, checkpoint->signature.bytes,
                   sizeof checkpoint->signature.bytes);
    tw_buf_append(buf, text, n_bytes);
    return tw_buf_append_format(buf, "%s\n", hex);
}

/* The lines of a text, each ended by a newline. */
struct line_walk {
    const char *text;
    size_t n_bytes;
    size_t at;
    int number; /* of the line given last, from 1 */
};

static bool next_line(struct line_walk *walk, const char **ret_line, size_t *ret_bytes)
{
    const char *line = walk->text + walk->at;
    const char *end =
        walk->at < walk->n_bytes ? memchr(line, '\n', walk->n_bytes - walk->at) : NULL;
    walk->number++;
    if (end == NULL) {
        return false;
    }
    *ret_line = line;
    *ret_bytes = (size_t)(end - line);
    walk->at += *ret_bytes + 1;
    return true;
}

static bool read_integer(struct line_walk *walk, int64_t *ret_value)
{
    const char *line;
    size_t n_bytes;
    int64_t value = 0;
    if (!next_line(walk, &line, &n_bytes) || n_bytes == 0) {
        return false;
    }
    for (size_t i = 0; i < n_bytes; i++) {
        if (line[i] < '0' || line[i] > '9' || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, line[i] - '0', &value)) {
            return false;
        }
    }
    *ret_value = value;
    return true;
}

static bool read_hex(struct line_walk *walk, unsigned char *ret_bytes, size_t wanted_bytes)
{
    const char *line;
    size_t n_bytes;
    size_t n_read;
    return next_line(walk, &line, &n_bytes) && n_bytes == 2 * wanted_bytes &&
           sodium_hex2bin(ret_bytes, wanted_bytes, line, n_bytes, NULL, &n_read, NULL) == 0 &&
           n_read == wanted_bytes;
}

static bool read_name(struct line_walk *walk, char *ret_name)
{
    const char *line;
    size_t n_bytes;
    if (!next_line(walk, &line, &n_bytes) || !tw_audit_log_name_is_valid(line, n_bytes)) {
        return false;
    }
    memcpy(ret_name, line, n_bytes);
    ret_name[n_bytes] = '\0';
    return true;
}

static bool read_prefix(struct line_walk *walk)
{
    const char *line;
    size_t n_bytes;
    return next_line(walk, &line, &n_bytes) && n_bytes == sizeof checkpoint_prefix - 2 &&
           memcmp(line, checkpoint_prefix, n_bytes) == 0;
}

/* Capitals and leading zeros were read, and show now. */
static bool is_what_is_written(const struct tw_audit_checkpoint *checkpoint, const char *text,
                               size_t n_bytes)
{
    struct tw_buf again;
    tw_buf_init(&again, TW_LIMIT_AUDIT_FILE_BYTES);
    bool is_same = tw_audit_checkpoint_write(checkpoint, &again) && again.size_bytes == n_bytes &&
                   memcmp(again.data, text, n_bytes) == 0;
    tw_buf_free(&again);
    return is_same;
}

enum tw_status tw_audit_checkpoint_parse(const char *text, size_t n_bytes, const char *name,
                                         struct tw_audit_checkpoint *ret_checkpoint,
                                         struct tw_error *error)
{
    struct tw_audit_checkpoint checkpoint = {.number = 0};
    struct line_walk walk = {.text = n_bytes != 0 ? text : "", .n_bytes = n_bytes};
    bool is_read = read_prefix(&walk) && read_name(&walk, checkpoint.log) &&
                   read_integer(&walk, &checkpoint.number) && checkpoint.number > 0 &&
                   read_integer(&walk, &checkpoint.seq) && checkpoint.seq > 0 &&
                   read_integer(&walk, &checkpoint.at_ns) &&
                   read_hex(&walk, checkpoint.hash.bytes, sizeof checkpoint.hash.bytes) &&
                   read_hex(&walk, checkpoint.signature.bytes, sizeof checkpoint.signature.bytes);
    if (!is_read) {
        return tw_error_set(error, TW_ERR_FORMAT, walk.at,
                            "'%s' is not a checkpoint of an audit log: line %d is not what "
                            "belongs there",
                            name, walk.number);
    }
    if (!is_what_is_written(&checkpoint, text, n_bytes)) {
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "'%s' was changed: a checkpoint has seven lines, numbers without zeros "
                            "before them, small hexadecimal digits, and no more",
                            name);
    }
    *ret_checkpoint = checkpoint;
    return TW_OK;
}

enum tw_status tw_audit_checkpoint_load(const char *path,
                                        struct tw_audit_checkpoint *ret_checkpoint,
                                        struct tw_error *error)
{
    struct tw_buf text;
    enum tw_status status = tw_file_load(path, TW_LIMIT_AUDIT_FILE_BYTES, &text, error);
    if (status != TW_OK) {
        return status;
    }
    status = tw_audit_checkpoint_parse(text.data, text.size_bytes, path, ret_checkpoint, error);
    tw_buf_free(&text);
    return status;
}
