/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * After any number of maps and unmaps the process is as large as before. With --long the test makes ten million pairs, over
 * the wire and by the C calls.
 */
#include "rig.h"

static long pairs(rig *r, int fd, long count)
{
    uint64_t page = PAGE;
    for (long i = 0; i < count; i++) {
        uint64_t at = (uint64_t)(i * 7 % 61) * page;
        ok(vhushmem_region_map(r->region, fd, (uint64_t)(i % 3) * page, at, page + (uint64_t)(i % 2), 0, &error));
        ok(vhushmem_region_unmap(r->region, at, page + (uint64_t)(i % 2), &error));
    }
    return resident_kib();
}

int main(void)
{
    rig r;
    bool is_long = getenv("VHUSHMEM_TEST_LONG") != NULL;
    long count = is_long ? 10000000 : steps(200000);
    int fd = memfd_of(8 * PAGE, 1);
    rig_open(&r, 64 * PAGE, NULL);
    long before = pairs(&r, fd, 1000), after = pairs(&r, fd, count);
    printf("note: %ld pairs, %ld KiB before and %ld KiB after\n", count, before, after);
    if (!under_valgrind() && !under_sanitizer()) {
        CHECK(after <= before + 256);
    }
    /* And over the wire, one after the other. */
    VhostUserMMap map = {.shm_offset = 4 * PAGE, .len = PAGE};
    for (long i = 0; i < steps(20000); i++) {
        send_message(r.channel, MAP, 0x1, &map, sizeof(map), &fd, 1);
        send_message(r.channel, UNMAP, 0x1, &map, sizeof(map), NULL, 0);
        vhushmem_frontend_dispatch(r.frontend);
    }
    if (!under_valgrind() && !under_sanitizer()) {
        CHECK(resident_kib() <= after + 256);
    }
    rig_close(&r);
    close(fd);
    return 0;
}
