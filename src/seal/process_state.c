#define _GNU_SOURCE /* struct ucred */
#include "seal/process_state.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "seal/seal_files.h"
#include "seal/seal_statement.h"

#define PATH_BYTES    64
#define STATUS_BYTES  65536
#define COMMAND_BYTES 65536
#define BROKER        "broker"

/* ---- texts of /proc ---- */

/* A whole small file as a string. A process that has ended has none. */
static bool read_text(const char *path, size_t bound_bytes, struct tw_buf *ret_text)
{
    if (tw_file_load(path, bound_bytes, ret_text, NULL) != TW_OK) {
        return false;
    }
    ret_text->bound_bytes++;
    if (!tw_buf_append(ret_text, "", 1)) {
        tw_buf_free(ret_text);
        return false;
    }
    return true;
}

/* The number behind "\nname:\t" of a status file; 0 where it is missing, as in a kernel without. */
static unsigned long number_of(const char *status, const char *name)
{
    const char *at = strstr(status, name);
    return at != NULL ? strtoul(at + strlen(name), NULL, 10) : 0;
}

/* The words of a command line, at most n; how many there are. */
static size_t words_of(const struct tw_buf *line, const char **ret_words, size_t n)
{
    size_t n_words = 0;
    for (size_t at = 0; at + 1 < line->size_bytes && n_words < n;
         at += strlen(line->data + at) + 1) {
        ret_words[n_words++] = line->data + at;
    }
    return n_words;
}

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

/* ---- threads ---- */

static bool add_thread(pid_t pid, const char *thread, struct tw_process_state *state)
{
    char path[PATH_BYTES + 32];
    struct tw_buf text;
    snprintf(path, sizeof path, "/proc/%d/task/%.16s/status", (int)pid, thread);
    if (!read_text(path, STATUS_BYTES, &text)) {
        return errno == ENOENT || errno == ESRCH; /* it has ended meanwhile */
    }
    const uint32_t n_filters = (uint32_t)number_of(text.data, "\nSeccomp_filters:");
    const bool is_first = state->n_threads == 0;
    state->n_threads++;
    state->n_filtered += number_of(text.data, "\nSeccomp:") == 2; /* 2: by a filter */
    state->n_without_privileges += number_of(text.data, "\nNoNewPrivs:") == 1;
    state->n_filters = is_first || n_filters < state->n_filters ? n_filters : state->n_filters;
    tw_buf_free(&text);
    return true;
}

static enum tw_status no_process(pid_t pid, int code, struct tw_error *error)
{
    return code == EACCES || code == EPERM
               ? tw_error_set(error, TW_ERR_DENIED, TW_NO_POSITION,
                              "process %d is of another user: ask as that user, or as root",
                              (int)pid)
               : tw_error_set(error, TW_ERR_NOT_FOUND, TW_NO_POSITION, "there is no process %d",
                              (int)pid);
}

enum tw_status tw_process_threads_read(pid_t pid, struct tw_process_state *ret_state,
                                       struct tw_error *error)
{
    char path[PATH_BYTES];
    struct tw_process_state state = {.pid = pid};
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *folder = opendir(path);
    if (folder == NULL) {
        return no_process(pid, errno, error);
    }
    bool ok = true;
    for (const struct dirent *entry = readdir(folder); ok && entry != NULL;
         entry = readdir(folder)) {
        ok = entry->d_name[0] == '.' || add_thread(pid, entry->d_name, &state);
    }
    closedir(folder);
    if (!ok || state.n_threads == 0) {
        return no_process(pid, ENOENT, error);
    }
    ret_state->n_threads = state.n_threads;
    ret_state->n_filtered = state.n_filtered;
    ret_state->n_without_privileges = state.n_without_privileges;
    ret_state->n_filters = state.n_filters;
    return TW_OK;
}

/* ---- processes ---- */

/* The next number among the folders of /proc; 0 at the end. */
static pid_t next_process(DIR *folder)
{
    const struct dirent *entry;
    do {
        entry = readdir(folder);
    } while (entry != NULL && (entry->d_name[0] < '1' || entry->d_name[0] > '9'));
    return entry != NULL ? (pid_t)strtol(entry->d_name, NULL, 10) : 0;
}

static bool read_command(pid_t pid, struct tw_buf *ret_line)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "/proc/%d/cmdline", (int)pid);
    return read_text(path, COMMAND_BYTES, ret_line);
}

/* Whether it runs that command. A program is called by its file, which a first word may not be. */
static bool runs(pid_t pid, const char *program, const char *command)
{
    char path[PATH_BYTES], file[TW_REACH_TEXT_BYTES];
    const char *words[2] = {"", ""};
    struct tw_buf line;
    snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
    const ssize_t n = readlink(path, file, sizeof file - 1);
    file[n > 0 ? n : 0] = '\0';
    if (!read_command(pid, &line)) {
        return false;
    }
    const bool has_words = words_of(&line, words, 2) == 2;
    const bool is_it =
        has_words && strcmp(words[1], command) == 0 &&
        (strcmp(last_part(file), program) == 0 || strcmp(last_part(words[0]), program) == 0);
    tw_buf_free(&line);
    return is_it;
}

size_t tw_process_find(const char *program, const char *command, pid_t *ret_pids, size_t n_pids)
{
    DIR *folder = opendir("/proc");
    size_t n = 0;
    for (pid_t pid = folder != NULL ? next_process(folder) : 0; pid != 0;
         pid = next_process(folder)) {
        if (pid != getpid() && runs(pid, program, command)) {
            if (n < n_pids) {
                ret_pids[n] = pid;
            }
            n++;
        }
    }
    if (folder != NULL) {
        closedir(folder);
    }
    return n;
}

enum tw_status tw_process_of_socket(const char *path, pid_t *ret_pid, struct tw_error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct ucred who = {.pid = 0};
    socklen_t size = sizeof who;
    const size_t n_bytes = strlen(path);
    if (n_bytes >= sizeof address.sun_path) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "the path '%.100s...' is too long for a socket", path);
    }
    memcpy(address.sun_path, path, n_bytes);
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const bool ok = fd >= 0 &&
                    connect(fd, (const struct sockaddr *)&address, sizeof address) == 0 &&
                    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) == 0 && who.pid > 0;
    const int code = errno;
    if (fd >= 0) {
        close(fd);
    }
    if (!ok) {
        return tw_error_set(error, TW_ERR_NOT_FOUND, TW_NO_POSITION,
                            "nobody answers at the socket '%.160s': %s", path, strerror(code));
    }
    *ret_pid = who.pid;
    return TW_OK;
}

/* ---- the broker ---- */

static pid_t parent_of(pid_t pid)
{
    char path[PATH_BYTES];
    struct tw_buf text;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    if (!read_text(path, STATUS_BYTES, &text)) {
        return 0;
    }
    const pid_t parent = (pid_t)number_of(text.data, "\nPPid:");
    tw_buf_free(&text);
    return parent;
}

static enum tw_status read_broker(pid_t pid, struct tw_process_state *state, struct tw_error *error)
{
    const char *words[TW_LIMIT_REACH_ADDRESSES + 2];
    struct tw_process_state threads = {.pid = pid};
    struct tw_buf line;
    enum tw_status status = tw_process_threads_read(pid, &threads, error);
    if (status != TW_OK || !read_command(pid, &line)) {
        return status;
    }
    const size_t n_words = words_of(&line, words, sizeof words / sizeof words[0]);
    for (size_t i = 2; status == TW_OK && i < n_words; i++) {
        status = tw_reach_add(&state->reach, words[i], NULL, error);
    }
    tw_buf_free(&line);
    state->broker_pid = pid;
    struct tw_seal_statement said;
    state->is_broker_sealed =
        tw_seal_statement_read(pid, &said) && said.role == TW_SEAL_AS_BROKER &&
        threads.n_filters >= said.n_filters && threads.n_filtered == threads.n_threads &&
        threads.n_without_privileges == threads.n_threads;
    return status;
}

static enum tw_status find_broker(struct tw_process_state *state, struct tw_error *error)
{
    DIR *folder = opendir("/proc");
    enum tw_status status = TW_OK;
    for (pid_t pid = folder != NULL ? next_process(folder) : 0;
         pid != 0 && state->broker_pid == 0 && status == TW_OK; pid = next_process(folder)) {
        const char *words[2];
        struct tw_buf line;
        if (parent_of(pid) == state->pid && read_command(pid, &line)) {
            const bool is_it = words_of(&line, words, 2) == 2 && strcmp(words[1], BROKER) == 0;
            tw_buf_free(&line);
            status = is_it ? read_broker(pid, state, error) : TW_OK;
        }
    }
    if (folder != NULL) {
        closedir(folder);
    }
    return status;
}

/* ---- the whole ---- */

static void read_name(struct tw_process_state *state)
{
    char path[PATH_BYTES];
    struct tw_buf text;
    snprintf(path, sizeof path, "/proc/%d/comm", (int)state->pid);
    if (read_text(path, STATUS_BYTES, &text)) {
        snprintf(state->name, sizeof state->name, "%.*s", (int)strcspn(text.data, "\n"), text.data);
        tw_buf_free(&text);
    }
}

enum tw_status tw_process_state_read(pid_t pid, struct tw_process_state *ret_state,
                                     struct tw_error *error)
{
    struct tw_process_state state = {.pid = pid};
    enum tw_status status = tw_process_threads_read(pid, &state, error);
    if (status == TW_OK) {
        read_name(&state);
        status = tw_process_sockets_read(pid, &state, error);
    }
    if (status == TW_OK) {
        status = find_broker(&state, error);
    }
    struct tw_seal_statement said;
    state.has_statement = tw_seal_statement_read(pid, &said);
    state.has_all_filters = state.has_statement && state.n_filters >= said.n_filters;
    if (status == TW_OK) {
        *ret_state = state;
    } else {
        tw_process_state_free(&state);
    }
    return status;
}

void tw_process_state_free(struct tw_process_state *state)
{
    tw_mem_free(state->sockets);
    state->sockets = NULL;
    state->n_sockets = 0;
}

/* A connection out is to an address of the list, as numbers and as text. */
static bool is_on_list(const struct tw_process_state *state, const struct tw_process_socket *socket)
{
    for (size_t i = 0; i < state->reach.n_items; i++) {
        if (strcmp(state->reach.items[i].text, socket->peer) == 0) {
            return true;
        }
    }
    return false;
}

bool tw_process_is_sealed(const struct tw_process_state *state)
{
    bool ok = state->has_statement && state->has_all_filters &&
              state->n_filtered == state->n_threads &&
              state->n_without_privileges == state->n_threads &&
              (state->broker_pid == 0 || state->is_broker_sealed);
    for (size_t i = 0; ok && i < state->n_sockets; i++) {
        const struct tw_process_socket *socket = &state->sockets[i];
        ok = socket->kind != TW_SOCKET_OTHER &&
             (socket->kind != TW_SOCKET_CONNECTED || is_on_list(state, socket));
    }
    return ok;
}
