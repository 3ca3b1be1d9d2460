/* directory_state.h: the inside of the directory, for its own files alone.
 *
 *     directory.c          items, by their numbers, names and hashes; what never was
 *     directory_load.c     from the tables
 *     directory_windows.c  windows of budgets
 *
 * Threads: the writer's (or whoever a directory belongs to), under the lock where it changes what
 * others find things by.
 */
#ifndef TW_HUB_DIRECTORY_STATE_H
#define TW_HUB_DIRECTORY_STATE_H

#include "hub/directory.h"

extern const char *const tw_directory_kind_names[TW_HOLDER_KINDS];
extern const char *const tw_directory_class_names[TW_HOLDER_CLASSES];
extern const char *const tw_directory_role_names[TW_ROLES];

/* An item of that number; NULL: none. */
void *tw_directory_find(const struct tw_items *items, int64_t id);

/* A new one with the highest number so far, all zero; NULL: no memory, or TW_LIMIT_HUB_ITEMS. */
struct tw_holder *tw_directory_add_holder(struct tw_directory *directory, int64_t id);
struct tw_person *tw_directory_add_person(struct tw_directory *directory, int64_t id);
struct tw_secret *tw_directory_add_secret(struct tw_directory *directory, int64_t id);
struct tw_hub_budget *tw_directory_add_budget(struct tw_directory *directory, int64_t id);

/* When it has its hash and its owner, so that it is found by the one, and with the other. */
void tw_directory_link_secret(struct tw_directory *directory, struct tw_secret *secret);
/* When it has its name and parent; and before the name is another one. */
void tw_directory_link_name(struct tw_directory *directory, struct tw_holder *holder);
void tw_directory_unlink_name(struct tw_directory *directory, struct tw_holder *holder);

/* In its place among the windows of the budget; NULL: no memory. */
struct tw_hub_window *tw_directory_add_window(struct tw_directory *directory,
                                              struct tw_hub_budget *budget, int64_t starts_s);
void tw_directory_recycle_windows(struct tw_directory *directory, struct tw_hub_budget *budget);
/* What a row of tw_directory_window_sql has, from a column on. */
void tw_directory_fill_window(struct tw_hub_window *window, struct tw_db_statement *row, int first);

#endif
