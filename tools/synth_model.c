/* synth_model: writes a model with random weights, real shapes and a given tokenizer, for tests and
 * benchmarks without downloads. What the weights are like: synth_weights.h. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cpu.h"
#include "synth_files.h"

static const char usage[] =
    "usage: synth_model --preset NAME [options] -o OUT\n"
    "  --preset NAME       the shape; the names are below, and --list prints them alone\n"
    "  --type TYPE         the formats that `tokenworks model quantize` writes: F32 F16 BF16 Q8_0\n"
    "                      Q6_K Q5_K_M Q5_K_S Q5_1 Q5_0 Q4_K_M Q4_K_S Q4_1 Q4_0; with --pure\n"
    "                      also Q2_K Q3_K Q4_K Q5_K IQ4_NL (default: Q8_0; hf: BF16)\n"
    "  --pure              every matrix in that type; otherwise files are as other tools make\n"
    "                      them, with a head of 6 bits in the smaller types\n"
    "  --fast              rows from a stock of blocks: seconds for a large model, for benchmarks\n"
    "  --dequantised       F32, with the values that blocks of --type stand for (gguf only)\n"
    "  --seed N            the weights are a function of this number (default: 1)\n"
    "  --pooling NAME      how embeddings are made: mean or last (gguf only)\n"
    "  --layers N          another number of layers than the preset's\n"
    "  --tokenizer FILE    a tokenizer.json (default: a small vocabulary made here)\n"
    "  --format gguf|hf    one GGUF file, or a Hugging Face folder (default: gguf)\n"
    "  --threads N         (default: one for each core)\n"
    "  -o, --output OUT    the file or folder to write\n";

struct request {
    const struct synth_preset *preset;
    const char *type, *tokenizer, *output;
    bool hf, pure, dequantised, fast;
    uint64_t seed;
    uint32_t n_layers;
    enum tw_pooling pooling;
    int n_threads;
    enum tw_model_mix mix;
    enum tw_dtype dtype;
};

enum option_code {
    OPT_PRESET = 256,
    OPT_TYPE,
    OPT_PURE,
    OPT_DEQUANTISED,
    OPT_FAST,
    OPT_SEED,
    OPT_LAYERS,
    OPT_POOLING,
    OPT_TOKENIZER,
    OPT_FORMAT,
    OPT_THREADS,
    OPT_LIST,
    OPT_HELP
};

static const struct option options[] = {
    {"preset", required_argument, NULL, OPT_PRESET},
    {"type", required_argument, NULL, OPT_TYPE},
    {"pure", no_argument, NULL, OPT_PURE},
    {"dequantised", no_argument, NULL, OPT_DEQUANTISED},
    {"fast", no_argument, NULL, OPT_FAST},
    {"seed", required_argument, NULL, OPT_SEED},
    {"layers", required_argument, NULL, OPT_LAYERS},
    {"pooling", required_argument, NULL, OPT_POOLING},
    {"tokenizer", required_argument, NULL, OPT_TOKENIZER},
    {"format", required_argument, NULL, OPT_FORMAT},
    {"threads", required_argument, NULL, OPT_THREADS},
    {"list", no_argument, NULL, OPT_LIST},
    {"help", no_argument, NULL, OPT_HELP},
    {"output", required_argument, NULL, 'o'},
    {NULL, 0, NULL, 0},
};

static void list_presets(void)
{
    for (int i = 0; synth_preset_at(i) != NULL; i++) {
        const struct synth_preset *preset = synth_preset_at(i);
        printf("%-18s %s, %u layers, %u wide, %u/%u heads of %u\n", preset->name,
               preset->shape.arch, preset->shape.n_layers, preset->shape.n_embed,
               preset->shape.n_heads, preset->shape.n_kv_heads, preset->shape.head_dim);
    }
}

static bool read_number(const char *text, uint64_t low, uint64_t high, uint64_t *ret_value)
{
    char *end;
    unsigned long long value = strtoull(text, &end, 10);
    if (end == text || *end != '\0' || text[0] == '-' || value < low || value > high) {
        return false;
    }
    *ret_value = value;
    return true;
}

static enum tw_status bad_value(const char *option, const char *value, struct tw_error *error)
{
    return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION, "%s: '%s' is none of its values",
                        option, value);
}

static enum tw_status read_option(struct request *request, int code, const char *value,
                                  struct tw_error *error)
{
    uint64_t number = 0;
    switch (code) {
    case OPT_PRESET:
        request->preset = synth_preset_find(value);
        return request->preset == NULL ? bad_value("--preset", value, error) : TW_OK;
    case OPT_TYPE:
        request->type = value;
        return TW_OK;
    case OPT_PURE:
        request->pure = true;
        return TW_OK;
    case OPT_DEQUANTISED:
        request->dequantised = true;
        return TW_OK;
    case OPT_FAST:
        request->fast = true;
        return TW_OK;
    case OPT_SEED:
        return read_number(value, 0, UINT64_MAX, &request->seed)
                   ? TW_OK
                   : bad_value("--seed", value, error);
    case OPT_LAYERS:
        if (!read_number(value, 1, TW_LIMIT_MODEL_LAYERS, &number)) {
            return bad_value("--layers", value, error);
        }
        request->n_layers = (uint32_t)number;
        return TW_OK;
    case OPT_POOLING:
        request->pooling = strcmp(value, "mean") == 0   ? TW_POOLING_MEAN
                           : strcmp(value, "last") == 0 ? TW_POOLING_LAST
                                                        : TW_POOLING_NONE;
        return request->pooling == TW_POOLING_NONE ? bad_value("--pooling", value, error) : TW_OK;
    case OPT_THREADS:
        if (!read_number(value, 1, TW_LIMIT_THREADS, &number)) {
            return bad_value("--threads", value, error);
        }
        request->n_threads = (int)number;
        return TW_OK;
    case OPT_TOKENIZER:
        request->tokenizer = value;
        return TW_OK;
    case OPT_FORMAT:
        request->hf = strcmp(value, "hf") == 0;
        return request->hf || strcmp(value, "gguf") == 0 ? TW_OK
                                                         : bad_value("--format", value, error);
    case 'o':
        request->output = value;
        return TW_OK;
    default:
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION, "unknown option (see --help)");
    }
}

static enum tw_status settle_type(struct request *request, struct tw_error *error)
{
    const char *type = request->type != NULL ? request->type : request->hf ? "BF16" : "Q8_0";
    bool is_mix = tw_model_mix_from_name(type, &request->mix) && request->mix != TW_MODEL_MIX_KEEP;
    bool is_dtype = tw_dtype_from_name(type, &request->dtype);
    if (is_dtype && (request->pure || request->hf || !is_mix)) {
        request->mix = TW_MODEL_MIX_KEEP;
        return TW_OK;
    }
    return is_mix && !request->pure && !request->hf ? TW_OK : bad_value("--type", type, error);
}

static enum tw_status write_model(const struct request *request, struct tw_error *error)
{
    struct tw_model_shape shape = request->preset->shape;
    struct synth_plan plan;
    struct synth_vocab vocab;
    struct synth_rows *rows = NULL;
    if (request->n_layers != 0) {
        shape.n_layers = request->n_layers;
    }
    enum tw_status status = synth_plan_create(request->preset, &shape, request->seed, request->mix,
                                              request->dtype, &plan, error);
    if (status != TW_OK) {
        return status;
    }
    plan.dequantised = request->dequantised;
    plan.pooling = request->pooling;
    plan.has_stock = request->fast;
    status = synth_vocab_create(request->tokenizer, request->preset->words, shape.n_vocab, &vocab,
                                error);
    if (status == TW_OK) {
        status = synth_rows_create(&plan, request->n_threads, &rows, error);
        if (status == TW_OK && request->hf) {
            status = synth_write_hf(request->output, &plan, &vocab, request->tokenizer,
                                    request->dtype, rows, error);
        } else if (status == TW_OK) {
            status = synth_write_gguf(request->output, &plan, &vocab, rows, error);
        }
        synth_rows_free(rows);
        synth_vocab_free(&vocab);
    }
    synth_plan_free(&plan);
    return status;
}

static int fail(const struct tw_error *error)
{
    fprintf(stderr, "synth_model: %s\n", error->text);
    return tw_status_exit_code(error->status);
}

int main(int argc, char **argv)
{
    struct tw_error error = {0};
    struct request request = {.seed = 1, .n_threads = tw_cpu_count()};
    int code;
    while ((code = getopt_long(argc, argv, "o:", options, NULL)) != -1) {
        if (code == OPT_HELP) {
            fputs(usage, stdout);
            puts("presets:");
            list_presets();
            return 0;
        }
        if (code == OPT_LIST) {
            list_presets();
            return 0;
        }
        if (code == '?' || read_option(&request, code, optarg, &error) != TW_OK) {
            return code == '?' ? tw_status_exit_code(TW_ERR_USAGE) : fail(&error);
        }
    }
    if (request.preset == NULL || request.output == NULL || optind != argc) {
        fputs(usage, stderr);
        return tw_status_exit_code(TW_ERR_USAGE);
    }
    enum tw_status status = settle_type(&request, &error);
    if (status == TW_OK) {
        status = write_model(&request, &error);
    }
    return status == TW_OK ? 0 : fail(&error);
}
