/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A sparse file costs a front-end nothing, but mapped as guest memory it takes addresses of the back-end's process. So the
 * memory of one front-end takes at most 32 TiB, and that of all, together with the windows of the process, at most 64 TiB.
 */
/* valgrind: no (it keeps most of the addresses for itself) */
#include "backend-rig.h"

#define TIB (1ull << 40)

enum { SET_LOG_BASE = 6 };

static int file;

static int64_t tell(backend_rig *r, uint32_t request, const void *payload, uint32_t size)
{
    message m =
        backend_rig_ask(r, request, payload, size, request == REM_MEM_REG ? NULL : &file, request == REM_MEM_REG ? 0 : 1);
    EQ(m.header.size, 8);
    return (int64_t)u64_of(&m);
}

static int64_t tell_memory(backend_rig *r, uint32_t request, uint64_t at, uint64_t size)
{
    uint64_t region[5] = {0, at, size, at, 0};
    return tell(r, request, region, sizeof(region));
}

static void open_one(backend_rig *r)
{
    backend_rig_new(r, 16 * PAGE, NULL);
    backend_rig_shake_hands(r, BACKEND_RIG_FEATURES | BIT(1) | BIT(12) | BIT(15));
}

int main(void)
{
    backend_rig one, two, three;
    uint64_t log[2] = {TIB, 0}, inflight[3] = {TIB, 0, 1 | 64 << 16};
    file = memfd_create("test", MFD_CLOEXEC);
    CHECK(file >= 0 && ftruncate(file, (off_t)(32 * TIB)) == 0);
    char *maps = maps_now();
    open_one(&one);
    EQ(tell_memory(&one, ADD_MEM_REG, 0, 31 * TIB), 0);
    EQ(tell_memory(&one, ADD_MEM_REG, 40 * TIB, TIB + PAGE), -ENOSPC);
    EQ(tell_memory(&one, ADD_MEM_REG, 40 * TIB, TIB), 0);
    EQ(tell_memory(&one, ADD_MEM_REG, 50 * TIB, PAGE), -ENOSPC);
    EQ(tell(&one, SET_INFLIGHT_FD, inflight, sizeof(inflight)), -ENOSPC);
    /* Memory that is taken away makes room. */
    EQ(tell_memory(&one, REM_MEM_REG, 40 * TIB, TIB), 0);
    EQ(tell_memory(&one, ADD_MEM_REG, 50 * TIB, TIB - PAGE), 0);
    EQ(tell_memory(&one, ADD_MEM_REG, 60 * TIB, PAGE), 0);

    /* Half of the process's addresses is left to the program. */
    open_one(&two);
    open_one(&three);
    EQ(tell_memory(&two, ADD_MEM_REG, 0, 31 * TIB), 0);
    EQ(tell_memory(&three, ADD_MEM_REG, 0, TIB), 0);
    EQ(tell_memory(&three, ADD_MEM_REG, 40 * TIB, PAGE), -ENOMEM);
    void *own = mmap(NULL, 4 * TIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(own != MAP_FAILED && munmap(own, 4 * TIB) == 0);
    /* SET_LOG_BASE has no reply that could refuse it. The connection ends, and its addresses are free. */
    send_message(one.main, SET_LOG_BASE, 0x9, log, sizeof(log), &file, 1);
    pump_backend(one.backend);
    EQ(one.events[VHUSHMEM_BACKEND_DISCONNECT], 1);
    EQ(tell_memory(&three, ADD_MEM_REG, 40 * TIB, 31 * TIB), 0);
    backend_rig_close(&one);
    backend_rig_close(&two);
    backend_rig_close(&three);
    close(file);
    same(maps, maps_now());
    return 0;
}
