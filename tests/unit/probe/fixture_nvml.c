/* A driver's library for tests, with the few functions of NVML that are used. What its cards say
 * stands in the file that TW_FIXTURE_CARDS names: a line "UUID ENERGY_MJ" each, where ENERGY_MJ may
 * be "none" (no counter) or "lost" (the card does not answer). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUCCESS = 0, NOT_SUPPORTED = 3, LOST = 15, MOST = 16 };

static struct card {
    char uuid[64], energy[32];
} cards[MOST];
static unsigned n_cards;

int nvmlInit_v2(void);
int nvmlShutdown(void);
int nvmlDeviceGetCount_v2(unsigned *ret_count);
int nvmlDeviceGetHandleByIndex_v2(unsigned at, void **ret_device);
int nvmlDeviceGetUUID(void *device, char *ret_text, unsigned n_bytes);
int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *ret_mj);

static void read_cards(void)
{
    const char *path = getenv("TW_FIXTURE_CARDS");
    FILE *file = path != NULL ? fopen(path, "r") : NULL;
    char line[128];
    n_cards = 0;
    while (file != NULL && n_cards < MOST && fgets(line, sizeof line, file) != NULL) {
        struct card *card = &cards[n_cards++];
        char *space = strchr(line, ' ');
        line[strcspn(line, "\n")] = '\0';
        if (space != NULL) {
            *space = '\0';
            snprintf(card->energy, sizeof card->energy, "%.31s", space + 1);
        }
        snprintf(card->uuid, sizeof card->uuid, "%.63s", line);
    }
    if (file != NULL) {
        fclose(file);
    }
}

int nvmlInit_v2(void)
{
    read_cards();
    return SUCCESS;
}

int nvmlShutdown(void)
{
    return SUCCESS;
}

int nvmlDeviceGetCount_v2(unsigned *ret_count)
{
    *ret_count = n_cards;
    return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned at, void **ret_device)
{
    if (at >= n_cards || strcmp(cards[at].energy, "lost") == 0) {
        return LOST;
    }
    *ret_device = &cards[at];
    return SUCCESS;
}

int nvmlDeviceGetUUID(void *device, char *ret_text, unsigned n_bytes)
{
    const struct card *card = device;
    snprintf(ret_text, n_bytes, "%s", card->uuid);
    return SUCCESS;
}

int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *ret_mj)
{
    struct card *card = device;
    read_cards();
    if (strcmp(card->energy, "none") == 0) {
        return NOT_SUPPORTED;
    }
    if (strcmp(card->energy, "lost") == 0) {
        return LOST;
    }
    *ret_mj = strtoull(card->energy, NULL, 10);
    return SUCCESS;
}
