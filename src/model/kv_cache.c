#include "base/mem.h"
#include "model/decoder.h"

static struct tw_kv_shape kv_shape_of(const struct tw_model_shape *shape, enum tw_dtype dtype)
{
    return (struct tw_kv_shape){.n_layers = shape->n_layers,
                                .n_kv_heads = shape->n_kv_heads,
                                .head_dim = shape->head_dim,
                                .dtype = dtype};
}

size_t tw_kv_page_bytes(const struct tw_model_shape *shape, enum tw_dtype kv_dtype)
{
    struct tw_kv_shape kv_shape = kv_shape_of(shape, kv_dtype);
    return tw_device_kv_page_bytes(&kv_shape);
}

enum tw_status tw_kv_cache_create(const struct tw_model *model, uint32_t n_pages,
                                  enum tw_dtype kv_dtype, struct tw_kv_cache **ret_cache,
                                  struct tw_error *error)
{
    if (kv_dtype != TW_DTYPE_F16 && kv_dtype != TW_DTYPE_Q8_0) {
        return tw_error_set(error, TW_ERR_UNSUPPORTED, TW_NO_POSITION,
                            "a KV cache of %s: it must be F16 or Q8_0",
                            tw_dtype_traits(kv_dtype)->name);
    }
    struct tw_kv_cache *cache = tw_mem_zalloc(1, sizeof *cache);
    if (cache == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a KV cache");
    }
    cache->shape = kv_shape_of(&model->shape, kv_dtype);
    cache->n_pages = n_pages;
    size_t bytes = n_pages * tw_device_kv_page_bytes(&cache->shape);
    enum tw_status status = tw_device_buffer_create(model->device, bytes, &cache->pages, error);
    if (status != TW_OK) {
        tw_error_prefix(error, "KV cache of %u tokens", n_pages * TW_KV_PAGE_TOKENS);
        tw_mem_free(cache);
        return status;
    }
    *ret_cache = cache;
    return TW_OK;
}

void tw_kv_cache_free(struct tw_kv_cache *cache)
{
    if (cache != NULL) {
        tw_device_buffer_free(cache->pages);
        tw_mem_free(cache);
    }
}
