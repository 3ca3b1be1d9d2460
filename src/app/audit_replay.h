/* audit_replay.h: 'audit replay': a stored request, answered again by the engine on this machine,
 * and compared byte by byte.
 *
 * Whoever has the model, the program and the books can so see that an answer was what this model
 * answers, and not something that somebody put there. Where one of them is another, or the content
 * is not stored or was erased, there is nothing to compare, and it says why.
 *
 * Threads: one at a time. Errors: those of 'content show' and of the engine; TW_ERR_UNSUPPORTED for
 * what is not comparable, TW_ERR_MISSED for an answer that differs.
 */
#ifndef TW_APP_AUDIT_REPLAY_H
#define TW_APP_AUDIT_REPLAY_H

#include "app/hub_args.h"

enum tw_status tw_audit_replay(const struct tw_hub_args *args, struct tw_error *error);

#endif
