/* SPDX-License-Identifier: BSD-3-Clause */
/* Right and wrong answers of a back-end in the handshake. The front-end becomes ready, or the connection ends. Nothing else
   happens. */
#include "hostile.h"

typedef struct reply {
    uint32_t to, id, flags, size; /* id 0: the request's own; flags 0: 0x5 */
    uint64_t value;
    int fds, times;
} reply;

static const reply *the_reply;

/* In place of the peer's own answer. */
static bool says(peer *p, const message *m)
{
    const reply *r = the_reply;
    if (m->header.request != r->to) {
        return false;
    }
    static uint8_t payload[4096];
    int fd = memfd_create("reply", MFD_CLOEXEC), fds[2] = {fd, fd};
    memcpy(payload, &r->value, sizeof(r->value));
    for (int i = 0; i < MAX(r->times, 1); i++) {
        try_send_message(p->main, r->id != 0 ? r->id : r->to, r->flags != 0 ? r->flags : 0x5, payload, r->size, fds, r->fds);
    }
    close(fd);
    return true;
}

static void with_reply(arena *a, const void *with)
{
    the_reply = with;
    a->hostile.answer = says;
}

/* ---- GET_SHMEM_CONFIG ---- */

typedef struct config {
    uint32_t nregions, padding, size;
    uint64_t sizes[4];
    bool everywhere; /* sizes[0] for each of the 256 */
} config;

static void with_config(arena *a, const void *with)
{
    const config *c = with;
    VhostUserShMemConfig *said = &a->hostile.config;
    memset(said, 0, sizeof(*said));
    said->nregions = c->nregions;
    said->padding = c->padding;
    for (int i = 0; i < 256; i++) {
        said->memory_sizes[i] = c->everywhere ? c->sizes[0] : i < 4 ? c->sizes[i] : 0;
    }
    if (c->size != 0) {
        a->hostile.config_size = c->size;
    }
}

#define P PAGE
#define TOP (UINT64_C(1) << 63)
#define CONFIG(name, outcome, ...)                                                                                             \
    {                                                                                                                          \
        "config: " name, outcome, NULL, &(const config){__VA_ARGS__}, with_config                                              \
    }
#define SAYS(name, outcome, ...)                                                                                               \
    {                                                                                                                          \
        "reply: " name, outcome, NULL, &(const reply){__VA_ARGS__}, with_reply                                                 \
    }
#define FEATURES VIRTIO_DEFAULTS

int main(void)
{
    /* Not static: the size of a page is known at run time only. */
    const hostile_case cases[] = {
        CONFIG("no region", READY, .nregions = 0),
        CONFIG("one region", READY, .nregions = 1, .sizes = {P}),
        CONFIG("256 regions", READY, .nregions = 256, .sizes = {P}, .everywhere = true),
        CONFIG("255 are said to be 256", READY, .nregions = 255, .sizes = {P}, .everywhere = true),
        CONFIG("257", ENDED, .nregions = 257, .sizes = {P}, .everywhere = true),
        CONFIG("2^31", ENDED, .nregions = UINT32_C(1) << 31, .sizes = {P}),
        CONFIG("2^32 - 1", ENDED, .nregions = UINT32_MAX, .sizes = {P}),
        CONFIG("one is said to be none", READY, .nregions = 0, .sizes = {P}),
        CONFIG("two are said to be one", READY, .nregions = 1, .sizes = {P, P}),
        CONFIG("none is said to be one", READY, .nregions = 1),
        CONFIG("padding", READY, .nregions = 1, .padding = UINT32_MAX, .sizes = {P}),
        CONFIG("a size of 1", ENDED, .nregions = 1, .sizes = {1}),
        CONFIG("a size of a page and a byte", ENDED, .nregions = 1, .sizes = {P + 1}),
        CONFIG("a size of 2^64 - 1", ENDED, .nregions = 1, .sizes = {UINT64_MAX}),
        CONFIG("a size of 2^64 - page", ENDED, .nregions = 1, .sizes = {-P}),
        CONFIG("a size of 2^63", ENDED, .nregions = 1, .sizes = {TOP}),
        CONFIG("a size of 2^62", ENDED, .nregions = 1, .sizes = {TOP / 2}),
        CONFIG("larger than the address space", ENDED, .nregions = 1, .sizes = {UINT64_C(1) << 48}),
        CONFIG("sums over 2^64", ENDED, .nregions = 3, .sizes = {TOP, TOP, P}),
        CONFIG("sums to 2^64", ENDED, .nregions = 2, .sizes = {TOP, TOP}),
        CONFIG("two of 2^46", ENDED, .nregions = 2, .sizes = {UINT64_C(1) << 46, UINT64_C(1) << 46}),
        CONFIG("8 bytes", ENDED, .nregions = 1, .sizes = {P}, .size = 8),
        CONFIG("2048 bytes", ENDED, .nregions = 1, .sizes = {P}, .size = 2048),
        CONFIG("2055 bytes", ENDED, .nregions = 1, .sizes = {P}, .size = 2055),
        SAYS("features, as they should be", READY, GET_FEATURES, .size = 8, .value = FEATURES),
        SAYS("every feature", READY, GET_FEATURES, .size = 8, .value = UINT64_MAX),
        SAYS("no feature", READY, GET_FEATURES, .size = 8, .value = 0),
        SAYS("features of no bytes", ENDED, GET_FEATURES, .size = 0),
        SAYS("features of 7 bytes", ENDED, GET_FEATURES, .size = 7, .value = FEATURES),
        SAYS("features of 9 bytes", ENDED, GET_FEATURES, .size = 9, .value = FEATURES),
        SAYS("features of 4096 bytes", ENDED, GET_FEATURES, .size = 4096, .value = FEATURES),
        SAYS("features by another name", ENDED, GET_FEATURES, .id = 2, .size = 8, .value = FEATURES),
        SAYS("features of version 0", ENDED, GET_FEATURES, .flags = 0x4, .size = 8, .value = FEATURES),
        SAYS("features of version 2", ENDED, GET_FEATURES, .flags = 0x6, .size = 8, .value = FEATURES),
        SAYS("features of version 3", ENDED, GET_FEATURES, .flags = 0x7, .size = 8, .value = FEATURES),
        SAYS("features that are no reply", ENDED, GET_FEATURES, .flags = 0x1, .size = 8, .value = FEATURES),
        SAYS("features with need_reply, as some send it", READY, GET_FEATURES, .flags = 0xd, .size = 8, .value = FEATURES),
        SAYS("features with a reserved flag", ENDED, GET_FEATURES, .flags = 0x15, .size = 8, .value = FEATURES),
        SAYS("features with a descriptor", ENDED, GET_FEATURES, .size = 8, .value = FEATURES, .fds = 1),
        SAYS("features with two descriptors", ENDED, GET_FEATURES, .size = 8, .value = FEATURES, .fds = 2),
        SAYS("features twice", ENDED, GET_FEATURES, .size = 8, .value = FEATURES, .times = 3),
        SAYS("every protocol feature", READY, GET_PROTOCOL_FEATURES, .size = 8, .value = UINT64_MAX),
        SAYS("no protocol feature", READY, GET_PROTOCOL_FEATURES, .size = 8, .value = 0),
        SAYS("protocol features of 4 bytes", ENDED, GET_PROTOCOL_FEATURES, .size = 4),
        SAYS("protocol features with a descriptor", ENDED, GET_PROTOCOL_FEATURES, .size = 8, .fds = 1),
        SAYS("no queue", ENDED, GET_QUEUE_NUM, .size = 8, .value = 0),
        SAYS("2^64 - 1 queues", READY, GET_QUEUE_NUM, .size = 8, .value = UINT64_MAX),
        SAYS("queues of 9 bytes", ENDED, GET_QUEUE_NUM, .size = 9, .value = 1),
        SAYS("no memory slot", READY, GET_MAX_MEM_SLOTS, .size = 8, .value = 0),
        SAYS("2^64 - 1 memory slots", READY, GET_MAX_MEM_SLOTS, .size = 8, .value = UINT64_MAX),
        SAYS("SET_OWNER refused", ENDED, SET_OWNER, .size = 8, .value = 1),
        SAYS("SET_OWNER refused with 2^64 - 1", ENDED, SET_OWNER, .size = 8, .value = UINT64_MAX),
        SAYS("SET_OWNER acknowledged with 4 bytes", ENDED, SET_OWNER, .size = 4),
        SAYS("SET_BACKEND_REQ_FD refused", ENDED, SET_BACKEND_REQ_FD, .size = 8, .value = 22),
        SAYS("SET_VRING_CALL refused", ENDED, SET_VRING_CALL, .size = 8, .value = 1),
        SAYS("GET_SHMEM_CONFIG answered with a number", ENDED, GET_SHMEM_CONFIG, .size = 8, .value = 1),
        SAYS("GET_SHMEM_CONFIG of 2057 bytes", ENDED, GET_SHMEM_CONFIG, .size = 2057, .value = 1),
        SAYS("GET_SHMEM_CONFIG with a descriptor", ENDED, GET_SHMEM_CONFIG, .size = 2056, .fds = 1),
        SAYS("GET_SHMEM_CONFIG by another name", ENDED, GET_SHMEM_CONFIG, .id = MAP, .size = 2056),
    };
    CASES_BEGIN(G_N_ELEMENTS(cases));
    run_cases(cases, G_N_ELEMENTS(cases));
    return failures != 0;
}
