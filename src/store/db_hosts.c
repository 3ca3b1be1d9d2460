/* Where a PostgreSQL address leads, as libpq reads it: the address, then the environment and the
 * service file, then what is built in. */
#include <libpq-fe.h>
#include <stdio.h>
#include <string.h>

#include "store/db.h"

#define PART_BYTES     256
#define DEFAULT_FOLDER "/var/run/postgresql" /* Debian's */
#define DEFAULT_PORT   "5432"

/* The value of one option, or NULL. */
static const char *value_of(const PQconninfoOption *options, const char *name)
{
    for (; options != NULL && options->keyword != NULL; options++) {
        if (strcmp(options->keyword, name) == 0 && options->val != NULL &&
            options->val[0] != '\0') {
            return options->val;
        }
    }
    return NULL;
}

/* Part i of a list with commas; the last one where there are fewer, "" where it is empty. */
static void part_of(const char *list, size_t i, char ret_part[PART_BYTES])
{
    const char *at = list != NULL ? list : "";
    for (; i > 0 && strchr(at, ',') != NULL; i--) {
        at = strchr(at, ',') + 1;
    }
    snprintf(ret_part, PART_BYTES, "%.*s", (int)strcspn(at, ","), at);
}

static size_t count_parts(const char *list)
{
    size_t n = 1;
    for (const char *at = list != NULL ? list : ""; (at = strchr(at, ',')) != NULL; at++) {
        n++;
    }
    return n;
}

/* "unix:FOLDER/.s.PGSQL.PORT", "HOST:PORT" or "[ADDRESS]:PORT". */
static void put_word(const char *host, const char *port, char *word, size_t room)
{
    if (host[0] == '/' || host[0] == '@') {
        snprintf(word, room, "unix:%s/.s.PGSQL.%s", host, port);
    } else {
        const bool is_v6 = strchr(host, ':') != NULL;
        snprintf(word, room, "%s%s%s:%s", is_v6 ? "[" : "", host, is_v6 ? "]" : "", port);
    }
}

static enum tw_status tell(const PQconninfoOption *given, const PQconninfoOption *defaults,
                           tw_db_host_fn told, void *context, struct tw_error *error)
{
    const char *names[] = {"host", "hostaddr", "port"};
    const char *lists[3];
    for (size_t i = 0; i < 3; i++) {
        lists[i] = value_of(given, names[i]) != NULL ? value_of(given, names[i])
                                                     : value_of(defaults, names[i]);
    }
    const char *counted = lists[1] != NULL ? lists[1] : lists[0];
    enum tw_status status = TW_OK;
    for (size_t i = 0; status == TW_OK && i < count_parts(counted); i++) {
        char host[PART_BYTES], address[PART_BYTES], port[PART_BYTES], word[2 * PART_BYTES + 16];
        part_of(lists[0], i, host);
        part_of(lists[1], i, address);
        part_of(lists[2], i, port);
        const char *to = address[0] != '\0' ? address : host[0] != '\0' ? host : DEFAULT_FOLDER;
        put_word(to, port[0] != '\0' ? port : DEFAULT_PORT, word, sizeof word);
        status = told(context, word, address[0] != '\0', error);
    }
    return status;
}

enum tw_status tw_db_hosts(const char *address, tw_db_host_fn told, void *context,
                           struct tw_error *error)
{
    char *message = NULL;
    PQconninfoOption *given = PQconninfoParse(address, &message);
    PQconninfoOption *defaults = PQconndefaults();
    enum tw_status status;
    if (given == NULL) {
        status = tw_error_set(
            error, TW_ERR_USAGE, TW_NO_POSITION, "cannot read the address of the books: %.*s",
            message != NULL ? (int)strcspn(message, "\n") : 0, message != NULL ? message : "");
    } else {
        status = tell(given, defaults, told, context, error);
    }
    PQfreemem(message);
    PQconninfoFree(given);
    PQconninfoFree(defaults);
    return status;
}
