/* meter_log.h: energy from readings of counters, as a file has them (docs/formats/meters.md).
 *
 *     time,boot,meter,energy_uj,range_uj
 *     2026-11-28T10:00:00.000Z,6f1c...,rapl package-0,1827364512,262143328850
 *
 *     rows of one time = a reading;   two readings in a row = a span with its energy, or a gap
 *
 * What lies between two readings is known where the same counters are in both, the machine was not
 * started anew in between, and no counter can have begun again twice: one that ends at range_uj is
 * believed for as long as TW_LIMIT_METER_WATTS need to fill it. Everything else is a gap: what was
 * used in it is not guessed. Where a counter shows less than before, it has begun again once (with
 * a range), or its driver was started anew (without one: a gap).
 *
 * Counters whose name begins with "wall" measure the whole machine: beside them no others count.
 *
 * Invariants:
 * 1. Spans ascend and do not overlap; each has a length above 0 and a finite energy of 0 or more.
 * 2. joules is the sum over the spans.
 *
 * Ownership: the caller's, until the free function. Threads: any number read.
 * Errors: TW_ERR_FORMAT with file and line, and what to write instead; TW_ERR_LIMIT, TW_ERR_MEMORY.
 */
#ifndef TW_PLAN_METER_LOG_H
#define TW_PLAN_METER_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/status.h"

#define TW_METER_LOG_TITLES "time,boot,meter,energy_uj,range_uj"

/* [from_ns, to_ns), since 1970 in UTC. */
struct tw_meter_span {
    int64_t from_ns, to_ns;
    double joules;
};

struct tw_meter_sum {
    char name[TW_LIMIT_METER_NAME_BYTES];
    double joules;
};

struct tw_meter_log {
    struct tw_meter_span *spans; /* [n_spans] */
    size_t n_spans;
    struct tw_meter_sum meters[TW_LIMIT_METERS]; /* that count; what each gave, over all spans */
    uint32_t n_meters;
    uint64_t n_readings, n_wraps;
    /* Gaps, by what they are of: a restart, too long a time, other counters, a clock set back. */
    uint64_t n_restarts, n_pauses, n_changes, n_set_back;
    double joules;
    int64_t covered_ns;
    bool is_wall;
};

/* text [text_bytes] is read once; file names it in messages. A last line without a newline was not
 * written to its end, and is passed over. */
enum tw_status tw_meter_log_read(const char *file, const char *text, size_t text_bytes,
                                 struct tw_meter_log **ret_log, struct tw_error *error);
enum tw_status tw_meter_log_load(const char *path, struct tw_meter_log **ret_log,
                                 struct tw_error *error);
/* NULL is allowed. */
void tw_meter_log_free(struct tw_meter_log *log);

/* For how long a counter of a range is believed between two readings; INT64_MAX for one without. */
int64_t tw_meter_log_trust_ns(uint64_t range_uj);

/* When all of several machines are covered, and what they took together in that time. */
struct tw_meter_cover {
    struct tw_meter_span *spans; /* [n_spans] */
    size_t n_spans;
    double joules;
    int64_t covered_ns;
};
/* logs [n_logs], within [from_ns, to_ns). Of a span that is cut the energy is cut likewise. */
enum tw_status tw_meter_log_cover(struct tw_meter_log *const *logs, size_t n_logs, int64_t from_ns,
                                  int64_t to_ns, struct tw_meter_cover *ret_cover,
                                  struct tw_error *error);
bool tw_meter_log_covers(const struct tw_meter_cover *cover, int64_t at_ns);
void tw_meter_log_cover_free(struct tw_meter_cover *cover);

#endif
