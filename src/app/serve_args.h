/* serve_args.h: what `tokenworks serve` is told, by its command line and by a file.
 *
 *     defaults <- the file of --config <- the command line
 *
 * Every option but --config and --check is a key of the file, of the same name; its models are a
 * list, and have more to say than --model (serve_config.h). What stands on the command line counts
 * more: a --model there replaces the list, --allow-host adds to it.
 *
 * Ownership: tw_serve_args_free frees all, the file's texts too; argv must outlive the values.
 * Threads: one at a time. Errors: TW_ERR_USAGE for options, those of conf.h for the file.
 */
#ifndef TW_APP_SERVE_ARGS_H
#define TW_APP_SERVE_ARGS_H

#include "app/options.h"
#include "app/pack_args.h"
#include "base/limits.h"
#include "hub/model_digest.h"

struct tw_serve_model {
    char name[TW_LIMIT_SERVED_NAME_BYTES]; /* what clients call it */
    const char *path;
    char *const *aliases; /* [n_aliases], other names for it */
    unsigned n_aliases;
    uint32_t n_context_tokens;
    uint64_t kv_bytes;                  /* 0: what is left for it */
    int kv_type;                        /* place in tw_kv_type_names */
    bool preload;                       /* at the start, not when it is first asked */
    char digest[TW_MODEL_DIGEST_BYTES]; /* of its files, for the books; "" */
    struct tw_pack_options pack;
};

struct tw_serve_file;

enum tw_serve_sealed { TW_SERVE_OPEN = 0, TW_SERVE_SEALED_PROCESS, TW_SERVE_SEALED_BROKER };

struct tw_serve_args {
    const char *config_path;
    bool only_check;
    struct tw_option_strings model_words, hosts;
    const char *host;
    const char *keys_path;
    const char *books_address;             /* NULL: nothing is counted */
    const char *policy_path;               /* NULL: every request anywhere */
    const char *zone;                      /* in which this machine is */
    const char *currency;                  /* of new books; NULL: the default */
    const char *admin_group;               /* who may reach the admin API; NULL: nobody else */
    const char *cert_path, *cert_key_path; /* of TLS; both or none */
    bool no_auth, shares_prefixes, no_speculation;
    int sealed;                     /* enum tw_serve_sealed */
    struct tw_option_strings reach; /* addresses for a broker */
    const char *nameserver;         /* NULL: the system's */
    int64_t port;
    int64_t n_threads, n_context_tokens, max_sequences, n_batch_tokens;
    int64_t batch_lines, batch_files, batch_bytes;
    int64_t models_bytes, kv_bytes, max_connections, drain_seconds, heartbeat_seconds;
    int kv_type;
    struct tw_pack_args pack;

    struct tw_serve_model *models; /* [n_models], made of all that */
    size_t n_models;
    struct tw_serve_file *file; /* whose texts are pointed to; NULL without --config */
};

extern const struct tw_option_group tw_serve_options;

struct tw_serve_args tw_serve_args_defaults(void);

/* Both sources. False: *ret_exit_code is the command's, and what is due was printed. */
bool tw_serve_args_parse(int argc, char **argv, struct tw_serve_args *args, int *ret_exit_code);

/* What the models are called and where they are. TW_ERR_USAGE for a name that is there twice, or
 * for no model at all. Once. */
enum tw_status tw_serve_args_take_models(struct tw_serve_args *args, struct tw_error *error);

void tw_serve_args_free(struct tw_serve_args *args);

#endif
