/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Usage: pipelined ROUNDS [NAME]. Acts as a back-end: it sends 1,000 SHMEM_MAPs without waiting and wants an answer to the
 * last. Prints the processor time of the front-end's process for them: for ours and for the floor, or for NAME. All processes
 * share one processor.
 */
#include "contestant.h"

#include <libgen.h>

#define LIVE 64
#define REQUESTS 1000

static void one_round(contestant *c)
{
    clockid_t processor_time;
    MUST(clock_getcpuclockid(c->process, &processor_time) == 0);
    for (uint64_t i = 0; i < REQUESTS; i++) {
        unmap_slot(c, i + 1 == REQUESTS, LIVE + i);
    }
    take_answer(c->channel);
    uint64_t before = ns_of(processor_time);
    for (uint64_t i = 0; i < REQUESTS; i++) {
        map_slot(c, i + 1 == REQUESTS, LIVE + i);
    }
    take_answer(c->channel);
    printf("%s %.1f\n", c->name, (double)(ns_of(processor_time) - before) / REQUESTS);
}

int main(int argc, char **argv)
{
    MUST(argc == 2 || argc == 3);
    contestant contestants[] = {{.name = "ours"}, {.name = argc == 3 ? argv[2] : "floor"}};
    const char *folder = dirname(argv[0]);
    pin_to_one_processor();
    for (int i = 0; i < 2; i++) {
        contestants[i].slots = LIVE + REQUESTS;
        contestants[i].slot_size = (uint64_t)sysconf(_SC_PAGESIZE);
        start_contestant(&contestants[i], folder);
    }
    for (uint64_t round = number_of(argv[1]); round > 0; round--) {
        one_round(&contestants[0]);
        one_round(&contestants[1]);
    }
    end_contestant(&contestants[0]);
    end_contestant(&contestants[1]);
    return 0;
}
