#include "app/books_place.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/cpu.h"
#include "base/file.h"

#define FILE_NAME   "books" FILE_SUFFIX
#define FILE_SUFFIX ".db"
#define SOCKET_NAME "admin.sock"
#define OF_ROOT     "/var/lib/tokenworks"
#define FOLDER_MODE 0700

#define GROUP_FOLDER_MODE 0710
#define GROUP_SOCKET_MODE 0660

static enum tw_status too_long(const char *path, struct tw_error *error)
{
    return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION, "the path '%.100s...' is too long",
                        path);
}

/* As the XDG rules have it: a path from the root, or it does not count. */
static enum tw_status default_folder(char ret_path[TW_LIMIT_CONF_STRING_BYTES],
                                     struct tw_error *error)
{
    const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    int n;
    if (data != NULL && data[0] == '/') {
        n = snprintf(ret_path, TW_LIMIT_CONF_STRING_BYTES, "%s/tokenworks", data);
    } else if (geteuid() == 0) {
        n = snprintf(ret_path, TW_LIMIT_CONF_STRING_BYTES, "%s", OF_ROOT);
    } else if (home != NULL && home[0] == '/') {
        n = snprintf(ret_path, TW_LIMIT_CONF_STRING_BYTES, "%s/.local/share/tokenworks", home);
    } else {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "no place for the books: give --books with a file, or set HOME");
    }
    return n < TW_LIMIT_CONF_STRING_BYTES ? TW_OK : too_long(ret_path, error);
}

static bool is_postgres(const char *address)
{
    return strncmp(address, "postgres://", 11) == 0 || strncmp(address, "postgresql://", 13) == 0;
}

/* What is not there yet is made: a file where it is called so, otherwise a folder. */
static bool means_folder(const char *address)
{
    const size_t n = strlen(address), n_suffix = strlen(FILE_SUFFIX);
    return tw_file_is_directory(address) ||
           (!tw_file_exists(address) &&
            (n < n_suffix || strcmp(address + n - n_suffix, FILE_SUFFIX) != 0));
}

/* The address is a file, or a folder with one in it. */
static enum tw_status take_file(const char *address, struct tw_books_place *place,
                                struct tw_error *error)
{
    const char *slash = strrchr(address, '/');
    const bool is_folder = means_folder(address);
    int n;
    if (is_folder) {
        n = snprintf(place->folder, sizeof place->folder, "%s", address);
    } else if (slash == NULL) {
        n = snprintf(place->folder, sizeof place->folder, ".");
    } else {
        n = snprintf(place->folder, sizeof place->folder, "%.*s",
                     slash == address ? 1 : (int)(slash - address), address);
    }
    if (n >= (int)sizeof place->folder) {
        return too_long(address, error);
    }
    n = is_folder ? snprintf(place->address, sizeof place->address, "%s/%s", address, FILE_NAME)
                  : snprintf(place->address, sizeof place->address, "%s", address);
    place->is_file = true;
    return n < (int)sizeof place->address ? TW_OK : too_long(address, error);
}

static enum tw_status take_default(struct tw_books_place *place, struct tw_error *error)
{
    enum tw_status status = default_folder(place->folder, error);
    if (status != TW_OK) {
        return status;
    }
    const int n =
        snprintf(place->address, sizeof place->address, "%s/%s", place->folder, FILE_NAME);
    place->is_file = true;
    return n < (int)sizeof place->address ? TW_OK : too_long(place->folder, error);
}

static enum tw_status take_postgres(const char *address, struct tw_books_place *place,
                                    struct tw_error *error)
{
    const int n = snprintf(place->address, sizeof place->address, "%s", address);
    return n < (int)sizeof place->address ? default_folder(place->folder, error)
                                          : too_long(address, error);
}

static enum tw_status take_folder(struct tw_books_place *place, struct tw_error *error)
{
    const char *folder = getenv("TOKENWORKS_BOOKS_KEYS");
    if (folder == NULL || folder[0] == '\0') {
        return TW_OK;
    }
    const int n = snprintf(place->folder, sizeof place->folder, "%s", folder);
    return n < (int)sizeof place->folder ? TW_OK : too_long(folder, error);
}

enum tw_status tw_books_place_find(const char *address, struct tw_books_place *ret_place,
                                   struct tw_error *error)
{
    struct tw_books_place place = {.is_file = false};
    enum tw_status status;
    if (address == NULL) {
        address = getenv("TOKENWORKS_BOOKS");
    }
    if (address == NULL || address[0] == '\0') {
        status = take_default(&place, error);
    } else if (is_postgres(address)) {
        status = take_postgres(address, &place, error);
    } else {
        status = take_file(address, &place, error);
    }
    if (status == TW_OK) {
        status = take_folder(&place, error);
    }
    if (status != TW_OK) {
        return status;
    }
    const int n = snprintf(place.socket, sizeof place.socket, "%s/%s", place.folder, SOCKET_NAME);
    if (n >= (int)sizeof place.socket) {
        return too_long(place.folder, error);
    }
    *ret_place = place;
    return TW_OK;
}

bool tw_books_place_is_there(const struct tw_books_place *place)
{
    return !place->is_file || tw_file_exists(place->address);
}

enum tw_status tw_books_place_make(const struct tw_books_place *place, struct tw_error *error)
{
    char path[TW_LIMIT_CONF_STRING_BYTES];
    const size_t n_bytes = strlen(place->folder);
    memcpy(path, place->folder, n_bytes + 1);
    for (size_t i = 1; i <= n_bytes; i++) {
        if (path[i] != '/' && path[i] != '\0') {
            continue;
        }
        path[i] = '\0';
        if (mkdir(path, FOLDER_MODE) != 0 && !tw_file_is_directory(path)) {
            return tw_error_set(error, TW_ERR_IO, TW_NO_POSITION,
                                "cannot make the folder '%.200s' for the books: %s", path,
                                strerror(errno));
        }
        path[i] = place->folder[i];
    }
    return tw_books_place_check(place, error);
}

/* Who may make files there could put a key of his own there, a log beside the books, or a socket
 * that takes secrets. */
static enum tw_status check_folder(const char *path, struct tw_error *error)
{
    struct stat is;
    return stat(path, &is) != 0 || (is.st_mode & S_IWOTH) == 0
               ? TW_OK
               : tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                              "everybody on this machine may make files in '%.200s': no books and "
                              "no keys are safe there; use a folder of your own",
                              path);
}

enum tw_status tw_books_place_check(const struct tw_books_place *place, struct tw_error *error)
{
    char path[TW_LIMIT_CONF_STRING_BYTES];
    const char *slash = strrchr(place->address, '/');
    enum tw_status status = check_folder(place->folder, error);
    if (status != TW_OK || !place->is_file) {
        return status;
    }
    snprintf(path, sizeof path, "%.*s", slash == NULL ? 1 : (int)(slash + 1 - place->address),
             slash == NULL ? "." : place->address);
    return check_folder(path, error);
}

static enum tw_status no_entry(const char *path, const char *what, struct tw_error *error)
{
    return tw_error_set(error, TW_ERR_IO, TW_NO_POSITION,
                        "you may not %s '%.160s': ask for a group that 'tokenworks serve' lets in "
                        "with --admin-group, or give the command as the user who has the books",
                        what, path);
}

enum tw_status tw_books_place_may_enter(const struct tw_books_place *place, struct tw_error *error)
{
    struct stat is;
    if (stat(place->socket, &is) != 0 && errno == EACCES) {
        return no_entry(place->folder, "look into", error);
    }
    if (place->is_file && access(place->address, R_OK) != 0 && errno == EACCES) {
        return no_entry(place->address, "open", error);
    }
    return TW_OK;
}

enum tw_status tw_books_place_find_group(const char *name, unsigned *ret_group,
                                         struct tw_error *error)
{
    const struct group *group = getgrnam(name);
    if (group == NULL) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "--admin-group: there is no group '%.60s' on this machine; 'groupadd' "
                            "makes one",
                            name);
    }
    *ret_group = group->gr_gid;
    return TW_OK;
}

static enum tw_status give_to(const char *path, unsigned group, mode_t mode, struct tw_error *error)
{
    return chown(path, (uid_t)-1, group) == 0 && chmod(path, mode) == 0
               ? TW_OK
               : tw_error_set(error, TW_ERR_IO, TW_NO_POSITION,
                              "--admin-group: cannot give '%.160s' to the group: %s; the user of "
                              "the server must be a member of it",
                              path, strerror(errno));
}

enum tw_status tw_books_place_let_in(const struct tw_books_place *place, unsigned group,
                                     struct tw_error *error)
{
    struct stat is;
    enum tw_status status = TW_OK;
    if (stat(place->folder, &is) == 0 && (is.st_mode & S_IXOTH) == 0) {
        status = give_to(place->folder, group, GROUP_FOLDER_MODE, error);
    }
    return status == TW_OK ? give_to(place->socket, group, GROUP_SOCKET_MODE, error) : status;
}

static int64_t wall_ns(void *context)
{
    (void)context;
    return tw_clock_wall_ns();
}

struct tw_hub_config tw_books_place_config(const struct tw_books_place *place, const char *currency)
{
    enum tw_cpu_level level = TW_CPU_REF;
    struct tw_error error;
    const char *isa = tw_cpu_choose(&level, &error) == TW_OK ? tw_cpu_level_name(level) : NULL;
    return (struct tw_hub_config){.address = place->address,
                                  .folder = place->folder,
                                  .currency = currency,
                                  .build = TW_VERSION,
                                  .isa_level = isa,
                                  .now_ns = wall_ns};
}
