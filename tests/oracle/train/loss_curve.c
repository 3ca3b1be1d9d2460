/* loss_curve: a training run laid open for another program to repeat.
 *
 *     loss_curve RECIPE.yaml FOLDER     writes into FOLDER
 *         tensors.txt   name, offset, rows, columns, vector (1) or matrix (0), one a line
 *         weights.f32   the weights before the first step
 *         rows.txt      a packed row a line: step, then token:target:start for each of its tokens
 *     and prints "step loss gradient_norm learning_rate valid_loss" for every step. */
#include <stdio.h>
#include <stdlib.h>

#include "base/cpu.h"
#include "train/packing.h"
#include "train/trainer.h"

static void fail(const struct tw_error *error)
{
    fprintf(stderr, "loss_curve: %s\n", error->text);
    exit(1);
}

static FILE *create(const char *folder, const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    if (file == NULL) {
        perror(path);
        exit(1);
    }
    return file;
}

static void write_weights(const struct tw_trainer *trainer, const char *folder)
{
    const struct tw_parameters *parameters = tw_trainer_parameters(trainer);
    FILE *names = create(folder, "tensors.txt"), *values = create(folder, "weights.f32");
    for (size_t i = 0; i < tw_parameters_count(parameters); i++) {
        struct tw_parameter tensor = tw_parameters_tensor(parameters, i);
        fprintf(names, "%s %zu %zu %zu %d\n", tensor.name, tensor.offset, tensor.n_rows,
                tensor.n_columns, tensor.is_vector);
    }
    fwrite(tw_trainer_state(trainer)->weights, sizeof(float), parameters->n_values, values);
    fclose(names);
    fclose(values);
}

/* The rows that the trainer takes, from a packing of our own over its data. */
static void write_rows(const struct tw_trainer *trainer, const struct tw_train_config *config,
                       const char *folder)
{
    struct tw_error error;
    struct tw_packing *packing;
    struct tw_packed_row row;
    const struct tw_dataset *data = tw_trainer_data(trainer);
    if (tw_packing_create(data, config->model.context, config->training.seed, &packing, &error) !=
            TW_OK ||
        tw_packed_row_init(&row, config->model.context, &error) != TW_OK) {
        fail(&error);
    }
    FILE *file = create(folder, "rows.txt");
    uint32_t n_rows = config->training.steps * config->training.rows_per_step;
    for (uint32_t i = 0; i < n_rows; i++) {
        tw_packing_row(packing, i, &row);
        fprintf(file, "%u", i / config->training.rows_per_step);
        uint32_t document = 0;
        for (uint32_t j = 0; j < row.n_tokens; j++) {
            int starts = row.document_starts[document] == j;
            document += (uint32_t)starts;
            fprintf(file, " %d:%d:%d", row.tokens[j], row.is_target[j], starts);
        }
        fputc('\n', file);
    }
    fclose(file);
    tw_packed_row_free(&row);
    tw_packing_free(packing);
}

int main(int argc, char **argv)
{
    struct tw_error error;
    struct tw_train_config *config;
    struct tw_device *device;
    struct tw_trainer *trainer;
    enum tw_cpu_level level;
    if (argc != 3) {
        fprintf(stderr, "usage: loss_curve RECIPE.yaml FOLDER\n");
        return 2;
    }
    if (tw_cpu_choose(&level, &error) != TW_OK ||
        tw_train_config_load(argv[1], &config, &error) != TW_OK ||
        tw_device_cpu_create(0, level, &device, &error) != TW_OK ||
        tw_trainer_open(config, device, TW_TRAINER_STEPS, &trainer, &error) != TW_OK) {
        fail(&error);
    }
    write_weights(trainer, argv[2]);
    write_rows(trainer, config, argv[2]);
    while (!tw_trainer_is_done(trainer)) {
        struct tw_trainer_report report;
        if (tw_trainer_step(trainer, &report, &error) != TW_OK) {
            fail(&error);
        }
        const struct tw_train_point *p = &report.point;
        printf("%u %.9g %.9g %.9g %.9g\n", p->step, (double)p->loss, (double)p->gradient_norm,
               (double)p->learning_rate, (double)p->valid_loss);
    }
    tw_trainer_close(trainer);
    tw_device_free(device);
    tw_train_config_free(config);
    return 0;
}
