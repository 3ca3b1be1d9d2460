/* audit_files.h: the audit log as files: verified, exported, and its last checkpoint.
 *
 * It reads the books beside a server, or a file without any books, so that whoever doubts a server
 * need not ask it. Threads: the main thread. Errors: TW_ERR_MISSED for a log that is not what was
 * written; those of audit_verify.h and audit_export.h.
 */
#ifndef TW_APP_AUDIT_FILES_H
#define TW_APP_AUDIT_FILES_H

#include "app/hub_args.h"

/* A command of the table that is LOCAL. */
enum tw_status tw_audit_files_run(const struct tw_hub_args *args, struct tw_error *error);

#endif
