/* What accounting costs, alone: requests that are reserved, settled and recorded, with a budget at
 * every level, durably, beside the disk's own time.
 *
 *     hub_rates FOLDER [REQUESTS [KEYS]]
 *
 * FOLDER is on the disk that is to be measured; books are made in it, and stay. Prints CSV:
 *   closed  as many at once as there are tickets, each asking again as soon as it is settled
 *   open    1,000 a second, evenly; what a request waits for its grant, and for its settlement
 *   among_keys  with so many keys more, each with a budget: what a request waits at most while
 *           nothing else happens, and while somebody lists or changes something
 */
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
#include "hub/ledger_check.h"
#include "hub_site.h"

#define TICKETS       512
#define OPEN_RATE     1000
#define OPEN_REQUESTS 10000
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
        hub_site_die(ticket->reason);
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
        hub_site_die("no /proc/self/statm");
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
        const int64_t at_ns = start_ns + (int64_t)i * (TW_SECOND_NS / OPEN_RATE);
        until = (struct timespec){.tv_sec = at_ns / TW_SECOND_NS, .tv_nsec = at_ns % TW_SECOND_NS};
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
           hub_site_at_ms(run->grant_ns, run->n_times, 0.5),
           hub_site_at_ms(run->grant_ns, run->n_times, 0.99));
    printf("open,settle_p50_ms,%.3f\nopen,settle_p99_ms,%.3f\n",
           hub_site_at_ms(run->settle_ns, run->n_times, 0.5),
           hub_site_at_ms(run->settle_ns, run->n_times, 0.99));
    tw_mem_free(run->grant_ns);
    tw_mem_free(run->settle_ns);
}

/* ---- among many keys ---- */

static void add_keys(const char *address, int n_keys)
{
    struct tw_db *db = NULL;
    struct tw_error error;
    char sql[2048];
    hub_site_must(tw_db_open(address, TW_DB_WRITE, &db, &error), &error);
    snprintf(
        sql, sizeof sql,
        "CREATE TEMP TABLE n AS WITH RECURSIVE t(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM t"
        " WHERE i < %d) SELECT i, i * 3 + (SELECT next_id FROM books) AS id FROM t;"
        "INSERT INTO holder (id, kind, parent, name, created_ns) SELECT n.id, 'key', p.id,"
        " 'more' || n.i, 1 FROM n, holder p WHERE p.kind = 'project';"
        "INSERT INTO secret (id, holder, person, shown, hash, created_ns) SELECT id + 1, id, 0,"
        " 'tw-...', randomblob(32), 1 FROM n;"
        "INSERT INTO budget (id, holder, name, unit, limit_value, is_hard, period, zone,"
        " rolls_over, since_entry, created_ns) SELECT id + 2, id, 'main', 'tokens', 1000000, 1,"
        " 'month', 'UTC', 0, 1, 1 FROM n;"
        "UPDATE books SET next_id = next_id + 4 + 3 * %d, writer = 0",
        n_keys, n_keys);
    hub_site_must(tw_db_execute(db, sql, &error), &error);
    tw_db_close(db);
}

/* One request behind the other, until told to stop; what the slowest grant took. */
struct pacer {
    struct tw_hub *hub;
    struct tw_hub_caller caller;
    atomic_bool stops;
    atomic_int n_done;
    int64_t slowest_ns;
};

static void count_done(void *context, struct tw_hub_ticket *ticket, enum tw_status status)
{
    struct pacer *pacer = context;
    if (status != TW_OK || ticket->refusal != TW_HUB_GRANTED) {
        hub_site_die(ticket->reason);
    }
    pacer->n_done++;
}

static void wait_until(const struct pacer *pacer, int n_done)
{
    static const struct timespec moment = {.tv_nsec = 20000};
    while (pacer->n_done < n_done) {
        nanosleep(&moment, NULL);
    }
}

static void *pace(void *context)
{
    struct pacer *pacer = context;
    const struct tw_hub_request request = {.caller = pacer->caller,
                                           .model = "qwen2.5-0.5b",
                                           .client_id = "chatcmpl-0123456789abcdef",
                                           .n_prompt_tokens = 10,
                                           .n_answers = 1,
                                           .max_answer_tokens = 10,
                                           .most_answer_tokens = 10};
    const struct tw_hub_usage usage = {.n_prompt_tokens = 10, .finish = "stop"};
    while (!pacer->stops) {
        struct tw_hub_ticket ticket;
        const int64_t before_ns = tw_clock_monotonic_ns();
        pacer->n_done = 0;
        tw_hub_reserve(pacer->hub, &ticket, &request, count_done, pacer);
        wait_until(pacer, 1);
        const int64_t took_ns = tw_clock_monotonic_ns() - before_ns;
        pacer->slowest_ns = took_ns > pacer->slowest_ns ? took_ns : pacer->slowest_ns;
        tw_hub_settle(pacer->hub, &ticket, &usage, count_done, pacer);
        wait_until(pacer, 2);
    }
    return NULL;
}

/* What such a command costs requests, and itself takes, at most. */
static void measure(struct pacer *pacer, const char *group, const char *verb, const char *fields)
{
    enum { TIMES = 20 };
    static const struct timespec pause = {.tv_nsec = 20000000};
    static const struct tw_hub_actor actor = {.name = "hub_rates"};
    struct tw_error error;
    pthread_t thread;
    int64_t slowest_ns = 0;
    pacer->stops = false;
    pacer->slowest_ns = 0;
    pthread_create(&thread, NULL, pace, pacer);
    for (int i = 0; i < TIMES; i++) {
        const int64_t before_ns = tw_clock_monotonic_ns();
        if (group != NULL) {
            json_t *answer = NULL;
            json_t *command = tw_hub_make_command(group, verb, json_loads(fields, 0, NULL));
            hub_site_must(tw_hub_ask(pacer->hub, &actor, command, &answer, &error), &error);
            json_decref(answer);
        }
        const int64_t took_ns = tw_clock_monotonic_ns() - before_ns;
        slowest_ns = took_ns > slowest_ns ? took_ns : slowest_ns;
        nanosleep(&pause, NULL);
    }
    pacer->stops = true;
    pthread_join(thread, NULL);
    printf("among_keys,grant_max_ms_beside_%s_%s,%.3f\namong_keys,%s_%s_max_ms,%.3f\n",
           group != NULL ? group : "nothing", verb, (double)pacer->slowest_ns / 1e6,
           group != NULL ? group : "nothing", verb, (double)slowest_ns / 1e6);
}

static void run_among_keys(const char *address, const char *secret, int n_keys)
{
    static struct pacer pacer;
    add_keys(address, n_keys);
    pacer.hub = hub_site_open(address, NULL, NULL);
    if (tw_hub_authenticate(pacer.hub, secret, &pacer.caller) != TW_HUB_KEY_GOOD) {
        hub_site_die("a key that was just made is not good");
    }
    measure(&pacer, NULL, "", "");
    measure(&pacer, "key", "list", "{}");
    measure(&pacer, "budget", "list", "{}");
    measure(&pacer, "key", "set", "{\"path\": \"acme/research/chat/key1\", \"rpm\": 100000}");
    tw_hub_close(pacer.hub);
}

int main(int argc, char **argv)
{
    static struct slot slots[TICKETS];
    static struct run run;
    char address[4096], secrets[HUB_SITE_KEYS][HUB_SITE_SECRET_BYTES];
    struct tw_error error;
    const size_t n_total = argc > 2 ? strtoull(argv[2], NULL, 10) : DEFAULT_TOTAL;
    const int n_keys = argc > 3 ? (int)strtol(argv[3], NULL, 10) : 0;
    if (argc < 2 || n_total < TICKETS) {
        hub_site_die("usage: hub_rates FOLDER [REQUESTS, at least 512 [KEYS]]");
    }
    mkdir(argv[1], 0700);
    printf("measure,what,value\ndisk,fdatasync_p50_ms,%.3f\n", hub_site_sync_ms(argv[1]));
    snprintf(address, sizeof address, "%s/books-%d.db", argv[1], (int)getpid());
    run.hub = hub_site_open(address, NULL, NULL);
    hub_site_make(run.hub, secrets);
    pthread_mutex_init(&run.lock, NULL);
    pthread_cond_init(&run.wake, NULL);
    for (size_t i = 0; i < TICKETS; i++) {
        slots[i].run = &run;
        if (tw_hub_authenticate(run.hub, secrets[i % HUB_SITE_KEYS], &slots[i].caller) !=
            TW_HUB_KEY_GOOD) {
            hub_site_die("a key that was just made is not good");
        }
    }
    run_closed(&run, slots, n_total);
    run_open(&run, slots);
    printf("disk,fdatasync_p50_after_ms,%.3f\n", hub_site_sync_ms(argv[1]));
    tw_hub_close(run.hub);
    if (n_keys > 0) {
        run_among_keys(address, secrets[0], n_keys);
    }

    struct tw_db *db = NULL;
    struct tw_ledger_summary summary;
    hub_site_must(tw_db_open(address, TW_DB_READ, &db, &error), &error);
    hub_site_must(tw_ledger_check(db, &summary, &error), &error);
    printf("books,balanced_requests,%" PRId64 "\n", summary.n_requests);
    tw_db_close(db);
    return run.n_refused > 0;
}
