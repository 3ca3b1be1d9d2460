#include "api/fleet.h"

#include "base/mem.h"

struct tw_api_fleet *tw_api_fleet_make(const struct tw_api_remotes *remotes)
{
    struct tw_api_fleet *fleet = tw_mem_zalloc(1, sizeof *fleet);
    if (fleet != NULL) {
        fleet->remotes = *remotes;
        atomic_init(&fleet->n_users, 1);
    }
    return fleet;
}

struct tw_api_fleet *tw_api_fleet_take(struct tw_api *api)
{
    pthread_mutex_lock(&api->lock);
    struct tw_api_fleet *fleet = api->fleet;
    atomic_fetch_add(&fleet->n_users, 1);
    pthread_mutex_unlock(&api->lock);
    return fleet;
}

void tw_api_fleet_drop(struct tw_api_fleet *fleet)
{
    if (fleet != NULL && atomic_fetch_sub(&fleet->n_users, 1) == 1) {
        if (fleet->remotes.release != NULL) {
            fleet->remotes.release(fleet->remotes.context);
        }
        tw_mem_free(fleet);
    }
}
