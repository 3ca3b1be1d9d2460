/* api_refusals.h: what clients are told by the hub: refusals, and what is left of their rates. */
#ifndef TW_API_API_REFUSALS_H
#define TW_API_API_REFUSALS_H

#include "api/api_state.h"

/* Why a ticket was not granted, or could not be recorded. */
bool tw_api_refuse_ticket(struct tw_api_error *error, const struct tw_hub_ticket *ticket);
bool tw_api_refuse_policy(struct tw_api_error *error, const char *sentence);
bool tw_api_refuse_unrecorded(struct tw_api_error *error);
bool tw_api_refuse_revoked(struct tw_api_error *error);
/* Why a key is none. */
bool tw_api_refuse_key(struct tw_api_error *error, enum tw_hub_verdict verdict);

/* x-ratelimit-* as OpenAI sends them; the values are written into texts. */
enum { TW_API_RATE_HEADERS = 6 };
struct tw_api_rate_headers {
    struct tw_http_header headers[TW_API_RATE_HEADERS];
    size_t n;
    char texts[TW_API_RATE_HEADERS][TW_RATE_RESET_BYTES];
};
/* shown NULL, or a bound that is not set: no headers. */
void tw_api_rate_headers(const struct tw_hub_shown *shown, struct tw_api_rate_headers *ret_headers);

/* Answers with an error that a ticket has: with its headers, and when to try again. */
void tw_api_answer_refusal(struct tw_api *api, struct tw_http_request *http,
                           const struct tw_api_error *error, const struct tw_hub_ticket *ticket);

#endif
