#include "seal/seal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "seal/process_state.h"
#include "seal/seal_files.h"
#include "seal/seal_filter.h"
#include "seal/seal_statement.h"

enum tw_status tw_seal_close_inherited(int kept_fd, struct tw_buf *ret_closed,
                                       struct tw_error *error)
{
    static struct tw_seal_files files; /* too large for a stack, and asked by one thread */
    enum tw_status status = tw_seal_files_check_standard(error);
    if (status == TW_OK) {
        status = tw_seal_files_list(&files, error);
    }
    for (size_t i = 0; status == TW_OK && i < files.n_numbers; i++) {
        const int fd = files.numbers[i];
        char name[TW_REACH_TEXT_BYTES];
        if (fd > STDERR_FILENO && fd != kept_fd) {
            tw_seal_files_name(fd, name);
            tw_buf_append_format(ret_closed, "%d: %s\n", fd, name);
            close(fd);
        }
    }
    return status;
}

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_LEAK_CHECK
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define HAS_LEAK_CHECK
#endif

#ifdef HAS_LEAK_CHECK
#include <sanitizer/lsan_interface.h>

static bool is_sealed;

/* The check for leaks at the end is a process that traces this one, which a seal refuses. */
int __lsan_is_turned_off(void)
{
    return is_sealed;
}
#define SAY_SEALED() (is_sealed = true)
#else
#define SAY_SEALED() ((void)0)
#endif

static enum tw_status load(scmp_filter_ctx filter, struct tw_error *error)
{
    const int failure = seccomp_load(filter);
    SAY_SEALED();
    return failure == 0
               ? TW_OK
               : tw_error_set(error, TW_ERR_UNSUPPORTED, TW_NO_POSITION,
                              "the process cannot be sealed: the kernel refuses the filter for "
                              "all threads: %s",
                              strerror(-failure));
}

/* Whoever has the listener decides about connections, so this process may not keep it. Some
 * versions of libseccomp close it with the filter, others do not, and another thread may have its
 * number by then: it gets something harmless there instead, which may stay. */
static void drop_listener(int listener_fd)
{
    const int harmless_fd = eventfd(0, EFD_CLOEXEC);
    if (harmless_fd >= 0 && dup2(harmless_fd, listener_fd) == listener_fd) {
        close(harmless_fd);
    } else {
        close(listener_fd);
    }
}

static enum tw_status give_listener(scmp_filter_ctx filter, struct tw_broker *broker,
                                    struct tw_error *error)
{
    const int listener_fd = seccomp_notify_fd(filter);
    enum tw_status status = tw_broker_give(broker, listener_fd, error);
    drop_listener(listener_fd);
    return status;
}

/* Believing what was asked for is not enough: each thread is looked at. */
static enum tw_status check_threads(uint32_t *ret_n_filters, struct tw_error *error)
{
    struct tw_process_state state = {.pid = getpid()};
    enum tw_status status = tw_process_threads_read(state.pid, &state, error);
    if (status == TW_OK &&
        (state.n_filtered < state.n_threads || state.n_without_privileges < state.n_threads)) {
        status = tw_error_set(error, TW_ERR_UNSUPPORTED, TW_NO_POSITION,
                              "the process could not be sealed: of %zu threads %zu have the filter",
                              state.n_threads, state.n_filtered);
    }
    *ret_n_filters = state.n_filters;
    return status;
}

/* It is there for others to see, when all of it is so. */
static enum tw_status state_it(int fd, enum tw_seal_role role, struct tw_error *error)
{
    uint32_t n_filters = 0;
    enum tw_status status = check_threads(&n_filters, error);
    return status == TW_OK ? tw_seal_statement_make(fd, role, n_filters, error) : status;
}

enum tw_status tw_seal_apply(const struct tw_seal_config *config, struct tw_error *error)
{
    const enum tw_seal_role role = config->broker != NULL ? TW_SEAL_WITH_BROKER : TW_SEAL_ALONE;
    const int broker_fd = config->broker != NULL ? config->broker->fd : -1;
    scmp_filter_ctx filter = NULL;
    int statement_fd = -1;
    enum tw_status status = tw_seal_files_check(config->reach, config->kept_fd, broker_fd, error);
    if (status == TW_OK) {
        status = tw_seal_statement_open(&statement_fd, error);
    }
    if (status == TW_OK) {
        status = tw_seal_filter_make(role, getpid(), &filter, error);
    }
    if (status == TW_OK) {
        status = load(filter, error);
    }
    if (status == TW_OK && config->broker != NULL) {
        status = give_listener(filter, config->broker, error);
    }
    if (filter != NULL) {
        seccomp_release(filter);
    }
    return status == TW_OK ? state_it(statement_fd, role, error) : status;
}

enum tw_status tw_seal_apply_broker(struct tw_error *error)
{
    scmp_filter_ctx filter = NULL;
    struct tw_process_state before = {.pid = getpid()};
    int fd = -1;
    enum tw_status status = tw_seal_statement_open(&fd, error);
    if (status == TW_OK) { /* later it opens nothing */
        status = tw_process_threads_read(before.pid, &before, error);
    }
    if (status == TW_OK) {
        status = tw_seal_filter_make(TW_SEAL_AS_BROKER, before.pid, &filter, error);
    }
    if (status == TW_OK) {
        status = load(filter, error);
        seccomp_release(filter);
    }
    return status == TW_OK
               ? tw_seal_statement_make(fd, TW_SEAL_AS_BROKER, before.n_filters + 1, error)
               : status;
}
