/* Addresses: what a word stands for, and that nothing else is on the list. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "seal/reach.h"

static struct tw_reach_list list;
static struct tw_error error;

static union tw_reach_socket_address in4(const char *host, uint16_t port)
{
    union tw_reach_socket_address address = {
        .in4 = {.sin_family = AF_INET, .sin_port = htons(port)}};
    assert_int_equal(inet_pton(AF_INET, host, &address.in4.sin_addr), 1);
    return address;
}

static union tw_reach_socket_address in6(const char *host, uint16_t port)
{
    union tw_reach_socket_address address = {
        .in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)}};
    assert_int_equal(inet_pton(AF_INET6, host, &address.in6.sin6_addr), 1);
    return address;
}

static bool has(union tw_reach_socket_address address, size_t size_bytes)
{
    return tw_reach_find(&list, &address, size_bytes) != NULL;
}

static int empty(void **state)
{
    (void)state;
    list.n_items = 0;
    return 0;
}

static void an_address_is_there_whole_and_its_neighbours_are_not(void **state)
{
    (void)state;
    const size_t size4 = sizeof(struct sockaddr_in), size6 = sizeof(struct sockaddr_in6);
    assert_int_equal(tw_reach_add(&list, "127.0.0.1:5432", NULL, &error), TW_OK);
    assert_int_equal(tw_reach_add(&list, "[2001:db8::1]:443", NULL, &error), TW_OK);
    assert_true(has(in4("127.0.0.1", 5432), size4));
    assert_true(has(in4("127.0.0.1", 5432), sizeof(union tw_reach_socket_address)));
    assert_false(has(in4("127.0.0.1", 5433), size4));
    assert_false(has(in4("127.0.0.2", 5432), size4));
    assert_false(has(in4("0.0.0.0", 5432), size4));
    assert_false(has(in4("127.0.0.1", 5432), size4 - 1));
    assert_false(has(in6("::ffff:127.0.0.1", 5432), size6));
    assert_true(has(in6("2001:db8::1", 443), size6));
    assert_false(has(in6("2001:db8::2", 443), size6));
    assert_false(has(in6("2001:db8::1", 443), size6 - 4));
    union tw_reach_socket_address scoped = in6("2001:db8::1", 443);
    scoped.in6.sin6_scope_id = 1;
    assert_false(has(scoped, size6));
    union tw_reach_socket_address disconnects = in4("127.0.0.1", 5432);
    disconnects.any.sa_family = AF_UNSPEC;
    assert_false(has(disconnects, size4));
}

static union tw_reach_socket_address local(const char *bytes, size_t n_bytes)
{
    union tw_reach_socket_address address = {.local = {.sun_family = AF_UNIX}};
    memcpy(address.local.sun_path, bytes, n_bytes);
    return address;
}

static void a_path_is_compared_to_its_end_and_a_name_with_its_zeros(void **state)
{
    (void)state;
    const size_t head = offsetof(struct sockaddr_un, sun_path);
    assert_int_equal(tw_reach_add(&list, "unix:/run/a.sock", NULL, &error), TW_OK);
    assert_int_equal(tw_reach_add(&list, "unix:@name", NULL, &error), TW_OK);
    assert_true(has(local("/run/a.sock", 11), head + 11));
    assert_true(has(local("/run/a.sock", 11), sizeof(struct sockaddr_un)));
    assert_false(has(local("/run/a.sockx", 12), head + 12));
    assert_false(has(local("/run/a.soc", 10), head + 10));
    assert_true(has(local("\0name", 5), head + 5));
    assert_false(has(local("\0name", 5), head + 6));
    assert_false(has(local("name", 4), head + 4));
    assert_false(has(local("/run/a.sock", 11), head));
    assert_false(has(local("/run/a.sock", 11), 1));
}

static void a_text_of_an_address_stands_for_it_again(void **state)
{
    (void)state;
    static const char *const words[] = {"127.0.0.1:80", "[::1]:65535", "unix:/run/a.sock",
                                        "unix:@name"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        struct tw_reach_address first;
        assert_int_equal(tw_reach_add(&list, words[i], &first, &error), TW_OK);
        assert_string_equal(first.text, words[i]);
        assert_int_equal(tw_reach_add(&list, first.text, NULL, &error), TW_OK);
    }
    assert_int_equal(list.n_items, 4);
}

static void what_is_no_address_is_refused(void **state)
{
    (void)state;
    static const char *const words[] = {
        "",      "host",      ":80",           "127.0.0.1",      "127.0.0.1:", "127.0.0.1:http",
        "1.2:0", "a:65536",   "a:99999999999", "::1:80",         "[::1]",      "[::1:80",
        "unix:", "unix:name", "unix:/",        "127.0.0.1:80/x",
    };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        assert_int_equal(tw_reach_add(&list, words[i], NULL, &error), TW_ERR_USAGE);
    }
    assert_int_equal(tw_reach_add(&list, "no-such-name.invalid:80", NULL, &error),
                     TW_ERR_NOT_FOUND);
    assert_int_equal(list.n_items, 0);
}

static void a_list_has_a_bound(void **state)
{
    (void)state;
    char word[32];
    for (int i = 1; i <= TW_LIMIT_REACH_ADDRESSES; i++) {
        snprintf(word, sizeof word, "127.0.0.1:%d", i);
        assert_int_equal(tw_reach_add(&list, word, NULL, &error), TW_OK);
    }
    assert_int_equal(tw_reach_add(&list, "127.0.0.1:999", NULL, &error), TW_ERR_LIMIT);
    assert_int_equal(tw_reach_add(&list, "127.0.0.1:1", NULL, &error), TW_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(an_address_is_there_whole_and_its_neighbours_are_not, empty),
        cmocka_unit_test_setup(a_path_is_compared_to_its_end_and_a_name_with_its_zeros, empty),
        cmocka_unit_test_setup(a_text_of_an_address_stands_for_it_again, empty),
        cmocka_unit_test_setup(what_is_no_address_is_refused, empty),
        cmocka_unit_test_setup(a_list_has_a_bound, empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
