#include "hub_site.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

#define COUNT(values) (sizeof(values) / sizeof *(values))
#define SYNCS         400

void hub_site_die(const char *what)
{
    fprintf(stderr, "%s\n", what);
    exit(1);
}

void hub_site_must(enum tw_status status, const struct tw_error *error)
{
    if (status != TW_OK) {
        hub_site_die(error->text);
    }
}

static int64_t wall_ns(void *context)
{
    (void)context;
    return tw_clock_wall_ns();
}

static int compare(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

double hub_site_at_ms(int64_t *times, size_t n, double share)
{
    qsort(times, n, sizeof *times, compare);
    return n > 0 ? (double)times[(size_t)((double)(n - 1) * share)] / 1e6 : 0;
}

/* ---- the disk ---- */

double hub_site_sync_ms(const char *folder)
{
    char path[4096], block[4096] = {0};
    int64_t times[SYNCS];
    snprintf(path, sizeof path, "%s/sync-%d", folder, (int)getpid());
    const int file = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    if (file < 0) {
        hub_site_die("the folder cannot be written");
    }
    for (size_t i = 0; i < SYNCS; i++) {
        const int64_t before_ns = tw_clock_monotonic_ns();
        if (pwrite(file, block, sizeof block, (off_t)(i * sizeof block)) < 0 ||
            fdatasync(file) != 0) {
            hub_site_die("the disk cannot be measured");
        }
        times[i] = tw_clock_monotonic_ns() - before_ns;
    }
    close(file);
    unlink(path);
    return hub_site_at_ms(times, SYNCS, 0.5);
}

/* ---- books with everything ---- */

struct tw_hub *hub_site_open(const char *address, void (*project)(void *, uint32_t, uint32_t, int),
                             void *context)
{
    struct tw_hub *hub = NULL;
    struct tw_error error;
    const struct tw_hub_config config = {.address = address,
                                         .build = "bench",
                                         .isa_level = "none",
                                         .now_ns = wall_ns,
                                         .project = project,
                                         .project_context = context};
    hub_site_must(tw_hub_open(&config, &hub, &error), &error);
    return hub;
}

static json_t *command(struct tw_hub *hub, const char *group, const char *verb, json_t *fields)
{
    static const struct tw_hub_actor actor = {.name = "hub_rates"};
    struct tw_error error;
    json_t *answer = NULL;
    hub_site_must(
        tw_hub_ask(hub, &actor, tw_hub_make_command(group, verb, fields), &answer, &error), &error);
    return answer;
}

void hub_site_make(struct tw_hub *hub, char ret_keys[HUB_SITE_KEYS][HUB_SITE_SECRET_BYTES])
{
    static const char *const levels[] = {"acme", "acme/research", "acme/research/chat"};
    static const char *const groups[] = {"org", "team", "project"};
    for (size_t i = 0; i < COUNT(levels); i++) {
        json_decref(command(hub, groups[i], "create", json_pack("{s:s}", "path", levels[i])));
        json_decref(command(hub, "budget", "set",
                            json_pack("{s:s,s:s,s:s,s:s}", "path", levels[i], "limit", "1000000000",
                                      "unit", "money", "period", "month")));
    }
    json_decref(command(hub, "price", "set",
                        json_pack("{s:s,s:s,s:s,s:s}", "model", "*", "input", "0.15", "cached",
                                  "0.03", "output", "0.6")));
    for (int k = 0; k < HUB_SITE_KEYS; k++) {
        char path[64];
        snprintf(path, sizeof path, "acme/research/chat/key%d", k);
        json_t *answer = command(hub, "key", "create", json_pack("{s:s}", "path", path));
        snprintf(ret_keys[k], TW_DIRECTORY_SECRET_BYTES, "%s",
                 json_string_value(json_object_get(answer, "secret")));
        json_decref(answer);
        json_decref(command(hub, "budget", "set",
                            json_pack("{s:s,s:s,s:s,s:s}", "path", path, "limit", "1000000000000",
                                      "unit", "tokens", "period", "day")));
    }
}
