/* What serve is told: the table of its options, and what its models are called. */
#include "app/serve_args.h"

#include <stdio.h>
#include <string.h>

#include "app/command.h"
#include "app/model_args.h"
#include "app/serve_config.h"
#include "base/mem.h"

#define ROW(field) offsetof(struct tw_serve_args, field)

static const char *const sealed_names[] = {"no", "process", "broker", NULL};

static const struct tw_option options[] = {
    {.name = "config",
     .kind = TW_OPTION_STRING,
     .offset = ROW(config_path),
     .value_name = "F",
     .help = "A YAML file with what is said here by options, and more about models; "
             "docs/serve.md says how it looks. Options on the command line count more."},
    {.name = "check",
     .kind = TW_OPTION_FLAG,
     .offset = ROW(only_check),
     .help = "Say whether all that is configured can be used, and end without serving."},
    {.name = "model",
     .kind = TW_OPTION_STRINGS,
     .offset = ROW(model_words),
     .value_name = "[NAME=]F",
     .help = "A model: a .gguf file or a Hugging Face folder, and what clients call it. Default "
             "name: that of the file without .gguf. Several may be given; the first one answers "
             "requests that name none."},
    {.name = "host",
     .kind = TW_OPTION_STRING,
     .offset = ROW(host),
     .value_name = "A",
     .help = "The address to listen on. One that is no loopback address needs --books or "
             "--api-keys. Default: "
             "127.0.0.1."},
    {.name = "port",
     .kind = TW_OPTION_INT,
     .offset = ROW(port),
     .value_name = "N",
     .least = 0,
     .most = 65535,
     .help = "The port to listen on; 0 takes a free one and prints it. Default: 8080."},
    {.name = "api-keys",
     .kind = TW_OPTION_STRING,
     .offset = ROW(keys_path),
     .value_name = "F",
     .help =
         "A file with the keys that may ask and whose they are; docs/serve.md says how it looks. "
         "SIGHUP reads it again."},
    {.name = "books",
     .kind = TW_OPTION_STRING,
     .offset = ROW(books_address),
     .value_name = "A",
     .help = "The books that know keys, budgets and prices, and in which every token is recorded: "
             "a file or folder, which is made where it is missing, or postgres://... With "
             "--api-keys the keys of that file are taken over. docs/hub.md says more."},
    {.name = "currency",
     .kind = TW_OPTION_STRING,
     .offset = ROW(currency),
     .value_name = "CODE",
     .help = "The currency of new books, in three capital letters. Default: EUR."},
    {.name = "policy",
     .kind = TW_OPTION_STRING,
     .offset = ROW(policy_path),
     .value_name = "F",
     .help = "A policy: which class of data may go to which zone. SIGHUP reads it again. "
             "docs/policy.md says more."},
    {.name = "zone",
     .kind = TW_OPTION_STRING,
     .offset = ROW(zone),
     .value_name = "NAME",
     .help = "The zone of the policy in which this machine is. Default: local."},
    {.name = "admin-group",
     .kind = TW_OPTION_STRING,
     .offset = ROW(admin_group),
     .value_name = "NAME",
     .help = "A group of this system whose members may reach the socket of the admin API, and "
             "give commands there with a user's secret. Default: nobody but the server's user."},
    {.name = "tls-cert",
     .kind = TW_OPTION_STRING,
     .offset = ROW(cert_path),
     .value_name = "F",
     .help = "Serve HTTPS with this certificate, a PEM file; those that certify it stand behind "
             "it. SIGHUP reads it again."},
    {.name = "tls-key",
     .kind = TW_OPTION_STRING,
     .offset = ROW(cert_key_path),
     .value_name = "F",
     .help = "The certificate's key, a PEM file."},
    {.name = "no-auth",
     .kind = TW_OPTION_FLAG,
     .offset = ROW(no_auth),
     .help = "Ask nobody for a key, whatever the address: for a network where everybody may ask."},
    {.name = "share-prefixes",
     .kind = TW_OPTION_FLAG,
     .offset = ROW(shares_prefixes),
     .help =
         "Let tenants share what was computed for equal beginnings. One can then notice, by the "
         "time it takes, what another has asked."},
    {.name = "allow-host",
     .kind = TW_OPTION_STRINGS,
     .offset = ROW(hosts),
     .value_name = "H",
     .help = "A name by which clients may call this server, beside localhost and loopback "
             "addresses."},
    {.name = "sealed",
     .kind = TW_OPTION_CHOICE,
     .offset = ROW(sealed),
     .value_name = "M",
     .choices = sealed_names,
     .help = "process: once it listens the kernel refuses this process every connection out, and "
             "other programs; for books that are a file. broker: the same, but a process beside it "
             "connects to the addresses of PostgreSQL books, of backends and of --reach. "
             "docs/sealing.md says "
             "more. Default: no."},
    {.name = "reach",
     .kind = TW_OPTION_STRINGS,
     .offset = ROW(reach),
     .value_name = "H:P",
     .help = "With --sealed broker: one more address that may be connected to, HOST:PORT or "
             "unix:/PATH. Names are looked up once, at the start."},
    {.name = "nameserver",
     .kind = TW_OPTION_STRING,
     .offset = ROW(nameserver),
     .value_name = "IP:PORT",
     .help = "The nameserver that is asked for backends at dns+ and srv+ URLs. Default: those of "
             "/etc/resolv.conf."},
    {.name = "threads",
     .kind = TW_OPTION_INT,
     .offset = ROW(n_threads),
     .value_name = "N",
     .least = 0,
     .most = TW_LIMIT_THREADS,
     .help = "Threads that compute. Default: 0, as many as there are cores."},
    {.name = "ctx",
     .kind = TW_OPTION_INT,
     .offset = ROW(n_context_tokens),
     .value_name = "N",
     .least = 0,
     .most = TW_LIMIT_MODEL_CONTEXT_TOKENS,
     .help = "Context of a request in tokens, prompt and answer together. Default: 0, what the "
             "model was trained for."},
    {.name = "max-seqs",
     .kind = TW_OPTION_INT,
     .offset = ROW(max_sequences),
     .value_name = "N",
     .least = 1,
     .most = TW_LIMIT_BATCH_SEQUENCES,
     .help = "Most requests in one step; others wait for their turn. Default: 16."},
    {.name = "models-bytes",
     .kind = TW_OPTION_INT,
     .offset = ROW(models_bytes),
     .value_name = "N",
     .least = 0,
     .most = 1e15,
     .help = "Memory for the weights and KV caches of the models. With it a model is loaded when "
             "it is first asked, and the one least recently used makes room. Default: 0, all "
             "models are loaded at the start."},
    {.name = "kv-bytes",
     .kind = TW_OPTION_INT,
     .offset = ROW(kv_bytes),
     .value_name = "N",
     .least = 0,
     .most = 1e15,
     .help = "Memory for the KV caches of all models together, in equal parts. Default: 0, a whole "
             "context for every request of a step, but at most a quarter of the machine's memory."},
    {.name = "kv-type",
     .kind = TW_OPTION_CHOICE,
     .offset = ROW(kv_type),
     .value_name = "T",
     .choices = tw_kv_type_names,
     .help = "How the KV cache is kept: f16, or q8_0 for about half the memory. Default: f16."},
    {.name = "no-speculation",
     .kind = TW_OPTION_FLAG,
     .offset = ROW(no_speculation),
     .help = "Compute one token of an answer after the other, also where its text repeats itself: "
             "slower, with the same result."},
    {.name = "batch",
     .kind = TW_OPTION_INT,
     .offset = ROW(n_batch_tokens),
     .value_name = "N",
     .least = 1,
     .most = TW_LIMIT_BATCH_TOKENS,
     .help = "Most tokens of prompts in one step: more is faster, less lets answers flow more "
             "evenly. Default: 256."},
    TW_PACK_ARGS_ROWS(struct tw_serve_args, pack),
    {.name = "max-connections",
     .kind = TW_OPTION_INT,
     .offset = ROW(max_connections),
     .value_name = "N",
     .least = 1,
     .most = 60000,
     .help = "Most connections at once. Default: 2300."},
    {.name = "batch-lines",
     .kind = TW_OPTION_INT,
     .offset = ROW(batch_lines),
     .value_name = "N",
     .least = 1,
     .most = TW_LIMIT_BATCH_AT_ONCE,
     .help = "Most requests of batches that run at once, of all projects together: they get what "
             "clients leave. docs/batches.md says more. Default: 8."},
    {.name = "batch-files",
     .kind = TW_OPTION_INT,
     .offset = ROW(batch_files),
     .value_name = "N",
     .least = 1,
     .most = 1000000,
     .help = "Most files that a project may have for batches. Default: 1000."},
    {.name = "batch-bytes",
     .kind = TW_OPTION_INT,
     .offset = ROW(batch_bytes),
     .value_name = "N",
     .least = 1,
     .most = 1e15,
     .help = "Most bytes that all of them may have together. Default: 4294967296."},
    {.name = "drain",
     .kind = TW_OPTION_INT,
     .offset = ROW(drain_seconds),
     .value_name = "S",
     .least = 0,
     .most = 3600,
     .help = "How many seconds answers may still take after SIGTERM. Default: 30."},
    {.name = "heartbeat",
     .kind = TW_OPTION_INT,
     .offset = ROW(heartbeat_seconds),
     .value_name = "S",
     .least = 1,
     .most = 3600,
     .help = "A stream without news gets a comment every so many seconds. Default: 10."},
};

_Static_assert(sizeof options / sizeof options[0] <= TW_LIMIT_SERVE_OPTIONS,
               "every option is a key of the file, whose schema has room for so many");

const struct tw_option_group tw_serve_options = {"Serving", options,
                                                 sizeof options / sizeof options[0]};

struct tw_serve_args tw_serve_args_defaults(void)
{
    return (struct tw_serve_args){.host = "127.0.0.1",
                                  .zone = "local",
                                  .port = 8080,
                                  .max_sequences = 16,
                                  .n_batch_tokens = 256,
                                  .max_connections = TW_LIMIT_HTTP_CONNECTIONS,
                                  .batch_lines = TW_LIMIT_BATCH_AT_ONCE / 8,
                                  .batch_files = TW_LIMIT_BATCH_PROJECT_FILES,
                                  .batch_bytes = TW_LIMIT_BATCH_PROJECT_BYTES,
                                  .drain_seconds = 30,
                                  .heartbeat_seconds = 10};
}

/* The command line is read twice: for the name of the file, and then over its values. */
bool tw_serve_args_parse(int argc, char **argv, struct tw_serve_args *args, int *ret_exit_code)
{
    struct tw_command_spec spec = {
        .name = "serve",
        .synopsis = "--model [NAME=]F... [--config F] [--check] [OPTIONS]",
        .about = "Serves models with the OpenAI API until SIGTERM.\n"
                 "Requests that come together are computed together, and a beginning that they\n"
                 "share is computed once.",
        .uses = {{&tw_serve_options, args}},
    };
    struct tw_words words;
    *args = tw_serve_args_defaults();
    if (!tw_command_parse(&spec, argc, argv, &words, ret_exit_code)) {
        return false;
    }
    if (args->config_path == NULL) {
        return true;
    }
    const char *config_path = args->config_path;
    struct tw_error error;
    tw_serve_args_free(args);
    *args = tw_serve_args_defaults();
    if (tw_serve_config_load(config_path, args, &error) != TW_OK) {
        *ret_exit_code = tw_command_fail(&error);
        return false;
    }
    return tw_command_parse(&spec, argc, argv, &words, ret_exit_code);
}

/* ---- models ---- */

/* What a file or folder is called: the last word of its path, without .gguf. */
static void name_of_path(const char *path, char *ret_name, size_t name_bytes)
{
    size_t n_bytes = strlen(path);
    while (n_bytes > 1 && path[n_bytes - 1] == '/') {
        n_bytes--;
    }
    size_t start = n_bytes;
    while (start > 0 && path[start - 1] != '/') {
        start--;
    }
    const size_t n_suffix = strlen(".gguf");
    if (n_bytes - start > n_suffix && strncmp(path + n_bytes - n_suffix, ".gguf", n_suffix) == 0) {
        n_bytes -= n_suffix;
    }
    snprintf(ret_name, name_bytes, "%.*s", (int)(n_bytes - start), path + start);
}

/* "NAME=F" as name and path; a name has no slash, so that a path may have a '='. */
static void take_word(const char *word, struct tw_serve_model *model)
{
    const char *equals = strchr(word, '='), *slash = strchr(word, '/');
    if (equals != NULL && equals > word && (slash == NULL || equals < slash)) {
        snprintf(model->name, sizeof model->name, "%.*s", (int)(equals - word), word);
        model->path = equals + 1;
    } else {
        name_of_path(word, model->name, sizeof model->name);
        model->path = word;
    }
}

static void take_row(const struct tw_serve_file_model *row, struct tw_serve_model *model)
{
    model->path = row->path;
    model->aliases = row->aliases;
    model->n_aliases = row->aliases_count;
    if (row->name != NULL) {
        snprintf(model->name, sizeof model->name, "%s", row->name);
    } else {
        name_of_path(row->path, model->name, sizeof model->name);
    }
    model->n_context_tokens = row->ctx != NULL ? (uint32_t)*row->ctx : model->n_context_tokens;
    model->kv_bytes = row->kv_bytes != NULL ? *row->kv_bytes : model->kv_bytes;
    model->preload = row->preload != NULL ? *row->preload : model->preload;
    for (int i = 0; row->kv_type != NULL && tw_kv_type_names[i] != NULL; i++) {
        model->kv_type = strcmp(row->kv_type, tw_kv_type_names[i]) == 0 ? i : model->kv_type;
    }
}

static const char *name_at(const struct tw_serve_model *model, unsigned i)
{
    return i == 0 ? model->name : model->aliases[i - 1];
}

static enum tw_status check_pair(const struct tw_serve_model *a, const struct tw_serve_model *b,
                                 struct tw_error *error)
{
    for (unsigned i = 0; i <= a->n_aliases; i++) {
        for (unsigned k = a == b ? i + 1 : 0; k <= b->n_aliases; k++) {
            if (strcmp(name_at(a, i), name_at(b, k)) == 0) {
                return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                                    "two models are called '%.60s', %.60s and %.60s: give one "
                                    "another name, as in --model other=%.60s",
                                    name_at(a, i), a->path, b->path, b->path);
            }
        }
    }
    return TW_OK;
}

static enum tw_status check_names(const struct tw_serve_args *args, struct tw_error *error)
{
    enum tw_status status = TW_OK;
    for (size_t i = 0; status == TW_OK && i < args->n_models; i++) {
        for (size_t k = 0; status == TW_OK && k <= i; k++) {
            status = check_pair(&args->models[k], &args->models[i], error);
        }
    }
    return status;
}

enum tw_status tw_serve_args_take_models(struct tw_serve_args *args, struct tw_error *error)
{
    unsigned n_rows = 0, n_backends = 0;
    const struct tw_serve_file_model *rows = tw_serve_file_models(args->file, &n_rows);
    const size_t n_words = args->model_words.n_items, n = n_words > 0 ? n_words : n_rows;
    tw_serve_file_backends(args->file, &n_backends);
    if (n == 0 && n_backends == 0) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "no model: give --model with a .gguf file or a Hugging Face folder, "
                            "or models or backends in the file of --config");
    }
    if (n > TW_LIMIT_SERVED_MODELS) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION, "%zu models: at most %d", n,
                            TW_LIMIT_SERVED_MODELS);
    }
    args->models = tw_mem_zalloc(n + 1, sizeof *args->models); /* there may be none */
    if (args->models == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for models");
    }
    for (size_t i = 0; i < n; i++) {
        struct tw_serve_model *model = &args->models[args->n_models++];
        model->n_context_tokens = (uint32_t)args->n_context_tokens;
        model->kv_type = args->kv_type;
        model->preload = args->models_bytes == 0;
        if (n_words > 0) {
            take_word(args->model_words.items[i], model);
        } else {
            take_row(&rows[i], model);
        }
    }
    return check_names(args, error);
}

void tw_serve_args_free(struct tw_serve_args *args)
{
    for (size_t i = 0; i < args->n_models; i++) {
        tw_pack_options_free(&args->models[i].pack);
    }
    tw_mem_free(args->models);
    args->n_models = 0;
    tw_option_strings_free(&args->model_words);
    tw_option_strings_free(&args->hosts);
    tw_option_strings_free(&args->reach);
    tw_serve_file_free(args->file);
    args->models = NULL;
    args->file = NULL;
}
