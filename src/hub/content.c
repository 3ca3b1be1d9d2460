#include "hub/content.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/printable.h"
#include "hub/hub_state.h"

#define VERSION 1

/* Behind it nothing is remembered any more. */
static void drop_kept(struct tw_content *content)
{
    content->state = TW_CONTENT_TOO_LARGE;
    tw_buf_free(&content->body);
    tw_buf_free(&content->terms);
    for (size_t i = 0; i < content->n_answers; i++) {
        tw_buf_free(&content->answers[i].text);
    }
}

static size_t room_left(const struct tw_content *content)
{
    return content->n_bytes < TW_LIMIT_CONTENT_BYTES ? TW_LIMIT_CONTENT_BYTES - content->n_bytes
                                                     : 0;
}

static void keep(struct tw_content *content, struct tw_buf *buf, const char *text, size_t n_bytes)
{
    if (content->state != TW_CONTENT_KEPT) {
        return;
    }
    if (n_bytes > room_left(content) || !tw_buf_append(buf, text, n_bytes)) {
        drop_kept(content);
        return;
    }
    content->n_bytes += n_bytes;
}

enum tw_status tw_content_create(struct tw_hub *hub, const struct tw_hub_caller *caller,
                                 const char *body, size_t body_bytes,
                                 struct tw_content **ret_content, struct tw_error *error)
{
    struct tw_content *content = tw_mem_zalloc(1, sizeof *content);
    if (content == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a request");
    }
    const struct tw_holder *project = tw_holder_above(caller->key, TW_HOLDER_PROJECT);
    content->hub = hub;
    content->caller = *caller;
    content->project = project->id;
    pthread_rwlock_rdlock(&hub->directory.lock);
    content->state = project->settings.stores_content ? TW_CONTENT_KEPT : TW_CONTENT_NOT_KEPT;
    pthread_rwlock_unlock(&hub->directory.lock);
    tw_buf_init(&content->body, TW_LIMIT_CONTENT_BYTES);
    tw_buf_init(&content->terms, TW_LIMIT_CONTENT_BYTES);
    tw_buf_init(&content->sealed, 2 * TW_LIMIT_DB_VALUE_BYTES);
    crypto_generichash(content->body_hash, sizeof content->body_hash, (const unsigned char *)body,
                       body_bytes, NULL, 0);
    keep(content, &content->body, body, body_bytes);
    *ret_content = content;
    return TW_OK;
}

void tw_content_free(struct tw_content *content)
{
    if (content == NULL) {
        return;
    }
    drop_kept(content);
    tw_buf_free(&content->sealed);
    tw_subject_key_give_back(content->key);
    tw_mem_free(content->answers);
    tw_mem_free(content);
}

bool tw_content_is_kept(const struct tw_content *content)
{
    return content->state == TW_CONTENT_KEPT;
}

static bool is_name(const char *text, size_t n_bytes)
{
    size_t at = 0;
    while (at < n_bytes) {
        const size_t n = tw_printable_utf8_bytes(text + at, n_bytes - at);
        if (n == 0 || tw_printable_steers(text + at, n)) {
            return false;
        }
        at += n;
    }
    return n_bytes > 0 && n_bytes <= TW_LIMIT_SUBJECT_BYTES;
}

enum tw_status tw_content_name_subject(struct tw_content *content, const char *user,
                                       size_t user_bytes, struct tw_error *error)
{
    struct tw_subject_keys *keys = content->hub->content.keys;
    const struct tw_person *person = content->caller.secret->person;
    struct tw_subject subject;
    char number[24];
    if (user != NULL) {
        if (!is_name(user, user_bytes)) {
            return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                                "it must be a text of 1 to %d printable bytes: it says whom the "
                                "content is about",
                                TW_LIMIT_SUBJECT_BYTES);
        }
        subject = tw_subject_of(keys, TW_SUBJECT_USER, user, user_bytes);
    } else {
        const int64_t id = person != NULL ? person->id : content->project;
        const int n = snprintf(number, sizeof number, "%lld", (long long)id);
        subject = tw_subject_of(keys, person != NULL ? TW_SUBJECT_PERSON : TW_SUBJECT_PROJECT,
                                number, (size_t)n);
    }
    struct tw_holder *project = tw_holder_above(content->caller.key, TW_HOLDER_PROJECT);
    const struct tw_hub_config *config = &content->hub->config;
    return tw_subject_keys_take(keys, &subject, content->project,
                                user != NULL ? &project->new_subjects : NULL,
                                config->now_ns(config->context), &content->key, error);
}

struct tw_buf *tw_content_terms(struct tw_content *content)
{
    return &content->terms;
}

enum tw_status tw_content_begin_answers(struct tw_content *content, size_t n,
                                        struct tw_error *error)
{
    content->answers = tw_mem_zalloc(n, sizeof *content->answers);
    if (content->answers == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for answers");
    }
    content->n_answers = n;
    for (size_t i = 0; i < n; i++) {
        tw_buf_init(&content->answers[i].text, TW_LIMIT_CONTENT_BYTES);
        crypto_generichash_init(&content->answers[i].hash, NULL, 0, TW_CONTENT_HASH_BYTES);
    }
    return TW_OK;
}

void tw_content_add(struct tw_content *content, size_t answer, const char *text, size_t text_bytes,
                    uint64_t n_tokens)
{
    struct tw_content_answer *at = &content->answers[answer];
    crypto_generichash_update(&at->hash, (const unsigned char *)text, text_bytes);
    at->n_tokens += n_tokens;
    keep(content, &at->text, text, text_bytes);
}

void tw_content_add_hashed(struct tw_content *content, size_t answer, const char *text,
                           size_t text_bytes)
{
    struct tw_content_answer *at = &content->answers[answer];
    at->is_hashed = true;
    crypto_generichash_update(&at->hash, (const unsigned char *)text, text_bytes);
}

void tw_content_end(struct tw_content *content, size_t answer, const char *finish)
{
    content->answers[answer].finish = finish;
}

/* ---- the end ---- */

static void put_text(struct tw_json_writer *writer, const char *key, const char *text)
{
    if (text != NULL) {
        tw_json_put_text(writer, key, text);
    }
}

static void put_bytes(struct tw_json_writer *writer, const char *key, const struct tw_buf *text)
{
    tw_json_key(writer, key);
    tw_json_string(writer, text->size_bytes > 0 ? text->data : "", text->size_bytes);
}

static void write_whole(const struct tw_content *content, const struct tw_hub_ticket *ticket,
                        struct tw_buf *out)
{
    const struct tw_hub_config *config = &content->hub->config;
    struct tw_json_writer writer;
    char hash[2 * TW_CONTENT_HASH_BYTES + 1];
    tw_json_begin(&writer, out);
    tw_json_object_begin(&writer);
    tw_json_key(&writer, "answers");
    tw_json_array_begin(&writer);
    for (size_t i = 0; i < content->n_answers; i++) {
        const struct tw_content_answer *answer = &content->answers[i];
        tw_json_object_begin(&writer);
        put_text(&writer, "finish", answer->finish);
        if (answer->is_hashed) {
            sodium_bin2hex(hash, sizeof hash, answer->digest, sizeof answer->digest);
            tw_json_put_text(&writer, "hash", hash);
        } else {
            put_bytes(&writer, "text", &answer->text);
        }
        tw_json_put_uint(&writer, "tokens", answer->n_tokens);
        tw_json_object_end(&writer);
    }
    tw_json_array_end(&writer);
    put_bytes(&writer, "body", &content->body);
    put_text(&writer, "build", config->build);
    put_text(&writer, "isa", config->isa_level);
    tw_json_put_uint(&writer, "max_answer_tokens", ticket->max_answer_tokens);
    put_text(&writer, "model", ticket->request.model);
    put_text(&writer, "model_digest", ticket->request.model_digest);
    if (content->terms.size_bytes > 0) {
        tw_json_key(&writer, "terms");
        tw_buf_append(out, content->terms.data, content->terms.size_bytes);
        writer.needs_comma = true;
    }
    tw_json_put_int(&writer, "version", VERSION);
    tw_json_object_end(&writer);
}

static void seal(struct tw_content *content, const struct tw_hub_ticket *ticket)
{
    struct tw_buf plain;
    tw_buf_init(&plain, TW_LIMIT_DB_VALUE_BYTES - 4096);
    write_whole(content, ticket, &plain);
    if (plain.failed || content->terms.failed) {
        content->state = TW_CONTENT_TOO_LARGE;
    } else if (!tw_subject_key_seal(content->key, ticket->number, plain.data, plain.size_bytes,
                                    &content->sealed)) {
        content->state = TW_CONTENT_ERASED;
    } else if (content->sealed.failed) {
        content->state = TW_CONTENT_TOO_LARGE;
    }
    tw_buf_free(&plain);
}

void tw_content_commit(const unsigned char *salt, const unsigned char *hashes, size_t n_hashes,
                       unsigned char ret_commitment[TW_CONTENT_HASH_BYTES])
{
    crypto_generichash(ret_commitment, TW_CONTENT_HASH_BYTES, hashes,
                       n_hashes * TW_CONTENT_HASH_BYTES, salt, TW_SUBJECT_SALT_BYTES);
}

static void commit(struct tw_content *content, int64_t request)
{
    unsigned char salt[TW_SUBJECT_SALT_BYTES];
    crypto_generichash_state state;
    content->is_committed = tw_subject_key_salt(content->key, request, salt) &&
                            tw_subject_key_tag(content->key, request, content->tag);
    crypto_generichash_init(&state, salt, sizeof salt, sizeof content->commitment);
    crypto_generichash_update(&state, content->body_hash, sizeof content->body_hash);
    for (size_t i = 0; i < content->n_answers; i++) {
        struct tw_content_answer *answer = &content->answers[i];
        crypto_generichash_final(&answer->hash, answer->digest, sizeof answer->digest);
        crypto_generichash_update(&state, answer->digest, sizeof answer->digest);
    }
    crypto_generichash_final(&state, content->commitment, sizeof content->commitment);
    sodium_memzero(salt, sizeof salt);
}

void tw_content_close(struct tw_content *content, const struct tw_hub_ticket *ticket)
{
    if (content->key == NULL) {
        content->state = TW_CONTENT_NOT_KEPT;
        return;
    }
    commit(content, ticket->number);
    if (content->state == TW_CONTENT_KEPT) {
        seal(content, ticket);
    }
}

const char *tw_content_state_name(const struct tw_content *content)
{
    static const char *const names[] = {[TW_CONTENT_NOT_KEPT] = NULL,
                                        [TW_CONTENT_KEPT] = "stored",
                                        [TW_CONTENT_TOO_LARGE] = "too large",
                                        [TW_CONTENT_ERASED] = "erased"};
    return names[content->state];
}
