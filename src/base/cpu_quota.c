/* The share of the processors that control groups grant, from the kernel's files:
 *
 *     version 2:  MOUNT/PATH/cpu.max                  "QUOTA PERIOD" or "max PERIOD"
 *     version 1:  MOUNT/cpu/PATH/cpu.cfs_quota_us     -1: none
 *                 MOUNT/cpu/PATH/cpu.cfs_period_us
 *
 * A group is bound by those above it as well. In a container the path may be that of the host and
 * not be there; what counts then is the top of the mount, which the way up ends at. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "base/file.h"

enum { MOST_FILE_BYTES = 65536, PATH_BYTES = 4096 };

/* The whole of a small file as a string in buf; false when it cannot be read. */
static bool read_text(const char *path, struct tw_buf *ret_buf)
{
    struct tw_buf buf;
    if (tw_file_load(path, MOST_FILE_BYTES, &buf, NULL) != TW_OK) {
        return false;
    }
    buf.bound_bytes++;
    if (!tw_buf_append(&buf, "", 1)) {
        tw_buf_free(&buf);
        return false;
    }
    *ret_buf = buf;
    return true;
}

/* The two numbers of cpu.max, or those of two files; 0 where there is no quota. */
static bool read_numbers(const char *folder, const char *name, long long *ret_numbers,
                         int n_numbers)
{
    char path[PATH_BYTES + 32];
    struct tw_buf text;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (!read_text(path, &text)) {
        return false;
    }
    char *at = text.data;
    bool ok = true;
    for (int i = 0; i < n_numbers; i++) {
        char *end = at;
        ret_numbers[i] = strtoll(at, &end, 10);
        ok = ok && end != at; /* "max" is no number */
        at = end;
    }
    tw_buf_free(&text);
    return ok;
}

static bool group_numbers(const char *folder, bool is_v2, long long *ret_numbers)
{
    return is_v2 ? read_numbers(folder, "cpu.max", ret_numbers, 2)
                 : read_numbers(folder, "cpu.cfs_quota_us", ret_numbers, 1) &&
                       read_numbers(folder, "cpu.cfs_period_us", ret_numbers + 1, 1);
}

static int smaller(int a, int b)
{
    return b == 0 || (a != 0 && a < b) ? a : b;
}

/* The least of the group's cores and of those above it, up to the first top_bytes of folder. */
static int walk_up(char *folder, size_t top_bytes, bool is_v2)
{
    int n_cores = 0;
    for (;;) {
        long long numbers[2];
        if (group_numbers(folder, is_v2, numbers) && numbers[0] > 0 && numbers[1] > 0) {
            long long n = (numbers[0] - 1) / numbers[1] + 1;
            n_cores = smaller(n < TW_LIMIT_THREADS ? (int)n : TW_LIMIT_THREADS, n_cores);
        }
        char *slash = strrchr(folder + top_bytes, '/');
        if (slash == NULL) {
            return n_cores;
        }
        *slash = '\0';
    }
}

/* Whether the comma-separated controllers of a line name "cpu". */
static bool names_cpu(const char *controllers, size_t n_bytes)
{
    for (size_t i = 0; i + 3 <= n_bytes; i++) {
        bool begins = i == 0 || controllers[i - 1] == ',';
        bool ends = i + 3 == n_bytes || controllers[i + 3] == ',';
        if (begins && ends && memcmp(controllers + i, "cpu", 3) == 0) {
            return true;
        }
    }
    return false;
}

/* A line "ID:CONTROLLERS:PATH". */
static int line_cores(const char *line, const char *mount)
{
    char folder[PATH_BYTES];
    const char *controllers = strchr(line, ':');
    const char *path = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
    if (path == NULL) {
        return 0;
    }
    bool is_v2 = path == controllers + 1;
    if (!is_v2 && !names_cpu(controllers + 1, (size_t)(path - controllers) - 1)) {
        return 0;
    }
    int top_bytes = snprintf(folder, sizeof folder, "%s%s", mount, is_v2 ? "" : "/cpu");
    int n = snprintf(folder, sizeof folder, "%s%s%s", mount, is_v2 ? "" : "/cpu", path + 1);
    return n > 0 && (size_t)n < sizeof folder ? walk_up(folder, (size_t)top_bytes, is_v2) : 0;
}

int tw_cpu_quota(const char *membership_path, const char *mount_path)
{
    struct tw_buf text;
    if (!read_text(membership_path, &text)) {
        return 0;
    }
    int n_cores = 0;
    for (char *line = text.data; *line != '\0';) {
        char *end = line + strcspn(line, "\n");
        char *next = *end == '\n' ? end + 1 : end;
        *end = '\0';
        n_cores = smaller(line_cores(line, mount_path), n_cores);
        line = next;
    }
    tw_buf_free(&text);
    return n_cores;
}
