#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/api_keys.h"
#include "base/secret.h"

static char path[] = "/tmp/tw_keys_XXXXXX";

static int make_file(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

static const char *hex_of(const char *key)
{
    static char hex[8][TW_SECRET_HEX_BYTES + 1];
    static int next;
    char *out = hex[next++ % 8];
    struct tw_secret_hash hash = tw_secret_hash_of(key, strlen(key));
    for (size_t i = 0; i < sizeof hash.bytes; i++) {
        snprintf(out + 2 * i, 3, "%02x", hash.bytes[i]);
    }
    return out;
}

static void write_file(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void write_file(const char *format, ...)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    va_list arguments;
    va_start(arguments, format);
    vfprintf(file, format, arguments);
    va_end(arguments);
    fclose(file);
}

static void write_three(void)
{
    write_file("keys:\n"
               "  - {tenant: red, hash: %s, weight: 3, class: high}\n"
               "  - {tenant: blue, hash: %s, special: yes}\n"
               "  - {tenant: red, hash: %s, weight: 3, class: high}\n",
               hex_of("red-1"), hex_of("blue-1"), hex_of("red-2"));
}

static struct tw_api_keys *load(void)
{
    struct tw_api_keys *keys = NULL;
    struct tw_error error;
    assert_int_equal(tw_api_keys_load(path, &keys, &error), TW_OK);
    return keys;
}

static void expect_refusal(const char *wanted)
{
    struct tw_api_keys *keys = NULL;
    struct tw_error error;
    assert_int_not_equal(tw_api_keys_load(path, &keys, &error), TW_OK);
    if (strstr(error.text, wanted) == NULL) {
        fail_msg("no '%s' in '%s'", wanted, error.text);
    }
}

static void a_hash_is_sha256(void **state)
{
    (void)state;
    assert_string_equal(hex_of("abc"),
                        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    struct tw_secret_hash hash, again = tw_secret_hash_of("abc", 3);
    assert_true(tw_secret_hash_parse(hex_of("abc"), &hash));
    assert_true(tw_secret_hash_equal(&hash, &again));
    again.bytes[31] ^= 1;
    assert_false(tw_secret_hash_equal(&hash, &again));
    assert_false(tw_secret_hash_parse("ba7816", &hash));
    char bad[TW_SECRET_HEX_BYTES + 1];
    memset(bad, 'g', TW_SECRET_HEX_BYTES);
    bad[TW_SECRET_HEX_BYTES] = '\0';
    assert_false(tw_secret_hash_parse(bad, &hash));
}

static void a_key_is_its_tenants(void **state)
{
    (void)state;
    write_three();
    struct tw_api_keys *keys = load();
    struct tw_api_tenant red = {0}, blue = {0}, other = {0};
    assert_int_equal(tw_api_keys_check(keys, "red-1", "a", 0, &red), TW_API_KEY_GOOD);
    assert_int_equal(tw_api_keys_check(keys, "red-2", "a", 0, &other), TW_API_KEY_GOOD);
    assert_int_equal(tw_api_keys_check(keys, "blue-1", "a", 0, &blue), TW_API_KEY_GOOD);
    assert_int_equal(red.number, 1);
    assert_int_equal(other.number, 1);
    assert_int_equal(blue.number, 2);
    assert_int_equal(red.weight, 3);
    assert_int_equal(red.priority_class, TW_CLASS_HIGH);
    assert_int_equal(blue.weight, 1);
    assert_int_equal(blue.priority_class, TW_CLASS_NORMAL);
    assert_false(red.may_use_special);
    assert_true(blue.may_use_special);
    assert_int_equal(tw_api_keys_check(keys, "red-3", "a", 0, &other), TW_API_KEY_BAD);
    assert_int_equal(tw_api_keys_check(keys, "", "a", 0, &other), TW_API_KEY_BAD);
    assert_int_equal(tw_api_keys_check(keys, NULL, "a", 0, &other), TW_API_KEY_BAD);
    assert_int_equal(tw_api_keys_check(keys, hex_of("red-1"), "a", 0, &other), TW_API_KEY_BAD);
    tw_api_keys_free(keys);
}

static void guessing_is_stopped_for_a_minute_and_for_one_address(void **state)
{
    (void)state;
    write_three();
    struct tw_api_keys *keys = load();
    struct tw_api_tenant tenant;
    for (int i = 0; i < TW_LIMIT_API_FAILURES; i++) {
        assert_int_equal(tw_api_keys_check(keys, "wrong", "10.0.0.1", 100, &tenant),
                         TW_API_KEY_BAD);
    }
    assert_int_equal(tw_api_keys_check(keys, "wrong", "10.0.0.1", 101, &tenant),
                     TW_API_KEY_TOO_OFTEN);
    /* Not even the right one: a guess must not be told apart. */
    assert_int_equal(tw_api_keys_check(keys, "red-1", "10.0.0.1", 159, &tenant),
                     TW_API_KEY_TOO_OFTEN);
    for (int i = 0; i < 5000; i++) { /* more than there are rows to remember addresses in */
        char other[32];
        (void)snprintf(other, sizeof other, "10.1.%d.%d", i / 256, i % 256);
        assert_int_equal(tw_api_keys_check(keys, "red-1", other, 101, &tenant), TW_API_KEY_GOOD);
    }
    assert_int_equal(tw_api_keys_check(keys, "red-1", "10.0.0.1", 161, &tenant), TW_API_KEY_GOOD);
    tw_api_keys_free(keys);
}

static void no_key_is_no_guess_and_this_machine_may_be_a_proxy(void **state)
{
    (void)state;
    write_three();
    struct tw_api_keys *keys = load();
    struct tw_api_tenant tenant;
    for (int i = 0; i < 3 * TW_LIMIT_API_FAILURES; i++) {
        assert_int_equal(tw_api_keys_check(keys, NULL, "10.0.0.1", 100, &tenant), TW_API_KEY_BAD);
        assert_int_equal(tw_api_keys_check(keys, "wrong", "127.0.0.1", 100, &tenant),
                         TW_API_KEY_BAD);
        assert_int_equal(tw_api_keys_check(keys, "wrong", "::1", 100, &tenant), TW_API_KEY_BAD);
    }
    assert_int_equal(tw_api_keys_check(keys, "red-1", "10.0.0.1", 101, &tenant), TW_API_KEY_GOOD);
    assert_int_equal(tw_api_keys_check(keys, "red-1", "127.0.0.1", 101, &tenant), TW_API_KEY_GOOD);
    tw_api_keys_free(keys);
}

static void reading_again_adds_and_removes_keys_and_keeps_numbers(void **state)
{
    (void)state;
    write_three();
    struct tw_api_keys *keys = load();
    struct tw_api_tenant tenant;
    struct tw_error error;
    write_file("keys:\n  - {tenant: green, hash: %s}\n  - {tenant: blue, hash: %s, weight: 9}\n",
               hex_of("green-1"), hex_of("blue-2"));
    assert_int_equal(tw_api_keys_reload(keys, NULL, NULL, &error), TW_OK);
    assert_int_equal(tw_api_keys_check(keys, "red-1", "a", 0, &tenant), TW_API_KEY_BAD);
    assert_int_equal(tw_api_keys_check(keys, "blue-1", "a", 0, &tenant), TW_API_KEY_BAD);
    assert_int_equal(tw_api_keys_check(keys, "blue-2", "a", 0, &tenant), TW_API_KEY_GOOD);
    assert_int_equal(tenant.number, 2);
    assert_int_equal(tenant.weight, 9);
    assert_int_equal(tw_api_keys_check(keys, "green-1", "a", 0, &tenant), TW_API_KEY_GOOD);
    assert_int_equal(tenant.number, 3);
    write_file("keys: nonsense\n");
    assert_int_not_equal(tw_api_keys_reload(keys, NULL, NULL, &error), TW_OK);
    assert_int_equal(tw_api_keys_check(keys, "green-1", "a", 0, &tenant), TW_API_KEY_GOOD);
    size_t n = 0;
    while (tw_api_keys_tenant(keys, n, &tenant)) {
        n++;
        assert_int_equal(tenant.number, n);
    }
    assert_int_equal(n, 3);
    tw_api_keys_free(keys);
}

/* Who is told about tenants, up to one that is not to be. */
struct told {
    struct tw_api_keys *keys;
    const char *new_key;
    uint32_t weights[8]; /* by number */
    uint32_t n, refused; /* the number that is not taken; 0: none */
};

static enum tw_status note(void *context, const struct tw_api_tenant *tenant,
                           struct tw_error *error)
{
    struct told *told = context;
    struct tw_api_tenant who;
    assert_int_equal(tw_api_keys_check(told->keys, told->new_key, "a", 0, &who), TW_API_KEY_BAD);
    if (tenant->number == told->refused) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no room");
    }
    told->weights[tenant->number] = tenant->weight;
    told->n++;
    return TW_OK;
}

static void a_tenant_is_known_before_its_key_is_good(void **state)
{
    (void)state;
    write_three();
    struct tw_api_keys *keys = load();
    struct tw_api_tenant tenant;
    struct tw_error error;
    write_file("keys:\n  - {tenant: green, hash: %s}\n  - {tenant: blue, hash: %s, weight: 9}\n",
               hex_of("green-1"), hex_of("blue-1"));
    struct told told = {.keys = keys, .new_key = "green-1", .refused = 3};
    assert_int_equal(tw_api_keys_reload(keys, note, &told, &error), TW_ERR_MEMORY);
    assert_int_equal(told.weights[2], 1); /* it was 9 for a moment */
    assert_int_equal(told.n, 2);
    assert_int_equal(tw_api_keys_check(keys, "red-1", "a", 0, &tenant), TW_API_KEY_GOOD);
    assert_int_equal(tw_api_keys_check(keys, "green-1", "a", 0, &tenant), TW_API_KEY_BAD);
    told.refused = told.n = 0;
    assert_int_equal(tw_api_keys_reload(keys, note, &told, &error), TW_OK);
    assert_int_equal(told.n, 2); /* red is as it was */
    assert_int_equal(told.weights[2], 9);
    assert_int_equal(told.weights[3], 1);
    assert_int_equal(tw_api_keys_check(keys, "green-1", "a", 0, &tenant), TW_API_KEY_GOOD);
    tw_api_keys_free(keys);
}

static void rows_that_are_not_fit_are_named(void **state)
{
    (void)state;
    write_file("keys:\n  - {tenant: red, hash: abc}\n");
    expect_refusal("sha256sum");
    write_file("keys:\n  - {tenant: red, hash: %s, weight: 100000}\n", hex_of("k"));
    expect_refusal("weight of 'red'");
    write_file("keys:\n  - tenant: red\n    hash: %s\n    weight: 0\n", hex_of("k"));
    expect_refusal("is 0; it must be from 1 to 1000 (line: 4, column: 13)");
    write_file("keys:\n  - {tenant: red, hash: %s, class: royal}\n", hex_of("k"));
    expect_refusal("line");
    write_file("keys:\n  - {hash: %s}\n", hex_of("k"));
    expect_refusal("tenant");
    write_file("keys:\n  - {tenant: red, hash: %s, weight: 2}\n  - {tenant: red, hash: %s}\n",
               hex_of("k"), hex_of("l"));
    expect_refusal("must agree");
    write_file("keys:\n  - {tenant: red, hash: %s}\n  - {tenant: blue, hash: %s}\n", hex_of("k"),
               hex_of("k"));
    expect_refusal("the same key");
    char upper[TW_SECRET_HEX_BYTES + 1];
    snprintf(upper, sizeof upper, "%s", hex_of("k"));
    for (char *c = upper; *c != '\0'; c++) {
        *c = (char)toupper((unsigned char)*c);
    }
    write_file("keys:\n  - {tenant: red, hash: %s}\n  - {tenant: blue, hash: '%s'}\n", hex_of("k"),
               upper);
    expect_refusal("the same key");
    write_file("keys: []\n");
    expect_refusal("keys");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hash_is_sha256),
        cmocka_unit_test(a_key_is_its_tenants),
        cmocka_unit_test(guessing_is_stopped_for_a_minute_and_for_one_address),
        cmocka_unit_test(no_key_is_no_guess_and_this_machine_may_be_a_proxy),
        cmocka_unit_test(reading_again_adds_and_removes_keys_and_keeps_numbers),
        cmocka_unit_test(a_tenant_is_known_before_its_key_is_good),
        cmocka_unit_test(rows_that_are_not_fit_are_named),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
