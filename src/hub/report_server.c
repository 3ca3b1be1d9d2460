/* What the books know nothing of: commands that a running server does itself, behind the same roles
 * and on the same record as all others. */
#include <string.h>

#include "hub/change.h"
#include "hub/hub_state.h"
#include "hub/report.h"

void tw_hub_set_server(struct tw_hub *hub, tw_hub_server_fn run, void *context)
{
    hub->server_run = run;
    hub->server_context = context;
}

enum tw_status tw_report_of_server(struct tw_hub_change *change, struct tw_error *error)
{
    const struct tw_hub *hub = change->hub;
    const bool has_name = tw_commands_field(change->verb, "name") != NULL;
    const char *name = has_name ? tw_change_value(change, "name")->text : NULL;
    if (hub->server_run == NULL) {
        return tw_error_set(error, TW_ERR_NOT_FOUND, TW_NO_POSITION,
                            "no server runs with these books, and backends are a server's");
    }
    enum tw_status status = strcmp(change->verb->verb, "list") == 0
                                ? TW_OK
                                : tw_change_note_doing(change, TW_AUDIT_CONFIG_CHANGED,
                                                       name != NULL ? name : "all", error);
    return status == TW_OK ? hub->server_run(hub->server_context, change->verb->verb, name,
                                             change->answer, error)
                           : status;
}
