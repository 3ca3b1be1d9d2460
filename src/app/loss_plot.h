/* loss_plot.h: the losses of a training run as an SVG picture.
 *
 * Training loss (each step thinly, its running mean strongly), validation losses as points; axes
 * with round numbers. Threads: any. Errors: those of writing a file. */
#ifndef TW_APP_LOSS_PLOT_H
#define TW_APP_LOSS_PLOT_H

#include "base/status.h"
#include "train/checkpoint.h"

/* The smallest of 1, 2, 5 times a power of ten that divides most > 0 into at most n parts. */
double tw_loss_plot_round_step(double most, int n);

enum tw_status tw_loss_plot_write(const char *path, const struct tw_train_state *state,
                                  struct tw_error *error);

#endif
