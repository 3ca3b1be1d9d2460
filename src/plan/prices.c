#include "plan/prices.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/suggest.h"
#include "plan/prices_data.h"

enum { MOST_TERM_MONTHS = 600 };

struct tw_prices {
    struct tw_facts *facts;
    uint32_t *rents, *apis; /* numbers of names */
    uint32_t n_rents, n_apis;
};

void tw_prices_free(struct tw_prices *prices)
{
    if (prices == NULL) {
        return;
    }
    tw_facts_free(prices->facts);
    tw_mem_free(prices->rents);
    tw_mem_free(prices->apis);
    tw_mem_free(prices);
}

const struct tw_facts *tw_prices_facts(const struct tw_prices *prices)
{
    return prices->facts;
}

static double number(const struct tw_facts *facts, const char *name, const char *field,
                     double otherwise)
{
    const struct tw_fact *fact = tw_facts_find(facts, name, field);
    return fact != NULL && fact->is_number ? fact->number.typical : otherwise;
}

static const char *text(const struct tw_facts *facts, const char *name, const char *field)
{
    const struct tw_fact *fact = tw_facts_find(facts, name, field);
    return fact != NULL ? fact->text : "";
}

/* ---- reading ---- */

static const char *const text_fields[] = {"device", "provider", "home", "currency", NULL};

/* A field with a typing error would leave the price that it was to replace. */
static enum tw_status check_field(const struct tw_fact *fact, struct tw_error *error)
{
    static const char *const fields[] = {"device",
                                         "provider",
                                         "home",
                                         "currency",
                                         "usd_per_h",
                                         "term_months",
                                         "devices",
                                         "bought_usd",
                                         "card_usd",
                                         "sold_in",
                                         "input_per_million",
                                         "cached_per_million",
                                         "output_per_million",
                                         "batch_discount",
                                         NULL};
    static const char *const tiers[] = {"from_tokens", "input_per_million", "cached_per_million",
                                        "output_per_million", NULL};
    const char *field = fact->field;
    const bool is_tier = strncmp(field, "tier", 4) == 0 && field[4] >= '2' &&
                         field[4] <= '0' + TW_PRICE_TIERS && field[5] == '_';
    if (strcasecmp(fact->name, "money") == 0 && strncmp(field, "usd_per_", 8) == 0) {
        return TW_OK;
    }
    const char *const *known = is_tier ? tiers : fields;
    const char *word = is_tier ? field + 6 : field;
    for (size_t i = 0; known[i] != NULL; i++) {
        if (strcmp(known[i], word) == 0) {
            return TW_OK;
        }
    }
    const char *guess = tw_suggest_word(word, known);
    return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                        "'%.80s': line %u: a price has no field '%.40s'%s%.*s%s: "
                        "docs/plan-catalogue.md has them all",
                        fact->file, fact->line, field, guess != NULL ? "; did you mean " : "",
                        is_tier ? 6 : 0, field, guess != NULL ? guess : "");
}

/* What a name's rows say together: a rental of some device, tokens both ways. */
static enum tw_status check_names(const struct tw_facts *facts, struct tw_error *error)
{
    static const char *const needs[][2] = {{"usd_per_h", "device"},
                                           {"term_months", "usd_per_h"},
                                           {"devices", "usd_per_h"},
                                           {"input_per_million", "output_per_million"},
                                           {"output_per_million", "input_per_million"},
                                           {"cached_per_million", "input_per_million"},
                                           {"batch_discount", "input_per_million"}};
    for (uint32_t i = 0; i < tw_facts_count(facts); i++) {
        const struct tw_fact *fact = tw_facts_at(facts, i);
        for (size_t k = 0; k < sizeof needs / sizeof needs[0]; k++) {
            if (strcmp(fact->field, needs[k][0]) == 0 &&
                tw_facts_find(facts, fact->name, needs[k][1]) == NULL) {
                return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                                    "'%.80s': line %u: '%.60s' has %s and no %s: add that row, or "
                                    "write the name of a price that is there",
                                    fact->file, fact->line, fact->name, needs[k][0], needs[k][1]);
            }
        }
    }
    return TW_OK;
}

enum tw_status tw_prices_check_devices(const struct tw_prices *prices,
                                       const struct tw_catalogue *catalogue, struct tw_error *error)
{
    for (uint32_t i = 0; i < tw_facts_count(prices->facts); i++) {
        const struct tw_fact *fact = tw_facts_at(prices->facts, i);
        const struct tw_plan_device *device;
        const bool is_of_one = strcmp(fact->field, "bought_usd") == 0 ||
                               strcmp(fact->field, "card_usd") == 0 ||
                               strcmp(fact->field, "sold_in") == 0;
        const char *name = is_of_one ? fact->name : fact->text;
        if ((is_of_one || strcmp(fact->field, "device") == 0) &&
            tw_catalogue_device(catalogue, name, &device, error) != TW_OK) {
            tw_error_prefix(error, "'%.80s': line %u: a price of what is not there", fact->file,
                            fact->line);
            return TW_ERR_FORMAT;
        }
    }
    return TW_OK;
}

/* Nothing costs less than nothing, and what is named as a number is one. */
static enum tw_status check(const struct tw_facts *facts, struct tw_error *error)
{
    for (uint32_t i = 0; i < tw_facts_count(facts); i++) {
        const struct tw_fact *fact = tw_facts_at(facts, i);
        bool is_text = false;
        for (int t = 0; text_fields[t] != NULL; t++) {
            is_text = is_text || strcmp(fact->field, text_fields[t]) == 0;
        }
        enum tw_status status = check_field(fact, error);
        if (status != TW_OK) {
            return status;
        }
        if (!is_text && !fact->is_number) {
            return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                                "'%.80s': line %u: %.40s of %.60s is '%.40s'; write a number",
                                fact->file, fact->line, fact->field, fact->name, fact->text);
        }
        if (!is_text && fact->number.low < 0) {
            return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                                "'%.80s': line %u: %.40s of %.60s is %g; a price is 0 or more",
                                fact->file, fact->line, fact->field, fact->name, fact->number.low);
        }
        if (strcmp(fact->field, "term_months") == 0 && fact->number.high > MOST_TERM_MONTHS) {
            return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                                "'%.80s': line %u: term_months of %.60s is %g; write 0 to %d",
                                fact->file, fact->line, fact->name, fact->number.high,
                                MOST_TERM_MONTHS);
        }
    }
    return check_names(facts, error);
}

static enum tw_status index_rows(struct tw_prices *prices, struct tw_error *error)
{
    const uint32_t n = tw_facts_n_names(prices->facts);
    prices->rents = tw_mem_alloc(n + 1, sizeof *prices->rents);
    prices->apis = tw_mem_alloc(n + 1, sizeof *prices->apis);
    if (prices->rents == NULL || prices->apis == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for prices");
    }
    for (uint32_t i = 0; i < n; i++) {
        const char *name = tw_facts_name(prices->facts, i);
        if (tw_facts_find(prices->facts, name, "usd_per_h") != NULL) {
            prices->rents[prices->n_rents++] = i;
        }
        if (tw_facts_find(prices->facts, name, "input_per_million") != NULL) {
            prices->apis[prices->n_apis++] = i;
        }
    }
    return TW_OK;
}

static enum tw_status read_own(struct tw_prices *prices, const char *file, struct tw_error *error)
{
    struct tw_buf buf;
    enum tw_status status = tw_file_read(file, TW_LIMIT_PLAN_TABLE_BYTES, &buf, error);
    if (status != TW_OK) {
        return status;
    }
    status = tw_facts_read(prices->facts, file, buf.data, buf.size_bytes, error);
    tw_buf_free(&buf);
    return status;
}

enum tw_status tw_prices_open(const char *const *files, uint32_t n_files,
                              struct tw_prices **ret_prices, struct tw_error *error)
{
    struct tw_prices *prices = tw_mem_zalloc(1, sizeof *prices);
    if (prices == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for prices");
    }
    enum tw_status status = tw_facts_create(&prices->facts, error);
    if (status == TW_OK) {
        status =
            tw_facts_read(prices->facts, tw_prices_built_in[0].file, tw_prices_built_in[0].text,
                          strlen(tw_prices_built_in[0].text), error);
    }
    for (uint32_t i = 0; status == TW_OK && i < n_files; i++) {
        status = read_own(prices, files[i], error);
    }
    status = status == TW_OK ? check(prices->facts, error) : status;
    status = status == TW_OK ? index_rows(prices, error) : status;
    if (status != TW_OK) {
        tw_prices_free(prices);
        return status;
    }
    *ret_prices = prices;
    return TW_OK;
}

/* ---- asking ---- */

bool tw_prices_bought(const struct tw_prices *prices, const char *device, struct tw_range *ret_usd)
{
    const struct tw_fact *fact = tw_facts_find(prices->facts, device, "bought_usd");
    if (fact == NULL || !fact->is_number) {
        return false;
    }
    *ret_usd = fact->number;
    return true;
}

double tw_prices_sold_in(const struct tw_prices *prices, const char *device)
{
    return fmax(1, number(prices->facts, device, "sold_in", 1));
}

uint32_t tw_prices_n_rents(const struct tw_prices *prices)
{
    return prices->n_rents;
}

struct tw_price_rent tw_prices_rent_at(const struct tw_prices *prices, uint32_t i)
{
    const struct tw_facts *facts = prices->facts;
    const char *name = tw_facts_name(facts, prices->rents[i]);
    const struct tw_fact *price = tw_facts_find(facts, name, "usd_per_h");
    const double n = number(facts, name, "devices", 1);
    const struct tw_price_rent rent = {
        .name = name,
        .device = text(facts, name, "device"),
        .provider = text(facts, name, "provider"),
        .home = text(facts, name, "home"),
        .source = price->source,
        .date = price->date,
        .n_devices = n >= 1 ? n : 1,
        .term_months = number(facts, name, "term_months", 0),
        .device_usd_h = tw_range_times(price->number, 1 / (n >= 1 ? n : 1)),
    };
    return rent;
}

uint32_t tw_prices_n_apis(const struct tw_prices *prices)
{
    return prices->n_apis;
}

const char *tw_prices_api_name(const struct tw_prices *prices, uint32_t i)
{
    return tw_facts_name(prices->facts, prices->apis[i]);
}

const struct tw_fact *tw_prices_currency_fact(const struct tw_prices *prices, const char *currency)
{
    char field[32] = "usd_per_";
    for (size_t i = 0; i < 8 && currency[i] != '\0'; i++) {
        const char c = currency[i];
        field[8 + i] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
        field[9 + i] = '\0';
    }
    return tw_facts_find(prices->facts, "money", field);
}

/* "euro", "Dollars", "RMB": codes of what is called so; "": none. */
static const char *near_currency(const struct tw_prices *prices, const char *currency)
{
    static const char *const words[][2] = {
        {"eur", "EUR"}, {"€", "EUR"},   {"usd", "USD"},  {"dollar", "USD"}, {"$", "USD"},
        {"us$", "USD"}, {"cny", "CNY"}, {"yuan", "CNY"}, {"rmb", "CNY"},    {"renminbi", "CNY"}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strncasecmp(currency, words[i][0], strlen(words[i][0])) == 0 &&
            (strcmp(words[i][1], "USD") == 0 ||
             tw_prices_currency_fact(prices, words[i][1]) != NULL)) {
            return words[i][1];
        }
    }
    return "";
}

enum tw_status tw_prices_currency(const struct tw_prices *prices, const char *currency,
                                  struct tw_range *ret_usd, struct tw_error *error)
{
    if (strcasecmp(currency, "USD") == 0) {
        *ret_usd = tw_range_exact(1);
        return TW_OK;
    }
    const struct tw_fact *fact = tw_prices_currency_fact(prices, currency);
    if (fact == NULL || !fact->is_number || fact->number.low <= 0) {
        const char *guess = near_currency(prices, currency);
        return guess[0] != '\0'
                   ? tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                                  "there is no rate for '%.12s'; did you mean %s?", currency, guess)
                   : tw_error_set(
                         error, TW_ERR_FORMAT, TW_NO_POSITION,
                         "there is no rate for '%.12s': add a row money,usd_per_%.12s,RATE,"
                         ",,SOURCE,DATE to a file of prices",
                         currency, currency);
    }
    *ret_usd = fact->number;
    return TW_OK;
}

static enum tw_status unknown_api(const struct tw_prices *prices, const char *name,
                                  struct tw_error *error)
{
    const char *names[512];
    uint32_t n = 0;
    for (; n < prices->n_apis && n < 511; n++) {
        names[n] = tw_prices_api_name(prices, n);
    }
    names[n] = NULL;
    const char *guess = tw_suggest_word(name, names);
    return tw_error_set(error, TW_ERR_NOT_FOUND, TW_NO_POSITION,
                        "no price of tokens is known for '%.60s'%s%.60s: name one of `tokenworks "
                        "plan catalogue prices`, or give a file of your own",
                        name, guess != NULL ? "; did you mean " : "", guess != NULL ? guess : "");
}

static double tier_number(const struct tw_facts *facts, const char *name, uint32_t tier,
                          const char *field, double otherwise)
{
    char key[64];
    snprintf(key, sizeof key, "tier%u_%s", tier, field);
    return number(facts, name, tier == 1 ? field : key, otherwise);
}

enum tw_status tw_prices_api(const struct tw_prices *prices, const char *name,
                             struct tw_price_api *ret_api, struct tw_error *error)
{
    const struct tw_facts *facts = prices->facts;
    const struct tw_fact *price = tw_facts_find(facts, name, "input_per_million");
    if (price == NULL) {
        return unknown_api(prices, name, error);
    }
    struct tw_price_api api = {.name = price->name,
                               .provider = text(facts, name, "provider"),
                               .home = text(facts, name, "home"),
                               .currency = text(facts, name, "currency"),
                               .source = price->source,
                               .date = price->date,
                               .batch_discount = number(facts, name, "batch_discount", 0)};
    api.currency = api.currency[0] != '\0' ? api.currency : "USD";
    enum tw_status status = tw_prices_currency(prices, api.currency, &api.currency_usd, error);
    if (status != TW_OK) {
        return status;
    }
    const double usd = api.currency_usd.typical;
    for (uint32_t t = 1; t <= TW_PRICE_TIERS; t++) {
        const double from = t == 1 ? 0 : tier_number(facts, name, t, "from_tokens", -1);
        if (from < 0) {
            break;
        }
        const double input = tier_number(facts, name, t, "input_per_million", 0);
        api.tiers[api.n_tiers++] = (struct tw_price_tier){
            .from_tokens = from,
            .input_usd = input * usd,
            .cached_usd = tier_number(facts, name, t, "cached_per_million", input) * usd,
            .output_usd = tier_number(facts, name, t, "output_per_million", 0) * usd,
        };
    }
    *ret_api = api;
    return TW_OK;
}

double tw_price_api_per_million(const struct tw_price_api *api, const struct tw_workload *workload,
                                double cached_share, double batch_share)
{
    double usd = 0, tokens = 0;
    for (uint32_t i = 0; i < workload->n_requests; i++) {
        const struct tw_plan_request *request = &workload->requests[i];
        uint32_t t = 0;
        while (t + 1 < api->n_tiers && request->n_input >= api->tiers[t + 1].from_tokens) {
            t++;
        }
        const struct tw_price_tier *tier = &api->tiers[t];
        usd += request->n_input *
                   ((1 - cached_share) * tier->input_usd + cached_share * tier->cached_usd) +
               request->n_output * tier->output_usd;
        tokens += (double)request->n_input + request->n_output;
    }
    return tokens > 0 ? usd / tokens * (1 - batch_share * api->batch_discount) : 0;
}
