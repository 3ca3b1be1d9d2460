/* What would break if a plot's axes had odd numbers, a long run could not be drawn, or a validation
 * were left out. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "app/loss_plot.h"
#include "base/buf.h"
#include "base/file.h"

static void axes_have_round_numbers(void **state)
{
    (void)state;
    static const struct {
        double most;
        int n;
        double step;
    } rows[] = {{1e-3, 8, 2e-4}, {0.3, 8, 0.05}, {0.8, 8, 0.1},    {0.81, 8, 0.2},
                {2.7, 8, 0.5},   {7.99, 8, 1},   {8, 8, 1},        {8.1, 8, 2},
                {10, 10, 1},     {11, 10, 2},    {1500, 10, 200},  {3000, 10, 500},
                {9999, 10, 1e3}, {1e4, 10, 1e3}, {10001, 10, 2e3}, {1e7, 10, 1e6}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        double step = tw_loss_plot_round_step(rows[i].most, rows[i].n);
        if (fabs(step / rows[i].step - 1) > 1e-9) {
            fail_msg("%g in %d parts gives %g", rows[i].most, rows[i].n, step);
        }
    }
}

static void an_axis_has_no_more_parts_than_it_may_and_no_fewer_than_it_could(void **state)
{
    (void)state;
    for (double most = 1e-3; most < 1e8; most *= 1.0173) {
        double step = tw_loss_plot_round_step(most, 10);
        assert_true(most / step <= 10 * (1 + 1e-9) && most / step > 4 * (1 - 1e-9));
        double digit = step / pow(10, floor(log10(step) + 1e-9));
        assert_true(fabs(digit - 1) < 1e-9 || fabs(digit - 2) < 1e-9 || fabs(digit - 5) < 1e-9);
    }
}

/* Draws a run in which every `every`-th step is validated; the text is the caller's. */
static struct tw_buf draw(uint32_t n_steps, uint32_t every)
{
    struct tw_train_state state = {.n_history = n_steps};
    char path[] = "/tmp/tokenworks-plot-XXXXXX";
    struct tw_buf text;
    close(mkstemp(path));
    state.history = calloc(n_steps + 1, sizeof *state.history);
    for (uint32_t i = 0; i < n_steps; i++) {
        float loss = 1 + 5 * expf(-(float)i / 50);
        state.history[i] = (struct tw_train_point){
            .step = i, .loss = loss, .valid_loss = (i + 1) % every == 0 ? loss : NAN};
    }
    assert_int_equal(tw_loss_plot_write(path, &state, NULL), TW_OK);
    assert_int_equal(tw_file_read(path, 4 << 20, &text, NULL), TW_OK);
    assert_true(tw_buf_append(&text, "", 1));
    unlink(path);
    free(state.history);
    return text;
}

static size_t count(const struct tw_buf *text, const char *part)
{
    size_t n = 0;
    for (const char *at = text->data; (at = strstr(at, part)) != NULL; at++) {
        n++;
    }
    return n;
}

static void every_validation_is_a_point(void **state)
{
    (void)state;
    struct tw_buf text = draw(300, 20);
    assert_int_equal(count(&text, "<circle "), 15);
    assert_int_equal(count(&text, "<polyline "), 2);
    assert_non_null(strstr(text.data, "cx='840.0'")); /* the last step stands at the right edge */
    assert_null(strstr(text.data, "nan"));
    assert_null(strstr(text.data, "inf"));
    tw_buf_free(&text);
}

static void a_long_run_is_thinned_out_and_its_end_is_shown(void **state)
{
    (void)state;
    struct tw_buf text = draw(200000, 1);
    assert_in_range(count(&text, "<circle "), 700, 1500);
    assert_in_range(count(&text, ","), 1400, 4000);
    assert_int_equal(count(&text, "cx='840.0'") > 0, 1);
    assert_int_equal(count(&text, "</svg>"), 1);
    tw_buf_free(&text);
}

static void a_run_without_steps_has_axes(void **state)
{
    (void)state;
    struct tw_buf text = draw(0, 1);
    assert_int_equal(count(&text, "<circle "), 0);
    assert_int_equal(count(&text, "</svg>"), 1);
    assert_null(strstr(text.data, "nan"));
    tw_buf_free(&text);
}

static void a_plot_that_cannot_be_written_is_an_error(void **state)
{
    (void)state;
    struct tw_train_state run = {.n_history = 0};
    struct tw_error error;
    assert_int_equal(tw_loss_plot_write("/tmp/absent/p.svg", &run, &error), TW_ERR_NOT_FOUND);
    assert_non_null(strstr(error.text, "/tmp/absent/p.svg"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(axes_have_round_numbers),
        cmocka_unit_test(an_axis_has_no_more_parts_than_it_may_and_no_fewer_than_it_could),
        cmocka_unit_test(every_validation_is_a_point),
        cmocka_unit_test(a_long_run_is_thinned_out_and_its_end_is_shown),
        cmocka_unit_test(a_run_without_steps_has_axes),
        cmocka_unit_test(a_plot_that_cannot_be_written_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
