/* What would break if checksums were not XXH3: files of another version could not be read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/hash.h"

enum { MOST_BYTES = 2367 };

/* The bytes that xxHash's own sanity check hashes. */
static void fill(uint8_t bytes[MOST_BYTES])
{
    uint64_t state = 2654435761u;
    for (size_t i = 0; i < MOST_BYTES; i++) {
        bytes[i] = (uint8_t)(state >> 56);
        state *= UINT64_C(11400714785074694797);
    }
}

static uint64_t hash_in_pieces(const uint8_t *bytes, size_t n_bytes, size_t piece_bytes)
{
    struct tw_hash *hash = tw_hash_create();
    assert_non_null(hash);
    for (size_t at = 0; at < n_bytes; at += piece_bytes) {
        size_t left = n_bytes - at;
        tw_hash_add(hash, bytes + at, left < piece_bytes ? left : piece_bytes);
    }
    uint64_t value = tw_hash_value(hash);
    tw_hash_free(hash);
    return value;
}

static void hashes_are_those_of_the_published_vectors_in_pieces_of_any_size(void **state)
{
    (void)state;
    static const struct {
        size_t n_bytes;
        uint64_t value;
    } vectors[] = {
        {0, UINT64_C(0x2d06800538d394c2)},    {1, UINT64_C(0xc44bdff4074eecdb)},
        {6, UINT64_C(0x27b56a84cd2d7325)},    {12, UINT64_C(0xa713daf0dfbb77e7)},
        {24, UINT64_C(0xa3fe70bf9d3510eb)},   {48, UINT64_C(0x397da259ecba1f11)},
        {80, UINT64_C(0xbcdefbbb2c47c90a)},   {195, UINT64_C(0xcd94217ee362ec3a)},
        {403, UINT64_C(0xcdeb804d65c6dea4)},  {512, UINT64_C(0x617e49599013cb6b)},
        {2048, UINT64_C(0xdd59e2c3a5f038e0)}, {2240, UINT64_C(0x6e73a90539cf2948)},
        {2367, UINT64_C(0xcb37aeb9e5d361ed)},
    };
    uint8_t bytes[MOST_BYTES];
    fill(bytes);
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        size_t n = vectors[i].n_bytes;
        assert_int_equal(hash_in_pieces(bytes, n, MOST_BYTES), vectors[i].value);
        assert_int_equal(hash_in_pieces(bytes, n, 1), vectors[i].value);
        assert_int_equal(hash_in_pieces(bytes, n, 100), vectors[i].value);
    }
}

static void a_value_can_be_asked_for_before_more_is_added(void **state)
{
    (void)state;
    uint8_t bytes[MOST_BYTES];
    fill(bytes);
    struct tw_hash *hash = tw_hash_create();
    tw_hash_add(hash, bytes, 195);
    assert_int_equal(tw_hash_value(hash), UINT64_C(0xcd94217ee362ec3a));
    tw_hash_add(hash, bytes + 195, 403 - 195);
    assert_int_equal(tw_hash_value(hash), UINT64_C(0xcdeb804d65c6dea4));
    tw_hash_free(hash);
    tw_hash_free(NULL);
}

static void the_128_bits_are_those_of_the_published_vector_in_pieces_too(void **state)
{
    (void)state;
    uint8_t bytes[MOST_BYTES];
    fill(bytes);
    struct tw_hash *whole = tw_hash_create(), *pieces = tw_hash_create();
    const struct tw_hash128 none = tw_hash_value128(whole);
    assert_int_equal(none.low, UINT64_C(0x6001c324468d497f));
    assert_int_equal(none.high, UINT64_C(0x99aa06d3014798d8));
    tw_hash_add(whole, bytes, MOST_BYTES);
    for (size_t i = 0; i < MOST_BYTES; i++) {
        tw_hash_add(pieces, bytes + i, 1);
    }
    assert_true(tw_hash128_is_same(tw_hash_value128(whole), tw_hash_value128(pieces)));
    assert_false(tw_hash128_is_same(tw_hash_value128(whole), none));
    tw_hash_free(whole);
    tw_hash_free(pieces);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes_are_those_of_the_published_vectors_in_pieces_of_any_size),
        cmocka_unit_test(the_128_bits_are_those_of_the_published_vector_in_pieces_too),
        cmocka_unit_test(a_value_can_be_asked_for_before_more_is_added),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
