/* loss_plot.h: the losses of a training run as an SVG picture.
 *
 * Training loss (each step thinly, its running mean strongly), validation losses as points; axes
 * with round numbers. Threads: any. Errors: those of writing a file. */
#ifndef TW_APP_LOSS_PLOT_H
#define TW_APP_LOSS_PLOT_H

#include "base/status.h"
#include "train/checkpoint.h"

enum tw_status tw_loss_plot_write(const char *path, const struct tw_train_state *state,
                                  struct tw_error *error);

#endif
