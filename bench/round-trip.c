/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Usage: round-trip ROUNDS REQUESTS SIZE NAME:LIVE... As a back-end, undoes a mapping of SIZE bytes and asks for it again, REQUESTS times
 * in a row with each front-end, waiting for each answer; ROUNDS times. NAME is `ours` or `floor`, LIVE how many mappings it has when it
 * is asked for one more. All processes share one processor.
 */
#include "contestant.h"

#include <libgen.h>

static void one_round(contestant *c, size_t requests, uint32_t *map, uint32_t *unmap)
{
    uint64_t random = 1;
    for (size_t i = 0; i < requests; i++) {
        uint64_t slot = next_random(&random, c->slots);
        uint64_t began = now_ns();
        unmap_slot(c, true, slot);
        take_answer(c->channel);
        uint64_t between = now_ns();
        map_slot(c, true, slot);
        take_answer(c->channel);
        map[i] = (uint32_t)(now_ns() - between);
        unmap[i] = (uint32_t)(between - began);
    }
    uint32_t map_ns = median_of(map, requests), unmap_ns = median_of(unmap, requests);
    printf("%s-%llu-map %u\n", c->name, (unsigned long long)c->slots - 1, map_ns);
    printf("%s-%llu-unmap %u\n", c->name, (unsigned long long)c->slots - 1, unmap_ns);
}

int main(int argc, char **argv)
{
    contestant contestants[8] = {{0}};
    MUST(argc > 4 && argc <= 12);
    size_t rounds = number_of(argv[1]), requests = number_of(argv[2]), count = (size_t)argc - 4;
    const char *folder = dirname(argv[0]);
    uint32_t *map = calloc(requests, sizeof(*map)), *unmap = calloc(requests, sizeof(*unmap));
    MUST(map != NULL && unmap != NULL);
    pin_to_one_processor();
    for (size_t i = 0; i < count; i++) {
        contestant *c = &contestants[i];
        c->name = strtok(argv[4 + i], ":");
        c->slots = number_of(strtok(NULL, "")) + 1;
        c->slot_size = number_of(argv[3]);
        start_contestant(c, folder);
    }
    for (size_t round = 0; round < rounds; round++) {
        for (size_t i = 0; i < count; i++) {
            one_round(&contestants[i], requests, map, unmap);
        }
    }
    for (size_t i = 0; i < count; i++) {
        end_contestant(&contestants[i]);
    }
    free(map);
    free(unmap);
    return 0;
}
