/* serve_config.h: the configuration file of `tokenworks serve`.
 *
 *     port: 8080
 *     api-keys: keys.yaml
 *     models:
 *       - {path: demo.gguf, name: demo, aliases: [default], ctx: 2048, kv-type: q8_0}
 *     backends:
 *       - {name: gpu1, url: "http://10.0.0.5:8000", models: [{name: large, ctx: 32768}]}
 *
 * A key is an option's name without its dashes, with the same bounds; the schema is made of the
 * options' table, so that neither can lack what the other has. Paths are seen from the file's
 * folder.
 *
 * Ownership: values point into the file, which the caller frees after them. Threads: any.
 * Errors: those of conf.h, and TW_ERR_FORMAT for a number out of its bounds and what is wrong with
 * a backend, each with its place.
 */
#ifndef TW_APP_SERVE_CONFIG_H
#define TW_APP_SERVE_CONFIG_H

#include "app/serve_args.h"

/* Rows of a key that is not in the file are as missing: NULL. */
struct tw_serve_file_model {
    char *path, *name, *kv_type;
    char **aliases;
    unsigned aliases_count;
    uint64_t *ctx, *kv_bytes;
    bool *preload;
};

struct tw_serve_file_cost {
    char *input, *cached, *output; /* amounts a million tokens */
};

struct tw_serve_file_remote_model {
    char *name, *upstream;
    uint64_t ctx;
    struct tw_serve_file_cost *cost;
    char **can; /* what it can do */
    unsigned can_count;
};

struct tw_serve_file_backend {
    char *name, *kind, *zone;
    char *url;   /* of one, or */
    char **urls; /* [urls_count], of several */
    unsigned urls_count;
    char *ca, *key; /* files */
    uint64_t *weight, *canary_per_mille, *most_at_once;
    bool *shares_prefixes;
    char **pass; /* members of requests */
    unsigned pass_count;
    struct tw_serve_file_remote_model *models;
    unsigned models_count;
};

/* What may take a model's place. */
struct tw_serve_file_fallback {
    char *model, **others;
    unsigned others_count;
};

struct tw_serve_file_preference {
    char **who, *prefer;
    unsigned who_count;
};

/* Puts the file's values into args, over those that are there. */
enum tw_status tw_serve_config_load(const char *path, struct tw_serve_args *args,
                                    struct tw_error *error);
/* The same from a text; name goes into messages, paths stay as they are. */
enum tw_status tw_serve_config_parse(const char *text, size_t text_bytes, const char *name,
                                     struct tw_serve_args *args, struct tw_error *error);

/* The list of models; *ret_n is 0 where there is none. */
const struct tw_serve_file_model *tw_serve_file_models(const struct tw_serve_file *file,
                                                       unsigned *ret_n);

/* The list of other servers, likewise. */
const struct tw_serve_file_backend *tw_serve_file_backends(const struct tw_serve_file *file,
                                                           unsigned *ret_n);

/* Models that take others' places, and who prefers what, likewise. */
const struct tw_serve_file_fallback *tw_serve_file_fallbacks(const struct tw_serve_file *file,
                                                             unsigned *ret_n);
const struct tw_serve_file_preference *tw_serve_file_preferences(const struct tw_serve_file *file,
                                                                 unsigned *ret_n);

/* NULL is allowed. */
void tw_serve_file_free(struct tw_serve_file *file);

#endif
