/* What would break if a model with packed weights in a file were another one than without, or if
 * such a file were used for another model than the one it was made of. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "byte_builder.h"
#include "model/model.h"
#include "tiny_model.h"
#include "tiny_tokenizer.h"

enum { N_TOKENS = 9, N_LOGITS = N_TOKENS * TINY_BPE_TOKENS, NO_EVENT = -1 };

/* What the last notice said. */
static struct {
    int event;
    char path[256], reason[512];
} told;

static void on_notice(void *context, const struct tw_pack_notice *notice)
{
    (void)context;
    told.event = (int)notice->event;
    snprintf(told.path, sizeof told.path, "%s", notice->path);
    snprintf(told.reason, sizeof told.reason, "%s", notice->reason);
}

static void forward(struct tw_model *model, float *ret_logits)
{
    static const tw_token tokens[N_TOKENS] = {1, 5, 200, 31, 7, 7, 90, 14, 2};
    static const uint32_t page = 0;
    struct tw_kv_cache *cache = NULL;
    const float *logits = NULL;
    assert_int_equal(tw_kv_cache_create(model, 1, TW_DTYPE_F16, &cache, NULL), TW_OK);
    struct tw_batch_sequence sequence = {
        .tokens = tokens, .n_tokens = N_TOKENS, .pages = &page, .n_outputs = N_TOKENS};
    assert_int_equal(tw_model_forward(model, cache, &sequence, 1, NULL, &logits, NULL), TW_OK);
    memcpy(ret_logits, logits, N_LOGITS * sizeof *logits);
    tw_kv_cache_free(cache);
}

/* The load's status; *ret_logits [N_LOGITS] where it is TW_OK and wanted. */
static enum tw_status load(const char *path, const struct tw_pack_options *pack, float *ret_logits,
                           struct tw_error *error)
{
    struct tw_device *device = NULL;
    struct tw_model *model = NULL;
    told.event = NO_EVENT;
    assert_int_equal(tw_device_cpu_create(2, tw_cpu_detect(), &device, NULL), TW_OK);
    const struct tw_model_options options = {.pack = pack};
    enum tw_status status = tw_model_load(path, device, &options, &model, error);
    if (status == TW_OK && ret_logits != NULL) {
        forward(model, ret_logits);
    }
    tw_model_free(model);
    tw_device_free(device);
    return status;
}

static void load_with(const char *path, const char *folder, const char *spare, float *ret_logits)
{
    struct tw_pack_options pack;
    struct tw_error error = {.status = TW_OK};
    assert_int_equal(tw_pack_options_init(path, folder, spare, &pack, NULL), TW_OK);
    pack.notice = on_notice;
    if (load(path, &pack, ret_logits, &error) != TW_OK) {
        fail_msg("%s", error.text);
    }
    tw_pack_options_free(&pack);
}

static enum tw_status verify(const char *path, struct tw_error *error)
{
    struct tw_pack_options pack;
    assert_int_equal(tw_pack_options_init(path, NULL, NULL, &pack, NULL), TW_OK);
    pack.verifies = true;
    enum tw_status status = load(path, &pack, NULL, error);
    tw_pack_options_free(&pack);
    return status;
}

static struct tiny_model model_of(const char *arch)
{
    struct tiny_model model = tiny_model_of(arch);
    model.n_vocab = TINY_BPE_TOKENS;
    return model;
}

static void make_folder(const struct tiny_model *model, const char *folder, int n_files)
{
    tiny_write_folder(model, folder, n_files);
    tiny_write_tokenizer(folder, tiny_bpe_json(NULL));
}

static void a_model_gives_the_same_bits_packed_now_before_and_from_a_file(void **state)
{
    (void)state;
    static const char *const archs[] = {"llama", "qwen2", "qwen3", "qwen3moe"};
    static float packed[N_LOGITS], written[N_LOGITS], mapped[N_LOGITS];
    for (size_t i = 0; i < 8; i++) {
        char folder[32], file[64];
        struct tiny_model model = model_of(archs[i / 2]);
        model.up_is_half = i % 2 == 1; /* gate and up apart */
        snprintf(folder, sizeof folder, "m%zu", i);
        snprintf(file, sizeof file, "%s/model.twpack", folder);
        make_folder(&model, folder, 1 + (int)i % 2);
        assert_int_equal(load(folder, NULL, packed, NULL), TW_OK);
        assert_false(tw_file_exists(file));
        load_with(folder, NULL, NULL, written);
        assert_int_equal(told.event, TW_PACK_WRITTEN);
        assert_string_equal(told.path, file);
        load_with(folder, NULL, NULL, mapped);
        assert_int_equal(told.event, TW_PACK_MAPPED);
        assert_memory_equal(packed, written, sizeof packed);
        assert_memory_equal(packed, mapped, sizeof packed);
        assert_int_equal(verify(folder, NULL), TW_OK);
    }
}

/* Where in the file a byte of a weight lies that both models have at another value. */
static void change_a_weight(const char *path)
{
    unsigned char byte;
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    const off_t at = lseek(fd, 0, SEEK_END) - 2000;
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 64;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

/* A copy of a file's times, which a program can set; ctime it cannot. */
static void set_times_back(const char *path, const struct stat *st)
{
    const struct timespec times[2] = {st->st_atim, st->st_mtim};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void a_model_that_was_changed_is_never_run_with_what_was_packed_before(void **state)
{
    (void)state;
    static float before[N_LOGITS], packed[N_LOGITS], after[N_LOGITS];
    const char *const file = "m/model.safetensors";
    struct tiny_model model = model_of("qwen2");
    struct stat st;
    make_folder(&model, "m", 1);
    for (int i = 0; i < 3; i++) {
        load_with("m", NULL, NULL, before);
        load_with("m", NULL, NULL, before);
        assert_int_equal(told.event, TW_PACK_MAPPED);
        assert_int_equal(stat(file, &st), 0);
        if (i == 0) {
            change_a_weight(file);
        } else if (i == 1) {
            change_a_weight(file); /* in its place, of the same size and time */
            set_times_back(file, &st);
        } else {
            assert_int_equal(system("cp -p m/model.safetensors other"), 0);
            change_a_weight("other");
            set_times_back("other", &st);
            assert_int_equal(rename("other", file), 0);
        }
        load_with("m", NULL, NULL, after);
        assert_int_equal(told.event, TW_PACK_WRITTEN);
        assert_non_null(strstr(told.reason, "another state of the model"));
        assert_int_equal(load("m", NULL, packed, NULL), TW_OK);
        assert_memory_equal(after, packed, sizeof after);
        assert_memory_not_equal(after, before, sizeof after);
    }
}

/* No permission stops root, so the folder beside the model is one in which nothing can be made. */
static void where_no_file_can_be_had_the_spare_folder_or_memory_serves(void **state)
{
    (void)state;
    static float packed[N_LOGITS], loaded[N_LOGITS];
    struct tiny_model model = model_of("llama");
    make_folder(&model, "m", 1);
    assert_int_equal(load("m", NULL, packed, NULL), TW_OK);
    write_text("file", "no folder");
    assert_int_equal(mkdir("m/model.twpack", 0700), 0);
    for (int i = 0; i < 2; i++) {
        load_with("m", NULL, "caches/tokenworks", loaded); /* both folders are made */
        assert_int_equal(told.event, i == 0 ? TW_PACK_WRITTEN : TW_PACK_MAPPED);
        assert_non_null(strstr(told.path, "caches/tokenworks/m-"));
        assert_memory_equal(packed, loaded, sizeof packed);
    }
    load_with("m", NULL, "file/x", loaded);
    assert_int_equal(told.event, TW_PACK_IN_MEMORY);
    assert_non_null(strstr(told.reason, "file"));
    assert_memory_equal(packed, loaded, sizeof packed);
    load_with("m", "only/here", "caches/tokenworks", loaded);
    assert_int_equal(told.event, TW_PACK_WRITTEN);
    assert_non_null(strstr(told.path, "only/here/m-"));
}

static void a_full_disk_costs_a_notice_and_leaves_no_file(void **state)
{
    (void)state;
    static float packed[N_LOGITS], loaded[N_LOGITS];
    struct rlimit old, small;
    struct tiny_model model = model_of("llama");
    make_folder(&model, "m", 1);
    assert_int_equal(load("m", NULL, packed, NULL), TW_OK);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    small = (struct rlimit){.rlim_cur = 50000, .rlim_max = old.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
    load_with("m", NULL, NULL, loaded);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_int_equal(told.event, TW_PACK_IN_MEMORY);
    assert_non_null(strstr(told.reason, "model.twpack"));
    assert_memory_equal(packed, loaded, sizeof packed);
    assert_false(tw_file_exists("m/model.twpack"));
    assert_false(tw_file_exists("m/model.twpack.partial-tokenworks-0"));
}

static void processes_that_start_at_once_do_not_hinder_one_another(void **state)
{
    (void)state;
    enum { N = 4 };
    static float packed[N_LOGITS], loaded[N_LOGITS];
    struct tiny_model model = model_of("qwen3");
    pid_t children[N];
    make_folder(&model, "m", 1);
    assert_int_equal(load("m", NULL, packed, NULL), TW_OK);
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < N; i++) {
            children[i] = fork();
            if (children[i] == 0) {
                load_with("m", NULL, NULL, loaded);
                bool good = memcmp(packed, loaded, sizeof packed) == 0 &&
                            (told.event == TW_PACK_WRITTEN || told.event == TW_PACK_MAPPED);
                _exit(good ? 0 : 1);
            }
        }
        for (int i = 0; i < N; i++) {
            int exit_status = 1;
            assert_int_equal(waitpid(children[i], &exit_status, 0), children[i]);
            assert_int_equal(exit_status, 0);
        }
        assert_int_equal(verify("m", NULL), TW_OK);
        assert_int_equal(remove("m/model.twpack"), 0);
        assert_false(tw_file_exists("m/model.twpack.partial-tokenworks-0"));
    }
}

/* Writes a file as if it were the model's, with the items it is given. */
static void forge(const char *folder, const struct tw_pack_item *items, size_t n_items)
{
    char path[64];
    struct tw_model_files *files = NULL;
    snprintf(path, sizeof path, "%s/model.twpack", folder);
    assert_int_equal(tw_model_files_open(folder, &files, NULL), TW_OK);
    const struct tw_file_stamp stamp = tw_model_files_stamp(files, 0);
    tw_model_files_close(files);
    assert_int_equal(tw_weight_pack_write(path, 1, &stamp, 1, items, n_items, NULL, NULL, NULL),
                     TW_OK);
}

static void what_does_not_fit_in_a_file_is_packed_and_the_file_written_anew(void **state)
{
    (void)state;
    static float packed[N_LOGITS], loaded[N_LOGITS];
    static const unsigned char zeros[1 << 20];
    static const struct tw_pack_item items[] = {
        {"output.weight #0 F32 266x64", zeros, 100},             /* too short */
        {"blk.0.attn_v.weight #0 F32 32x65", zeros, 4096},       /* another shape */
        {"blk.0.attn_v.weight #0 F16 32x64", zeros, 4096},       /* another type */
        {"blk.0.attn_q.weight #0 F32 64x64", zeros, 16384},      /* in another order of rows */
        {"blk.1.ffn_gate.weight #0 F32 96x64", zeros, 96 * 256}, /* without its partner */
    };
    struct tiny_model model = model_of("llama");
    make_folder(&model, "m", 1);
    assert_int_equal(load("m", NULL, packed, NULL), TW_OK);
    forge("m", items, sizeof items / sizeof items[0]);
    load_with("m", NULL, NULL, loaded);
    assert_int_equal(told.event, TW_PACK_WRITTEN);
    assert_non_null(strstr(told.reason, "other matrices"));
    assert_memory_equal(packed, loaded, sizeof packed);
    load_with("m", NULL, NULL, loaded);
    assert_int_equal(told.event, TW_PACK_MAPPED);
    assert_memory_equal(packed, loaded, sizeof packed);
}

/* A file that is right by all its checksums, and holds other weights. */
static void verify_sees_flipped_bits_and_weights_that_the_model_does_not_give(void **state)
{
    (void)state;
    static const unsigned char zeros[1 << 20];
    struct tw_error error;
    struct tiny_model model = model_of("llama");
    make_folder(&model, "m", 1);
    assert_int_equal(verify("m", &error), TW_ERR_NOT_FOUND);
    load_with("m", NULL, NULL, NULL);
    assert_int_equal(verify("m", NULL), TW_OK);
    int fd = open("m/model.twpack", O_RDWR);
    assert_int_equal(pwrite(fd, "\x7f", 1, 9999), 1);
    close(fd);
    load_with("m", NULL, NULL, NULL);
    assert_int_equal(told.event, TW_PACK_MAPPED); /* a start does not read it all */
    assert_int_equal(verify("m", &error), TW_ERR_FORMAT);
    assert_non_null(strstr(error.text, "m/model.twpack"));
    const struct tw_pack_item item = {"blk.0.attn_v.weight #0 F32 32x64", zeros, 8192};
    forge("m", &item, 1);
    assert_int_equal(verify("m", &error), TW_ERR_FORMAT);
    assert_non_null(strstr(error.text, "matrices"));
}

/* Needs root, to be somebody else for a moment. */
static void a_file_of_somebody_else_is_not_used(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        print_message("# not tested: not root\n");
        return; /* cmocka's skip() is a failure for meson */
    }
    struct tiny_model model = model_of("llama");
    make_folder(&model, "m", 1);
    load_with("m", NULL, NULL, NULL);
    assert_int_equal(chown("m/model.twpack", 65534, 0), 0);
    load_with("m", NULL, NULL, NULL);
    assert_int_equal(told.event, TW_PACK_WRITTEN);
    assert_non_null(strstr(told.reason, "somebody else"));
}

static void assert_places(const char *path, const char *folder, const char *spare,
                          const char *first, const char *second)
{
    struct tw_pack_options options;
    assert_int_equal(tw_pack_options_init(path, folder, spare, &options, NULL), TW_OK);
    assert_non_null(strstr(options.paths[0], first));
    if (second == NULL) {
        assert_null(options.paths[1]);
    } else {
        assert_non_null(strstr(options.paths[1], second));
    }
    tw_pack_options_free(&options);
}

static void places_are_beside_the_model_then_the_spare_folder_or_the_one_named(void **state)
{
    (void)state;
    struct tw_pack_options here, there;
    assert_int_equal(mkdir("hf", 0700), 0);
    assert_int_equal(mkdir("dir", 0700), 0);
    assert_places("dir/a.gguf", NULL, NULL, "dir/a.gguf.twpack", NULL);
    assert_places("a.gguf", NULL, "cache", "a.gguf.twpack", "cache/a.gguf-");
    assert_places("hf/", NULL, NULL, "hf/model.twpack", NULL);
    assert_places("hf/config.json", NULL, "cache", "hf/model.twpack", "cache/hf-");
    assert_places("config.json", NULL, NULL, "model.twpack", NULL);
    assert_places("a.gguf", "own", "cache", "own/a.gguf-", NULL);
    assert_int_equal(tw_pack_options_init("dir/a.gguf", "own", NULL, &here, NULL), TW_OK);
    assert_int_equal(tw_pack_options_init("hf/a.gguf", "own", NULL, &there, NULL), TW_OK);
    assert_string_not_equal(here.paths[0], there.paths[0]);
    tw_pack_options_free(&here);
    tw_pack_options_free(&there);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, enter_new_folder, leave_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(a_model_gives_the_same_bits_packed_now_before_and_from_a_file),
        IN_FOLDER(a_model_that_was_changed_is_never_run_with_what_was_packed_before),
        IN_FOLDER(where_no_file_can_be_had_the_spare_folder_or_memory_serves),
        IN_FOLDER(a_full_disk_costs_a_notice_and_leaves_no_file),
        IN_FOLDER(processes_that_start_at_once_do_not_hinder_one_another),
        IN_FOLDER(what_does_not_fit_in_a_file_is_packed_and_the_file_written_anew),
        IN_FOLDER(verify_sees_flipped_bits_and_weights_that_the_model_does_not_give),
        IN_FOLDER(a_file_of_somebody_else_is_not_used),
        IN_FOLDER(places_are_beside_the_model_then_the_spare_folder_or_the_one_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
