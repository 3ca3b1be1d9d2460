#include "policy/detect.h"

#include <string.h>

#include "base/mem.h"
#include "base/printable.h"

struct detection {
    const struct tw_policy *policy;
    struct tw_detect_work *work;
    uint64_t detectors;
    unsigned current; /* of an expression */
    tw_detect_found found;
    void *context;
};

/* Several detectors may look for one kind, each with a name and a class of its own. */
static void on_builtin(void *context, enum tw_builtin kind, size_t begin, size_t end)
{
    const struct detection *detection = context;
    for (unsigned i = 0; i < detection->policy->n_detectors; i++) {
        if ((detection->detectors >> i & 1) != 0 && detection->policy->detectors[i].kind == kind) {
            detection->found(detection->context, i, begin, end);
        }
    }
}

static void on_expression(void *context, size_t begin, size_t end)
{
    const struct detection *detection = context;
    detection->found(detection->context, detection->current, begin, end);
}

/* ---- what expressions read ---- */

static size_t valid_bytes(const char *text, size_t n)
{
    size_t at = 0, step;
    while (at < n) {
        step = (unsigned char)text[at] < 0x80 ? 1 : tw_printable_utf8_bytes(text + at, n - at);
        if (step == 0) {
            break;
        }
        at += step;
    }
    return at;
}

/* The text itself where it is valid, otherwise a copy, which *ret_copy is, too. NULL: no memory. */
static const char *make_valid(const char *text, size_t n, char **ret_copy)
{
    size_t at = valid_bytes(text, n);
    if (at == n) {
        return text;
    }
    char *copy = tw_mem_alloc(n, 1);
    if (copy == NULL) {
        return NULL;
    }
    memcpy(copy, text, n);
    while (at < n) {
        copy[at++] = '?';
        at += valid_bytes(copy + at, n - at);
    }
    *ret_copy = copy;
    return copy;
}

static uint64_t run_expressions(struct detection *detection, const char *text, size_t text_bytes)
{
    uint64_t failed = 0;
    char *copy = NULL;
    const char *valid = NULL;
    for (unsigned i = 0; i < detection->policy->n_detectors; i++) {
        const struct tw_policy_detector *detector = &detection->policy->detectors[i];
        if ((detection->detectors >> i & 1) == 0 || detector->compiled == NULL) {
            continue;
        }
        valid = valid != NULL ? valid : make_valid(text, text_bytes, &copy);
        detection->current = i;
        if (valid == NULL || tw_expression_scan(detector->compiled, &detection->work->expressions,
                                                &detection->work->n_steps[i], valid, text_bytes,
                                                on_expression, detection, NULL) != TW_OK) {
            failed |= UINT64_C(1) << i;
        }
    }
    tw_mem_free(copy);
    return failed;
}

void tw_detect_begin(struct tw_detect_work *work)
{
    work->expressions = (struct tw_expression_work){0};
    for (size_t i = 0; i < TW_LIMIT_POLICY_DETECTORS; i++) {
        work->n_steps[i] = TW_LIMIT_POLICY_STEPS;
    }
}

void tw_detect_end(struct tw_detect_work *work)
{
    tw_expression_work_free(&work->expressions);
}

void tw_detect(const struct tw_policy *policy, struct tw_detect_work *work, uint64_t detectors,
               const char *text, size_t text_bytes, tw_detect_found found, void *context,
               uint64_t *ret_failed)
{
    struct detection detection = {
        .policy = policy, .work = work, .detectors = detectors, .found = found, .context = context};
    uint32_t wanted = 0;
    for (unsigned i = 0; i < policy->n_detectors; i++) {
        if ((detectors >> i & 1) != 0 && policy->detectors[i].kind < TW_BUILTIN_COUNT) {
            wanted |= UINT32_C(1) << policy->detectors[i].kind;
        }
    }
    *ret_failed = 0;
    if (text_bytes == 0) {
        return;
    }
    if (wanted != 0) {
        tw_builtin_scan(text, text_bytes, wanted, on_builtin, &detection);
    }
    *ret_failed = run_expressions(&detection, text, text_bytes);
}
