/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Counts the calls of malloc and its family for a pair of map and unmap, once warm. It prints the larger number of two:
 * requests on the wire, and the C functions.
 */
#include "in-process.h"

static uint64_t allocations;

static void on_allocation(void) { allocations++; }

#include "../Tests/C/replaced-malloc.h"

#define WARM_UP 1000
#define PAIRS 10000

static void by_the_wire(in_process *p, uint64_t slot)
{
    map_by_the_wire(p, slot);
    turn(p);
    take_answer(p->channel);
    unmap_by_the_wire(p, slot);
}

static void by_calls(in_process *p, uint64_t slot)
{
    VhostUserMMap map = mapping_at(p, slot);
    MUST(vhushmem_handle_map(p->device, &map, p->file, NULL) == 0);
    MUST(vhushmem_handle_unmap(p->device, &map, NULL) == 0);
}

static double per_pair(in_process *p, void (*pair)(in_process *, uint64_t))
{
    uint64_t before = 0;
    for (uint64_t i = 0; i < WARM_UP + PAIRS; i++) {
        if (i == WARM_UP) {
            before = allocations;
        }
        pair(p, free_slot(i));
    }
    return (double)(allocations - before) / PAIRS;
}

int main(void)
{
    in_process p;
    in_process_open(&p, NULL);
    MUST(allocations > 0); /* else the counter does not see allocations at all */
    double wire = per_pair(&p, by_the_wire), calls = per_pair(&p, by_calls);
    printf("allocations %g\n", wire > calls ? wire : calls);
    in_process_close(&p);
    return 0;
}
