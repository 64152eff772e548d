/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A back-end uses up the process's budget of mappings, and then shortens a file. Neither guest nor VMM ends: zeros take the
 * place of the whole mapping, which takes no more of the budget.
 */
#include "guard-rig.h"

int main(void)
{
    uint64_t page = PAGE, at = 128 * page, word;
    ok(vhushmem_process_budget_set(40, 0));
    vhushmem_device *device = some(vhushmem_device_new(NULL, &error));
    vhushmem_region *region = some(vhushmem_region_new(device, 0, 2 * at, NULL, &error));
    int small = memfd_of(page, 1), shrinks = memfd_of(4 * page, 2);
    char *window = window_now(region);
    guard_begin();
    ok(vhushmem_region_map(region, shrinks, 0, at, 4 * page, VHOST_USER_FLAG_MAP_RW, &error));
    int rc = 0;
    for (uint64_t i = 0; i < 60 && rc == 0; i++) {
        rc = vhushmem_region_map(region, small, 0, (2 * i + 1) * page, page, 0, NULL);
    }
    EQ(rc, -ENOSPC);

    CHECK(ftruncate(shrinks, (off_t)page) == 0);
    EQ(word_at(region, at + page), 0);
    EQ(sigbus_count, 1);
    ok(vhushmem_resolve_guest_fault(region, at + 2 * page, 8, VHUSHMEM_ACCESS_READ, NULL));
    CHECK(is_broken(region, at));
    for (uint64_t i = 0; i < 4; i++) {
        err(vhushmem_region_read(region, at + i * page, &word, 8, &error), -EIO);
    }
    shows(region, page, page, 1, 0);

    /* The counts are right again when all has gone. */
    ok(vhushmem_region_unmap_all(region));
    char *status = some(vhushmem_device_status_json(device, 0));
    CHECK(strstr(status, "\"process\":{\"mappings\":{\"used\":2,") != NULL); /* the window and its index */
    g_free(status);
    same(window, window_now(region));
    vhushmem_device_unref(device);
    return 0;
}
