#include "app/bench_server.h"

#include <curl/curl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/bench_rates.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/rng.h"

enum { LONGEST_WAIT_MS = 1000, URL_BYTES = 1024 };

static const char *const words[] = {
    "time",    "year",     "people", "way",        "day",    "man",     "thing",   "woman",
    "life",    "child",    "world",  "school",     "state",  "family",  "group",   "country",
    "problem", "hand",     "part",   "place",      "case",   "week",    "company", "system",
    "program", "question", "work",   "government", "number", "night",   "point",   "home",
    "water",   "room",     "mother", "area",       "money",  "story",   "fact",    "month",
    "lot",     "right",    "study",  "book",       "eye",    "job",     "word",    "business",
    "issue",   "side",     "kind",   "head",       "house",  "service", "friend",  "father",
    "power",   "hour",     "game",   "line",       "end",    "member",  "law",     "car"};

enum { N_WORDS = sizeof words / sizeof words[0] };

/* A client: one request at a time. */
struct client {
    CURL *easy;
    struct tw_buf body, line; /* what is sent; an event that has not ended */
    uint32_t number;          /* of its request */
    bool is_busy;
    bool is_whole; /* its stream came to the end that a server marks */
    int64_t due_ns, first_ns, last_ns;
    uint64_t n_prompt_tokens, n_cached_tokens, n_answer_tokens, n_events;
    char failure[256];
};

struct load {
    const struct tw_load_config *config;
    struct tw_load_result *result;
    char url[URL_BYTES];
    struct curl_slist *headers;
    CURLM *multi;
    struct client *clients; /* [n_clients] */
    uint32_t n_clients, n_begun, n_running;
    int64_t start_ns, next_due_ns;
    double *first_token, *token, *whole; /* [n_requests]; of those that succeeded */
    uint32_t n_token_times;              /* an answer of one token has no time between tokens */
};

/* ---- requests ---- */

/* Words first..first + n - 1 of a series. */
static void append_words(struct tw_buf *text, uint64_t seed, uint64_t series, uint32_t first,
                         uint32_t n)
{
    for (uint32_t i = first; i < first + n; i++) {
        uint32_t random[4];
        tw_rng_block(seed, series << 32 | i, random);
        tw_buf_append_format(text, "%s%s", i > 0 ? " " : "", words[random[0] % N_WORDS]);
    }
}

static void write_body(const struct tw_load_config *config, uint32_t number, struct tw_buf *body)
{
    struct tw_buf prompt;
    struct tw_json_writer json;
    tw_buf_init(&prompt, TW_LIMIT_BENCH_BODY_BYTES);
    append_words(&prompt, config->seed, 0, 0, config->n_shared_words);
    append_words(&prompt, config->seed, 1 + (uint64_t)number, config->n_shared_words,
                 config->n_prompt_words - config->n_shared_words);
    body->size_bytes = 0;
    tw_json_begin(&json, body);
    tw_json_object_begin(&json);
    if (config->model != NULL) {
        tw_json_put_text(&json, "model", config->model);
    }
    if (config->is_chat) {
        tw_json_key(&json, "messages");
        tw_json_array_begin(&json);
        tw_json_object_begin(&json);
        tw_json_put_text(&json, "role", "user");
        tw_json_key(&json, "content");
        tw_json_string(&json, prompt.data, prompt.size_bytes);
        tw_json_object_end(&json);
        tw_json_array_end(&json);
    } else {
        tw_json_key(&json, "prompt");
        tw_json_string(&json, prompt.data, prompt.size_bytes);
    }
    tw_json_put_uint(&json, "max_tokens", config->n_answer_tokens);
    tw_json_put_uint(&json, "temperature", 0);
    tw_json_put_bool(&json, "stream", true);
    tw_json_key(&json, "stream_options");
    tw_json_object_begin(&json);
    tw_json_put_bool(&json, "include_usage", true);
    tw_json_object_end(&json);
    if (config->ignores_eos) {
        tw_json_put_bool(&json, "ignore_eos", true);
    }
    tw_json_object_end(&json);
    body->failed = body->failed || prompt.failed;
    tw_buf_free(&prompt);
}

/* ---- what comes back ---- */

static const char *text_of(const json_t *choice)
{
    const json_t *delta = json_object_get(choice, "delta");
    const char *text = json_string_value(json_object_get(choice, "text"));
    if (text == NULL) {
        text = json_string_value(json_object_get(delta, "content"));
    }
    if (text == NULL || text[0] == '\0') {
        const char *thought = json_string_value(json_object_get(delta, "reasoning_content"));
        text = thought != NULL ? thought : text;
    }
    return text;
}

static void take_usage(struct client *client, const json_t *usage)
{
    const json_t *details = json_object_get(usage, "prompt_tokens_details");
    client->n_prompt_tokens = (uint64_t)json_integer_value(json_object_get(usage, "prompt_tokens"));
    client->n_answer_tokens =
        (uint64_t)json_integer_value(json_object_get(usage, "completion_tokens"));
    client->n_cached_tokens =
        (uint64_t)json_integer_value(json_object_get(details, "cached_tokens"));
}

/* An error of an answer or of an event: its message, or all of it. */
static void take_failure(struct client *client, const json_t *value, const struct tw_buf *line)
{
    const json_t *error = json_object_get(value, "error");
    const char *message = json_string_value(json_object_get(error, "message"));
    if (client->failure[0] != '\0') {
        return;
    }
    if (message != NULL) {
        (void)snprintf(client->failure, sizeof client->failure, "%s", message);
    } else {
        (void)snprintf(client->failure, sizeof client->failure, "%.*s", (int)line->size_bytes,
                       line->size_bytes > 0 ? line->data : "");
    }
}

static void take_line(struct client *client)
{
    static const char mark[] = "data:", last[] = "[DONE]";
    const char *text = client->line.data;
    size_t n_bytes = client->line.size_bytes;
    long http_status = 0;
    json_t *value;
    struct tw_error error;
    curl_easy_getinfo(client->easy, CURLINFO_RESPONSE_CODE, &http_status);
    if (http_status == 200) {
        if (n_bytes < sizeof mark - 1 || memcmp(text, mark, sizeof mark - 1) != 0) {
            return; /* a comment, another field, or an empty line */
        }
        text += sizeof mark - 1;
        n_bytes -= sizeof mark - 1;
        while (n_bytes > 0 && *text == ' ') {
            text++;
            n_bytes--;
        }
        if (n_bytes == sizeof last - 1 && memcmp(text, last, n_bytes) == 0) {
            client->is_whole = true;
            return;
        }
    }
    if (tw_json_parse(text, n_bytes, "an event", &value, &error) != TW_OK) {
        if (http_status != 200) {
            take_failure(client, NULL, &client->line);
        }
        return;
    }
    const json_t *usage = json_object_get(value, "usage");
    const char *piece = text_of(json_array_get(json_object_get(value, "choices"), 0));
    if (json_is_object(usage)) {
        take_usage(client, usage);
    }
    if (json_object_get(value, "error") != NULL || http_status != 200) {
        take_failure(client, value, &client->line);
    } else if (piece != NULL && piece[0] != '\0') {
        client->last_ns = tw_clock_monotonic_ns();
        client->first_ns = client->first_ns == 0 ? client->last_ns : client->first_ns;
        client->n_events++;
    }
    json_decref(value);
}

static size_t on_data(char *data, size_t size, size_t n, void *context)
{
    struct client *client = context;
    (void)size; /* 1, says the library */
    for (size_t i = 0; i < n; i++) {
        if (data[i] == '\n') {
            take_line(client);
            client->line.size_bytes = 0;
        } else if (data[i] != '\r') {
            tw_buf_append(&client->line, &data[i], 1);
        }
    }
    return client->line.failed ? 0 : n;
}

/* ---- the loop ---- */

static enum tw_status begin(struct load *load, struct client *client, int64_t due_ns,
                            struct tw_error *error)
{
    client->number = load->n_begun++;
    client->due_ns = due_ns;
    client->first_ns = client->last_ns = 0;
    client->n_prompt_tokens = client->n_cached_tokens = client->n_answer_tokens = 0;
    client->n_events = 0;
    client->is_whole = false;
    client->failure[0] = '\0';
    client->line.size_bytes = 0;
    write_body(load->config, client->number, &client->body);
    if (client->body.failed) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION, "a request of %u words: too long",
                            load->config->n_prompt_words);
    }
    curl_easy_setopt(client->easy, CURLOPT_POSTFIELDS, client->body.data);
    curl_easy_setopt(client->easy, CURLOPT_POSTFIELDSIZE, (long)client->body.size_bytes);
    curl_multi_add_handle(load->multi, client->easy);
    client->is_busy = true;
    load->n_running++;
    return TW_OK;
}

static double seconds_between(int64_t from_ns, int64_t to_ns)
{
    return (double)(to_ns - from_ns) / (double)TW_SECOND_NS;
}

static void end(struct load *load, struct client *client, CURLcode code)
{
    struct tw_load_result *result = load->result;
    const struct tw_load_config *config = load->config;
    long http_status = 0;
    if (client->line.size_bytes > 0) {
        take_line(client); /* an error's body ends without a newline */
    }
    curl_easy_getinfo(client->easy, CURLINFO_RESPONSE_CODE, &http_status);
    curl_multi_remove_handle(load->multi, client->easy);
    client->is_busy = false;
    load->n_running--;
    if (code != CURLE_OK || http_status != 200 || client->failure[0] != '\0' ||
        client->n_events == 0 || !client->is_whole) {
        if (result->n_failed++ == 0) {
            const char *why = code != CURLE_OK             ? curl_easy_strerror(code)
                              : client->failure[0] != '\0' ? client->failure
                              : client->is_whole           ? "an answer without text"
                                                           : "the stream broke off";
            char status[32] = "no answer";
            if (http_status != 0) {
                (void)snprintf(status, sizeof status, "HTTP status %ld", http_status);
            }
            (void)snprintf(result->failure, sizeof result->failure, "%s: %.200s", status, why);
        }
        return;
    }
    /* A server that does not count: an event is about a token. */
    const uint64_t n = client->n_answer_tokens > 0 ? client->n_answer_tokens : client->n_events;
    const uint32_t at = result->n_succeeded++;
    load->first_token[at] = seconds_between(client->due_ns, client->first_ns);
    load->whole[at] = seconds_between(client->due_ns, client->last_ns);
    double token = 0;
    if (n > 1) {
        token = seconds_between(client->first_ns, client->last_ns) / (double)(n - 1);
        load->token[load->n_token_times++] = token;
    }
    result->n_good +=
        (config->good_first_seconds <= 0 || load->first_token[at] <= config->good_first_seconds) &&
        (config->good_token_seconds <= 0 || token <= config->good_token_seconds);
    result->n_prompt_tokens += client->n_prompt_tokens;
    result->n_cached_tokens += client->n_cached_tokens;
    result->n_answer_tokens += n;
}

static struct client *idle_client(struct load *load)
{
    for (uint32_t i = 0; i < load->n_clients; i++) {
        if (!load->clients[i].is_busy) {
            return &load->clients[i];
        }
    }
    return NULL;
}

/* The next arrival of a Poisson process. */
static void draw_arrival(struct load *load)
{
    const double u = tw_rng_uniform(load->config->seed, UINT64_MAX - load->n_begun);
    load->next_due_ns += (int64_t)(-log1p(-u) / load->config->rate * (double)TW_SECOND_NS);
}

static enum tw_status begin_what_is_due(struct load *load, struct tw_error *error)
{
    enum tw_status status = TW_OK;
    while (status == TW_OK && load->n_begun < load->config->n_requests) {
        struct client *client = idle_client(load);
        const int64_t now_ns = tw_clock_monotonic_ns();
        const bool is_closed = load->config->rate <= 0;
        if (client == NULL || (!is_closed && load->next_due_ns > now_ns)) {
            break;
        }
        status = begin(load, client, is_closed ? now_ns : load->next_due_ns, error);
        if (!is_closed) {
            draw_arrival(load);
        }
    }
    return status;
}

static int wait_ms(struct load *load)
{
    if (load->config->rate <= 0 || load->n_begun == load->config->n_requests ||
        idle_client(load) == NULL) {
        return LONGEST_WAIT_MS; /* an answer's end wakes us */
    }
    const int64_t ms = (load->next_due_ns - tw_clock_monotonic_ns()) / 1000000 + 1;
    if (ms < 0) {
        return 0; /* it became due a while ago; a negative number would be an error */
    }
    return ms < LONGEST_WAIT_MS ? (int)ms : LONGEST_WAIT_MS;
}

static bool is_done(const struct load *load)
{
    return load->n_running == 0 && load->n_begun == load->config->n_requests;
}

static enum tw_status run_loop(struct load *load, struct tw_error *error)
{
    enum tw_status status = begin_what_is_due(load, error);
    while (status == TW_OK && !is_done(load)) {
        int n_running, n_left;
        CURLMcode code = curl_multi_perform(load->multi, &n_running);
        for (CURLMsg *message; (message = curl_multi_info_read(load->multi, &n_left)) != NULL;) {
            struct client *client;
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &client);
            end(load, client, message->data.result);
        }
        status = begin_what_is_due(load, error);
        if (code == CURLM_OK && status == TW_OK && !is_done(load)) {
            code = curl_multi_poll(load->multi, NULL, 0, wait_ms(load), NULL);
        }
        if (code != CURLM_OK) {
            return tw_error_set(error, TW_ERR_IO, TW_NO_POSITION, "waiting for answers: %s",
                                curl_multi_strerror(code));
        }
    }
    return status;
}

/* ---- the whole ---- */

static struct tw_load_times times_of(double *values, size_t n)
{
    double sum = 0;
    if (n == 0) {
        return (struct tw_load_times){0};
    }
    tw_bench_sort(values, n);
    for (size_t i = 0; i < n; i++) {
        sum += values[i];
    }
    return (struct tw_load_times){.mean = sum / (double)n,
                                  .p50 = tw_bench_quantile(values, n, 0.5),
                                  .p90 = tw_bench_quantile(values, n, 0.9),
                                  .p99 = tw_bench_quantile(values, n, 0.99),
                                  .most = values[n - 1]};
}

/* ".../v1" may be there or not, as clients write it. */
static enum tw_status make_url(struct load *load, struct tw_error *error)
{
    const char *url = load->config->url;
    size_t n_bytes = strlen(url);
    while (n_bytes > 0 && url[n_bytes - 1] == '/') {
        n_bytes--;
    }
    if (n_bytes >= 3 && strncmp(url + n_bytes - 3, "/v1", 3) == 0) {
        n_bytes -= 3;
    }
    if ((strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0) ||
        n_bytes > URL_BYTES - 64) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "'%.100s' is no address of a server: it must be as in "
                            "http://127.0.0.1:8080",
                            url);
    }
    (void)snprintf(load->url, sizeof load->url, "%.*s/v1/%s", (int)n_bytes, url,
                   load->config->is_chat ? "chat/completions" : "completions");
    return TW_OK;
}

static enum tw_status make_client(struct load *load, struct client *client, struct tw_error *error)
{
    tw_buf_init(&client->body, TW_LIMIT_BENCH_BODY_BYTES);
    tw_buf_init(&client->line, TW_LIMIT_BENCH_BODY_BYTES);
    client->easy = curl_easy_init();
    if (client->easy == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a client");
    }
    curl_easy_setopt(client->easy, CURLOPT_URL, load->url);
    curl_easy_setopt(client->easy, CURLOPT_PROTOCOLS_STR, "http,https");
    /* What is measured is the server, whatever http_proxy says. */
    curl_easy_setopt(client->easy, CURLOPT_PROXY, "");
    curl_easy_setopt(client->easy, CURLOPT_HTTPHEADER, load->headers);
    curl_easy_setopt(client->easy, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(client->easy, CURLOPT_WRITEDATA, client);
    curl_easy_setopt(client->easy, CURLOPT_PRIVATE, client);
    curl_easy_setopt(client->easy, CURLOPT_NOSIGNAL, 1L);
    if (load->config->ca_path != NULL) {
        curl_easy_setopt(client->easy, CURLOPT_CAINFO, load->config->ca_path);
    }
    curl_easy_setopt(client->easy, CURLOPT_TIMEOUT, (long)load->config->timeout_seconds);
    return TW_OK;
}

static enum tw_status make_headers(struct load *load, struct tw_error *error)
{
    char line[1024];
    struct curl_slist *list = curl_slist_append(NULL, "Content-Type: application/json");
    if (load->config->api_key != NULL) {
        const int n =
            snprintf(line, sizeof line, "Authorization: Bearer %s", load->config->api_key);
        if (n < 0 || (size_t)n >= sizeof line) {
            curl_slist_free_all(list);
            return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION, "the key is too long");
        }
        struct curl_slist *longer = curl_slist_append(list, line);
        curl_slist_free_all(longer == NULL ? list : NULL);
        list = longer;
    }
    load->headers = list;
    return list != NULL ? TW_OK : tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory");
}

static enum tw_status prepare(struct load *load, struct tw_error *error)
{
    const struct tw_load_config *config = load->config;
    const uint32_t n = config->n_requests;
    load->n_clients = config->n_clients < n ? config->n_clients : n;
    enum tw_status status = make_url(load, error);
    status = status != TW_OK ? status : make_headers(load, error);
    if (status != TW_OK) {
        return status;
    }
    load->multi = curl_multi_init();
    load->clients = tw_mem_zalloc(load->n_clients, sizeof *load->clients);
    load->first_token = tw_mem_alloc(n, sizeof(double));
    load->token = tw_mem_alloc(n, sizeof(double));
    load->whole = tw_mem_alloc(n, sizeof(double));
    if (load->multi == NULL || load->clients == NULL || load->first_token == NULL ||
        load->token == NULL || load->whole == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for %u requests", n);
    }
    curl_multi_setopt(load->multi, CURLMOPT_MAXCONNECTS, (long)load->n_clients);
    for (uint32_t i = 0; status == TW_OK && i < load->n_clients; i++) {
        status = make_client(load, &load->clients[i], error);
    }
    return status;
}

static void release(struct load *load)
{
    for (uint32_t i = 0; load->clients != NULL && i < load->n_clients; i++) {
        if (load->clients[i].is_busy) {
            curl_multi_remove_handle(load->multi, load->clients[i].easy);
        }
        curl_easy_cleanup(load->clients[i].easy);
        tw_buf_free(&load->clients[i].body);
        tw_buf_free(&load->clients[i].line);
    }
    curl_multi_cleanup(load->multi);
    curl_slist_free_all(load->headers);
    tw_mem_free(load->clients);
    tw_mem_free(load->first_token);
    tw_mem_free(load->token);
    tw_mem_free(load->whole);
}

enum tw_status tw_bench_server(const struct tw_load_config *config,
                               struct tw_load_result *ret_result, struct tw_error *error)
{
    struct load load = {.config = config, .result = ret_result};
    *ret_result = (struct tw_load_result){0};
    curl_global_init(CURL_GLOBAL_DEFAULT);
    enum tw_status status = prepare(&load, error);
    if (status == TW_OK) {
        load.start_ns = load.next_due_ns = tw_clock_monotonic_ns();
        status = run_loop(&load, error);
        ret_result->seconds = seconds_between(load.start_ns, tw_clock_monotonic_ns());
        ret_result->first_token = times_of(load.first_token, ret_result->n_succeeded);
        ret_result->token = times_of(load.token, load.n_token_times);
        ret_result->whole = times_of(load.whole, ret_result->n_succeeded);
    }
    release(&load);
    curl_global_cleanup();
    return status;
}
