/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * On arm64 the syndrome of a SIGSEGV has a bit for writes, which the maintenance of the caches sets as well (DC CVAU and the
 * like). It writes nothing, so it counts as a read. An emulator does not set the bit there, so the test makes the context.
 */
#include "rig.h"

#include <ucontext.h>
#include <vhushmem/guard.h>

#if defined(__aarch64__)
enum { DATA_ABORT = 0x24 << 26, WRITE = 1 << 6, MAINTENANCE = 1 << 8 };

static void answer(vhushmem_region *region, uint64_t page, uint64_t syndrome)
{
    /* A record of another kind comes first: 16 bytes, and the magic number of the floating-point registers. */
    struct {
        uint32_t other[2];
        uint64_t nothing;
        uint32_t magic, size;
        uint64_t syndrome;
        uint32_t end[2];
    } records = {.other = {0x46508001, 16}, .magic = 0x45535201, .size = 16, .syndrome = syndrome};
    static ucontext_t context;
    siginfo_t info = {.si_signo = SIGSEGV, .si_code = SEGV_MAPERR};
    info.si_addr = (char *)vhushmem_region_window(region) + page * PAGE;
    memcpy(context.uc_mcontext.__reserved, &records, sizeof(records));
    CHECK(vhushmem_guard_handle_sigsegv(&info, &context));
}

int main(void)
{
    rig r;
    rig_open_plain(&r, 16 * PAGE, NULL, NULL);
    char *window = vhushmem_region_window(r.region);
    answer(r.region, 8, DATA_ABORT | WRITE);
    CHECK(writable(window + 8 * PAGE) && !readable(window + 9 * PAGE));
    answer(r.region, 10, DATA_ABORT | WRITE | MAINTENANCE);
    CHECK(readable(window + 10 * PAGE) && !writable(window + 10 * PAGE));
    CHECK(readable(window + 9 * PAGE) && !writable(window + 9 * PAGE));
    rig_close(&r);
    return 0;
}
#else
int main(void) { skip("only arm64 has such a bit"); }
#endif
