/* What the books know nothing of: commands that a running server does itself, behind the same roles
 * and on the same record as all others. */
#include <assert.h>
#include <string.h>

#include "hub/change.h"
#include "hub/hub_state.h"
#include "hub/report.h"

void tw_hub_set_server(struct tw_hub *hub, tw_hub_server_fn run, void *context)
{
    hub->server_run = run;
    hub->server_context = context;
}

static const char *name_of(const struct tw_hub_change *change)
{
    const bool has_name = tw_commands_field(change->verb, "name") != NULL;
    return has_name ? tw_change_value(change, "name")->text : NULL;
}

/* Equal values stay: who reads the record sees by what the server runs. */
enum tw_status tw_hub_server_record(struct tw_hub_change *command,
                                    const struct tw_hub_server_field *fields, size_t n_fields,
                                    struct tw_error *error)
{
    const char *name = name_of(command);
    assert(n_fields <= TW_LIMIT_AUDIT_CHANGES);
    for (size_t i = 0; i < n_fields; i++) {
        command->changed[i] = (struct tw_audit_field){.name = fields[i].name,
                                                      .before = tw_audit_text(fields[i].before),
                                                      .after = tw_audit_text(fields[i].after)};
    }
    command->n_changed = n_fields;
    return tw_change_note_doing(command, TW_AUDIT_CONFIG_CHANGED, name != NULL ? name : "all",
                                error);
}

enum tw_status tw_report_of_server(struct tw_hub_change *change, struct tw_error *error)
{
    const struct tw_hub *hub = change->hub;
    change->is_for_server = strcmp(change->verb->verb, "list") != 0;
    if (hub->server_run == NULL) {
        return tw_error_set(error, TW_ERR_NOT_FOUND, TW_NO_POSITION,
                            "no server runs with these books, and backends are a server's");
    }
    return hub->server_run(hub->server_context, change, change->verb->verb, name_of(change),
                           change->answer, error);
}
