/* What would break if a detector passed over a number that is one, or took another for it: both
 * kinds are written out as people write them. In texts that are to be found in, [ ] are around what
 * is found. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "policy/builtin.h"
#include "policy/checksum.h"

enum { TEXT_BYTES = 512 };

struct hits {
    size_t n, begin, end; /* of the first */
};

static void on_found(void *context, enum tw_builtin kind, size_t begin, size_t end)
{
    struct hits *hits = context;
    (void)kind;
    if (hits->n++ == 0) {
        hits->begin = begin;
        hits->end = end;
    }
}

static struct hits scan(enum tw_builtin kind, const char *text, size_t n)
{
    struct hits hits = {0};
    tw_builtin_scan(text, n, UINT32_C(1) << kind, on_found, &hits);
    return hits;
}

static void assert_found(enum tw_builtin kind, const char *marked)
{
    char text[TEXT_BYTES];
    size_t n = 0, begin = 0, end = 0;
    for (const char *c = marked; *c != '\0'; c++) {
        begin = *c == '[' ? n : begin;
        end = *c == ']' ? n : end;
        if (*c != '[' && *c != ']') {
            text[n++] = *c;
        }
    }
    const struct hits hits = scan(kind, text, n);
    if (hits.n != 1 || hits.begin != begin || hits.end != end) {
        fail_msg("%s in '%s': %zu found, the first at %zu to %zu", tw_builtin_names[kind], marked,
                 hits.n, hits.begin, hits.end);
    }
}

static void assert_not_found(enum tw_builtin kind, const char *text)
{
    const struct hits hits = scan(kind, text, strlen(text));
    if (hits.n != 0) {
        fail_msg("%s in '%s': found '%.*s'", tw_builtin_names[kind], text,
                 (int)(hits.end - hits.begin), text + hits.begin);
    }
}

/* Both lists end with NULL. */
static void check(enum tw_builtin kind, const char *const *found, const char *const *not_found)
{
    for (; *found != NULL; found++) {
        assert_found(kind, *found);
    }
    for (; *not_found != NULL; not_found++) {
        assert_not_found(kind, *not_found);
    }
}

static void mail_addresses_are_found_and_what_looks_like_them_is_not(void **state)
{
    static const char *const found[] = {"Write to [anna@example.org], please.",
                                        "<[anna.maier+news@mail.example.co.uk]>",
                                        "mailto:[a@b.io]?subject=x",
                                        "([jürgen@müller.de])",
                                        "From: \"Anna\" <[x_y-z%1@sub-domain.example.museum]>;",
                                        "ends with a stop: [anna@example.org].",
                                        "'[o'brien@example.ie]'",
                                        "[anna@xn--bcher-kva.example]",
                                        "[info@example.xn--p1ai]!",
                                        "你好[zhang@example.cn]。",
                                        "user:[pw@host.example] in an address",
                                        "line\\n[nina@example.org]\\n",
                                        NULL};
    static const char *const not_found[] = {"@media screen",
                                            "anna@localhost",
                                            "icon@2x.png",
                                            "logo@3x.svg",
                                            "a @ b.de",
                                            "@anna",
                                            "lodash@4.17.21",
                                            "@scope/pkg@1.2.3",
                                            "anna@example.",
                                            "anna@.example.org",
                                            "anna@example.c",
                                            "anna@exa mple.org",
                                            "5 @ 3.50 EUR",
                                            "vue@3.js",
                                            "...@example.org",
                                            "anna@10.0.0.1",
                                            "x@y@",
                                            "@",
                                            "meet me @home.",
                                            NULL};
    (void)state;
    check(TW_BUILTIN_EMAIL, found, not_found);
}

static void phone_numbers_are_found_and_other_groups_of_digits_are_not(void **state)
{
    static const char *const found[] = {"Call [+49 30 901820] now", "[+49 (0) 30 90 18 20]",
                                        "[+49(0)30/901820]",        "([+44 20 7946 0958])",
                                        "[+1 (212) 555-0123]",      "[+12125550123]",
                                        "[+41 44 668 18 00].",      "[+7 495 123-45-67]",
                                        "[0049 30 901820]",         NULL};
    static const char *const more[] = {"[030 9018200]",
                                       "[030 901820-00]",
                                       "[030/9018200]",
                                       "Mobil: [0171-1234567]",
                                       "[(030) 9018200]",
                                       "[020 7946 0958]",
                                       "[07700 900123]",
                                       "[(212) 555-0123]",
                                       "[212-555-0123]",
                                       "[212.555.0123]",
                                       "[1-212-555-0123]",
                                       "[01 42 68 53 00]",
                                       "[01.42.68.53.00]",
                                       "Tel. [01711234567]",
                                       "phone: [5550123]",
                                       "Fax [612 345 678]",
                                       "\xef\xbc\x8b or [+49\xc2\xa0"
                                       "30\xc2\xa0"
                                       "901820]",
                                       NULL};
    static const char *const not_found[] = {"01.02.2024",
                                            "01-02-2024",
                                            "2024-01-02",
                                            "12:30 to 14:45",
                                            "1 000 000",
                                            "1.234.567,89",
                                            "order 4711081500",
                                            "Invoice 2024-000123",
                                            "192.168.100.200",
                                            "10.0.0.138",
                                            "978-3-16-148410-0",
                                            "0.123456789",
                                            "x+12345678901234",
                                            "a1b2c3d4-0123-4567",
                                            "+1 234",
                                            "+999",
                                            "+28 30 9018200",
                                            "00 00 00 00",
                                            "0001 2345 678",
                                            "3.14159265358979",
                                            "123 456 789",
                                            "112-555-0123",
                                            "212-155-0123",
                                            "(2019) 1234567",
                                            "12345678901234567890",
                                            "8 + 491234567",
                                            "0815-4711",
                                            "telescope 1234567",
                                            "v1.20.300.4000",
                                            NULL};
    (void)state;
    check(TW_BUILTIN_PHONE, found, not_found);
    check(TW_BUILTIN_PHONE, more, not_found);
}

static void accounts_are_found_by_country_length_and_checksum(void **state)
{
    static const char *const found[] = {"IBAN [DE89 3704 0044 0532 0130 00] und mehr",
                                        "[DE89370400440532013000]",
                                        "[de89370400440532013000].",
                                        "[GB82 WEST 1234 5698 7654 32]",
                                        "[FR14 2004 1010 0505 0001 3M02 606]",
                                        "[NO93 8601 1117 947]",
                                        "[BE68-5390-0754-7034]",
                                        "[CH93\xc2\xa0"
                                        "0076\xc2\xa0"
                                        "2011\xc2\xa0"
                                        "6238\xc2\xa0"
                                        "5295\xc2\xa0"
                                        "7]",
                                        "[DE 89 370400440532013000]",
                                        "[AT61 1904 3002 3457 3201]",
                                        "[NL91 ABNA 0417 1643 00]",
                                        "\\t[NL91ABNA0417164300]\\r\\n",
                                        NULL};
    static const char *const not_found[] = {
        "DE89 3704 0044 0532 0130 01", /* checksum */
        "DE89 3704 0044 0532 0130",    /* too short */
        "DE893704004405320130001",     /* too long */
        "XX89 3704 0044 0532 0130 00", /* no country */
        "ADE89370400440532013000",     /* within a word */
        "DE89  3704 0044 0532 0130 00", "DE 2024 4711 0815 4711 0815",
        "GB82 WEST 1234 5698 7654 33",  NULL};
    (void)state;
    check(TW_BUILTIN_IBAN, found, not_found);
}

static void cards_are_found_by_network_length_and_checksum(void **state)
{
    static const char *const found[] = {
        "[4111 1111 1111 1111] 12/27 123",
        "[4111111111111111]",
        "[4111-1111-1111-1111],",
        "[5555 5555 5555 4444]",
        "[2223 0031 2200 3222]",
        "Amex [3782 822463 10005]",
        "[371449635398431]",
        "[6011111111111117]",
        "[3056 930902 5904]",
        "[3530111333300000]",
        "a=1;[4012888888881881];b=2",
        "\\n[4012888888881881]\\n",
        "4012888888881882,[4012888888881881],x",
        "\xef\xbc\x9a[\xef\xbc\x94\xef\xbc\x91\xef\xbc\x91\xef\xbc\x91"
        "111111111111]",
        NULL};
    static const char *const not_found[] = {"4111 1111 1111 1112",  /* checksum */
                                            "411111111111111",      /* too short */
                                            "41111111111111111",    /* too long */
                                            "54111111111111111123", /* within more digits */
                                            "9111111111111111",     /* no network */
                                            "0.4111111111111111",   /* a fraction */
                                            "4111111111111111.5",
                                            "x4111111111111111",
                                            "4111111111111111_1",
                                            "4111 1111  1111 1111",
                                            "2024 2025 2026 2027",
                                            "1700000000000000", /* a time */
                                            "550e8400-e29b-41d4-a716-446655440000",
                                            "490154203237518", /* an IMEI */
                                            "4006381333931",   /* an EAN */
                                            "1-4111111111111111",
                                            "ä4111111111111111",
                                            NULL};
    (void)state;
    check(TW_BUILTIN_CARD, found, not_found);
}

static void national_numbers_of_the_north_are_told_from_others(void **state)
{
    static const char *const nl[] = {"BSN: [111222333]", "burgerservicenummer [1112.22.333]",
                                     "Uw BSN is [123456782].", NULL};
    static const char *const nl_not[] = {"111222333",      "BSN 111222334", "BSN 1112223334",
                                         "absn 111222333", "BSN 000000000", NULL};
    static const char *const se[] = {"[811228-9874]",
                                     "[670919-9530]",
                                     "[19811228-9874]",
                                     "[198112289874]",
                                     "[811228+9874]",
                                     "personnummer [8112289874]",
                                     NULL};
    static const char *const se_not[] = {"811228-9875", "811328-9874",   "811232-9874",
                                         "8112289874",  "20261128-0235", "202611280235",
                                         "1704067200",  "811228-98741",  NULL};
    static const char *const be[] = {"[85.07.30-033.28]", "[85073003328]", "[85 07 30 033 28]",
                                     "RRN [17.07.30-033.84]", NULL};
    static const char *const be_not[] = {"85.07.30-033.29", "85.13.30-033.28", "850730033281",
                                         "85.07.30-000.61", NULL};
    static const char *const uk[] = {"[AB123456C]", "NI [AB 12 34 56 C].", "[CE123456D]", NULL};
    static const char *const uk_not[] = {"AB123456E", "DA123456A",  "AO123456A",
                                         "BG123456A", "AB1234567C", "AB12345C",
                                         "ab123456c", "XAB123456C", NULL};
    (void)state;
    check(TW_BUILTIN_NL_BSN, nl, nl_not);
    check(TW_BUILTIN_SE_PERSONNUMMER, se, se_not);
    check(TW_BUILTIN_BE_NRN, be, be_not);
    check(TW_BUILTIN_UK_NINO, uk, uk_not);
}

static void national_numbers_of_the_middle_are_told_from_others(void **state)
{
    static const char *const de[] = {"IdNr. [86095742719]", "[47 036 892 816]", "[65929970489]",
                                     "Steuer-ID:[57549285017]", NULL};
    static const char *const de_not[] = {"86095742718",  "06095742719", "8609574271",
                                         "860957427190", "12345678903", "11123456784",
                                         "17000000000",  NULL};
    static const char *const at[] = {"[1237 010180]", "SV-Nr. [1237010180]", "[1237 01 01 80]",
                                     NULL};
    static const char *const at_not[] = {"1238 010180", "1237 320180", "0237 010180",
                                         "12370101801", "1237 01018",  NULL};
    static const char *const ch[] = {"[756.9217.0769.85]", "AHV [7561234567897]",
                                     "[756 1234 5678 97]", NULL};
    static const char *const ch_not[] = {"756.9217.0769.84", "757.9217.0769.85", "756.9217.0769.8",
                                         "x7569217076985", NULL};
    static const char *const pl[] = {"PESEL [44051401359]", "[02270803624]", NULL};
    static const char *const pl_not[] = {"44051401358",  "44131401359", "44053201359",
                                         "440514013590", "4405140135",  NULL};
    (void)state;
    check(TW_BUILTIN_DE_STEUER_ID, de, de_not);
    check(TW_BUILTIN_AT_SVNR, at, at_not);
    check(TW_BUILTIN_CH_AHV, ch, ch_not);
    check(TW_BUILTIN_PL_PESEL, pl, pl_not);
}

static void national_numbers_of_the_south_and_west_are_told_from_others(void **state)
{
    static const char *const fr[] = {"[2 55 08 14 168 025 38]", "NIR [255081416802538]",
                                     "[1 84 12 76 451 089 46]", NULL};
    static const char *const fr_not[] = {"2 55 08 14 168 025 39", "5 55 08 14 168 025 38",
                                         "2550814168025381", "2 55 13 14 168 025 33", NULL};
    static const char *const it[] = {"CF: [RSSMRA85T10A562S]", "[rssmra85t10a562s]",
                                     "[RSS MRA 85T10 A562S]", "[MRTMTT91D08F205J]", NULL};
    static const char *const it_not[] = {"RSSMRA85T10A562T",
                                         "RSSMRA85T32A562S",
                                         "RSSMRA85T10A562",
                                         "RSSMRA85T10A562SX",
                                         "ARSSMRA85T10A562S",
                                         "RSSMRA85Z10A562S",
                                         NULL};
    static const char *const es[] = {"DNI [12345678Z]", "[12.345.678-Z]", "[12345678-z].", NULL};
    static const char *const es_not[] = {"12345678A",  "1234567Z",      "123456789Z",
                                         "12345678ZZ", "20261128T0235", NULL};
    static const char *const nie[] = {"NIE [X1234567L]", "[X-1234567-L]", "[Z 1234567 R]", NULL};
    static const char *const nie_not[] = {"X1234567M", "W1234567L", "X12345678L", "XX1234567L",
                                          NULL};
    static const char *const us[] = {"[536-90-4399]", "[536 90 4399].", "SSN: [536904399]", NULL};
    static const char *const us_not[] = {
        "536904399",  "000-90-4399",  "666-90-4399", "936-90-4399",   "536-00-4399", "536-90-0000",
        "12345-6789", "536-90-43991", "078-05-1120", "1-536-90-4399", NULL};
    (void)state;
    check(TW_BUILTIN_FR_NIR, fr, fr_not);
    check(TW_BUILTIN_IT_CODICE_FISCALE, it, it_not);
    check(TW_BUILTIN_ES_DNI, es, es_not);
    check(TW_BUILTIN_ES_NIE, nie, nie_not);
    check(TW_BUILTIN_US_SSN, us, us_not);
}

static void checksums_hold_for_numbers_that_have_them(void **state)
{
    static const struct {
        enum tw_checksum checksum;
        const char *good, *bad;
    } rows[] = {
        {TW_CHECKSUM_LUHN, "79927398713", "79927398714"},
        {TW_CHECKSUM_LUHN, "A79927398713", "A79927398731"},
        {TW_CHECKSUM_MOD97, "79444", "79445"},
        {TW_CHECKSUM_MOD97, "370400440532013000DE89", "370400440532013000DE98"},
        {TW_CHECKSUM_MOD11, "0306406152", "0306406153"},
        {TW_CHECKSUM_MOD11, "097522980X", "0975229801"},
        {TW_CHECKSUM_MOD11_10, "86095742719", "86095742718"},
        {TW_CHECKSUM_LUHN, "79927398713", "0000"},
        {TW_CHECKSUM_MOD11_10, "86095742719", ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *good = rows[i].good, *bad = rows[i].bad;
        assert_true(tw_checksum_holds(rows[i].checksum, good, strlen(good)));
        assert_false(tw_checksum_holds(rows[i].checksum, bad, strlen(bad)));
    }
    assert_true(tw_checksum_holds(TW_CHECKSUM_NONE, "", 0));
}

/* Numbers as they stand in logs and tables, with nothing said of what they are. */
static void random_numbers_are_taken_for_others_seldom(void **state)
{
    enum { ROUNDS = 100000 };
    size_t n_found = 0;
    (void)state;
    for (uint64_t i = 0; i < ROUNDS; i++) {
        char text[64];
        uint32_t words[4];
        tw_rng_block(7, i, words);
        const uint64_t number = (uint64_t)words[0] << 32 | words[1];
        static const uint64_t sizes[] = {10000000,       100000000,        1000000000,
                                         10000000000,    100000000000,     1000000000000,
                                         10000000000000, 10000000000000000};
        const int n = snprintf(text, sizeof text, "id %llu, done",
                               (unsigned long long)(number % sizes[words[2] % 8]));
        struct hits hits = {0};
        tw_builtin_scan(text, (size_t)n, TW_BUILTIN_ALL, on_found, &hits);
        n_found += hits.n > 0;
    }
    if (n_found > ROUNDS / 100) {
        fail_msg("%zu of %d random numbers are taken for something", n_found, ROUNDS);
    }
}

/* What is found must be the same in the middle of any other text. */
static void any_bytes_are_a_text_and_spans_lie_within_it(void **state)
{
    static const char alphabet[] = "0123456789 .-+()/@aXDE_\n\xc2\xa0\xe2\x80\x89\xef\xbc\x91\xff";
    (void)state;
    for (uint64_t round = 0; round < 20000; round++) {
        unsigned char *text;
        uint32_t words[4];
        tw_rng_block(11, round * 1000, words);
        const size_t n = words[0] % 64;
        text = test_malloc(n + 1); /* exactly as large, so that a read beyond is caught */
        for (size_t i = 0; i < n; i++) {
            tw_rng_block(11, round * 1000 + i + 1, words);
            text[i] = (unsigned char)alphabet[words[0] % (sizeof alphabet - 1)];
        }
        struct hits hits = {0};
        tw_builtin_scan((const char *)text, n, TW_BUILTIN_ALL, on_found, &hits);
        if (hits.n > 0) {
            assert_true(hits.begin < hits.end && hits.end <= n);
        }
        test_free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mail_addresses_are_found_and_what_looks_like_them_is_not),
        cmocka_unit_test(phone_numbers_are_found_and_other_groups_of_digits_are_not),
        cmocka_unit_test(accounts_are_found_by_country_length_and_checksum),
        cmocka_unit_test(cards_are_found_by_network_length_and_checksum),
        cmocka_unit_test(national_numbers_of_the_north_are_told_from_others),
        cmocka_unit_test(national_numbers_of_the_middle_are_told_from_others),
        cmocka_unit_test(national_numbers_of_the_south_and_west_are_told_from_others),
        cmocka_unit_test(checksums_hold_for_numbers_that_have_them),
        cmocka_unit_test(random_numbers_are_taken_for_others_seldom),
        cmocka_unit_test(any_bytes_are_a_text_and_spans_lie_within_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
