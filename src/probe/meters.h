/* meters.h: counters of energy that this machine has: processors and their memory, and cards.
 *
 *     /sys/class/powercap/intel-rapl:0        name package-0   -> "rapl package-0"
 *     /sys/class/powercap/intel-rapl:0:2      name dram        -> "rapl package-0 dram"
 *     libnvidia-ml.so.1, a card of each UUID                   -> "nvml GPU-1b2c..."
 *
 * The kernel's interface is the same for Intel and AMD. What would be counted twice is left out:
 * core and uncore are parts of a package, intel-rapl-mmio is the same package once more, and psys
 * has the packages in it. The card's library is opened where it is there, and never linked.
 *
 * Invariants: a counter only rises, until it is back at 0: beyond its range, or when the machine
 * (of a card: its driver) was started anew. Names are unique, and the same after a restart.
 * Ownership: the list is the caller's until tw_probe_meters_close. Threads: one at a time.
 * Errors: TW_ERR_UNSUPPORTED where nothing can be read, with each reason; TW_ERR_NOT_FOUND for a
 * library that was named and is not there; TW_ERR_IO for a counter that can no longer be read;
 * TW_ERR_LIMIT for more than TW_LIMIT_METERS; TW_ERR_MEMORY.
 */
#ifndef TW_PROBE_METERS_H
#define TW_PROBE_METERS_H

#include <stdint.h>

#include "base/limits.h"
#include "base/status.h"

#define TW_PROBE_POWERCAP "/sys/class/powercap"
#define TW_PROBE_BOOT_ID  "/proc/sys/kernel/random/boot_id"

struct tw_probe_meter {
    char name[TW_LIMIT_METER_NAME_BYTES];
    uint64_t range_uj; /* the largest it shows, then comes 0; 0: it has no such end */
};

struct tw_probe_meters;

/* powercap: a folder, NULL for the system's. nvml: a library, NULL for the system's if it is
 * there. */
enum tw_status tw_probe_meters_open(const char *powercap, const char *nvml,
                                    struct tw_probe_meters **ret_meters, struct tw_error *error);
/* NULL is allowed. */
void tw_probe_meters_close(struct tw_probe_meters *meters);

uint32_t tw_probe_meters_n(const struct tw_probe_meters *meters);
const struct tw_probe_meter *tw_probe_meters_at(const struct tw_probe_meters *meters, uint32_t i);
/* What it shows now, in microjoules. */
enum tw_status tw_probe_meters_read(const struct tw_probe_meters *meters, uint32_t i,
                                    uint64_t *ret_uj, struct tw_error *error);

/* Why a counter that is there is not among them, a sentence each. */
uint32_t tw_probe_meters_n_notes(const struct tw_probe_meters *meters);
const char *tw_probe_meters_note(const struct tw_probe_meters *meters, uint32_t i);

/* What is another text after each start of this machine. path: NULL for the system's. */
enum tw_status tw_probe_boot_id(const char *path, char ret_id[TW_LIMIT_METER_BOOT_BYTES],
                                struct tw_error *error);

#endif
