/* Runs a fuzz target over every file of its corpus, and over damaged copies of each.
 *
 *     replay_gguf [--mutations N] FOLDER...
 *
 * The damage (cuts, flipped bits, overwritten numbers) is a function of the file and N alone, so a
 * failure here comes back every time. Each input is named before it runs: the last line printed is
 * the one that failed. An empty corpus is a failure, since such a test could never fail.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"
#include "fuzz_target.h"

enum { CORPUS_FILE_BYTES = 16 << 20 };

/* The input in a block of its own, so that a sanitizer sees the first byte read beyond it. */
static void run_exact(const char *bytes, size_t n_bytes)
{
    uint8_t *copy = tw_mem_alloc(n_bytes, 1);
    if (copy == NULL) {
        fprintf(stderr, "no memory\n");
        exit(1);
    }
    if (n_bytes != 0) {
        memcpy(copy, bytes, n_bytes);
    }
    LLVMFuzzerTestOneInput(copy, n_bytes);
    tw_mem_free(copy);
}

/* Numbers that break careless size arithmetic, as little-endian bytes of a length field. */
static const uint64_t nasty[] = {
    0, 1, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0xffffffff, 1ull << 61, ~0ull >> 1, ~31ull, ~0ull,
};

static size_t damage(char *bytes, size_t n_bytes, uint64_t number)
{
    uint32_t r[4];
    tw_rng_block(n_bytes, number, r);
    size_t place = r[0] % n_bytes;
    if (number % 3 == 0) {
        return place;
    }
    if (number % 3 == 1) {
        bytes[place] = (char)(bytes[place] ^ (1 << (r[1] & 7)));
        return n_bytes;
    }
    size_t width = (size_t)1 << (r[1] & 3);
    if (width > n_bytes - place) {
        width = n_bytes - place;
    }
    memcpy(bytes + place, &nasty[r[2] % (sizeof nasty / sizeof nasty[0])], width);
    return n_bytes;
}

static void run_damaged(const struct tw_buf *original, int n_mutations)
{
    char *bytes = tw_mem_alloc(original->size_bytes, 1);
    for (int i = 0; i < n_mutations && bytes != NULL && original->size_bytes != 0; i++) {
        memcpy(bytes, original->data, original->size_bytes);
        printf("  damage %d\n", i);
        fflush(stdout);
        size_t n_bytes = damage(bytes, original->size_bytes, (uint64_t)i);
        run_exact(bytes, n_bytes);
    }
    tw_mem_free(bytes);
}

static void run_file(const char *path, int n_mutations)
{
    struct tw_buf buf;
    struct tw_error error;
    printf("%s\n", path);
    fflush(stdout);
    if (tw_file_read(path, CORPUS_FILE_BYTES, &buf, &error) != TW_OK) {
        fprintf(stderr, "%s\n", error.text);
        exit(1);
    }
    run_exact(buf.data, buf.size_bytes);
    run_damaged(&buf, n_mutations);
    tw_buf_free(&buf);
}

static int run_folder(const char *folder, int n_mutations)
{
    struct dirent **entries;
    int n_entries = scandir(folder, &entries, NULL, alphasort);
    int n_files = 0;
    for (int i = 0; i < n_entries; i++) {
        char path[4096];
        if (entries[i]->d_name[0] != '.') {
            snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
            run_file(path, n_mutations);
            n_files++;
        }
        free(entries[i]);
    }
    if (n_entries >= 0) {
        free(entries);
    }
    return n_files;
}

int main(int argc, char **argv)
{
    int n_mutations = 0, n_files = 0, first = 1;
    if (argc > 3 && strcmp(argv[1], "--mutations") == 0) {
        n_mutations = (int)strtol(argv[2], NULL, 10);
        first = 3;
    }
    for (int i = first; i < argc; i++) {
        n_files += run_folder(argv[i], n_mutations);
    }
    printf("%d files replayed\n", n_files);
    return n_files > 0 ? 0 : 1;
}
