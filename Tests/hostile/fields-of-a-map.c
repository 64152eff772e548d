/* SPDX-License-Identifier: BSD-3-Clause */
/* Each field of SHMEM_MAP and SHMEM_UNMAP at its edges. */
#include "hostile.h"

typedef struct fields {
    uint8_t shmid, padding;
    uint64_t fd_offset, shm_offset, len, flags;
} fields;

#define P PAGE
#define TOP (UINT64_C(1) << 63)
#define USUAL 0, 0, P, 4 * P, 2 * P, 0

static VhostUserMMap of(const fields *f)
{
    VhostUserMMap map = {
        .shmid = f->shmid, .fd_offset = f->fd_offset, .shm_offset = f->shm_offset, .len = f->len, .flags = f->flags};
    memset(map.padding, f->padding, sizeof(map.padding));
    return map;
}

static int map_it(arena *a, const void *with)
{
    VhostUserMMap map = of(with);
    return ask_map(a, &map, a->file);
}

/* The usual mapping is there. */
static int unmap_it(arena *a, const void *with)
{
    VhostUserMMap there = usual_map(), map = of(with);
    EQ(ask_map(a, &there, a->file), 0);
    int result = ask(a, UNMAP, NEED_REPLY, &map, sizeof(map), NULL, 0);
    if (result == 0) {
        a->mapped.len = 0;
    } else {
        EQ(ask(a, UNMAP, NEED_REPLY, &there, sizeof(there), NULL, 0), 0);
    }
    return result;
}

#define MAPS(name, outcome, ...)                                                                                               \
    {                                                                                                                          \
        "map: " name, outcome, map_it, &(const fields){__VA_ARGS__}, NULL                                                      \
    }
#define UNMAPS(name, outcome, ...)                                                                                             \
    {                                                                                                                          \
        "unmap: " name, outcome, unmap_it, &(const fields){__VA_ARGS__}, NULL                                                  \
    }

int main(void)
{
    /* Not static: the size of a page is known at run time only. */
    const hostile_case cases[] = {
        MAPS("as it should be", 0, USUAL),
        MAPS("shmid 1", -ENOENT, 1, 0, P, 4 * P, 2 * P, 0),
        MAPS("shmid 127", -ENOENT, 127, 0, P, 4 * P, 2 * P, 0),
        MAPS("shmid 128", -ENOENT, 128, 0, P, 4 * P, 2 * P, 0),
        MAPS("shmid 255", -ENOENT, 255, 0, P, 4 * P, 2 * P, 0),
        MAPS("padding 1", 0, 0, 1, P, 4 * P, 2 * P, 0),
        MAPS("padding 255", 0, 0, 255, P, 4 * P, 2 * P, 0),
        MAPS("fd_offset 0", 0, 0, 0, 0, 4 * P, 2 * P, 0),
        MAPS("fd_offset 1", -EINVAL, 0, 0, 1, 4 * P, 2 * P, 0),
        MAPS("fd_offset page - 1", -EINVAL, 0, 0, P - 1, 4 * P, 2 * P, 0),
        MAPS("fd_offset page + 1", -EINVAL, 0, 0, P + 1, 4 * P, 2 * P, 0),
        MAPS("fd_offset the last two pages", 0, 0, 0, 14 * P, 4 * P, 2 * P, 0),
        MAPS("fd_offset half beyond the end", -EOVERFLOW, 0, 0, 15 * P, 4 * P, 2 * P, 0),
        MAPS("fd_offset the end", -EOVERFLOW, 0, 0, 16 * P, 4 * P, 2 * P, 0),
        MAPS("fd_offset 2^32", -EOVERFLOW, 0, 0, UINT64_C(1) << 32, 4 * P, 2 * P, 0),
        MAPS("fd_offset 2^63 - page", -EOVERFLOW, 0, 0, TOP - P, 4 * P, 2 * P, 0),
        MAPS("fd_offset 2^63", -EOVERFLOW, 0, 0, TOP, 4 * P, 2 * P, 0),
        MAPS("fd_offset 2^64 - 2 pages", -EOVERFLOW, 0, 0, -2 * P, 4 * P, 2 * P, 0),
        MAPS("fd_offset 2^64 - page", -EOVERFLOW, 0, 0, -P, 4 * P, 2 * P, 0),
        MAPS("fd_offset 2^64 - 1", -EINVAL, 0, 0, UINT64_MAX, 4 * P, 2 * P, 0),
        MAPS("shm_offset 0", 0, 0, 0, P, 0, 2 * P, 0),
        MAPS("shm_offset 1", -EINVAL, 0, 0, P, 1, 2 * P, 0),
        MAPS("shm_offset page - 1", -EINVAL, 0, 0, P, P - 1, 2 * P, 0),
        MAPS("shm_offset page + 1", -EINVAL, 0, 0, P, P + 1, 2 * P, 0),
        MAPS("shm_offset the last two pages", 0, 0, 0, P, 62 * P, 2 * P, 0),
        MAPS("shm_offset half beyond the end", -EINVAL, 0, 0, P, 63 * P, 2 * P, 0),
        MAPS("shm_offset the end", -EINVAL, 0, 0, P, 64 * P, 2 * P, 0),
        MAPS("shm_offset 2^32", -EINVAL, 0, 0, P, UINT64_C(1) << 32, 2 * P, 0),
        MAPS("shm_offset 2^63 - page", -EINVAL, 0, 0, P, TOP - P, 2 * P, 0),
        MAPS("shm_offset 2^63", -EINVAL, 0, 0, P, TOP, 2 * P, 0),
        MAPS("shm_offset 2^64 - 2 pages", -EINVAL, 0, 0, P, -2 * P, 2 * P, 0),
        MAPS("shm_offset 2^64 - page", -EINVAL, 0, 0, P, -P, 2 * P, 0),
        MAPS("shm_offset 2^64 - 1", -EINVAL, 0, 0, P, UINT64_MAX, 2 * P, 0),
        MAPS("len 0", -EINVAL, 0, 0, P, 4 * P, 0, 0),
        MAPS("len 1", 0, 0, 0, P, 4 * P, 1, 0),
        MAPS("len page - 1", 0, 0, 0, P, 4 * P, P - 1, 0),
        MAPS("len page + 1", 0, 0, 0, P, 4 * P, P + 1, 0),
        MAPS("len the rest of the file", 0, 0, 0, P, 4 * P, 15 * P, 0),
        MAPS("len one byte more than the file", -EOVERFLOW, 0, 0, P, 4 * P, 15 * P + 1, 0),
        MAPS("len the rest of the region", -EOVERFLOW, 0, 0, P, 4 * P, 60 * P, 0),
        MAPS("len one byte more than the region", -EINVAL, 0, 0, P, 4 * P, 60 * P + 1, 0),
        MAPS("len 2^32", -EINVAL, 0, 0, P, 4 * P, UINT64_C(1) << 32, 0),
        MAPS("len 2^63 - 1", -EINVAL, 0, 0, P, 4 * P, TOP - 1, 0),
        MAPS("len 2^63", -EINVAL, 0, 0, P, 4 * P, TOP, 0),
        MAPS("len up to 2^64", -EINVAL, 0, 0, P, 4 * P, -(4 * P), 0),
        MAPS("len beyond 2^64", -EINVAL, 0, 0, P, 4 * P, -(4 * P) + 1, 0),
        MAPS("len 2^64 - page", -EINVAL, 0, 0, P, 4 * P, -P, 0),
        MAPS("len 2^64 - 1", -EINVAL, 0, 0, P, 4 * P, UINT64_MAX, 0),
        MAPS("flags 1", 0, 0, 0, P, 4 * P, 2 * P, 1),
        MAPS("flags 2", -EINVAL, 0, 0, P, 4 * P, 2 * P, 2),
        MAPS("flags 3", -EINVAL, 0, 0, P, 4 * P, 2 * P, 3),
        MAPS("flags 2^32", -EINVAL, 0, 0, P, 4 * P, 2 * P, UINT64_C(1) << 32),
        MAPS("flags 2^63", -EINVAL, 0, 0, P, 4 * P, 2 * P, TOP),
        MAPS("flags 2^63 + 1", -EINVAL, 0, 0, P, 4 * P, 2 * P, TOP + 1),
        MAPS("flags 2^64 - 1", -EINVAL, 0, 0, P, 4 * P, 2 * P, UINT64_MAX),
        MAPS("everything 0", -EINVAL, 0, 0, 0, 0, 0, 0),
        MAPS("everything 255", -ENOENT, 255, 255, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX),
        UNMAPS("as it should be", 0, USUAL),
        UNMAPS("shmid 1", -ENOENT, 1, 0, P, 4 * P, 2 * P, 0),
        UNMAPS("shmid 255", -ENOENT, 255, 0, P, 4 * P, 2 * P, 0),
        UNMAPS("padding 255", 0, 0, 255, P, 4 * P, 2 * P, 0),
        UNMAPS("fd_offset, which means nothing, 2^64 - 1", 0, 0, 0, UINT64_MAX, 4 * P, 2 * P, 0),
        UNMAPS("flags, which mean nothing, 2^64 - 1", 0, 0, 0, P, 4 * P, 2 * P, UINT64_MAX),
        UNMAPS("shm_offset 0", -ENOENT, 0, 0, P, 0, 2 * P, 0),
        UNMAPS("shm_offset a page before", -EINVAL, 0, 0, P, 3 * P, 2 * P, 0),
        UNMAPS("shm_offset a page behind", -EINVAL, 0, 0, P, 5 * P, P, 0),
        UNMAPS("shm_offset 1", -EINVAL, 0, 0, P, 1, 2 * P, 0),
        UNMAPS("shm_offset the end", -EINVAL, 0, 0, P, 64 * P, 2 * P, 0),
        UNMAPS("shm_offset 2^63", -EINVAL, 0, 0, P, TOP, 2 * P, 0),
        UNMAPS("shm_offset 2^64 - page", -EINVAL, 0, 0, P, -P, 2 * P, 0),
        UNMAPS("shm_offset 2^64 - 1", -EINVAL, 0, 0, P, UINT64_MAX, 2 * P, 0),
        UNMAPS("len 0", -EINVAL, 0, 0, P, 4 * P, 0, 0),
        UNMAPS("len 1", -EINVAL, 0, 0, P, 4 * P, 1, 0),
        UNMAPS("len a page", -EINVAL, 0, 0, P, 4 * P, P, 0),
        UNMAPS("len a byte less", -EINVAL, 0, 0, P, 4 * P, 2 * P - 1, 0),
        UNMAPS("len a byte more", -EINVAL, 0, 0, P, 4 * P, 2 * P + 1, 0),
        UNMAPS("len the rest of the region", -EINVAL, 0, 0, P, 4 * P, 60 * P, 0),
        UNMAPS("len 2^63", -EINVAL, 0, 0, P, 4 * P, TOP, 0),
        UNMAPS("len beyond 2^64", -EINVAL, 0, 0, P, 4 * P, -(4 * P) + 1, 0),
        UNMAPS("len 2^64 - 1", -EINVAL, 0, 0, P, 4 * P, UINT64_MAX, 0),
    };
    CASES_BEGIN(G_N_ELEMENTS(cases));
    run_cases(cases, G_N_ELEMENTS(cases));
    return failures != 0;
}
