/* SPDX-License-Identifier: BSD-3-Clause */
/* The handler allocates and frees nothing, whatever it has to do. A repaired page raises no further signal. */
/* valgrind: no (it replaces malloc itself) */
/* asan: no (it replaces malloc itself) */
#include "guard-rig.h"

extern void __libc_free(void *old);

static __thread int in_handler;

static void forbidden(void)
{
    if (in_handler) {
        _exit(97);
    }
}

static void on_allocation(void) { forbidden(); }

#include "replaced-malloc.h"

void free(void *old)
{
    forbidden();
    __libc_free(old);
}

static void watched(int number, siginfo_t *info, void *context)
{
    in_handler++;
    on_sigbus(number, info, context);
    in_handler--;
}

int main(void)
{
    uint64_t page = PAGE;
    rig r;
    struct sigaction action = {.sa_sigaction = watched, .sa_flags = SA_SIGINFO};
    rig_open(&r, 1024 * page, NULL);
    CHECK(sigaction(SIGBUS, &action, NULL) == 0);
    /* From back to front, then in the order of the pages: each page is covered on its own, and temporarily. */
    for (int up = 0; up < 2; up++) {
        int fd = memfd_of(100 * page, 1);
        ok(rig_map(&r, fd, 0, 0, 100 * page, 0));
        CHECK(ftruncate(fd, 0) == 0);
        sigbus_count = 0;
        for (uint64_t i = 0; i < 100; i++) {
            EQ(word_at(r.region, (up ? i : 99 - i) * page), 0);
        }
        EQ(sigbus_count, 100);
        ok(rig_unmap(&r, 0, 100 * page));
        close(fd);
    }
    /* With an object, a listener's view and a kept event. */
    vhushmem_mapping *mapping;
    int fd = memfd_of(4 * page, 1);
    ok(rig_map(&r, fd, 0, 0, 4 * page, VHOST_USER_FLAG_MAP_RW));
    mapping = some(vhushmem_region_find_mapping(r.region, 0, 4 * page));
    CHECK(ftruncate(fd, 0) == 0);
    *(volatile char *)vhushmem_region_window(r.region) = 1;
    vhushmem_mapping_unref(mapping);
    PUMP_UNTIL(r.frontend, r.events[VHUSHMEM_EVENT_BROKEN] >= 1);
    rig_close(&r);
    close(fd);
    return 0;
}
