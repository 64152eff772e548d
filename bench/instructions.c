/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Usage: instructions WAY REQUESTS, under callgrind with --collect-atstart=no. Serves a SHMEM_MAP so many times, once warm, and has callgrind
 * count what that takes: through the GSource (WAY is `gsource`) a whole turn of its loop, from before the loop looks for what is ready
 * until it has answered; or one call of vhushmem_handle_map (`handle`).
 */
#include "in-process.h"

#include <valgrind/callgrind.h>

#define WARM_UP 200

static void through_the_gsource(in_process *p, uint64_t slot, bool counted)
{
    send_map(p->channel, true, slot * p->page, p->page, p->file);
    if (counted) {
        CALLGRIND_TOGGLE_COLLECT;
    }
    g_main_context_iteration(p->context, FALSE);
    if (counted) {
        CALLGRIND_TOGGLE_COLLECT;
    }
    take_answer(p->channel);
    send_unmap(p->channel, true, slot * p->page, p->page);
    g_main_context_iteration(p->context, FALSE);
    take_answer(p->channel);
}

static void through_handle_map(in_process *p, uint64_t slot, bool counted)
{
    VhostUserMMap map = mapping_at(p, slot);
    if (counted) {
        CALLGRIND_TOGGLE_COLLECT;
    }
    int result = vhushmem_handle_map(p->device, &map, p->file, NULL);
    if (counted) {
        CALLGRIND_TOGGLE_COLLECT;
    }
    MUST(result == 0);
    MUST(vhushmem_handle_unmap(p->device, &map, NULL) == 0);
}

int main(int argc, char **argv)
{
    MUST(argc == 3);
    bool gsource = strcmp(argv[1], "gsource") == 0;
    uint64_t requests = number_of(argv[2]);
    in_process p;
    in_process_open(&p);
    for (uint64_t i = 0; i < WARM_UP + requests; i++) {
        (gsource ? through_the_gsource : through_handle_map)(&p, free_slot(i), i >= WARM_UP);
    }
    in_process_close(&p);
    return 0;
}
