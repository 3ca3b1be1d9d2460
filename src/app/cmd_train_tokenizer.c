/* train tokenizer: a vocabulary learnt from a corpus, as a tokenizer.json. */
#include <inttypes.h>

#include "app/command.h"
#include "app/progress.h"
#include "base/file.h"
#include "text/tokenizer_json_write.h"
#include "train/bpe_train.h"
#include "train/corpus.h"

struct train_tokenizer_args {
    struct tw_option_strings corpus;
    int64_t n_vocab;
    const char *output;
    bool force;
};

#define ROW(field) offsetof(struct train_tokenizer_args, field)

static const struct tw_option options[] = {
    {.name = "corpus",
     .kind = TW_OPTION_STRINGS,
     .offset = ROW(corpus),
     .value_name = "F",
     .help = "A file to learn from; may be given several times, and words behind the options are "
             "files as well. A name that ends in .jsonl holds rows with \"messages\" or \"text\"; "
             "any other is plain text."},
    {.name = "vocab",
     .kind = TW_OPTION_INT,
     .offset = ROW(n_vocab),
     .value_name = "N",
     .least = TW_BPE_LEAST_TOKENS,
     .most = TW_LIMIT_VOCAB_TOKENS,
     .help = "Tokens of the vocabulary, the 256 bytes and the 7 markers of conversations and tool "
             "calls included."},
    {.name = "output",
     .kind = TW_OPTION_STRING,
     .offset = ROW(output),
     .value_name = "F",
     .letter = 'o',
     .help = "The tokenizer.json to write."},
    {.name = "force",
     .kind = TW_OPTION_FLAG,
     .offset = ROW(force),
     .help = "Replace the output if it exists."},
};

static const struct tw_option_group group = {"Options", options,
                                             sizeof options / sizeof options[0]};

/* All corpus files: those of --corpus, then the words. */
struct counting {
    struct tw_word_counts *counts;
    struct tw_progress progress;
    uint64_t done_bytes; /* of the files before this one */
    uint64_t total_bytes;
};

static size_t n_files(const struct train_tokenizer_args *args, const struct tw_words *words)
{
    return args->corpus.n_items + (size_t)words->n_items;
}

static const char *file_name(const struct train_tokenizer_args *args, const struct tw_words *words,
                             size_t i)
{
    return i < args->corpus.n_items ? args->corpus.items[i]
                                    : words->items[i - args->corpus.n_items];
}

static enum tw_status file_size(const char *path, uint64_t *ret_bytes, struct tw_error *error)
{
    struct tw_file_map map;
    enum tw_status status = tw_file_map_open(path, &map, error);
    if (status == TW_OK) {
        *ret_bytes = map.size_bytes;
        tw_file_map_close(&map);
    }
    return status;
}

static enum tw_status on_text(void *context, struct tw_bytes text, uint64_t done_bytes,
                              struct tw_error *error)
{
    struct counting *counting = context;
    tw_progress_update(&counting->progress, counting->done_bytes + done_bytes,
                       counting->total_bytes);
    return tw_word_counts_add(counting->counts, text, error);
}

static enum tw_status count_files(const struct train_tokenizer_args *args,
                                  const struct tw_words *words, struct tw_word_counts *counts,
                                  struct tw_error *error)
{
    struct counting counting = {.counts = counts};
    enum tw_status status = TW_OK;
    for (size_t i = 0; i < n_files(args, words) && status == TW_OK; i++) {
        uint64_t n_bytes = 0;
        status = file_size(file_name(args, words, i), &n_bytes, error);
        counting.total_bytes += n_bytes;
    }
    tw_progress_begin(&counting.progress, "counting words");
    for (size_t i = 0; i < n_files(args, words) && status == TW_OK; i++) {
        uint64_t n_bytes = 0;
        const char *path = file_name(args, words, i);
        status = tw_corpus_read(path, on_text, &counting, error);
        if (status == TW_OK) {
            status = file_size(path, &n_bytes, error);
        }
        counting.done_bytes += n_bytes;
    }
    tw_progress_end(&counting.progress);
    return status;
}

static enum tw_status write_file(const char *path, const struct tw_tokenizer_spec *spec,
                                 struct tw_error *error)
{
    struct tw_buf buf;
    tw_buf_init(&buf, TW_LIMIT_MODEL_JSON_BYTES);
    tw_tokenizer_json_write(spec, &buf);
    tw_buf_append_text(&buf, "\n");
    struct tw_file_writer *writer = NULL;
    enum tw_status status =
        buf.failed ? tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                                  "'%s' would be larger than %u bytes, or memory ran out", path,
                                  TW_LIMIT_MODEL_JSON_BYTES)
                   : tw_file_writer_open(path, &writer, error);
    if (status == TW_OK) {
        status = tw_file_writer_write(writer, buf.data, buf.size_bytes, error);
        if (status == TW_OK) {
            status = tw_file_writer_commit(writer, error);
        } else {
            tw_file_writer_abort(writer);
        }
    }
    tw_buf_free(&buf);
    return status;
}

static enum tw_status print_summary(const struct train_tokenizer_args *args,
                                    const struct tw_tokenizer_spec *spec,
                                    const struct tw_bpe_report *report, struct tw_error *error)
{
    struct tw_buf line;
    tw_buf_init(&line, TW_LIMIT_ERROR_TEXT_BYTES + 4096);
    tw_buf_append_format(&line,
                         "%s: %zu tokens (%zu merges) from %" PRIu64 " bytes, %zu distinct words; "
                         "%.2f bytes a token",
                         args->output, spec->n_tokens, report->n_merges, report->text_bytes,
                         report->n_words,
                         (double)report->text_bytes / (double)report->corpus_tokens);
    enum tw_status status = tw_command_write_line(&line, error);
    tw_buf_free(&line);
    if (status == TW_OK && spec->n_tokens < (size_t)args->n_vocab) {
        tw_command_note("the corpus has no more pairs that occur twice: %zu tokens instead of "
                        "%" PRId64,
                        spec->n_tokens, args->n_vocab);
    }
    return status;
}

static enum tw_status learn(const struct train_tokenizer_args *args,
                            const struct tw_word_counts *counts, struct tw_error *error)
{
    if (tw_word_counts_n_words(counts) == 0) {
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "the corpus holds no text to learn from");
    }
    struct tw_arena arena;
    struct tw_tokenizer_spec spec;
    struct tw_bpe_report report;
    struct tw_progress progress;
    tw_arena_init(&arena, TW_LIMIT_TRAINED_TOKENIZER_BYTES);
    tw_progress_begin(&progress, "merging");
    enum tw_status status = tw_bpe_train(counts, (size_t)args->n_vocab, tw_progress_update,
                                         &progress, &arena, &spec, &report, error);
    tw_progress_end(&progress);
    if (status == TW_OK) {
        status = write_file(args->output, &spec, error);
    }
    if (status == TW_OK) {
        status = print_summary(args, &spec, &report, error);
    }
    tw_arena_clear(&arena);
    return status;
}

static enum tw_status check(const struct train_tokenizer_args *args, const struct tw_words *words,
                            struct tw_error *error)
{
    const char *missing = n_files(args, words) == 0 ? "no corpus: give --corpus with a file"
                          : args->n_vocab == 0      ? "no size: give --vocab with a number"
                          : args->output == NULL    ? "no output: give -o with a file"
                                                    : NULL;
    if (missing != NULL) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION, "train tokenizer: %s", missing);
    }
    for (size_t i = 0; i < n_files(args, words); i++) {
        if (tw_file_is_same(args->output, file_name(args, words, i))) {
            return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                                "train tokenizer: '%.160s' is a file of the corpus: write to "
                                "another place",
                                args->output);
        }
    }
    return tw_command_check_output(args->output, args->force, error);
}

static enum tw_status execute(const struct train_tokenizer_args *args, const struct tw_words *words,
                              struct tw_error *error)
{
    struct tw_word_counts *counts = NULL;
    enum tw_status status = check(args, words, error);
    if (status == TW_OK) {
        status = tw_word_counts_create(tw_bpe_train_added(), TW_BPE_ADDED_TOKENS, &counts, error);
    }
    if (status == TW_OK) {
        status = count_files(args, words, counts, error);
    }
    if (status == TW_OK) {
        status = learn(args, counts, error);
    }
    tw_word_counts_free(counts);
    return status;
}

int tw_cmd_train_tokenizer(int argc, char **argv)
{
    struct train_tokenizer_args args = {0};
    const struct tw_command_spec spec = {
        .name = "train tokenizer",
        .synopsis = "--corpus F... --vocab N -o tokenizer.json [--force]",
        .about = "Learns a byte-level BPE vocabulary from a corpus and writes it as a\n"
                 "tokenizer.json of Qwen2's form, with the markers of ChatML and of tool calls.\n"
                 "Prints its size and how many bytes of the corpus a token stands for.",
        .most_words = TW_LIMIT_OPTION_REPEATS,
        .uses = {{&group, &args}},
    };
    struct tw_words words;
    struct tw_error error;
    int exit_code = 0;
    if (tw_command_parse(&spec, argc, argv, &words, &exit_code)) {
        enum tw_status status = execute(&args, &words, &error);
        exit_code = status == TW_OK ? 0 : tw_command_fail(&error);
    }
    tw_option_strings_free(&args.corpus);
    return exit_code;
}
