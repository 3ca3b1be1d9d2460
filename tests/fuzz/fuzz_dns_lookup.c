/* Answers of a nameserver: nothing leads out of one, and no more records are kept than fit. */
#include <arpa/nameser.h>
#include <assert.h>
#include <string.h>

#include "fuzz_target.h"
#include "remote/dns_lookup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int types[] = {ns_t_a, ns_t_aaaa, ns_t_srv};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        static struct tw_dns_records records;
        records.n_items = 0;
        records.is_cut = false;
        records.ttl_s = UINT32_MAX;
        (void)tw_dns_read(data, size, types[i], &records);
        assert(records.n_items <= TW_LIMIT_REMOTES);
        for (size_t k = 0; k < records.n_items; k++) {
            assert(memchr(records.items[k].text, '\0', sizeof records.items[k].text) != NULL);
        }
    }
    return 0;
}
