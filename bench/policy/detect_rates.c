/* How fast detectors read: all that are built in together, over texts of several kinds.
 *
 *     detect_rates [MEGABYTES]
 *
 * Prints CSV: the kind of text, its size in MB, findings, and MB/s on one core: the best and the
 * median of ROUNDS, by the processor's time, since other jobs may have the cores. Beside them
 * stands what the machine needs to look at each byte once (memchr for a byte that is not there).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/rng.h"
#include "policy/builtin.h"

enum { ROUNDS = 7, DEFAULT_MB = 8 };

static const char *const prose[] = {
    "The contract was signed in Berlin and is to be renewed before the end of the year. ",
    "We have looked at the figures of the third quarter; revenue rose by 4.5% to 12,400 EUR. ",
    "Please summarise what was said, in three sentences, and leave out the names of the people. ",
    "Die Lieferung verzögert sich um etwa zwei Wochen, weil ein Teil fehlt. "};
static const char *const mixed[] = {
    "The contract was signed in Berlin on 12.03.2026 and is to be renewed within 24 months. ",
    "2026-11-28T02:35:17Z INFO request 8f14e45f took 12.5 ms, 200, 4711 bytes\n",
    "int main(void) { return f(x[3], 0x1f) + 42; }\n",
    "Order 2026-004711, 3 pieces at 19.99 EUR. ",
    "Write to anna@example.org or call +49 30 901820. ",
    "IBAN DE89 3704 0044 0532 0130 00. ",
    "{\"id\": 12345678, \"name\": \"Maier\", \"city\": \"Wien\", \"zip\": \"1010\"}\n",
    "Die Prüfung der Unterlagen ist bis Ende der Woche abgeschlossen, sagt die Abteilung. "};
static const char *const tables[] = {"12345;19.99;2026-11-28;4711;0;17;", "100 200 300 400 500\n",
                                     "0.123456 1.5e-3 99 ", "8812345678 12345678901 "};
static const char *const hostile[] = {"1 1-1.", "0 12 ",   "4111 1111 1111 111",
                                      "a@",     "+49(0)3", "00"};

struct kind {
    const char *name;
    const char *const *pieces;
    size_t n_pieces;
};

#define KIND(name)                                                                                 \
    {                                                                                              \
#name, name, sizeof name / sizeof name[0]                                                  \
    }

static const struct kind kinds[] = {KIND(prose), KIND(mixed), KIND(tables), KIND(hostile)};

static void fill(const struct kind *kind, char *text, size_t n_bytes)
{
    size_t n = 0;
    for (uint64_t i = 0; n < n_bytes; i++) {
        uint32_t words[4];
        tw_rng_block(3, i, words);
        const char *piece = kind->pieces[words[0] % kind->n_pieces];
        const size_t n_piece = strlen(piece), left = n_bytes - n;
        memcpy(text + n, piece, n_piece < left ? n_piece : left);
        n += n_piece < left ? n_piece : left;
    }
}

static void count(void *context, enum tw_builtin kind, size_t begin, size_t end)
{
    uint64_t *n = context;
    (void)kind;
    (void)begin;
    (void)end;
    ++*n;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int64_t cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static double rate(size_t n_bytes, int64_t since_ns)
{
    return (double)n_bytes * 1e3 / (double)(cpu_ns() - since_ns);
}

static void measure(const struct kind *kind, char *text, size_t n_bytes)
{
    double rates[ROUNDS], limit = 0;
    uint64_t n_found = 0;
    fill(kind, text, n_bytes);
    for (int i = 0; i < ROUNDS; i++) {
        n_found = 0;
        int64_t begin_ns = cpu_ns();
        tw_builtin_scan(text, n_bytes, TW_BUILTIN_ALL, count, &n_found);
        rates[i] = rate(n_bytes, begin_ns);
        begin_ns = cpu_ns();
        n_found += memchr(text, '\1', n_bytes) != NULL;
        const double once = rate(n_bytes, begin_ns);
        limit = once > limit ? once : limit;
    }
    qsort(rates, ROUNDS, sizeof rates[0], compare);
    printf("%s,%.1f,%llu,%.0f,%.0f,%.0f\n", kind->name, (double)n_bytes / 1e6,
           (unsigned long long)n_found, rates[ROUNDS - 1], rates[ROUNDS / 2], limit);
}

int main(int argc, char **argv)
{
    const long n_mb = argc > 1 ? strtol(argv[1], NULL, 10) : DEFAULT_MB;
    if (n_mb < 1 || n_mb > 1024) {
        fprintf(stderr, "detect_rates: give megabytes from 1 to 1024\n");
        return 2;
    }
    const size_t n_bytes = (size_t)n_mb * 1000000;
    char *text = tw_mem_alloc(n_bytes, 1);
    if (text == NULL) {
        fprintf(stderr, "detect_rates: no memory\n");
        return 8;
    }
    printf("text,mb,found,best_mb_per_s,median_mb_per_s,memchr_mb_per_s\n");
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        measure(&kinds[i], text, n_bytes);
    }
    tw_mem_free(text);
    return 0;
}
