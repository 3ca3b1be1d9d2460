#include "app/progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

#define FIRST_AFTER_NS 500000000
#define REDRAW_NS      100000000

void tw_progress_begin(struct tw_progress *progress, const char *label)
{
    const char *term = getenv("TERM");
    *progress = (struct tw_progress){
        .label = label,
        .is_enabled = isatty(STDERR_FILENO) && term != NULL && strcmp(term, "dumb") != 0,
        .next_ns = tw_clock_monotonic_ns() + FIRST_AFTER_NS,
    };
}

void tw_progress_update(void *context, uint64_t done, uint64_t total)
{
    struct tw_progress *progress = context;
    int64_t now_ns = progress->is_enabled ? tw_clock_monotonic_ns() : 0;
    if (!progress->is_enabled || now_ns < progress->next_ns) {
        return;
    }
    progress->next_ns = now_ns + REDRAW_NS;
    progress->is_shown = true;
    double percent = total > 0 ? 100.0 * (double)done / (double)total : 100.0;
    fprintf(stderr, "\r%s %3.0f%%\033[K", progress->label, percent);
    fflush(stderr);
}

bool tw_progress_go_on(void *context, uint64_t done, uint64_t total)
{
    tw_progress_update(context, done, total);
    return true;
}

void tw_progress_end(struct tw_progress *progress)
{
    if (progress->is_shown) {
        fputs("\r\033[K", stderr);
        fflush(stderr);
    }
    progress->is_enabled = false;
    progress->is_shown = false;
}
