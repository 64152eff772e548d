/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vhushmem_region_read and vhushmem_region_write of a page that the file has lost return -EIO, even after a guest or a
 * thread has touched the page. Once the file has it again they work, and the bytes are the file's.
 */
/* valgrind: no (its mremap makes no second mapping of a page) */
#include "guard-rig.h"

static void facts(bool by_guest)
{
    rig r;
    char bytes[16];
    rig_open_plain(&r, 16 * PAGE, NULL, NULL);
    int file = memfd_of(4 * PAGE, 1);
    ok(vhushmem_region_map(r.region, file, 0, 0, 4 * PAGE, VHOST_USER_FLAG_MAP_RW, &error));
    CHECK(ftruncate(file, (off_t)(2 * PAGE)) == 0);
    err(vhushmem_region_read(r.region, 2 * PAGE, bytes, 8, &error), -EIO);
    if (by_guest) {
        ok(vhushmem_resolve_guest_fault(r.region, 2 * PAGE, 8, VHUSHMEM_ACCESS_READ, NULL));
    } else {
        EQ(word_at(r.region, 2 * PAGE), 0);
    }
    /* Zeros may stand there now, or not any more. No answer may claim that they are the file's. */
    for (int i = 0; i < 100; i++) {
        refused(vhushmem_region_read(r.region, 2 * PAGE, bytes, 8, &error), -EIO, hex(2 * PAGE));
        refused(vhushmem_region_read(r.region, 2 * PAGE - 8, bytes, 16, &error), -EIO, hex(2 * PAGE));
        err(vhushmem_region_write(r.region, 2 * PAGE, bytes, 8, &error), -EIO);
        usleep(300);
        if (i % 10 == 0) {
            ok(vhushmem_resolve_guest_fault(r.region, 2 * PAGE, 8, VHUSHMEM_ACCESS_WRITE, NULL));
        }
    }
    CHECK(is_broken(r.region, 0));
    ok(vhushmem_region_read(r.region, PAGE - 8, bytes, 8, &error));

    fill(file, 4 * PAGE, 2);
    EQ(vhushmem_region_heal(r.region), 0);
    ok(vhushmem_region_read(r.region, 2 * PAGE, bytes, 8, &error));
    CHECK(memcmp(bytes, &(uint64_t){pattern(2, 2 * PAGE)}, 8) == 0);
    uint64_t word = 77, seen = 0;
    ok(vhushmem_region_write(r.region, 2 * PAGE, &word, 8, &error));
    CHECK(pread(file, &seen, 8, (off_t)(2 * PAGE)) == 8);
    EQ(seen, 77);
    close(file);
    rig_close(&r);
}

int main(void)
{
    guard_begin();
    facts(true);
    facts(false);
    return 0;
}
