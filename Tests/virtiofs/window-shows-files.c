/* SPDX-License-Identifier: BSD-3-Clause */
/* A mapping that a guest sets up in the DAX window shows the file, takes its writes, moves, and goes again. */
#include "virtiofs-rig.h"

static vfs v;

static void show(const char *name, uint64_t at, uint64_t offset, uint64_t len)
{
    int fd = open(host_path(&v, name), O_RDONLY | O_CLOEXEC);
    char *seen = malloc(len), *wanted = calloc(1, len);
    CHECK(fd >= 0 && pread(fd, wanted, len, (off_t)offset) >= 0);
    ok(vhushmem_region_read(v.region, at, seen, len, &error));
    CHECK(memcmp(seen, wanted, len) == 0);
    close(fd);
    free(seen);
    free(wanted);
}

static void make(const char *name, uint64_t size, uint64_t seed)
{
    int fd = open(host_path(&v, name), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    CHECK(fd >= 0);
    fill(fd, size, seed);
    close(fd);
}

int main(void)
{
    vfs_open(&v);
    CHECK((v.init.flags & FUSE_MAP_ALIGNMENT) != 0 && v.init.map_alignment == __builtin_ctzl(PAGE));
    make("a", 3 * CHUNK, 1);
    make("b", CHUNK / 2 + 5000, 2);
    uint64_t a = vfs_node(&v, FUSE_ROOT_ID, "a"), b = vfs_node(&v, FUSE_ROOT_ID, "b");

    ok(vfs_map(&v, a, 0, 0, CHUNK, false));
    ok(vfs_map(&v, a, 2 * CHUNK, CHUNK, CHUNK, false));
    ok(vfs_map(&v, b, 0, 2 * CHUNK, CHUNK, true)); /* the file ends within the chunk */
    show("a", 0, 0, CHUNK);
    show("a", CHUNK, 2 * CHUNK, CHUNK);
    show("b", 2 * CHUNK, 0, CHUNK / 2 + 5000);
    EQ(vhushmem_region_mapping_count(v.region), 3);

    /* Writes reach the file if the guest asked for write access. A second request for the same chunk can add that. */
    err(vhushmem_region_write(v.region, 100, "new", 3, &error), -EACCES);
    ok(vfs_map(&v, a, 0, 0, CHUNK, true));
    EQ(vhushmem_region_mapping_count(v.region), 3);
    ok(vhushmem_region_write(v.region, 100, "new", 3, &error));
    show("a", 0, 0, CHUNK);
    ok(vfs_map(&v, a, 0, 0, CHUNK, false)); /* this asks for less than is mapped */
    ok(vhushmem_region_write(v.region, 200, "new", 3, &error));

    /* Linux's client gives a chunk to another file without giving it back first. */
    ok(vfs_map(&v, b, 0, 0, CHUNK, false));
    show("b", 0, 0, CHUNK / 2 + 5000);
    /* A range across several. */
    ok(vfs_map(&v, a, CHUNK, CHUNK / 2, 2 * CHUNK, false));
    show("a", CHUNK / 2, CHUNK, 2 * CHUNK);
    EQ(vhushmem_region_mapping_count(v.region), 1);

    ok(vfs_unmap(&v, 0, WINDOW_SIZE));
    EQ(vhushmem_region_mapping_count(v.region), 0);
    ok(vfs_unmap(&v, 0, CHUNK)); /* nothing is there: it is gone, as the guest wants */
    ok(vfs_map(&v, a, 0, 0, CHUNK, false));
    err(vfs_unmap(&v, 0, CHUNK / 2), -EINVAL);
    EQ(vhushmem_region_mapping_count(v.region), 1);
    ok(vfs_unmap(&v, 0, UINT64_MAX));
    EQ(vhushmem_region_mapping_count(v.region), 0);

    /* A guest that mounts again, and one that unmounts. */
    ok(vfs_map(&v, a, 0, 0, CHUNK, true));
    vfs_init(&v);
    STEP_UNTIL(vhushmem_region_mapping_count(v.region) == 0, usleep(1000); vfs_pump(&v));
    a = vfs_node(&v, FUSE_ROOT_ID, "a");
    for (unsigned i = 0; i < 4; i++) {
        ok(vfs_map(&v, a, i * CHUNK, 0, CHUNK, true));
    }
    /* The answer comes after all is undone: after an unmount the device may be unplugged. */
    ok(vfs_ask(&v, FUSE_DESTROY, 0, NULL, 0, 0));
    EQ(vhushmem_region_mapping_count(v.region), 0);
    ok(vfs_ask(&v, FUSE_DESTROY, 0, NULL, 0, 0));
    vfs_close(&v);
    return 0;
}
