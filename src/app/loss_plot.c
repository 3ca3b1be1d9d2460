#include "app/loss_plot.h"

#include <math.h>

#include "base/buf.h"
#include "base/file.h"

enum {
    WIDTH = 860,
    HEIGHT = 480,
    LEFT = 64,
    RIGHT = 20,
    TOP = 40,
    BOTTOM = 48,
    MOST_POINTS = 1500 /* of a line, and single ones; more than that are thinned out */
};

struct plot {
    const struct tw_train_state *state;
    struct tw_buf *svg;
    double most_loss, loss_step; /* of the axis, and between its lines */
    double most_step, step_step;
};

double tw_loss_plot_round_step(double most, int n)
{
    double step = pow(10, floor(log10(most / n)));
    while (most / step > n) {
        double first = step / pow(10, floor(log10(step) + 1e-9));
        step *= first < 1.5 ? 2 : first < 3 ? 2.5 : 2;
    }
    return step;
}

static double x_of(const struct plot *plot, double step)
{
    return LEFT + step / plot->most_step * (WIDTH - LEFT - RIGHT);
}

static double y_of(const struct plot *plot, double loss)
{
    double part = loss < plot->most_loss ? loss / plot->most_loss : 1;
    return HEIGHT - BOTTOM - part * (HEIGHT - TOP - BOTTOM);
}

static void draw_axes(const struct plot *plot)
{
    for (double loss = 0; loss <= plot->most_loss * 1.0001; loss += plot->loss_step) {
        tw_buf_append_format(plot->svg,
                             "<path class='grid' d='M%d %.1fH%d'/>"
                             "<text x='%d' y='%.1f' text-anchor='end'>%g</text>\n",
                             LEFT, y_of(plot, loss), WIDTH - RIGHT, LEFT - 8, y_of(plot, loss) + 4,
                             loss);
    }
    for (double step = 0; step <= plot->most_step * 1.0001; step += plot->step_step) {
        tw_buf_append_format(plot->svg,
                             "<path class='grid' d='M%.1f %dV%d'/>"
                             "<text x='%.1f' y='%d' text-anchor='middle'>%g</text>\n",
                             x_of(plot, step), TOP, HEIGHT - BOTTOM, x_of(plot, step),
                             HEIGHT - BOTTOM + 18, step);
    }
    tw_buf_append_format(plot->svg, "<text x='%d' y='%d' text-anchor='middle'>steps</text>\n",
                         (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10);
}

/* With decay 0 the losses themselves, otherwise their running mean. */
static void draw_line(const struct plot *plot, const char *class_name, double decay)
{
    const struct tw_train_state *state = plot->state;
    uint32_t every = state->n_history / MOST_POINTS + 1;
    double mean = 0, weight = 0;
    tw_buf_append_format(plot->svg, "<polyline class='%s' points='", class_name);
    for (uint32_t i = 0; i < state->n_history; i++) {
        mean = decay * mean + (1 - decay) * (double)state->history[i].loss;
        weight = decay * weight + (1 - decay);
        if (i % every == 0 || i + 1 == state->n_history) {
            tw_buf_append_format(plot->svg, "%.1f,%.1f ", x_of(plot, i + 1),
                                 y_of(plot, mean / weight));
        }
    }
    tw_buf_append_text(plot->svg, "'/>\n");
}

/* The most recent validation is always among those shown. */
static void draw_validation(const struct plot *plot)
{
    const struct tw_train_state *state = plot->state;
    uint32_t n = 0;
    for (uint32_t i = 0; i < state->n_history; i++) {
        n += !isnan(state->history[i].valid_loss);
    }
    uint32_t every = (n + MOST_POINTS - 1) / MOST_POINTS;
    for (uint32_t i = 0; i < state->n_history; i++) {
        double loss = (double)state->history[i].valid_loss;
        if (!isnan(loss) && --n % every == 0) {
            tw_buf_append_format(plot->svg, "<circle cx='%.1f' cy='%.1f' r='3.5'/>\n",
                                 x_of(plot, i + 1), y_of(plot, loss));
        }
    }
}

/* The first losses are those of guessing; they would hide the rest, so the axis ends where all but
 * the first fiftieth of the steps lie below. */
static void choose_axes(struct plot *plot)
{
    const struct tw_train_state *state = plot->state;
    double most = 1e-3;
    for (uint32_t i = state->n_history / 50; i < state->n_history; i++) {
        most = fmax(most, (double)state->history[i].loss);
    }
    plot->loss_step = tw_loss_plot_round_step(most, 8);
    plot->most_loss = ceil(most / plot->loss_step) * plot->loss_step;
    plot->most_step = state->n_history > 1 ? state->n_history : 1;
    plot->step_step = fmax(1, tw_loss_plot_round_step(plot->most_step, 10));
}

static void draw(struct plot *plot)
{
    choose_axes(plot);
    tw_buf_append_format(
        plot->svg,
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 %d %d' width='%d' height='%d'>\n"
        "<style>svg{background:#fff;font:13px sans-serif}text{fill:#333}"
        ".grid{stroke:#ddd}polyline{fill:none}.steps{stroke:#bcd0e8}"
        ".mean{stroke:#1f5fae;stroke-width:2}circle{fill:#d9480f}</style>\n"
        "<text x='%d' y='24'>loss (nats a token): "
        "<tspan fill='#1f5fae'>training</tspan>, <tspan fill='#d9480f'>validation</tspan></text>\n",
        WIDTH, HEIGHT, WIDTH, HEIGHT, LEFT);
    draw_axes(plot);
    draw_line(plot, "steps", 0);
    draw_line(plot, "mean", 0.97);
    draw_validation(plot);
    tw_buf_append_text(plot->svg, "</svg>\n");
}

enum tw_status tw_loss_plot_write(const char *path, const struct tw_train_state *state,
                                  struct tw_error *error)
{
    struct tw_buf svg;
    tw_buf_init(&svg, TW_LIMIT_PLOT_BYTES);
    struct plot plot = {.state = state, .svg = &svg};
    draw(&plot);
    struct tw_file_writer *writer;
    enum tw_status status =
        svg.failed ? tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a plot")
                   : tw_file_writer_open(path, &writer, error);
    if (status == TW_OK) {
        status = tw_file_writer_write(writer, svg.data, svg.size_bytes, error);
        if (status == TW_OK) {
            status = tw_file_writer_commit(writer, error);
        } else {
            tw_file_writer_abort(writer);
        }
    }
    tw_buf_free(&svg);
    return status;
}
