/* SPDX-License-Identifier: BSD-3-Clause */
/* The back-end itself refuses an impossible map or unmap, with a sentence: some front-ends never answer one. */
/* tsan: yes (another thread listens to the back-end) */
#include "backend-rig.h"

#define TOP (UINT64_MAX - 0xfff)

static backend_rig r;
static int file;

static int map(uint64_t fd_offset, uint64_t shm_offset, uint64_t len, uint64_t flags)
{
    return vhushmem_backend_map(r.backend, 0, file, fd_offset, shm_offset, len, flags, &error);
}

static void in_a_batch(void)
{
    vhushmem_shmem_request all[] = {
        {.struct_size = sizeof(vhushmem_shmem_request), .request = MAP, .fd = file, .len = 0},
        {.struct_size = sizeof(vhushmem_shmem_request), .request = MAP, .fd = file, .len = PAGE, .flags = 2},
        {.struct_size = sizeof(vhushmem_shmem_request), .request = MAP, .fd = file, .len = 0x2000, .shm_offset = TOP},
        {.struct_size = sizeof(vhushmem_shmem_request), .request = UNMAP, .len = 0},
        {.struct_size = sizeof(vhushmem_shmem_request), .request = UNMAP, .len = 0x2000, .shm_offset = TOP},
        {.struct_size = sizeof(vhushmem_shmem_request), .request = UNMAP, .len = PAGE},
    };
    const unsigned count = sizeof(all) / sizeof(all[0]);
    answerer a = {.channel = r.channel};
    answerer_start(&a);
    EQ(vhushmem_backend_perform(r.backend, all, count, 0, &error), count - 1);
    answerer_end(&a);
    EQ(a.heard.header.request, UNMAP);
    for (unsigned i = 0; i < count; i++) {
        EQ(all[i].result, i == count - 1 ? 0 : -EINVAL);
    }
    /* One answer for all, and the last request cannot be sent, so none is. */
    all[count - 1].len = 0;
    err(vhushmem_backend_perform(r.backend, all, count, VHUSHMEM_PERFORM_ONE_ANSWER, &error), -EINVAL);
    EQ(all[count - 1].result, -EINVAL);
    CHECK(!wait_readable(r.channel, 0));
}

int main(void)
{
    backend_rig_open(&r, 16 * PAGE, NULL);
    file = memfd_of(PAGE, 1);
    refused(map(0, 0, 0, 0), -EINVAL, "0x0 bytes");
    refused(map(0, 0, PAGE, 2), -EINVAL, "0x2");
    refused(map(0, 0, PAGE, 3), -EINVAL, "0x3");
    refused(map(0, 0, PAGE, UINT64_C(1) << 63), -EINVAL, "flags");
    refused(map(0, TOP, 0x2000, 0), -EINVAL, "wraps");
    refused(map(TOP, 0, 0x2000, 0), -EINVAL, "wraps");
    refused(map(0, PAGE, UINT64_MAX, 1), -EINVAL, "wraps");
    refused(vhushmem_backend_unmap(r.backend, 0, 0, 0, &error), -EINVAL, "0x0 bytes");
    refused(vhushmem_backend_unmap(r.backend, 0, TOP, 0x1000, &error), -EINVAL, "wraps");
    CHECK(!wait_readable(r.channel, 0));
    in_a_batch();

    /* Nothing was lost: possible requests are sent as before. */
    answerer a = {.channel = r.channel};
    answerer_start(&a);
    ok(map(0, 0, PAGE, 1));
    answerer_end(&a);
    close(file);
    backend_rig_close(&r);
    return 0;
}
