#include "api/api_refusals.h"

#include <stdio.h>

bool tw_api_refuse_unrecorded(struct tw_api_error *error)
{
    return tw_api_refuse_status(error, 503, "server_error", "not_recorded",
                                "tokens cannot be put on record now, so none are given; whoever "
                                "runs the server finds the reason in its log");
}

bool tw_api_refuse_revoked(struct tw_api_error *error)
{
    return tw_api_refuse_status(error, 401, "invalid_request_error", "invalid_api_key",
                                "the key, or what it belongs to, was closed");
}

bool tw_api_refuse_key(struct tw_api_error *error, enum tw_hub_verdict verdict)
{
    static const char *const texts[] = {[TW_HUB_KEY_UNKNOWN] = "this key is not known here",
                                        [TW_HUB_KEY_REVOKED] =
                                            "this key, or what it belongs to, was closed",
                                        [TW_HUB_KEY_EXPIRED] = "this key has expired"};
    return tw_api_refuse_status(error, 401, "invalid_request_error", "invalid_api_key", "%s",
                                texts[verdict]);
}

bool tw_api_refuse_policy(struct tw_api_error *error, const char *sentence)
{
    return tw_api_refuse_status(error, 403, "invalid_request_error", "refused_by_policy", "%s",
                                sentence);
}

bool tw_api_refuse_ticket(struct tw_api_error *error, const struct tw_hub_ticket *ticket)
{
    switch (ticket->refusal) {
    case TW_HUB_REFUSED_KEY:
        return tw_api_refuse_status(error, 401, "invalid_request_error", "invalid_api_key", "%s",
                                    ticket->reason);
    case TW_HUB_REFUSED_BUDGET:
        return tw_api_refuse_status(error, 429, "insufficient_quota", "insufficient_quota", "%s",
                                    ticket->reason);
    case TW_HUB_REFUSED_RATE:
    case TW_HUB_REFUSED_CONCURRENT:
        return tw_api_refuse_status(error, 429, "rate_limit_error", "rate_limit_exceeded", "%s",
                                    ticket->reason);
    case TW_HUB_REFUSED_PRICE:
        return tw_api_refuse_status(error, 403, "invalid_request_error", "model_without_price",
                                    "%s", ticket->reason);
    case TW_HUB_REFUSED_POLICY:
        return tw_api_refuse_policy(error, ticket->reason);
    case TW_HUB_REFUSED_STORE:
    case TW_HUB_GRANTED:
        break;
    }
    return tw_api_refuse_unrecorded(error);
}

static void add(struct tw_api_rate_headers *out, const char *name, int64_t n)
{
    snprintf(out->texts[out->n], sizeof out->texts[out->n], "%lld", (long long)n);
    out->headers[out->n] = (struct tw_http_header){name, out->texts[out->n]};
    out->n++;
}

static void add_reset(struct tw_api_rate_headers *out, const char *name, int64_t reset_ns)
{
    tw_rate_limit_print_reset(reset_ns, out->texts[out->n]);
    out->headers[out->n] = (struct tw_http_header){name, out->texts[out->n]};
    out->n++;
}

void tw_api_rate_headers(const struct tw_hub_shown *shown, struct tw_api_rate_headers *ret_headers)
{
    ret_headers->n = 0;
    if (shown != NULL && shown->has_requests) {
        add(ret_headers, "x-ratelimit-limit-requests", shown->requests.limit);
        add(ret_headers, "x-ratelimit-remaining-requests", shown->requests.remaining);
        add_reset(ret_headers, "x-ratelimit-reset-requests", shown->requests.reset_ns);
    }
    if (shown != NULL && shown->has_tokens) {
        add(ret_headers, "x-ratelimit-limit-tokens", shown->tokens.limit);
        add(ret_headers, "x-ratelimit-remaining-tokens", shown->tokens.remaining);
        add_reset(ret_headers, "x-ratelimit-reset-tokens", shown->tokens.reset_ns);
    }
}
