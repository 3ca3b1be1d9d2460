#include "app/plan_plant_args.h"

#include "plan/number_format.h"

#define ROW(field) offsetof(struct tw_plan_plant_args, field)

static const struct tw_option options[] = {
    {.name = "model",
     .kind = TW_OPTION_STRING,
     .offset = ROW(model),
     .value_name = "M",
     .help = "The model, by its name in the catalogue."},
    {.name = "device",
     .kind = TW_OPTION_STRING,
     .offset = ROW(device),
     .value_name = "D",
     .help = "The device, by its name there."},
    {.name = "engine",
     .kind = TW_OPTION_STRING,
     .offset = ROW(engine),
     .value_name = "E",
     .help = "The engine. Default: tokenworks; of a log or points vllm."},
    {.name = "weights",
     .kind = TW_OPTION_STRING,
     .offset = ROW(weights),
     .value_name = "F",
     .help = "The format of its weights, such as q4_k or fp8. Default: the model's own."},
    {.name = "tensor",
     .kind = TW_OPTION_INT,
     .offset = ROW(tensor),
     .value_name = "N",
     .help = "Devices that share each layer. Default: 1.",
     .least = 1,
     .most = TW_LIMIT_PLAN_DEVICES},
    {.name = "kv",
     .kind = TW_OPTION_STRING,
     .offset = ROW(kv),
     .value_name = "F",
     .help = "The format of its KV cache, such as fp8. Default: bf16."},
    {.name = "pipeline",
     .kind = TW_OPTION_INT,
     .offset = ROW(pipeline),
     .value_name = "N",
     .help = "Stages of whole layers. Default: 1.",
     .least = 1,
     .most = TW_LIMIT_PLAN_DEVICES},
    {.name = "kv-tokens",
     .kind = TW_OPTION_INT,
     .offset = ROW(kv_tokens),
     .value_name = "N",
     .help = "Tokens of the KV cache, as the server says. Default: what the memory gives.",
     .least = 1,
     .most = INT64_C(1) << 40},
    {.name = "sequences",
     .kind = TW_OPTION_INT,
     .offset = ROW(sequences),
     .value_name = "N",
     .help = "Most sequences in a step, as the server was set. Default: the engine's.",
     .least = 1,
     .most = 1 << 16},
    {.name = "step-tokens",
     .kind = TW_OPTION_INT,
     .offset = ROW(step_tokens),
     .value_name = "N",
     .help = "Most tokens of a step, likewise.",
     .least = 1,
     .most = 1 << 24},
    {.name = "catalogue",
     .kind = TW_OPTION_STRINGS,
     .offset = ROW(catalogues),
     .value_name = "F",
     .help = "A file of your own with devices, models or engines."},
};
const struct tw_option_group tw_plan_plant_group = {"What serves", options,
                                                    sizeof options / sizeof options[0]};

static enum tw_status find_format(const char *option, const char *name,
                                  const struct tw_number_format **ret_format,
                                  struct tw_error *error)
{
    *ret_format = tw_number_format_find(name);
    return *ret_format != NULL
               ? TW_OK
               : tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                              "there is no format '%.40s': write --%s bf16, fp8, int4, q8_0, "
                              "q4_k ...",
                              name, option);
}

enum tw_status tw_plan_plant_find(const struct tw_plan_plant_args *args, const char *usual_engine,
                                  const struct tw_catalogue *catalogue, struct tw_plant *ret_plant,
                                  struct tw_error *error)
{
    struct tw_plant plant = {.n_tensor = args->tensor > 0 ? (uint32_t)args->tensor : 1,
                             .n_pipeline = args->pipeline > 0 ? (uint32_t)args->pipeline : 1,
                             .n_replicas = 1,
                             .step_tokens = (uint32_t)args->step_tokens,
                             .n_sequences = (uint32_t)args->sequences,
                             .n_kv_tokens = (uint64_t)args->kv_tokens};
    if (args->model == NULL || args->device == NULL) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "--model and --device say what serves: name both");
    }
    enum tw_status status = tw_catalogue_model(catalogue, args->model, &plant.model, error);
    if (status == TW_OK) {
        status = tw_catalogue_device(catalogue, args->device, &plant.device, error);
    }
    if (status == TW_OK) {
        status = tw_catalogue_engine(catalogue, args->engine != NULL ? args->engine : usual_engine,
                                     &plant.engine, error);
    }
    if (status == TW_OK) {
        status = find_format("weights", args->weights != NULL ? args->weights : plant.model->format,
                             &plant.weights, error);
    }
    if (status == TW_OK) {
        status = find_format("kv", args->kv != NULL ? args->kv : "bf16", &plant.kv, error);
    }
    if (status == TW_OK) {
        *ret_plant = plant;
    }
    return status;
}
