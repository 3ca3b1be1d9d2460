/* seal_report.h: how far a process is sealed, as lines for people or as JSON.
 *
 * Threads: any. Errors: none; a buffer that is full says so itself.
 */
#ifndef TW_APP_SEAL_REPORT_H
#define TW_APP_SEAL_REPORT_H

#include "base/buf.h"
#include "seal/process_state.h"

void tw_seal_report_table(const struct tw_process_state *state, struct tw_buf *out);
void tw_seal_report_json(const struct tw_process_state *state, struct tw_buf *out);

#endif
