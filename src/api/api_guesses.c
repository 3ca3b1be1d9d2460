#include "api/api_guesses.h"

#include <string.h>

#include "base/hash.h"
#include "base/limits.h"
#include "base/rng.h"

void tw_api_guesses_init(struct tw_api_guesses *guesses)
{
    memset(guesses->sets, 0, sizeof guesses->sets);
    pthread_mutex_init(&guesses->lock, NULL);
    guesses->seed = tw_rng_system_seed();
}

void tw_api_guesses_free(struct tw_api_guesses *guesses)
{
    pthread_mutex_destroy(&guesses->lock);
}

/* The peer's row, or the one that it may take: of its set, the one with the fewest failures. */
static struct tw_api_guess *row_of(struct tw_api_guesses *guesses, uint64_t peer, int64_t now_s)
{
    struct tw_api_guess *set = guesses->sets[peer % TW_API_GUESS_SETS], *fewest = &set[0];
    for (size_t i = 0; i < TW_API_GUESSES_A_SET; i++) {
        if (now_s - set[i].since_s >= TW_LIMIT_API_GUESSES_S) {
            set[i] = (struct tw_api_guess){.n = 0};
        }
        if (set[i].peer == peer) {
            return &set[i];
        }
        if (set[i].n < fewest->n) {
            fewest = &set[i];
        }
    }
    return fewest;
}

/* Through a proxy on this machine everybody comes from here: one would lock out all. */
static bool is_proxy_or_here(const char *peer)
{
    return strcmp(peer, "127.0.0.1") == 0 || strcmp(peer, "::1") == 0;
}

bool tw_api_guesses_allow(struct tw_api_guesses *guesses, const char *peer, int64_t now_s)
{
    const uint64_t hash = tw_hash_of(peer, strlen(peer), guesses->seed);
    pthread_mutex_lock(&guesses->lock);
    const struct tw_api_guess *row = row_of(guesses, hash, now_s);
    const bool may = row->peer != hash || row->n < TW_LIMIT_API_FAILURES;
    pthread_mutex_unlock(&guesses->lock);
    return may;
}

void tw_api_guesses_count(struct tw_api_guesses *guesses, const char *peer, int64_t now_s)
{
    const uint64_t hash = tw_hash_of(peer, strlen(peer), guesses->seed);
    if (is_proxy_or_here(peer)) {
        return;
    }
    pthread_mutex_lock(&guesses->lock);
    struct tw_api_guess *row = row_of(guesses, hash, now_s);
    if (row->peer != hash) {
        *row = (struct tw_api_guess){.peer = hash, .since_s = now_s};
    }
    row->n++;
    pthread_mutex_unlock(&guesses->lock);
}
