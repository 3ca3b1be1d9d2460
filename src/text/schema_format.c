/* Formats as patterns of the whole string. Each allows less than its standard or just as much:
 * what the automaton writes must pass any validator. What is left out is told in
 * docs/structured-output.md. */
#include <string.h>

#include "text/schema_parts.h"

#define YEAR "(?:[0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)"
#define LEAP_YEAR                                                                                  \
    "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)"
#define DATE                                                                                       \
    "(?:" YEAR "-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|"                                \
    "(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))|" LEAP_YEAR "-02-29)"
#define CLOCK "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
#define TIME  CLOCK ":[0-5][0-9](?:\\.[0-9]{1,6})?(?:Z|[+-]" CLOCK ")"

#define TIME_UNITS                                                                                 \
    "T(?:[0-9]{1,9}H(?:[0-9]{1,9}M(?:[0-9]{1,9}S)?)?|[0-9]{1,9}M(?:[0-9]{1,9}S)?|[0-9]{1,9}S)"
#define DURATION                                                                                   \
    "P(?:(?:[0-9]{1,9}D|[0-9]{1,9}M(?:[0-9]{1,9}D)?|"                                              \
    "[0-9]{1,9}Y(?:[0-9]{1,9}M(?:[0-9]{1,9}D)?)?)(?:" TIME_UNITS ")?|" TIME_UNITS "|[0-9]{1,9}W)"

#define LABEL    "[A-Za-z0-9](?:[A-Za-z0-9-]{0,28}[A-Za-z0-9])?"
#define HOSTNAME LABEL "(?:\\." LABEL "){0,7}"
#define ATOM     "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,20}"
#define EMAIL    ATOM "(?:\\." ATOM "){0,2}@" HOSTNAME

#define OCTET "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
#define IPV4  OCTET "(?:\\." OCTET "){3}"
#define H16   "[0-9A-Fa-f]{1,4}"
#define IPV6                                                                                       \
    "(?:(?:" H16 ":){7}" H16 "|(?:" H16 ":){1,7}:|(?:" H16 ":){6}:" H16 "|(?:" H16 ":){5}(?::" H16 \
    "){1,2}|(?:" H16 ":){4}(?::" H16 "){1,3}|(?:" H16 ":){3}(?::" H16 "){1,4}|(?:" H16             \
    ":){2}(?::" H16 "){1,5}|" H16 ":(?::" H16 "){1,6}|:(?::" H16 "){1,7}|::)"

#define HEX4 "[0-9A-Fa-f]{4}"
#define UUID HEX4 HEX4 "-" HEX4 "-" HEX4 "-" HEX4 "-" HEX4 HEX4 HEX4

#define PATH_CHAR "(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})"
#define USER_CHAR "(?:[A-Za-z0-9._~!$&'()*+,;=:-]|%[0-9A-Fa-f]{2})"
#define HOST_CHAR "(?:[A-Za-z0-9._~-]|%[0-9A-Fa-f]{2})"
#define AUTHORITY "(?:" USER_CHAR "*@)?" HOST_CHAR "*(?::[0-9]{0,5})?"
#define URI                                                                                        \
    "[A-Za-z][A-Za-z0-9+.-]*:(?://" AUTHORITY "(?:/" PATH_CHAR "*)*|/(?:" PATH_CHAR                \
    "+(?:/" PATH_CHAR "*)*)?|" PATH_CHAR "+(?:/" PATH_CHAR "*)*)(?:\\?(?:" PATH_CHAR               \
    "|[/?])*)?(?:#(?:" PATH_CHAR "|[/?])*)?"

const char *tw_schema_format_pattern(const char *name)
{
    static const struct {
        const char *name, *pattern;
    } rows[] = {
        {"date", DATE},   {"time", TIME},         {"date-time", DATE "T" TIME},
        {"email", EMAIL}, {"hostname", HOSTNAME}, {"duration", DURATION},
        {"ipv4", IPV4},   {"ipv6", IPV6},         {"uuid", UUID},
        {"uri", URI},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(name, rows[i].name) == 0) {
            return rows[i].pattern;
        }
    }
    return NULL;
}
