#include "train_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

void trained_init(struct trained *trained, const char *text, size_t n_tokens)
{
    struct tw_word_counts *counts = NULL;
    memset(trained, 0, sizeof *trained);
    tw_arena_init(&trained->arena, (size_t)64 << 20);
    assert_int_equal(
        tw_word_counts_create(tw_bpe_train_added(), TW_BPE_ADDED_TOKENS, &counts, NULL), TW_OK);
    assert_int_equal(tw_word_counts_add(counts, tw_bytes_of(text), NULL), TW_OK);
    assert_int_equal(tw_bpe_train(counts, n_tokens, NULL, NULL, &trained->arena, &trained->spec,
                                  &trained->report, NULL),
                     TW_OK);
    tw_word_counts_free(counts);
    assert_int_equal(tw_tokenizer_create(&trained->spec, &trained->tokenizer, NULL), TW_OK);
}

void trained_free(struct trained *trained)
{
    tw_tokenizer_free(trained->tokenizer);
    tw_arena_clear(&trained->arena);
}

const char *trained_ids(const struct tw_tokenizer *tokenizer, const char *text, size_t text_bytes,
                        int flags)
{
    static char line[65536];
    struct tw_token_list list = {0};
    size_t n = 0;
    line[0] = '\0';
    assert_int_equal(tw_tokenizer_encode(tokenizer, text, text_bytes, flags, &list, NULL), TW_OK);
    for (size_t i = 0; i < list.n_tokens; i++) {
        n += (size_t)snprintf(line + n, sizeof line - n, "%s%d", i > 0 ? " " : "", list.ids[i]);
        assert_true(n < sizeof line);
    }
    tw_token_list_free(&list);
    return line;
}

const char *trained_file(const char *name, const char *content)
{
    static char path[256];
    const char *folder = getenv("TMPDIR");
    snprintf(path, sizeof path, "%s/train_test_%d_%s", folder != NULL ? folder : "/tmp",
             (int)getpid(), name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(content, 1, strlen(content), file), strlen(content));
    assert_int_equal(fclose(file), 0);
    return path;
}
