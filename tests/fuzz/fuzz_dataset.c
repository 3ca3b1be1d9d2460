/* Any bytes as rows of training data: documents within the bounds they promise, each in exactly one
 * row of an epoch, or a reason. */
#include <assert.h>
#include <string.h>

#include "fuzz_target.h"
#include "train/bpe_train.h"
#include "train/packing.h"

enum { CONTEXT = 64 };

/* One tokenizer for all inputs: the bytes and the markers. */
static const struct tw_tokenizer *byte_tokenizer(void)
{
    static struct tw_tokenizer *tokenizer;
    if (tokenizer == NULL) {
        struct tw_word_counts *counts = NULL;
        struct tw_arena arena;
        struct tw_tokenizer_spec spec;
        struct tw_bpe_report report;
        tw_arena_init(&arena, (size_t)16 << 20);
        enum tw_status status = tw_word_counts_create(NULL, 0, &counts, NULL);
        assert(status == TW_OK);
        status =
            tw_bpe_train(counts, TW_BPE_LEAST_TOKENS, NULL, NULL, &arena, &spec, &report, NULL);
        assert(status == TW_OK);
        status = tw_tokenizer_create(&spec, &tokenizer, NULL);
        assert(status == TW_OK);
        tw_word_counts_free(counts);
        tw_arena_clear(&arena);
    }
    return tokenizer;
}

static void check_documents(const struct tw_dataset *dataset)
{
    const struct tw_dataset_report *report = tw_dataset_report(dataset);
    uint64_t n_tokens = 0, n_targets = 0;
    for (size_t i = 0; i < report->n_documents; i++) {
        int32_t tokens[CONTEXT];
        uint8_t is_target[CONTEXT];
        uint32_t n = tw_dataset_document_tokens(dataset, i);
        assert(n >= 2 && n <= CONTEXT);
        tw_dataset_copy(dataset, i, tokens, is_target);
        assert(!is_target[0]);
        uint64_t before = n_targets;
        for (uint32_t k = 0; k < n; k++) {
            assert(tokens[k] >= 0 && tokens[k] < TW_BPE_LEAST_TOKENS);
            n_targets += is_target[k];
        }
        assert(n_targets > before);
        n_tokens += n;
    }
    assert(n_tokens == report->n_tokens && n_targets == report->n_targets);
    assert((report->n_skipped == 0) == (report->first_skipped[0] == '\0'));
}

static void check_packing(const struct tw_dataset *dataset)
{
    struct tw_packing *packing = NULL;
    struct tw_packed_row row;
    struct tw_packing_epoch epoch;
    enum tw_status status = tw_packing_create(dataset, CONTEXT, 1, &packing, NULL);
    assert(status == TW_OK);
    status = tw_packed_row_init(&row, CONTEXT, NULL);
    assert(status == TW_OK);
    tw_packing_epoch(packing, 1, &epoch);
    uint64_t n_documents = 0, n_targets = 0;
    for (uint64_t r = 0; r < epoch.n_rows; r++) {
        tw_packing_row(packing, epoch.first_row + r, &row);
        n_documents += row.n_documents;
        n_targets += row.n_targets;
    }
    assert(n_documents == tw_dataset_report(dataset)->n_documents);
    assert(n_targets == tw_dataset_report(dataset)->n_targets);
    tw_packed_row_free(&row);
    tw_packing_free(packing);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tw_chat_format format =
        tw_chat_format_detect(byte_tokenizer(), (struct tw_bytes){"", 0});
    struct tw_dataset *dataset = NULL;
    struct tw_error error = {0};
    enum tw_status status = tw_dataset_create(&format, CONTEXT, &dataset, NULL);
    assert(status == TW_OK);
    struct tw_bytes lines = {(const char *)data, size};
    if (tw_dataset_add_rows(dataset, lines, "rows", &error) != TW_OK) {
        assert(strncmp(error.text, "rows:", 5) == 0);
    }
    check_documents(dataset);
    if (tw_dataset_n_documents(dataset) > 0) {
        check_packing(dataset);
    }
    tw_dataset_free(dataset);
    return 0;
}
