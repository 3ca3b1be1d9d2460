/* What accounting costs, alone: requests that are reserved, settled and recorded, with a budget at
 * every level, durably, beside the disk's own time.
 *
 *     hub_rates FOLDER [REQUESTS]
 *
 * FOLDER is on the disk that is to be measured; books are made in it, and stay. Prints CSV:
 *   closed  as many at once as there are tickets, each asking again as soon as it is settled
 *   open    1,000 a second, evenly; what a request waits for its grant, and for its settlement
 */
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "hub/hub_admin.h"
#include "hub/ledger_check.h"

#define COUNT(values) (sizeof(values) / sizeof *(values))
#define TICKETS       512
#define KEYS          8
#define OPEN_RATE     1000
#define OPEN_REQUESTS 10000
#define SYNCS         400
#define SECOND_NS     INT64_C(1000000000)
#define DEFAULT_TOTAL 100000

struct run;

struct slot {
    struct run *run;
    struct tw_hub_ticket ticket;
    struct tw_hub_caller caller;
    int64_t asked_ns, ended_ns;
};

struct run {
    struct tw_hub *hub;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    size_t n_left, n_running; /* to begin; begun and not ended */
    size_t n_refused;
    struct slot *free_slots[TICKETS]; /* of the open loop */
    size_t n_free;
    int64_t *grant_ns, *settle_ns; /* [n_times] */
    size_t n_times;
};

static void die(const char *what)
{
    fprintf(stderr, "hub_rates: %s\n", what);
    exit(1);
}

static void must(enum tw_status status, const struct tw_error *error)
{
    if (status != TW_OK) {
        die(error->text);
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

static double at_ms(int64_t *times, size_t n, double share)
{
    qsort(times, n, sizeof *times, compare);
    return n > 0 ? (double)times[(size_t)((double)(n - 1) * share)] / 1e6 : 0;
}

/* ---- the disk ---- */

static double measure_sync_ms(const char *folder)
{
    char path[4096], block[4096] = {0};
    int64_t times[SYNCS];
    snprintf(path, sizeof path, "%s/sync-%d", folder, (int)getpid());
    const int file = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    if (file < 0) {
        die("the folder cannot be written");
    }
    for (size_t i = 0; i < SYNCS; i++) {
        const int64_t before_ns = tw_clock_monotonic_ns();
        if (pwrite(file, block, sizeof block, (off_t)(i * sizeof block)) < 0 ||
            fdatasync(file) != 0) {
            die("the disk cannot be measured");
        }
        times[i] = tw_clock_monotonic_ns() - before_ns;
    }
    close(file);
    unlink(path);
    return at_ms(times, SYNCS, 0.5);
}

/* ---- books with everything ---- */

static json_t *command(struct tw_hub *hub, const char *group, const char *verb, json_t *fields)
{
    static const struct tw_hub_actor actor = {.name = "hub_rates"};
    struct tw_error error;
    json_t *answer = NULL;
    must(tw_hub_ask(hub, &actor, tw_hub_make_command(group, verb, fields), &answer, &error),
         &error);
    return answer;
}

static void make_books(struct tw_hub *hub, char secrets[KEYS][TW_DIRECTORY_SECRET_BYTES])
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
    for (int k = 0; k < KEYS; k++) {
        char path[64];
        snprintf(path, sizeof path, "acme/research/chat/key%d", k);
        json_t *answer = command(hub, "key", "create", json_pack("{s:s}", "path", path));
        snprintf(secrets[k], TW_DIRECTORY_SECRET_BYTES, "%s",
                 json_string_value(json_object_get(answer, "secret")));
        json_decref(answer);
        json_decref(command(hub, "budget", "set",
                            json_pack("{s:s,s:s,s:s,s:s}", "path", path, "limit", "1000000000000",
                                      "unit", "tokens", "period", "day")));
    }
}

/* ---- requests ---- */

static void begin(struct slot *slot);

static void settled(void *context, struct tw_hub_ticket *ticket, enum tw_status status)
{
    struct slot *slot = context;
    struct run *run = slot->run;
    (void)ticket;
    slot->ended_ns = tw_clock_monotonic_ns();
    pthread_mutex_lock(&run->lock);
    run->n_refused += status != TW_OK;
    if (run->grant_ns != NULL) {
        run->settle_ns[run->n_times++] = slot->ended_ns - slot->asked_ns;
        run->free_slots[run->n_free++] = slot;
    }
    const bool goes_on = run->grant_ns == NULL && run->n_left > 0;
    run->n_left -= goes_on;
    run->n_running -= !goes_on;
    pthread_cond_signal(&run->wake);
    pthread_mutex_unlock(&run->lock);
    if (goes_on) {
        begin(slot);
    }
}

static void granted(void *context, struct tw_hub_ticket *ticket, enum tw_status status)
{
    struct slot *slot = context;
    if (status != TW_OK || ticket->refusal != TW_HUB_GRANTED) {
        die(ticket->reason);
    }
    const int64_t now_ns = tw_clock_monotonic_ns();
    if (slot->run->grant_ns != NULL) {
        slot->run->grant_ns[slot->run->n_times] = now_ns - slot->asked_ns;
    }
    const struct tw_hub_usage usage = {
        .n_prompt_tokens = 154, .n_cached_tokens = 64, .n_answer_tokens = 63, .finish = "stop"};
    slot->asked_ns = now_ns;
    tw_hub_settle(slot->run->hub, ticket, &usage, settled, slot);
}

static void begin(struct slot *slot)
{
    const struct tw_hub_request request = {.caller = slot->caller,
                                           .model = "qwen2.5-0.5b",
                                           .client_id = "chatcmpl-0123456789abcdef",
                                           .n_prompt_tokens = 154,
                                           .n_answers = 1,
                                           .max_answer_tokens = 63,
                                           .most_answer_tokens = 4096,
                                           .is_stream = true};
    slot->asked_ns = tw_clock_monotonic_ns();
    tw_hub_reserve(slot->run->hub, &slot->ticket, &request, granted, slot);
}

static void wait_for_end(struct run *run)
{
    pthread_mutex_lock(&run->lock);
    while (run->n_running > 0) {
        pthread_cond_wait(&run->wake, &run->lock);
    }
    pthread_mutex_unlock(&run->lock);
}

static long resident_kb(void)
{
    char line[128] = "";
    FILE *file = fopen("/proc/self/statm", "r");
    const char *second = file != NULL && fgets(line, sizeof line, file) ? strchr(line, ' ') : NULL;
    if (second == NULL) {
        die("no /proc/self/statm");
    }
    fclose(file);
    return strtol(second, NULL, 10) * (sysconf(_SC_PAGESIZE) / 1024);
}

static void run_closed(struct run *run, struct slot *slots, size_t n_total)
{
    const int64_t before_ns = tw_clock_monotonic_ns();
    run->n_left = n_total - TICKETS;
    run->n_running = TICKETS;
    for (size_t i = 0; i < TICKETS; i++) {
        begin(&slots[i]);
    }
    wait_for_end(run);
    const double seconds = (double)(tw_clock_monotonic_ns() - before_ns) / 1e9;
    printf("closed,requests_per_s,%.0f\nclosed,resident_kb,%ld\n", (double)n_total / seconds,
           resident_kb());
}

static void run_open(struct run *run, struct slot *slots)
{
    struct timespec until;
    run->grant_ns = tw_mem_zalloc(OPEN_REQUESTS, sizeof *run->grant_ns);
    run->settle_ns = tw_mem_zalloc(OPEN_REQUESTS, sizeof *run->settle_ns);
    for (size_t i = 0; i < TICKETS; i++) {
        run->free_slots[run->n_free++] = &slots[i];
    }
    const int64_t start_ns = tw_clock_monotonic_ns();
    for (size_t i = 0; i < OPEN_REQUESTS; i++) {
        const int64_t at_ns = start_ns + (int64_t)i * (SECOND_NS / OPEN_RATE);
        until = (struct timespec){.tv_sec = at_ns / SECOND_NS, .tv_nsec = at_ns % SECOND_NS};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
        pthread_mutex_lock(&run->lock);
        while (run->n_free == 0) {
            pthread_cond_wait(&run->wake, &run->lock);
        }
        struct slot *slot = run->free_slots[--run->n_free];
        run->n_running++;
        pthread_mutex_unlock(&run->lock);
        begin(slot);
    }
    wait_for_end(run);
    printf("open,grant_p50_ms,%.3f\nopen,grant_p99_ms,%.3f\n",
           at_ms(run->grant_ns, run->n_times, 0.5), at_ms(run->grant_ns, run->n_times, 0.99));
    printf("open,settle_p50_ms,%.3f\nopen,settle_p99_ms,%.3f\n",
           at_ms(run->settle_ns, run->n_times, 0.5), at_ms(run->settle_ns, run->n_times, 0.99));
    tw_mem_free(run->grant_ns);
    tw_mem_free(run->settle_ns);
}

int main(int argc, char **argv)
{
    static struct slot slots[TICKETS];
    static struct run run;
    char address[4096], secrets[KEYS][TW_DIRECTORY_SECRET_BYTES];
    struct tw_error error;
    const size_t n_total = argc > 2 ? strtoull(argv[2], NULL, 10) : DEFAULT_TOTAL;
    if (argc < 2 || n_total < TICKETS) {
        die("usage: hub_rates FOLDER [REQUESTS, at least 512]");
    }
    mkdir(argv[1], 0700);
    printf("measure,what,value\ndisk,fdatasync_p50_ms,%.3f\n", measure_sync_ms(argv[1]));
    snprintf(address, sizeof address, "%s/books-%d.db", argv[1], (int)getpid());
    const struct tw_hub_config config = {.address = address,
                                         .folder = argv[1],
                                         .build = "bench",
                                         .isa_level = "none",
                                         .now_ns = wall_ns};
    must(tw_hub_open(&config, &run.hub, &error), &error);
    make_books(run.hub, secrets);
    pthread_mutex_init(&run.lock, NULL);
    pthread_cond_init(&run.wake, NULL);
    for (size_t i = 0; i < TICKETS; i++) {
        slots[i].run = &run;
        if (tw_hub_authenticate(run.hub, secrets[i % KEYS], &slots[i].caller) != TW_HUB_KEY_GOOD) {
            die("a key that was just made is not good");
        }
    }
    run_closed(&run, slots, n_total);
    run_open(&run, slots);
    printf("disk,fdatasync_p50_after_ms,%.3f\n", measure_sync_ms(argv[1]));
    tw_hub_close(run.hub);

    struct tw_db *db = NULL;
    struct tw_ledger_summary summary;
    must(tw_db_open(address, TW_DB_READ, &db, &error), &error);
    must(tw_ledger_check(db, &summary, &error), &error);
    printf("books,balanced_requests,%" PRId64 "\n", summary.n_requests);
    tw_db_close(db);
    return run.n_refused > 0;
}
