#include <stdio.h>
#include <string.h>

#include "app/command.h"
#include "app/model_args.h"
#include "base/file.h"
#include "base/json.h"
#include "model/tensors.h"

#define OUTPUT_BOUND_BYTES ((size_t)TW_LIMIT_TEXT_BYTES * 4)

struct tokenize_args {
    const char *model;
    bool ids, special, bos;
};

#define ROW(field) offsetof(struct tokenize_args, field)

static const struct tw_option options[] = {
    {.name = "model",
     .kind = TW_OPTION_STRING,
     .offset = ROW(model),
     .value_name = "F",
     .help = "The model whose tokenizer is used: a .gguf file or a Hugging Face folder. Its "
             "weights are not read."},
    {.name = "ids",
     .kind = TW_OPTION_FLAG,
     .offset = ROW(ids),
     .help = "Print only the ids, in one line."},
    {.name = "special",
     .kind = TW_OPTION_FLAG,
     .offset = ROW(special),
     .help = "Recognise special tokens such as <|im_start|> in the text."},
    {.name = "bos",
     .kind = TW_OPTION_FLAG,
     .offset = ROW(bos),
     .help = "Begin with the begin token, if the model asks for one: what run and chat compute."},
};

static const struct tw_option_group group = {"Options", options,
                                             sizeof options / sizeof options[0]};

/* The token's bytes as a JSON string: spaces and newlines must be seen. */
static void append_row(struct tw_buf *out, const struct tw_tokenizer *tokenizer, tw_token id)
{
    struct tw_bytes text = tw_tokenizer_token_bytes(tokenizer, id, true);
    struct tw_json_writer writer;
    tw_buf_append_format(out, "%d\t", id);
    tw_json_begin(&writer, out);
    tw_json_string(&writer, text.data, text.size_bytes);
    tw_buf_append_text(out, "\n");
}

static enum tw_status print_tokens(const struct tokenize_args *args,
                                   const struct tw_tokenizer *tokenizer,
                                   const struct tw_token_list *list, struct tw_error *error)
{
    struct tw_buf out;
    tw_buf_init(&out, OUTPUT_BOUND_BYTES);
    for (size_t i = 0; i < list->n_tokens; i++) {
        if (args->ids) {
            tw_buf_append_format(&out, "%s%d", i > 0 ? " " : "", list->ids[i]);
        } else {
            append_row(&out, tokenizer, list->ids[i]);
        }
    }
    if (!args->ids) {
        tw_buf_append_format(&out, "%zu tokens", list->n_tokens);
    }
    enum tw_status status = tw_command_write_line(&out, error);
    tw_buf_free(&out);
    return status;
}

static enum tw_status tokenize_text(const struct tokenize_args *args,
                                    const struct tw_tokenizer *tokenizer, const char *text,
                                    size_t text_bytes, struct tw_error *error)
{
    struct tw_token_list list = {0};
    enum tw_status status;
    if (args->bos) {
        status = tw_model_args_encode(tokenizer, text, text_bytes, args->special, &list, error);
    } else {
        status = tw_tokenizer_encode(tokenizer, text, text_bytes,
                                     args->special ? TW_ENCODE_SPECIAL : 0, &list, error);
    }
    if (status == TW_OK) {
        status = print_tokens(args, tokenizer, &list, error);
    }
    tw_token_list_free(&list);
    return status;
}

static enum tw_status read_and_tokenize(const struct tokenize_args *args, const char *word,
                                        const struct tw_tokenizer *tokenizer,
                                        struct tw_error *error)
{
    if (word != NULL && strcmp(word, "-") != 0) {
        return tokenize_text(args, tokenizer, word, strlen(word), error);
    }
    struct tw_buf input;
    enum tw_status status = tw_file_read("-", TW_LIMIT_TEXT_BYTES, &input, error);
    if (status == TW_OK) {
        status = tokenize_text(args, tokenizer, input.data, input.size_bytes, error);
        tw_buf_free(&input);
    }
    return status;
}

static enum tw_status execute(const struct tokenize_args *args, const char *word,
                              struct tw_error *error)
{
    if (args->model == NULL) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "no model: give --model with a .gguf file or a Hugging Face folder");
    }
    struct tw_model_files *files;
    enum tw_status status = tw_model_files_open(args->model, &files, error);
    if (status != TW_OK) {
        return status;
    }
    struct tw_tokenizer *tokenizer;
    status = tw_model_files_tokenizer(files, &tokenizer, error);
    if (status == TW_OK) {
        status = read_and_tokenize(args, word, tokenizer, error);
        tw_tokenizer_free(tokenizer);
    }
    tw_model_files_close(files);
    return status;
}

int tw_cmd_tokenize(int argc, char **argv)
{
    struct tokenize_args args = {0};
    const struct tw_command_spec spec = {
        .name = "tokenize",
        .synopsis = "--model F [--ids] [--special] [--bos] [TEXT | -]",
        .about = "Prints the tokens of a text, one a line: the id and the bytes it stands for.\n"
                 "Without TEXT, or with -, the text is read from standard input.",
        .most_words = 1,
        .uses = {{&group, &args}},
    };
    struct tw_words words;
    int exit_code;
    if (!tw_command_parse(&spec, argc, argv, &words, &exit_code)) {
        return exit_code;
    }
    struct tw_error error;
    const char *word = words.n_items > 0 ? words.items[0] : NULL;
    return execute(&args, word, &error) == TW_OK ? 0 : tw_command_fail(&error);
}
