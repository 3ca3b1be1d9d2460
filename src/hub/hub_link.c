/* To other hubs on the same PostgreSQL: what one of them changes the others hear at its commit
 * (LISTEN), and their writers read it. A connection may be dead without anybody knowing, so the
 * number of the last change is asked for as well, every TW_LIMIT_HUB_POLL_MS; where that cannot be
 * asked, the writer is to look as often. A hub that lives no longer than that has no use for it. */
#include <poll.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "hub/hub_state.h"

static const char READ_CHANGE[] = "SELECT next_change FROM books WHERE id = 1";

/* Whether it is to stop, at once or within a time. */
static bool stops(const struct tw_hub_link *link, int timeout_ms)
{
    struct pollfd stop = {.fd = link->stop_fd, .events = POLLIN};
    return poll(&stop, 1, timeout_ms) > 0;
}

static enum tw_status reach(struct tw_hub *hub, struct tw_error *error)
{
    struct tw_hub_link *link = &hub->link;
    enum tw_status status = link->db == NULL
                                ? tw_db_open(hub->address, TW_DB_READ, &link->db, error)
                                : tw_db_reconnect(link->db, error);
    if (status == TW_OK && link->read_change == NULL) {
        status = tw_db_prepare(link->db, READ_CHANGE, &link->read_change, error);
    }
    return status == TW_OK ? tw_db_listen(link->db, error) : status;
}

/* Waits a while, unless something was said; whether there may be something new. */
static enum tw_status hear(struct tw_hub_link *link, bool *ret_is_new, struct tw_error *error)
{
    bool was_told = false, has_row = false;
    enum tw_status status =
        tw_db_wait(link->db, link->stop_fd, TW_LIMIT_HUB_POLL_MS, &was_told, error);
    if (status == TW_OK) {
        status = tw_db_first(link->read_change, NULL, 0, &has_row, error);
    }
    if (status != TW_OK) {
        return status;
    }
    const int64_t next_change = has_row ? tw_db_column_integer(link->read_change, 0) : 0;
    *ret_is_new = was_told || next_change != link->next_change;
    link->next_change = next_change;
    return TW_OK;
}

static void *listen_to_others(void *context)
{
    struct tw_hub *hub = context;
    struct tw_hub_link *link = &hub->link;
    struct tw_error error;
    while (!stops(link, link->is_listening ? 0 : TW_LIMIT_HUB_POLL_MS)) {
        bool is_new = true; /* where nothing is heard there may be */
        if (!link->is_listening) {
            link->is_listening = reach(hub, &error) == TW_OK;
        } else {
            link->is_listening = hear(link, &is_new, &error) == TW_OK;
        }
        if (is_new) {
            tw_hub_call(hub);
        }
    }
    return NULL;
}

enum tw_status tw_hub_link_start(struct tw_hub *hub, struct tw_error *error)
{
    struct tw_hub_link *link = &hub->link;
    link->stop_fd = eventfd(0, EFD_CLOEXEC);
    if (link->stop_fd >= 0 && pthread_create(&link->thread, NULL, listen_to_others, hub) == 0) {
        return TW_OK;
    }
    if (link->stop_fd >= 0) {
        close(link->stop_fd);
        link->stop_fd = -1;
    }
    tw_hub_link_stop(hub);
    return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no thread for news of other hubs");
}

void tw_hub_link_stop(struct tw_hub *hub)
{
    struct tw_hub_link *link = &hub->link;
    if (link->stop_fd >= 0) {
        const uint64_t one = 1;
        if (write(link->stop_fd, &one, sizeof one) == sizeof one) {
            pthread_join(link->thread, NULL);
        }
        close(link->stop_fd);
        link->stop_fd = -1;
    }
    tw_db_finalize(link->read_change);
    tw_db_close(link->db);
    link->read_change = NULL;
    link->db = NULL;
}
