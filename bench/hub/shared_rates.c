/* What several hubs on one PostgreSQL account for together: streams that are reserved, covered
 * once, settled and recorded, with a budget at every level that all of them share.
 *
 *     shared_rates FOLDER postgres://... HUBS [SECONDS [TICKETS]]
 *
 * FOLDER gets the keys of new books; the database is to be empty. Each hub has a thread, a
 * connection and so many streams at once. Prints CSV: what all hubs together did in a second, and
 * what a stream waited for its grant.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "hub_site.h"

enum { MOST_HUBS = 8, MOST_TICKETS = 1024, MOST_TIMES = 1 << 20, ANSWER_TOKENS = 63 };

struct site {
    struct tw_hub *hub;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stops;
    size_t n_running, n_done;
    int64_t *grant_ns; /* [n_done], up to MOST_TIMES */
};

struct slot {
    struct site *site;
    struct tw_hub_ticket ticket;
    struct tw_hub_caller caller;
    int64_t asked_ns, waited_ns;
};

static int64_t wall_ns(void *context)
{
    (void)context;
    return tw_clock_wall_ns();
}

static void begin(struct slot *slot);

static void must(enum tw_status status, const struct tw_hub_ticket *ticket)
{
    if (status != TW_OK || ticket->refusal != TW_HUB_GRANTED) {
        hub_site_die(ticket->reason[0] != '\0' ? ticket->reason : "it cannot be put on record");
    }
}

static void settled(void *context, struct tw_hub_ticket *ticket, enum tw_status status)
{
    struct slot *slot = context;
    struct site *site = slot->site;
    must(status, ticket);
    pthread_mutex_lock(&site->lock);
    if (site->n_done < MOST_TIMES) {
        site->grant_ns[site->n_done] = slot->waited_ns;
    }
    site->n_done++;
    const bool goes_on = !site->stops;
    site->n_running -= !goes_on;
    pthread_cond_signal(&site->wake);
    pthread_mutex_unlock(&site->lock);
    if (goes_on) {
        begin(slot);
    }
}

static void covered(void *context, struct tw_hub_ticket *ticket, enum tw_status status)
{
    struct slot *slot = context;
    const struct tw_hub_usage usage = {.n_prompt_tokens = 154,
                                       .n_cached_tokens = 64,
                                       .n_answer_tokens = ANSWER_TOKENS,
                                       .finish = "stop"};
    must(status, ticket);
    tw_hub_settle(slot->site->hub, ticket, &usage, settled, slot);
}

static void granted(void *context, struct tw_hub_ticket *ticket, enum tw_status status)
{
    struct slot *slot = context;
    must(status, ticket);
    slot->waited_ns = tw_clock_monotonic_ns() - slot->asked_ns;
    tw_hub_cover(slot->site->hub, ticket, ANSWER_TOKENS, covered, slot);
}

static void begin(struct slot *slot)
{
    const struct tw_hub_request request = {.caller = slot->caller,
                                           .model = "qwen2.5-0.5b",
                                           .client_id = "chatcmpl-0123456789abcdef",
                                           .n_prompt_tokens = 154,
                                           .n_answers = 1,
                                           .max_answer_tokens = ANSWER_TOKENS,
                                           .most_answer_tokens = 4096,
                                           .is_stream = true};
    slot->asked_ns = tw_clock_monotonic_ns();
    tw_hub_reserve(slot->site->hub, &slot->ticket, &request, granted, slot);
}

static void open_site(struct site *site, const char *folder, const char *address)
{
    struct tw_error error;
    const struct tw_hub_config config = {.address = address,
                                         .folder = folder,
                                         .build = "bench",
                                         .isa_level = "none",
                                         .now_ns = wall_ns};
    hub_site_must(tw_hub_open(&config, &site->hub, &error), &error);
    pthread_mutex_init(&site->lock, NULL);
    pthread_cond_init(&site->wake, NULL);
    site->grant_ns = tw_mem_zalloc(MOST_TIMES, sizeof *site->grant_ns);
    if (site->grant_ns == NULL) {
        hub_site_die("no memory");
    }
}

static void stop_site(struct site *site)
{
    pthread_mutex_lock(&site->lock);
    while (site->n_running > 0) {
        pthread_cond_wait(&site->wake, &site->lock);
    }
    pthread_mutex_unlock(&site->lock);
}

static void say_stop(struct site *site)
{
    pthread_mutex_lock(&site->lock);
    site->stops = true;
    pthread_mutex_unlock(&site->lock);
}

int main(int argc, char **argv)
{
    static struct slot slots[MOST_HUBS][MOST_TICKETS];
    static struct site sites[MOST_HUBS];
    static char secrets[HUB_SITE_KEYS][HUB_SITE_SECRET_BYTES];
    const long n_hubs = argc > 3 ? strtol(argv[3], NULL, 10) : 0;
    const long seconds = argc > 4 ? strtol(argv[4], NULL, 10) : 10;
    const long n_tickets = argc > 5 ? strtol(argv[5], NULL, 10) : 64;
    if (n_hubs < 1 || n_hubs > MOST_HUBS || n_tickets < 1 || n_tickets > MOST_TICKETS) {
        hub_site_die("usage: shared_rates FOLDER postgres://... HUBS, 1 to 8 [SECONDS [TICKETS, "
                     "at most 1024]]");
    }
    mkdir(argv[1], 0700);
    for (long i = 0; i < n_hubs; i++) {
        open_site(&sites[i], argv[1], argv[2]);
        if (i == 0) {
            hub_site_make(sites[i].hub, secrets);
        }
    }
    const int64_t before_ns = tw_clock_monotonic_ns();
    for (long i = 0; i < n_hubs; i++) {
        sites[i].n_running = (size_t)n_tickets;
        for (long k = 0; k < n_tickets; k++) {
            struct slot *slot = &slots[i][k];
            slot->site = &sites[i];
            if (tw_hub_authenticate(sites[i].hub, secrets[k % HUB_SITE_KEYS], &slot->caller) !=
                TW_HUB_KEY_GOOD) {
                hub_site_die("a key that was just made is not good");
            }
            begin(slot);
        }
    }
    nanosleep(&(struct timespec){.tv_sec = seconds}, NULL);
    for (long i = 0; i < n_hubs; i++) {
        say_stop(&sites[i]);
    }
    size_t n_done = 0;
    for (long i = 0; i < n_hubs; i++) {
        stop_site(&sites[i]);
        n_done += sites[i].n_done;
    }
    printf("hubs,streams_per_s,grant_p50_ms,grant_p99_ms\n%ld,%.0f,%.1f,%.1f\n", n_hubs,
           (double)n_done / ((double)(tw_clock_monotonic_ns() - before_ns) / 1e9),
           hub_site_at_ms(sites[0].grant_ns, sites[0].n_done, 0.5),
           hub_site_at_ms(sites[0].grant_ns, sites[0].n_done, 0.99));
    for (long i = 0; i < n_hubs; i++) {
        tw_hub_close(sites[i].hub);
        tw_mem_free(sites[i].grant_ns);
    }
    return 0;
}
