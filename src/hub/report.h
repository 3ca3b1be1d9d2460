/* report.h: commands that read the tables over a connection of their own, beside the writer.
 *
 * They see whole transactions only, and nobody waits for them. Threads: the caller's.
 */
#ifndef TW_HUB_REPORT_H
#define TW_HUB_REPORT_H

#include "base/json.h"
#include "store/db.h"

struct tw_hub_change;

/* Without a hub: of books that are open for reading, a copy for example. */
enum tw_status tw_report_check_books(struct tw_db *db, json_t **ret_answer, struct tw_error *error);

enum tw_status tw_report_check_ledger(struct tw_hub_change *change, struct tw_error *error);
enum tw_status tw_report_list_entries(struct tw_hub_change *change, struct tw_error *error);
enum tw_status tw_report_list_records(struct tw_hub_change *change, struct tw_error *error);

/* ---- report_content.c ---- */

enum tw_status tw_report_list_subjects(struct tw_hub_change *change, struct tw_error *error);
enum tw_status tw_report_export_subject(struct tw_hub_change *change, struct tw_error *error);
enum tw_status tw_report_show_content(struct tw_hub_change *change, struct tw_error *error);
enum tw_status tw_report_register(struct tw_hub_change *change, struct tw_error *error);

#endif
