#include "app/backend_terms.h"

#include "hub/money.h"

static enum tw_status read_amount(const char *what, const char *text, int64_t *ret_nano,
                                  struct tw_error *error)
{
    return tw_money_parse(text, ret_nano, NULL) == TW_OK && *ret_nano >= 0
               ? TW_OK
               : tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                              "the cost of %s '%.40s' is no amount a million tokens, such as 0.15",
                              what, text);
}

enum tw_status tw_backend_terms_cost(const struct tw_serve_file_remote_model *model,
                                     struct tw_route_prices *ret_prices, struct tw_error *error)
{
    const struct tw_serve_file_cost *cost = model->cost;
    *ret_prices = (struct tw_route_prices){0};
    if (cost == NULL) {
        return TW_OK;
    }
    enum tw_status status = read_amount("input", cost->input, &ret_prices->input_nano, error);
    if (status == TW_OK) {
        status = read_amount("output", cost->output, &ret_prices->output_nano, error);
    }
    if (status == TW_OK) {
        status = read_amount("cached", cost->cached != NULL ? cost->cached : cost->input,
                             &ret_prices->cached_nano, error);
    }
    return status;
}

enum tw_status tw_backend_terms_abilities(const struct tw_serve_file_remote_model *model,
                                          uint32_t usual, uint32_t *ret_abilities,
                                          struct tw_error *error)
{
    *ret_abilities = model->can_count == 0 ? usual : 0;
    for (unsigned i = 0; i < model->can_count; i++) {
        const uint32_t ability = tw_server_ability_named(model->can[i]);
        if (ability == 0) {
            return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                                "what '%.60s' can do, '%.40s', is none of answers, tools, schemas, "
                                "logprobs, choices, images, embeddings",
                                model->name, model->can[i]);
        }
        *ret_abilities |= ability;
    }
    return TW_OK;
}
