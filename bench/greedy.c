/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Usage: greedy DEVICES ROUNDS. A back-end waits for its answer on a loop with many others. Prints how long, in nanoseconds,
 * the median of each round. `beside`: half of the others send requests as fast as their sockets accept them. `equals`: all
 * others wait for their answers too.
 *
 * One process plays all back-ends. Between two turns of the loop it reads the answers, and sends wherever there is room again.
 */
#include "front-ends.h"

#define IN_FLIGHT 100 /* requests of a back-end that does not wait */

typedef struct device {
    front_end end;
    bool is_greedy;
    uint64_t sent_at; /* 0: it has its answer */
    uint64_t sent, served;
} device;

static void note_served(vhushmem_frontend *frontend, const vhushmem_event *event, void *user_data)
{
    (void)frontend;
    (void)event;
    ((device *)user_data)->served++;
}

/*
 * Asks to undo a mapping that does not exist. The loop needs as long for the refusal as for any request without a system call
 * for the memory.
 */
static void send_one(device *d, uint64_t page, bool need_reply)
{
    send_unmap(d->end.channel, need_reply, page, page);
    d->sent++;
}

static void fill(device *d, uint64_t page)
{
    while (d->sent - d->served < IN_FLIGHT) {
        send_one(d, page, false);
    }
}

static bool has_answer(int channel)
{
    answer a;
    return recv(channel, &a, sizeof(a), MSG_DONTWAIT) == sizeof(a);
}

static void measure(GMainContext *context, device *devices, uint64_t count, uint64_t page, const char *name, uint64_t rounds)
{
    uint32_t *waits = calloc(count * 4, sizeof(*waits));
    MUST(waits != NULL);
    for (uint64_t round = 0; round < rounds; round++) {
        size_t measured = 0;
        for (int turn = 0; turn < 4; turn++) {
            for (uint64_t i = 0; i < count; i++) {
                if (devices[i].is_greedy) {
                    fill(&devices[i], page);
                } else if (devices[i].sent_at == 0) {
                    send_one(&devices[i], page, true);
                    devices[i].sent_at = now_ns();
                }
            }
            uint64_t began = now_ns();
            g_main_context_iteration(context, FALSE);
            uint64_t took = now_ns() - began;
            for (uint64_t i = 0; i < count; i++) {
                if (!devices[i].is_greedy && has_answer(devices[i].end.channel)) {
                    /* The turn answers all requests that were sent before it. So each has waited for one turn of the loop. */
                    waits[measured++] = (uint32_t)took;
                    devices[i].sent_at = 0;
                }
            }
        }
        MUST(measured > 0);
        sort_numbers(waits, measured);
        printf("%s %u\n", name, waits[measured / 2]);
    }
    free(waits);
}

int main(int argc, char **argv)
{
    MUST(argc == 3);
    uint64_t count = number_of(argv[1]), rounds = number_of(argv[2]), page = (uint64_t)sysconf(_SC_PAGESIZE);
    GMainContext *context = g_main_context_new();
    device *devices = calloc(count, sizeof(*devices));
    MUST(devices != NULL);
    allow_descriptors();
    for (uint64_t i = 0; i < count; i++) {
        devices[i].end = open_front_end(context, 1, 16);
        MUST(vhushmem_frontend_set_callback(devices[i].end.frontend, note_served, &devices[i], NULL) == 0);
    }
    measure(context, devices, count, page, "equals", rounds);
    for (uint64_t i = 0; i < count; i += 2) {
        devices[i].is_greedy = true;
    }
    measure(context, devices, count, page, "beside", rounds);
    return 0;
}
