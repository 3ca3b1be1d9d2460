/* hub_site.h: what programs that measure the hub share: books with a budget at every level, keys,
 * and the disk's own time. A failure ends the program with a sentence. */
#ifndef TW_BENCH_HUB_SITE_H
#define TW_BENCH_HUB_SITE_H

#include "hub/hub_admin.h"

enum { HUB_SITE_KEYS = 8, HUB_SITE_SECRET_BYTES = TW_DIRECTORY_SECRET_BYTES };

void hub_site_die(const char *what) __attribute__((noreturn));
void hub_site_must(enum tw_status status, const struct tw_error *error);

/* The keys of the hub lie in the folder of the file. */
struct tw_hub *hub_site_open(const char *address, void (*project)(void *, uint32_t, uint32_t, int),
                             void *context);
void hub_site_make(struct tw_hub *hub, char ret_keys[HUB_SITE_KEYS][HUB_SITE_SECRET_BYTES]);

/* The median of fdatasync behind 4 KB. */
double hub_site_sync_ms(const char *folder);
/* The time that a share of all times is below; sorts them. */
double hub_site_at_ms(int64_t *times_ns, size_t n, double share);

#endif
