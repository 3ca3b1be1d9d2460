/* progress.h: one line on standard error that says how far a long job is.
 *
 *     tw_progress_begin -> tw_progress_update ... -> tw_progress_end: the line is wiped
 *
 * It appears only where standard error is a terminal, and only for jobs that take longer than half
 * a second. Threads: the main thread only.
 */
#ifndef TW_APP_PROGRESS_H
#define TW_APP_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct tw_progress {
    const char *label; /* "loading" */
    bool is_enabled;
    bool is_shown;
    int64_t next_ns; /* not drawn again before this moment */
};

void tw_progress_begin(struct tw_progress *progress, const char *label);

/* The context is a struct tw_progress. */
void tw_progress_update(void *progress, uint64_t done, uint64_t total);
/* The same where it is asked whether to go on, which is so (tw_model_progress_fn). */
bool tw_progress_go_on(void *progress, uint64_t done, uint64_t total);

/* May be called more than once. */
void tw_progress_end(struct tw_progress *progress);

#endif
