#include "probe/meters.h"

#include <dirent.h>
#include <dlfcn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"

/* NVML's interface, of which these few functions have kept their form since they came. */
enum { NVML_SUCCESS = 0, NVML_ERROR_NOT_SUPPORTED = 3 };
struct nvml {
    void *library;
    int (*init)(void);
    int (*shutdown)(void);
    int (*count)(unsigned *ret_count);
    int (*handle)(unsigned at, void **ret_device);
    int (*uuid)(void *device, char *ret_text, unsigned n_bytes);
    int (*energy)(void *device, unsigned long long *ret_mj);
};

struct source {
    char *path;   /* of a counter's file */
    void *device; /* or of a card */
};

struct tw_probe_meters {
    struct nvml nvml;
    bool has_nvml;
    struct tw_probe_meter meters[TW_LIMIT_METERS];
    struct source sources[TW_LIMIT_METERS];
    uint32_t n;
    char notes[TW_LIMIT_METERS][TW_LIMIT_ERROR_TEXT_BYTES];
    uint32_t n_notes;
};

enum { FILE_BYTES = 4096, PATH_BYTES = 512, ZONE_NAME_BYTES = 64, ZONES = 4 * TW_LIMIT_METERS };

static void note(struct tw_probe_meters *meters, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void note(struct tw_probe_meters *meters, const char *format, ...)
{
    va_list args;
    if (meters->n_notes < TW_LIMIT_METERS) {
        va_start(args, format);
        vsnprintf(meters->notes[meters->n_notes++], TW_LIMIT_ERROR_TEXT_BYTES, format, args);
        va_end(args);
    }
}

static enum tw_status too_many(struct tw_error *error)
{
    return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                        "this machine has more than %d counters of energy", TW_LIMIT_METERS);
}

/* ---- files of one line ---- */

static enum tw_status read_line(const char *path, char *ret_text, size_t text_bytes,
                                struct tw_error *error)
{
    struct tw_buf buf;
    enum tw_status status = tw_file_read(path, FILE_BYTES, &buf, error);
    if (status != TW_OK) {
        return status;
    }
    const char *end = buf.size_bytes > 0 ? memchr(buf.data, '\n', buf.size_bytes) : NULL;
    const size_t n = end != NULL ? (size_t)(end - buf.data) : buf.size_bytes;
    if (n == 0 || n >= text_bytes) {
        status = tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                              "'%.200s' is not one line of 1 to %zu bytes", path, text_bytes - 1);
    } else {
        memcpy(ret_text, buf.data, n);
        ret_text[n] = '\0';
    }
    tw_buf_free(&buf);
    return status;
}

static enum tw_status read_number(const char *path, uint64_t *ret_number, struct tw_error *error)
{
    char text[32];
    uint64_t number = 0;
    enum tw_status status = read_line(path, text, sizeof text, error);
    bool is_number = true;
    for (const char *c = text; status == TW_OK && *c != '\0'; c++) {
        is_number = is_number && *c >= '0' && *c <= '9' &&
                    !__builtin_mul_overflow(number, 10, &number) &&
                    !__builtin_add_overflow(number, (uint64_t)(*c - '0'), &number);
    }
    if (status == TW_OK && !is_number) {
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "'%.200s' has '%.30s' in it, which is no whole number", path, text);
    }
    if (status == TW_OK) {
        *ret_number = number;
    }
    return status;
}

enum tw_status tw_probe_boot_id(const char *path, char ret_id[TW_LIMIT_METER_BOOT_BYTES],
                                struct tw_error *error)
{
    return read_line(path != NULL ? path : TW_PROBE_BOOT_ID, ret_id, TW_LIMIT_METER_BOOT_BYTES,
                     error);
}

/* ---- powercap ---- */

struct zone {
    unsigned package, part; /* part: PARTLESS of a package itself */
};
#define PARTLESS UINT32_MAX

static bool read_digits(const char **at, unsigned *ret_number)
{
    unsigned number = 0;
    const char *c = *at;
    for (; *c >= '0' && *c <= '9' && number < 100000; c++) {
        number = number * 10 + (unsigned)(*c - '0');
    }
    const bool has_any = c != *at;
    *at = c;
    *ret_number = number;
    return has_any;
}

/* "intel-rapl:0" or "intel-rapl:0:2". */
static bool parse_zone(const char *name, struct zone *ret_zone)
{
    static const char prefix[] = "intel-rapl:";
    const char *at = name + sizeof prefix - 1;
    ret_zone->part = PARTLESS;
    if (strncmp(name, prefix, sizeof prefix - 1) != 0 || !read_digits(&at, &ret_zone->package)) {
        return false;
    }
    if (*at == ':') {
        at++;
        return read_digits(&at, &ret_zone->part) && *at == '\0';
    }
    return *at == '\0';
}

static int by_number(const void *a, const void *b)
{
    const struct zone *x = a, *y = b;
    const unsigned p = x->part + 1, q = y->part + 1; /* a package comes before its parts */
    return x->package != y->package ? (x->package > y->package) - (x->package < y->package)
                                    : (p > q) - (p < q);
}

static void zone_file(const char *folder, struct zone zone, const char *file, char path[PATH_BYTES])
{
    if (zone.part == PARTLESS) {
        snprintf(path, PATH_BYTES, "%.400s/intel-rapl:%u/%s", folder, zone.package, file);
    } else {
        snprintf(path, PATH_BYTES, "%.400s/intel-rapl:%u:%u/%s", folder, zone.package, zone.part,
                 file);
    }
}

/* False: it is a part of what is counted already. */
static bool name_zone(const char *folder, struct zone zone, char ret_name[ZONE_NAME_BYTES])
{
    char path[PATH_BYTES], own[24], above[32];
    zone_file(folder, zone, "name", path);
    if (read_line(path, own, sizeof own, NULL) != TW_OK) {
        return false;
    }
    if (zone.part == PARTLESS) {
        snprintf(ret_name, ZONE_NAME_BYTES, "rapl %s", own);
        return strncmp(own, "package", strlen("package")) == 0;
    }
    const struct zone package = {zone.package, PARTLESS};
    zone_file(folder, package, "name", path);
    if (strcmp(own, "dram") != 0 || read_line(path, above, sizeof above, NULL) != TW_OK) {
        return false;
    }
    snprintf(ret_name, ZONE_NAME_BYTES, "rapl %s %s", above, own);
    return true;
}

static bool has_name(const struct tw_probe_meters *meters, const char *name)
{
    for (uint32_t i = 0; i < meters->n; i++) {
        if (strcmp(meters->meters[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

static enum tw_status add_zone(struct tw_probe_meters *meters, const char *folder, struct zone zone,
                               struct tw_error *error)
{
    struct tw_probe_meter meter;
    struct tw_error cause = {0};
    char path[PATH_BYTES], name[ZONE_NAME_BYTES];
    uint64_t now_uj;
    if (!name_zone(folder, zone, name) || has_name(meters, name)) {
        return TW_OK;
    }
    snprintf(meter.name, sizeof meter.name, "%s", name);
    zone_file(folder, zone, "max_energy_range_uj", path);
    if (read_number(path, &meter.range_uj, &cause) != TW_OK || meter.range_uj == 0) {
        note(meters,
             "%s is left out: without a number in %.200s nobody sees when its counter "
             "begins again at 0",
             name, path);
        return TW_OK;
    }
    zone_file(folder, zone, "energy_uj", path);
    if (read_number(path, &now_uj, &cause) != TW_OK) {
        note(meters,
             "%s is left out: %.200s; where permission is lacking, run as root or let a group "
             "read that file",
             name, cause.text);
        return TW_OK;
    }
    if (meters->n == TW_LIMIT_METERS) {
        return too_many(error);
    }
    char *copy = tw_mem_strndup(path, strlen(path));
    if (copy == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a counter");
    }
    meters->sources[meters->n].path = copy;
    meters->meters[meters->n++] = meter;
    return TW_OK;
}

static enum tw_status find_zones(struct tw_probe_meters *meters, const char *folder,
                                 struct tw_error *error)
{
    struct zone zones[ZONES];
    uint32_t n = 0;
    DIR *list = opendir(folder);
    if (list == NULL) {
        note(meters,
             "there is no folder %.200s: a virtual machine has none, or the kernel's "
             "module intel_rapl_msr is not loaded",
             folder);
        return TW_OK;
    }
    for (const struct dirent *entry; n < ZONES && (entry = readdir(list)) != NULL;) {
        n += parse_zone(entry->d_name, &zones[n]);
    }
    closedir(list);
    if (n == 0) {
        note(meters,
             "%.200s has no intel-rapl zones: a virtual machine has none, or the kernel's "
             "module intel_rapl_msr is not loaded",
             folder);
    }
    qsort(zones, n, sizeof *zones, by_number);
    enum tw_status status = TW_OK;
    for (uint32_t i = 0; status == TW_OK && i < n; i++) {
        status = add_zone(meters, folder, zones[i], error);
    }
    return status;
}

/* ---- cards ---- */

static bool find_function(void *library, const char *name, void *ret_function)
{
    void *found = dlsym(library, name);
    memcpy(ret_function, &found, sizeof found);
    return found != NULL;
}

static bool find_functions(struct nvml *nvml)
{
    return find_function(nvml->library, "nvmlInit_v2", &nvml->init) &&
           find_function(nvml->library, "nvmlShutdown", &nvml->shutdown) &&
           find_function(nvml->library, "nvmlDeviceGetCount_v2", &nvml->count) &&
           find_function(nvml->library, "nvmlDeviceGetHandleByIndex_v2", &nvml->handle) &&
           find_function(nvml->library, "nvmlDeviceGetUUID", &nvml->uuid) &&
           find_function(nvml->library, "nvmlDeviceGetTotalEnergyConsumption", &nvml->energy);
}

static enum tw_status add_card(struct tw_probe_meters *meters, unsigned at, struct tw_error *error)
{
    struct nvml *nvml = &meters->nvml;
    struct tw_probe_meter meter = {.range_uj = 0};
    char uuid[TW_LIMIT_METER_NAME_BYTES - 8] = "";
    void *device = NULL;
    unsigned long long now_mj;
    int code = nvml->handle(at, &device);
    code = code == NVML_SUCCESS ? nvml->uuid(device, uuid, sizeof uuid) : code;
    if (code != NVML_SUCCESS) {
        note(meters, "card %u is left out: its driver answers with error %d", at, code);
        return TW_OK;
    }
    code = nvml->energy(device, &now_mj);
    if (code != NVML_SUCCESS) {
        note(meters, "card %u is left out: %s (error %d)", at,
             code == NVML_ERROR_NOT_SUPPORTED ? "it has no counter of energy; cards since Volta do"
                                              : "its counter of energy cannot be read",
             code);
        return TW_OK;
    }
    if (meters->n == TW_LIMIT_METERS) {
        return too_many(error);
    }
    uuid[sizeof uuid - 1] = '\0';
    snprintf(meter.name, sizeof meter.name, "nvml %s", uuid);
    for (char *c = meter.name; *c != '\0'; c++) {
        *c = *c == ',' || *c == '"' || *c < ' ' || *c > '~' ? '-' : *c;
    }
    if (!has_name(meters, meter.name)) {
        meters->sources[meters->n].device = device;
        meters->meters[meters->n++] = meter;
    }
    return TW_OK;
}

static enum tw_status find_cards(struct tw_probe_meters *meters, const char *path,
                                 struct tw_error *error)
{
    struct nvml *nvml = &meters->nvml;
    unsigned n = 0;
    nvml->library = dlopen(path != NULL ? path : "libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    if (nvml->library == NULL) {
        const char *why = dlerror();
        return path == NULL ? TW_OK
                            : tw_error_set(error, TW_ERR_NOT_FOUND, TW_NO_POSITION,
                                           "the library '%.120s' cannot be opened: %.100s", path,
                                           why != NULL ? why : "unknown reason");
    }
    if (!find_functions(nvml)) {
        note(meters, "cards are left out: the driver's library lacks functions of NVML 11");
        return TW_OK;
    }
    int code = nvml->init();
    if (code != NVML_SUCCESS) {
        note(meters, "cards are left out: the driver answers with error %d", code);
        return TW_OK;
    }
    meters->has_nvml = true;
    code = nvml->count(&n);
    enum tw_status status = TW_OK;
    for (unsigned i = 0; status == TW_OK && code == NVML_SUCCESS && i < n; i++) {
        status = add_card(meters, i, error);
    }
    return status;
}

/* ---- the list ---- */

void tw_probe_meters_close(struct tw_probe_meters *meters)
{
    if (meters == NULL) {
        return;
    }
    for (uint32_t i = 0; i < meters->n; i++) {
        tw_mem_free(meters->sources[i].path);
    }
    if (meters->has_nvml) {
        meters->nvml.shutdown();
    }
    if (meters->nvml.library != NULL) {
        dlclose(meters->nvml.library);
    }
    tw_mem_free(meters);
}

static enum tw_status nothing(const struct tw_probe_meters *meters, struct tw_error *error)
{
    return tw_error_set(error, TW_ERR_UNSUPPORTED, TW_NO_POSITION,
                        "no counter of energy can be read here: %.150s%s%.150s",
                        meters->n_notes > 0 ? meters->notes[0] : "there is none",
                        meters->n_notes > 1 ? "; " : "",
                        meters->n_notes > 1 ? meters->notes[1] : "");
}

enum tw_status tw_probe_meters_open(const char *powercap, const char *nvml,
                                    struct tw_probe_meters **ret_meters, struct tw_error *error)
{
    struct tw_probe_meters *meters = tw_mem_zalloc(1, sizeof *meters);
    if (meters == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for counters");
    }
    enum tw_status status =
        find_zones(meters, powercap != NULL ? powercap : TW_PROBE_POWERCAP, error);
    status = status == TW_OK ? find_cards(meters, nvml, error) : status;
    status = status == TW_OK && meters->n == 0 ? nothing(meters, error) : status;
    if (status != TW_OK) {
        tw_probe_meters_close(meters);
        return status;
    }
    *ret_meters = meters;
    return TW_OK;
}

uint32_t tw_probe_meters_n(const struct tw_probe_meters *meters)
{
    return meters->n;
}

const struct tw_probe_meter *tw_probe_meters_at(const struct tw_probe_meters *meters, uint32_t i)
{
    return &meters->meters[i];
}

uint32_t tw_probe_meters_n_notes(const struct tw_probe_meters *meters)
{
    return meters->n_notes;
}

const char *tw_probe_meters_note(const struct tw_probe_meters *meters, uint32_t i)
{
    return meters->notes[i];
}

enum tw_status tw_probe_meters_read(const struct tw_probe_meters *meters, uint32_t i,
                                    uint64_t *ret_uj, struct tw_error *error)
{
    unsigned long long now_mj = 0;
    if (meters->sources[i].path != NULL) {
        return read_number(meters->sources[i].path, ret_uj, error);
    }
    const int code = meters->nvml.energy(meters->sources[i].device, &now_mj);
    if (code != NVML_SUCCESS || now_mj > UINT64_MAX / 1000) {
        return tw_error_set(error, TW_ERR_IO, TW_NO_POSITION,
                            "%.80s can no longer be read: its driver answers with error %d",
                            meters->meters[i].name, code);
    }
    *ret_uj = now_mj * 1000;
    return TW_OK;
}
