/* api_guesses.h: wrong keys, counted by the address they come from: guessing takes for ever.
 *
 * More than TW_LIMIT_API_FAILURES in a minute, and further ones are not even looked at. Those of
 * this machine are not counted: a proxy here speaks for everybody.
 *
 * Threads: any.
 */
#ifndef TW_API_API_GUESSES_H
#define TW_API_API_GUESSES_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

enum { TW_API_GUESS_SETS = 256, TW_API_GUESSES_A_SET = 4 };

struct tw_api_guesses {
    pthread_mutex_t lock;
    uint64_t seed; /* of the addresses' hashes */
    struct tw_api_guess {
        uint64_t peer; /* hash of the address */
        int64_t since_s;
        uint32_t n;
    } sets[TW_API_GUESS_SETS][TW_API_GUESSES_A_SET];
};

void tw_api_guesses_init(struct tw_api_guesses *guesses);
void tw_api_guesses_free(struct tw_api_guesses *guesses);

/* now_s: seconds on any clock that does not go back. */
bool tw_api_guesses_allow(struct tw_api_guesses *guesses, const char *peer, int64_t now_s);
/* One more wrong key. */
void tw_api_guesses_count(struct tw_api_guesses *guesses, const char *peer, int64_t now_s);

#endif
