#include "base/suggest.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { SUGGEST_LENGTH = 64 };

/* Levenshtein's distance; words longer than SUGGEST_LENGTH are never alike. */
static size_t edit_distance(const char *a, const char *b)
{
    size_t n_a = strlen(a), n_b = strlen(b);
    if (n_a > SUGGEST_LENGTH || n_b > SUGGEST_LENGTH) {
        return SIZE_MAX;
    }
    size_t row[SUGGEST_LENGTH + 1];
    for (size_t j = 0; j <= n_b; j++) {
        row[j] = j;
    }
    for (size_t i = 1; i <= n_a; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n_b; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            best = row[j] + 1 < best ? row[j] + 1 : best;
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[n_b];
}

const char *tw_suggest_word(const char *word, const char *const *candidates)
{
    const char *best = NULL;
    size_t length = strlen(word);
    size_t best_distance = length < 3 ? 2 : length < 8 ? 3 : 4; /* exclusive */
    for (; *candidates != NULL; candidates++) {
        size_t distance = edit_distance(word, *candidates);
        /* "--max" for "--max-tokens": a beginning is a likely thought, too. */
        if (length >= 3 && strncmp(word, *candidates, length) == 0) {
            distance = 1;
        }
        if (distance < best_distance) {
            best_distance = distance;
            best = *candidates;
        }
    }
    return best;
}
