#include "app/model_pack.h"

#include <inttypes.h>

#include "base/cpu.h"
#include "model/model.h"

/* What came of it, as the notice says. */
struct report {
    const struct tw_model_pack_wish *wish;
    struct tw_buf *out;
    bool is_told; /* that there was a notice */
    enum tw_status status;
    struct tw_error *error;
};

static void on_notice(void *context, const struct tw_pack_notice *notice)
{
    struct report *report = context;
    static const char *const words[] = {[TW_PACK_MAPPED] = "were there already, for the model as "
                                                           "it is",
                                        [TW_PACK_WRITTEN] = "were written"};
    report->is_told = true;
    if (notice->event == TW_PACK_IN_MEMORY) {
        report->status = tw_error_set(report->error, TW_ERR_IO, TW_NO_POSITION,
                                      "packed weights cannot be kept: %.260s", notice->reason);
        return;
    }
    tw_buf_append_format(
        report->out, "%s: %" PRIu64 " bytes of packed weights %s", notice->path, notice->n_bytes,
        report->wish->verifies ? "are what the model gives" : words[notice->event]);
    if (notice->event == TW_PACK_WRITTEN && notice->reason[0] != '\0') {
        tw_buf_append_format(report->out, " (before: %s)", notice->reason);
    }
    report->status = TW_OK;
}

static enum tw_status load(const struct tw_model_pack_wish *wish,
                           const struct tw_model_options *options, struct tw_error *error)
{
    enum tw_cpu_level level;
    struct tw_device *device = NULL;
    struct tw_model *model = NULL;
    enum tw_status status = tw_cpu_choose(&level, error);
    if (status == TW_OK) {
        status = tw_device_cpu_create((int)wish->n_threads, level, &device, error);
    }
    if (status == TW_OK) {
        status = tw_model_load(wish->path, device, options, &model, error);
    }
    tw_model_free(model);
    tw_device_free(device);
    return status;
}

enum tw_status tw_model_pack(const struct tw_model_pack_wish *wish, tw_model_progress_fn progress,
                             void *progress_context, struct tw_buf *out, struct tw_error *error)
{
    struct report report = {.wish = wish, .out = out, .error = error};
    struct tw_pack_options pack;
    enum tw_status status = tw_pack_args_options(&wish->pack, wish->path, &pack, error);
    if (status != TW_OK) {
        return status;
    }
    pack.verifies = wish->verifies;
    pack.notice = on_notice;
    pack.notice_context = &report;
    const struct tw_model_options options = {.max_batch_tokens = 1,
                                             .max_output_rows = 1,
                                             .progress = progress,
                                             .progress_context = progress_context,
                                             .pack = &pack};
    status = load(wish, &options, error);
    tw_pack_options_free(&pack);
    if (status == TW_OK && !report.is_told) {
        return tw_error_set(error, TW_ERR_UNSUPPORTED, TW_NO_POSITION,
                            "the device keeps no packed weights");
    }
    return status == TW_OK ? report.status : status;
}
