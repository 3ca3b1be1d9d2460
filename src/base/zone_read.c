/* TZif files, RFC 8536. Everything is counted before it is read. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/zone_state.h"

enum { HEAD_BYTES = 44, TYPE_BYTES = 6, VERSION_AT = 4, COUNTS_AT = 20 };

struct counts {
    uint32_t n_ut, n_standard, n_leaps, n_transitions, n_types, n_name_bytes;
};

struct reader {
    const unsigned char *bytes; /* [n_bytes] */
    size_t n_bytes, at;
    const char *name;
    struct tw_error *error;
};

static enum tw_status bad(const struct reader *reader, const char *what)
{
    return tw_error_set(reader->error, TW_ERR_FORMAT, reader->at,
                        "time zone '%.*s', byte %zu: %s; install its file again (package tzdata)",
                        TW_LIMIT_ZONE_NAME_BYTES, reader->name, reader->at, what);
}

static uint32_t read_u32(const unsigned char *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* An instant of 4 or 8 bytes. */
static int64_t read_time(const unsigned char *bytes, size_t time_bytes)
{
    if (time_bytes == 4) {
        return (int32_t)read_u32(bytes);
    }
    return (int64_t)((uint64_t)read_u32(bytes) << 32 | read_u32(bytes + 4));
}

static enum tw_status read_head(struct reader *reader, char *ret_version, struct counts *ret_counts)
{
    const unsigned char *head = reader->bytes + reader->at;
    if (reader->n_bytes - reader->at < HEAD_BYTES || memcmp(head, "TZif", 4) != 0) {
        return bad(reader, "there should be the head of a TZif file");
    }
    const unsigned char *numbers = head + COUNTS_AT;
    *ret_version = (char)head[VERSION_AT];
    *ret_counts = (struct counts){
        .n_ut = read_u32(numbers),
        .n_standard = read_u32(numbers + 4),
        .n_leaps = read_u32(numbers + 8),
        .n_transitions = read_u32(numbers + 12),
        .n_types = read_u32(numbers + 16),
        .n_name_bytes = read_u32(numbers + 20),
    };
    reader->at += HEAD_BYTES;
    return TW_OK;
}

/* Of what follows a head. Each count has 32 bits, so the sum does not leave 64. */
static uint64_t body_bytes(const struct counts *counts, size_t time_bytes)
{
    return (uint64_t)counts->n_transitions * (time_bytes + 1) +
           (uint64_t)counts->n_types * TYPE_BYTES + counts->n_name_bytes +
           (uint64_t)counts->n_leaps * (time_bytes + 4) + counts->n_standard + counts->n_ut;
}

static enum tw_status check_counts(const struct reader *reader, const struct counts *counts,
                                   size_t time_bytes)
{
    if (body_bytes(counts, time_bytes) > reader->n_bytes - reader->at) {
        return bad(reader, "the file ends before what its head counts");
    }
    if (counts->n_leaps != 0) {
        return tw_error_set(reader->error, TW_ERR_UNSUPPORTED, TW_NO_POSITION,
                            "time zone '%.*s' counts leap seconds, which the system's clock does "
                            "not; take the zone without \"right/\"",
                            TW_LIMIT_ZONE_NAME_BYTES, reader->name);
    }
    if (counts->n_types == 0 || counts->n_types > ZONE_TYPES || counts->n_name_bytes == 0) {
        return bad(reader, "there must be 1 to 256 types of local time, with names");
    }
    if ((counts->n_ut != 0 && counts->n_ut != counts->n_types) ||
        (counts->n_standard != 0 && counts->n_standard != counts->n_types)) {
        return bad(reader, "indicators must be as many as types of local time");
    }
    if (counts->n_transitions > TW_LIMIT_ZONE_TRANSITIONS) {
        return tw_error_set(reader->error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "time zone '%.*s' has %u transitions; at most %d are read",
                            TW_LIMIT_ZONE_NAME_BYTES, reader->name, counts->n_transitions,
                            TW_LIMIT_ZONE_TRANSITIONS);
    }
    return TW_OK;
}

static enum tw_status read_transitions(struct reader *reader, const struct counts *counts,
                                       size_t time_bytes, struct tw_zone *zone)
{
    const size_t n = counts->n_transitions;
    const unsigned char *types = reader->bytes + reader->at + n * time_bytes;
    zone->at_s = tw_mem_alloc(n, sizeof *zone->at_s);
    zone->type = tw_mem_alloc(n, sizeof *zone->type);
    if (zone->at_s == NULL || zone->type == NULL) {
        return tw_error_set(reader->error, TW_ERR_MEMORY, TW_NO_POSITION,
                            "no memory for a time zone");
    }
    for (size_t i = 0; i < n; i++) {
        zone->at_s[i] = read_time(reader->bytes + reader->at, time_bytes);
        zone->type[i] = types[i];
        if (i > 0 && zone->at_s[i] <= zone->at_s[i - 1]) {
            return bad(reader, "transitions must come one after another");
        }
        if (types[i] >= counts->n_types) {
            return bad(reader, "a transition to a type of local time that is not there");
        }
        reader->at += time_bytes;
    }
    reader->at += n;
    zone->n_transitions = n;
    return TW_OK;
}

static enum tw_status read_types(struct reader *reader, const struct counts *counts,
                                 struct tw_zone *zone)
{
    for (uint32_t i = 0; i < counts->n_types; i++) {
        const unsigned char *type = reader->bytes + reader->at;
        const int32_t offset_s = (int32_t)read_u32(type);
        if (offset_s < ZONE_LEAST_OFFSET_S || offset_s > ZONE_MOST_OFFSET_S) {
            return bad(reader, "an offset from UTC beyond a day");
        }
        if (type[4] > 1 || type[5] >= counts->n_name_bytes) {
            return bad(reader, "a type of local time that makes no sense");
        }
        zone->offset_s[i] = offset_s;
        reader->at += TYPE_BYTES;
    }
    reader->at += counts->n_name_bytes;
    if (reader->bytes[reader->at - 1] != '\0') {
        return bad(reader, "the names of local times must end with a zero byte");
    }
    reader->at += counts->n_standard + counts->n_ut; /* say how a rule was written, once */
    return TW_OK;
}

/* A newline, a TZ string that may be empty, a newline. */
static enum tw_status read_footer(struct reader *reader, struct tw_zone *zone)
{
    char text[TW_LIMIT_ZONE_FOOTER_BYTES + 1];
    const size_t n = reader->n_bytes - reader->at;
    const char *footer = (const char *)reader->bytes + reader->at;
    if (n < 2 || footer[0] != '\n' || memchr(footer + 1, '\n', n - 1) != footer + n - 1 ||
        memchr(footer, '\0', n) != NULL) {
        return bad(reader, "there should be a line with the rule, and no more");
    }
    if (n - 2 > TW_LIMIT_ZONE_FOOTER_BYTES) {
        return bad(reader, "a rule that is too long");
    }
    memcpy(text, footer + 1, n - 2);
    text[n - 2] = '\0';
    if (text[0] != '\0' && !tw_zone_rule_parse(text, &zone->rule)) {
        return bad(reader, "a rule that is no TZ string of RFC 8536");
    }
    zone->has_rule = text[0] != '\0';
    return TW_OK;
}

/* Version 1 has instants of 32 bits and no footer. Later ones begin with a block in that form, for
 * old readers, and then have their own. */
static enum tw_status read_file(struct reader *reader, struct tw_zone *zone)
{
    char version, version_again;
    struct counts counts;
    size_t time_bytes = 4;
    enum tw_status status = read_head(reader, &version, &counts);
    if (status == TW_OK && version != '\0') {
        if (version < '2' || version > '4') {
            return tw_error_set(reader->error, TW_ERR_UNSUPPORTED, TW_NO_POSITION,
                                "time zone '%.*s' is written in a newer version of TZif than 4",
                                TW_LIMIT_ZONE_NAME_BYTES, reader->name);
        }
        const uint64_t n_skipped = body_bytes(&counts, time_bytes);
        if (n_skipped > reader->n_bytes - reader->at) {
            return bad(reader, "the file ends before what its head counts");
        }
        reader->at += (size_t)n_skipped;
        time_bytes = 8;
        status = read_head(reader, &version_again, &counts);
        if (status == TW_OK && version_again != version) {
            return bad(reader, "both heads must have one version");
        }
    }
    if (status == TW_OK) {
        status = check_counts(reader, &counts, time_bytes);
    }
    if (status == TW_OK) {
        status = read_transitions(reader, &counts, time_bytes, zone);
    }
    if (status == TW_OK) {
        status = read_types(reader, &counts, zone);
    }
    return status == TW_OK && version != '\0' ? read_footer(reader, zone) : status;
}

enum tw_status tw_zone_parse(const void *bytes, size_t n_bytes, const char *name,
                             struct tw_zone **ret_zone, struct tw_error *error)
{
    struct reader reader = {.bytes = bytes, .n_bytes = n_bytes, .name = name, .error = error};
    struct tw_zone *zone = tw_mem_zalloc(1, sizeof *zone);
    if (zone == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a time zone");
    }
    snprintf(zone->name, sizeof zone->name, "%s", name);
    enum tw_status status = read_file(&reader, zone);
    if (status != TW_OK) {
        tw_zone_free(zone);
        return status;
    }
    *ret_zone = zone;
    return TW_OK;
}
