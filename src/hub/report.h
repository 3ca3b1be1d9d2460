/* report.h: commands that read the tables over a connection of their own, beside the writer.
 *
 * They see whole transactions only, and nobody waits for them. Threads: the caller's.
 */
#ifndef TW_HUB_REPORT_H
#define TW_HUB_REPORT_H

#include "hub/commands.h"
#include "store/db.h"

struct tw_hub_change;

/* Whether a command needs nothing but the tables: then it may be made without a hub, of a copy. */
bool tw_report_needs_tables_only(const struct tw_hub_verb *verb);
/* Such a command of books that are open for reading, with the fields as an object. It is for
 * whoever has them: nobody's roles are asked. now_ns: what "now" is. */
enum tw_status tw_report_of_tables(struct tw_db *db, const struct tw_hub_verb *verb, json_t *fields,
                                   int64_t now_ns, json_t **ret_answer, struct tw_error *error);

enum tw_status tw_report_check_ledger(struct tw_hub_change *change, struct tw_error *error);
enum tw_status tw_report_list_entries(struct tw_hub_change *change, struct tw_error *error);
enum tw_status tw_report_list_records(struct tw_hub_change *change, struct tw_error *error);

/* ---- report_usage.c: {"text"}, or the report itself where JSON is asked for ---- */

enum tw_status tw_report_show_usage(struct tw_hub_change *change, struct tw_error *error);
enum tw_status tw_report_show_invoice(struct tw_hub_change *change, struct tw_error *error);

/* ---- report_server.c: by tw_hub_set_server ---- */

enum tw_status tw_report_of_server(struct tw_hub_change *change, struct tw_error *error);

/* ---- report_content.c ---- */

enum tw_status tw_report_list_subjects(struct tw_hub_change *change, struct tw_error *error);
enum tw_status tw_report_export_subject(struct tw_hub_change *change, struct tw_error *error);
enum tw_status tw_report_show_content(struct tw_hub_change *change, struct tw_error *error);
enum tw_status tw_report_register(struct tw_hub_change *change, struct tw_error *error);

#endif
