/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Usage: instructions WAY REQUESTS, under callgrind with --collect-atstart=no. Serves a SHMEM_MAP REQUESTS times, once warm,
 * and callgrind counts the instructions. WAY is the part that is counted. `gsource`: the dispatch of the library's GSource.
 * `turn`: the whole turn of GLib's loop with this dispatch. `handle`: a call of vhushmem_handle_map.
 */
#include "in-process.h"

#include <valgrind/callgrind.h>

#define WARM_UP 200

static bool counting;
static GSourceFuncs functions;
static gboolean (*dispatch)(GSource *, GSourceFunc, gpointer);

static inline void toggle_counting(void)
{
    if (counting) {
        CALLGRIND_TOGGLE_COLLECT;
    }
}

static gboolean counted_dispatch(GSource *source, GSourceFunc callback, gpointer user_data)
{
    toggle_counting();
    gboolean goes_on = dispatch(source, callback, user_data);
    toggle_counting();
    return goes_on;
}

static void count_dispatch(GSource *source)
{
    functions = *source->source_funcs;
    dispatch = functions.dispatch;
    functions.dispatch = counted_dispatch;
    g_source_set_funcs(source, &functions);
}

static void by_a_dispatch(in_process *p, uint64_t slot)
{
    map_by_the_wire(p, slot);
    turn(p);
    take_answer(p->channel);
    counting = false;
    unmap_by_the_wire(p, slot);
}

static void by_a_turn(in_process *p, uint64_t slot)
{
    map_by_the_wire(p, slot);
    toggle_counting();
    turn(p);
    toggle_counting();
    take_answer(p->channel);
    unmap_by_the_wire(p, slot);
}

static void by_a_call(in_process *p, uint64_t slot)
{
    VhostUserMMap map = mapping_at(p, slot);
    toggle_counting();
    int result = vhushmem_handle_map(p->device, &map, p->file, NULL);
    toggle_counting();
    MUST(result == 0);
    MUST(vhushmem_handle_unmap(p->device, &map, NULL) == 0);
}

int main(int argc, char **argv)
{
    MUST(argc == 3);
    bool gsource = strcmp(argv[1], "gsource") == 0;
    void (*serve)(in_process *, uint64_t) = gsource ? by_a_dispatch : strcmp(argv[1], "turn") == 0 ? by_a_turn : by_a_call;
    uint64_t requests = number_of(argv[2]);
    in_process p;
    in_process_open(&p, gsource ? count_dispatch : NULL);
    for (uint64_t i = 0; i < WARM_UP + requests; i++) {
        counting = i >= WARM_UP;
        serve(&p, free_slot(i));
    }
    in_process_close(&p);
    return 0;
}
