/* print_zone FOLDER ZONE < questions: local times as a program, for comparison with others.
 *
 *     "t INSTANT"  ->  "OFFSET DAY YEAR MONTH DAY-OF-MONTH HOUR MINUTE SECOND"
 *     "d DAY"      ->  "INSTANT" at which it begins
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/zone.h"

static void answer(const struct tw_zone *zone, const char *line)
{
    const int64_t number = strtoll(line + 1, NULL, 10);
    if (line[0] == 'd') {
        printf("%" PRId64 "\n", tw_zone_day_start_s(zone, number));
        return;
    }
    const struct tw_civil_time civil = tw_zone_civil(zone, number);
    printf("%d %" PRId64 " %" PRId64 " %d %d %d %d %d\n", civil.offset_s, civil.day, civil.year,
           civil.month, civil.day_of_month, civil.hour, civil.minute, civil.second);
}

int main(int argc, char **argv)
{
    struct tw_zone *zone = NULL;
    struct tw_error error;
    char line[64];
    if (argc != 3) {
        fputs("usage: print_zone FOLDER ZONE < questions\n", stderr);
        return 1;
    }
    if (tw_zone_open(argv[1], argv[2], &zone, &error) != TW_OK) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    while (fgets(line, sizeof line, stdin) != NULL) {
        answer(zone, line);
    }
    tw_zone_free(zone);
    return ferror(stdin) || fflush(stdout) != 0;
}
