/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The kernel does not let the library look at the pages of a device's memory (VM_PFNMAP). A fault there is answered with
 * "run again" a limited number of times. After that the page is private memory, and the mapping is broken. The ring of perf
 * stands in for such memory.
 */
#include "guard-rig.h"

#include <linux/perf_event.h>
#include <sys/syscall.h>

#define MANY 5000

static int perf_ring_or_skip(void)
{
    struct perf_event_attr attributes = {
        .type = PERF_TYPE_SOFTWARE, .size = sizeof(attributes), .config = PERF_COUNT_SW_DUMMY, .exclude_kernel = 1};
    int fd = (int)syscall(SYS_perf_event_open, &attributes, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
    if (fd < 0) {
        skip("perf_event_open is not allowed");
    }
    return fd;
}

static int open_or_skip(rig *r)
{
    int ring = perf_ring_or_skip();
    rig_open(r, 16 * PAGE, NULL);
    int64_t result = rig_map(r, ring, 0, 4 * PAGE, 3 * PAGE, VHOST_USER_FLAG_MAP_RW);
    if (result == -EOPNOTSUPP || result == -EPERM) {
        skip("the ring of perf cannot be mapped into a window here");
    }
    ok(result);
    char *flags = vm_flags_at((char *)vhushmem_region_window(r->region) + 5 * PAGE);
    if (strstr(flags, " pf") == NULL) {
        skip("the ring of perf is no VM_PFNMAP here");
    }
    g_free(flags);
    return ring;
}

static void is_replaced(rig *r, uint64_t page)
{
    volatile uint64_t *word = (volatile uint64_t *)((char *)vhushmem_region_window(r->region) + page);
    char *flags = vm_flags_at((void *)word);
    CHECK(strstr(flags, " pf") == NULL);
    g_free(flags);
    CHECK(is_broken(r->region, 4 * PAGE));
    PUMP_UNTIL(r->frontend, r->events[VHUSHMEM_EVENT_BROKEN] == 1);
    *word = 77;
    EQ(*word, 77);
}

static void end(rig *r, int ring)
{
    ok(rig_unmap(r, 4 * PAGE, 3 * PAGE));
    rig_still_works(r);
    rig_close(r);
    close(ring);
}

static void for_a_guest(uint32_t access)
{
    rig r;
    int ring = open_or_skip(&r), answers = 0;
    while (!is_broken(r.region, 4 * PAGE)) {
        ok(vhushmem_resolve_guest_fault(r.region, 5 * PAGE, 8, access, NULL));
        CHECK(answers++ < MANY);
    }
    CHECK(answers > 1); /* the instruction gets a chance */
    is_replaced(&r, 5 * PAGE);
    end(&r, ring);
}

static void for_a_thread(void)
{
    rig r;
    int ring = open_or_skip(&r), answers = 0;
    /* The kernel's report of a page whose exporter has gone. */
    siginfo_t info = {.si_signo = SIGBUS, .si_code = BUS_ADRERR};
    info.si_addr = (char *)vhushmem_region_window(r.region) + 5 * PAGE;
    while (!is_broken(r.region, 4 * PAGE)) {
        CHECK(vhushmem_guard_handle_sigbus(&info));
        CHECK(answers++ < MANY);
    }
    CHECK(answers > 1);
    is_replaced(&r, 5 * PAGE);
    end(&r, ring);
}

int main(void)
{
    for_a_guest(VHUSHMEM_ACCESS_READ);
    for_a_guest(VHUSHMEM_ACCESS_WRITE);
    for_a_guest(VHUSHMEM_ACCESS_UNKNOWN);
    for_a_thread();
    return 0;
}
