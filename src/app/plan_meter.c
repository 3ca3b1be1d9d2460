#include "app/plan_meter.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "app/command.h"
#include "base/clock.h"
#include "plan/meter_log.h"
#include "probe/meters.h"

#define EVERY_S 60
enum { READING_BYTES = 64 * 256, TIME_BYTES = 40 };

struct args {
    double every_s;
    int64_t n_readings;
    const char *powercap, *nvml;
    bool list;
};

#define ROW(field) offsetof(struct args, field)

static const struct tw_option options[] = {
    {.name = "every",
     .kind = TW_OPTION_DOUBLE,
     .offset = ROW(every_s),
     .value_name = "S",
     .help = "Seconds from one reading to the next. Default: 60, or less for a small counter.",
     .least = 0.01,
     .most = TW_LIMIT_METER_EVERY_S},
    {.name = "readings",
     .kind = TW_OPTION_INT,
     .offset = ROW(n_readings),
     .value_name = "N",
     .help = "Ends after so many. Default: goes on until it is stopped.",
     .least = 1,
     .most = 1e12},
    {.name = "list",
     .kind = TW_OPTION_FLAG,
     .offset = ROW(list),
     .help = "Print the counters that can be read, and why others cannot."},
    {.name = "powercap",
     .kind = TW_OPTION_STRING,
     .offset = ROW(powercap),
     .value_name = "DIR",
     .help = "Where the kernel shows its counters. Default: " TW_PROBE_POWERCAP "."},
    {.name = "nvml",
     .kind = TW_OPTION_STRING,
     .offset = ROW(nvml),
     .value_name = "F",
     .help = "The library of NVIDIA's driver. Default: libnvidia-ml.so.1, where it is there."},
};
static const struct tw_option_group group = {"Options", options,
                                             sizeof options / sizeof options[0]};

/* ---- the file ---- */

static enum tw_status from_errno(const char *what, const char *path, struct tw_error *error)
{
    return tw_error_set(error, errno == ENOENT ? TW_ERR_NOT_FOUND : TW_ERR_IO, TW_NO_POSITION,
                        "cannot %s '%.200s': %s", what, path, strerror(errno));
}

static enum tw_status write_all(int fd, const char *path, const char *text, size_t n_bytes,
                                struct tw_error *error)
{
    while (n_bytes > 0) {
        const ssize_t n = write(fd, text, n_bytes);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return from_errno("write", path, error);
        }
        text += n;
        n_bytes -= (size_t)n;
    }
    return TW_OK;
}

/* Behind the last newline: a row that a lost machine left unfinished is no row. */
static enum tw_status cut_tail(int fd, const char *path, off_t *ret_size, struct tw_error *error)
{
    struct stat st;
    char piece[READING_BYTES];
    if (fstat(fd, &st) != 0) {
        return from_errno("look at", path, error);
    }
    if (!S_ISREG(st.st_mode)) {
        return tw_error_set(error, TW_ERR_IO, TW_NO_POSITION,
                            "'%.200s' is no regular file: readings go into one", path);
    }
    const off_t from = st.st_size > READING_BYTES ? st.st_size - READING_BYTES : 0;
    const ssize_t n = pread(fd, piece, (size_t)(st.st_size - from), from);
    if (n < 0) {
        return from_errno("read", path, error);
    }
    ssize_t end = n;
    while (end > 0 && piece[end - 1] != '\n') {
        end--;
    }
    if (end == 0 && from > 0) {
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "'%.200s' has a line without an end: it is no file of readings", path);
    }
    if (end < n && ftruncate(fd, from + end) != 0) {
        return from_errno("cut", path, error);
    }
    *ret_size = from + end;
    return TW_OK;
}

static enum tw_status check_titles(int fd, const char *path, struct tw_error *error)
{
    static const char titles[] = TW_METER_LOG_TITLES "\n";
    char begins[sizeof titles - 1];
    const ssize_t n = pread(fd, begins, sizeof begins, 0);
    if (n == (ssize_t)sizeof begins && memcmp(begins, titles, sizeof begins) == 0) {
        return TW_OK;
    }
    return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                        "'%.200s' is there and does not begin with " TW_METER_LOG_TITLES
                        ": name another file",
                        path);
}

static enum tw_status open_file(const char *path, int *ret_fd, struct tw_error *error)
{
    off_t size = 0;
    const int fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0644);
    if (fd < 0) {
        return from_errno("open", path, error);
    }
    enum tw_status status = TW_OK;
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        status = tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                              "another recorder writes into '%.200s': stop it, or name another "
                              "file",
                              path);
    }
    status = status == TW_OK ? cut_tail(fd, path, &size, error) : status;
    if (status == TW_OK) {
        status = size > 0 ? check_titles(fd, path, error)
                          : write_all(fd, path, TW_METER_LOG_TITLES "\n",
                                      sizeof TW_METER_LOG_TITLES, error);
    }
    if (status != TW_OK) {
        close(fd);
        return status;
    }
    *ret_fd = fd;
    return TW_OK;
}

/* ---- readings ---- */

static void write_time(char text[TIME_BYTES])
{
    const int64_t now_ns = tw_clock_wall_ns();
    const time_t seconds = (time_t)(now_ns / TW_SECOND_NS);
    struct tm day;
    char date[24] = "";
    if (gmtime_r(&seconds, &day) != NULL) {
        strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &day);
    }
    snprintf(text, TIME_BYTES, "%s.%03dZ", date, (int)(now_ns % TW_SECOND_NS / 1000000));
}

static void sleep_until(int64_t at_ns)
{
    const int64_t left_ns = at_ns - tw_clock_monotonic_ns();
    if (left_ns > 0) {
        struct timespec left = {left_ns / TW_SECOND_NS, left_ns % TW_SECOND_NS};
        while (nanosleep(&left, &left) != 0 && errno == EINTR) {
        }
    }
}

/* Another time than that of the reading before: a file says of a time what a counter shows once. */
static void next_time(char at[TIME_BYTES])
{
    char before[TIME_BYTES];
    memcpy(before, at, sizeof before);
    write_time(at);
    while (strcmp(before, at) == 0) {
        sleep_until(tw_clock_monotonic_ns() + TW_SECOND_NS / 1000);
        write_time(at);
    }
}

/* A counter that cannot be read has no row; what was used since then is a gap of the file. */
static void put_reading(const struct tw_probe_meters *meters, const char *boot, const char *at,
                        bool *has_failed, struct tw_buf *out)
{
    for (uint32_t i = 0; i < tw_probe_meters_n(meters); i++) {
        const struct tw_probe_meter *meter = tw_probe_meters_at(meters, i);
        struct tw_error cause;
        uint64_t uj;
        if (tw_probe_meters_read(meters, i, &uj, &cause) == TW_OK) {
            tw_buf_append_format(out, "%s,%s,%s,%llu,%llu\n", at, boot, meter->name,
                                 (unsigned long long)uj, (unsigned long long)meter->range_uj);
        } else if (!*has_failed) {
            *has_failed = true;
            tw_command_note("note: %s", cause.text);
        }
    }
}

/* Often enough that no counter can begin again twice in between. */
static int64_t interval_ns(const struct tw_probe_meters *meters, double every_s)
{
    int64_t every_ns = (int64_t)(every_s * (double)TW_SECOND_NS), most_ns = INT64_MAX;
    for (uint32_t i = 0; i < tw_probe_meters_n(meters); i++) {
        const int64_t trust_ns = tw_meter_log_trust_ns(tw_probe_meters_at(meters, i)->range_uj);
        most_ns = trust_ns / 2 < most_ns ? trust_ns / 2 : most_ns;
    }
    most_ns = most_ns < TW_SECOND_NS / 100 ? TW_SECOND_NS / 100 : most_ns;
    if (every_ns > most_ns) {
        every_ns = most_ns;
        tw_command_note("note: reads every %.3g s, since a counter here begins again at 0 soon",
                        (double)every_ns / (double)TW_SECOND_NS);
    }
    return every_ns;
}

static enum tw_status record(const struct args *args, const struct tw_probe_meters *meters,
                             const char *path, struct tw_error *error)
{
    char boot[TW_LIMIT_METER_BOOT_BYTES], at[TIME_BYTES] = "";
    struct tw_buf out;
    int fd = -1;
    bool has_failed = false;
    enum tw_status status = tw_probe_boot_id(NULL, boot, error);
    status = status == TW_OK ? open_file(path, &fd, error) : status;
    if (status != TW_OK) {
        return status;
    }
    const int64_t every_ns = interval_ns(meters, args->every_s > 0 ? args->every_s : EVERY_S);
    int64_t next_ns = tw_clock_monotonic_ns();
    tw_buf_init(&out, READING_BYTES);
    for (int64_t i = 0; status == TW_OK && (args->n_readings == 0 || i < args->n_readings); i++) {
        sleep_until(next_ns);
        const int64_t now_ns = tw_clock_monotonic_ns();
        next_ns = next_ns + every_ns > now_ns ? next_ns + every_ns : now_ns + every_ns;
        tw_buf_clear(&out);
        next_time(at);
        put_reading(meters, boot, at, &has_failed, &out);
        status = out.failed
                     ? tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a reading")
                     : write_all(fd, path, out.data, out.size_bytes, error);
    }
    tw_buf_free(&out);
    close(fd);
    return status;
}

static enum tw_status print_list(const struct tw_probe_meters *meters, struct tw_error *error)
{
    struct tw_buf out;
    tw_buf_init(&out, READING_BYTES);
    for (uint32_t i = 0; i < tw_probe_meters_n(meters); i++) {
        const struct tw_probe_meter *meter = tw_probe_meters_at(meters, i);
        tw_buf_append_format(&out, "%s%s", i > 0 ? "\n" : "", meter->name);
        if (meter->range_uj > 0) {
            tw_buf_append_format(&out, ", to %.0f J", (double)meter->range_uj * 1e-6);
        }
    }
    enum tw_status status = tw_command_write_line(&out, error);
    tw_buf_free(&out);
    return status;
}

int tw_plan_meter(int argc, char **argv)
{
    struct args args = {0};
    const struct tw_command_spec spec = {
        .name = "plan meter",
        .synopsis = "FILE [OPTIONS]",
        .about = "Writes what this machine's counters of energy show into FILE, again and again,\n"
                 "until it is stopped: processors and memory (RAPL), NVIDIA's cards (NVML). Then\n"
                 "'plan compare --meter FILE' knows what was used (docs/plan-compare.md).",
        .least_words = 0,
        .most_words = 1,
        .uses = {{&group, &args}},
    };
    struct tw_words words;
    struct tw_probe_meters *meters = NULL;
    struct tw_error error;
    int exit_code;
    if (!tw_command_parse(&spec, argc, argv, &words, &exit_code)) {
        return exit_code;
    }
    enum tw_status status = TW_OK;
    if (!args.list && words.n_items == 0) {
        status = tw_error_set(&error, TW_ERR_USAGE, TW_NO_POSITION,
                              "plan meter needs the file that readings go into, or --list");
    }
    status =
        status == TW_OK ? tw_probe_meters_open(args.powercap, args.nvml, &meters, &error) : status;
    if (status == TW_OK) {
        for (uint32_t i = 0; i < tw_probe_meters_n_notes(meters); i++) {
            tw_command_note("note: %s", tw_probe_meters_note(meters, i));
        }
        status =
            args.list ? print_list(meters, &error) : record(&args, meters, words.items[0], &error);
    }
    tw_probe_meters_close(meters);
    return status == TW_OK ? 0 : tw_command_fail(&error);
}
