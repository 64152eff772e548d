/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * More vCPUs fault than the library counts answers for, each at its own page of a device's memory. "Run again" ends for them
 * too. The ring of perf stands in for such memory.
 */
#include "guard-rig.h"

#include <linux/perf_event.h>
#include <sys/syscall.h>

#define PAGES 33 /* the ring has a page more than a power of two */

int main(void)
{
    struct perf_event_attr attributes = {
        .type = PERF_TYPE_SOFTWARE, .size = sizeof(attributes), .config = PERF_COUNT_SW_DUMMY, .exclude_kernel = 1};
    int ring = (int)syscall(SYS_perf_event_open, &attributes, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
    if (ring < 0) {
        skip("perf_event_open is not allowed");
    }
    rig r;
    rig_open_plain(&r, 64 * PAGE, NULL, NULL);
    int64_t result = rig_map(&r, ring, 0, 0, PAGES * PAGE, VHOST_USER_FLAG_MAP_RW);
    if (result == -EOPNOTSUPP || result == -EPERM) {
        skip("the ring of perf cannot be mapped into a window here");
    }
    ok(result);
    char *flags = vm_flags_at(vhushmem_region_window(r.region));
    if (strstr(flags, " pf") == NULL) {
        skip("the ring of perf is no VM_PFNMAP here");
    }
    g_free(flags);
    /* The count begins again after a second without an answer, so a busy machine may need more rounds. */
    int rounds = 0;
    STEP_UNTIL(is_broken(r.region, 0), {
        for (uint64_t i = 0; i < PAGES; i++) {
            ok(vhushmem_resolve_guest_fault(r.region, i * PAGE, 8, VHUSHMEM_ACCESS_READ, NULL));
        }
        rounds++;
    });
    printf("note: %d rounds\n", rounds);
    rig_close(&r);
    close(ring);
    return 0;
}
