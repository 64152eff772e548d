/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A process that locks all its mappings (mlockall) and may lock no more can still undo mappings: afterwards nobody can read
 * the file there. The kernel answers EAGAIN to the mmap that would make the hole.
 */
/* valgrind: no (it knows nothing of locked memory) */
/* asan: no (its shadow memory is beyond any limit of locked memory) */
#include "rig.h"

#include <sys/resource.h>

static void facts(bool is_reset)
{
    uint64_t len = 4 << 20;
    struct rlimit limit = {6 << 20, 6 << 20};
    vhushmem_device *device = some(vhushmem_device_new(NULL, &error));
    vhushmem_region *region = some(vhushmem_region_new(device, 0, 4 * len, NULL, &error));
    char *window = vhushmem_region_window(region);
    int fd = memfd_of(len, 1);
    /* Root has no limit. */
    if (geteuid() == 0) {
        CHECK(setresgid(65534, 65534, 65534) == 0 && setresuid(65534, 65534, 65534) == 0);
    }
    if (setrlimit(RLIMIT_MEMLOCK, &limit) != 0 || mlockall(MCL_FUTURE) != 0) {
        skip("this process may not lock memory");
    }
    ok(vhushmem_region_map(region, fd, 0, 0, len, VHOST_USER_FLAG_MAP_RW, &error));
    shows(region, 0, len, 1, 0);
    if (is_reset) {
        EQ(vhushmem_region_unmap_all(region), 1);
    } else {
        ok(vhushmem_region_unmap(region, 0, len, &error));
    }
    CHECK(!readable(window) && !readable(window + len - 1));
    EQ(vhushmem_region_mapping_count(region), 0);
    vhushmem_device_unref(device);
}

int main(void)
{
    /* Each in its own process, since the limits stay. */
    for (int is_reset = 0; is_reset < 2; is_reset++) {
        int status;
        pid_t child = fork();
        if (child == 0) {
            facts(is_reset);
            exit(0);
        }
        CHECK(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status));
        if (WEXITSTATUS(status) != 0) {
            return WEXITSTATUS(status);
        }
    }
    return 0;
}
