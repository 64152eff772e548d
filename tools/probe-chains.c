/* SPDX-License-Identifier: BSD-3-Clause */

/** The queues of a played device: the driver's requests are held until the command give. */

#include <limits.h>
#include <string.h>

#include "probe-wire.h"

/* The most requests of the driver that are held. More are taken after some were given back. */
#define MAX_HELD 256
#define MAX_SHOWN 4096

static struct {
    vhushmem_chain *chains[MAX_HELD];
    unsigned queues[MAX_HELD];
} held;

static void take_chains(struct probe *probe, unsigned queue)
{
    GError *error = NULL;

    for (unsigned i = 0; i < MAX_HELD; i++) {
        if (held.chains[i] != NULL) {
            continue;
        }
        vhushmem_chain *chain = vhushmem_backend_pop(probe->backend, queue, &error);

        if (chain == NULL) {
            break;
        }
        uint8_t bytes[MAX_SHOWN];
        size_t len = vhushmem_chain_read(chain, 0, bytes, sizeof(bytes));
        struct record record;

        held.chains[i] = chain;
        held.queues[i] = queue;
        record_begin(&record, probe->json, "request");
        record_number(&record, "chain", i);
        record_number(&record, "queue", queue);
        record_number(&record, "out", vhushmem_chain_readable_size(chain));
        record_number(&record, "in", vhushmem_chain_writable_size(chain));
        if (record.json) {
            record_bytes(&record, "hex", bytes, len);
        } else {
            record_dump(&record, 0, bytes, len);
        }
        record_end(&record);
        probe_note_event(probe, "request");
    }
    g_clear_error(&error);
}

/** give CHAIN [HEX] */
char *chains_run_give(struct probe *probe, char **words, struct record *answer)
{
    uint64_t index, len = 0;
    uint8_t *bytes = words[2] != NULL ? probe_parse_hex(words[2], &len) : NULL;
    vhushmem_chain *chain;
    GError *error = NULL;
    char *sentence;

    if (!probe_parse_number(words[1], MAX_HELD - 1, &index) || held.chains[index] == NULL ||
        (words[2] != NULL && bytes == NULL)) {
        g_free(bytes);
        return g_strdup("CHAIN is the number in a request event, and HEX has two hex digits a byte");
    }
    chain = held.chains[index];
    len = vhushmem_chain_write(chain, 0, bytes, len);
    g_free(bytes);
    sentence = vhushmem_backend_push(probe->backend, chain, (uint32_t)len, &error) < 0 ? g_strdup(error->message) : NULL;
    if (sentence != NULL) {
        g_error_free(error);
        vhushmem_chain_free(chain);
    }
    held.chains[index] = NULL;
    vhushmem_backend_notify(probe->backend, held.queues[index], NULL);
    record_number(answer, "written", len);
    take_chains(probe, held.queues[index]);
    return sentence;
}

void chains_drop(unsigned queue)
{
    for (unsigned i = 0; i < MAX_HELD; i++) {
        if (held.chains[i] != NULL && (queue == UINT_MAX || held.queues[i] == queue)) {
            g_clear_pointer(&held.chains[i], vhushmem_chain_free);
        }
    }
}

void chains_on_queue(vhushmem_backend *backend, unsigned queue, vhushmem_queue_event event, const char *message,
                     void *user_data)
{
    static const char *const names[] = {"queue_started", "queue_kicked", "queue_stopped", "queue_broken"};
    struct probe *probe = user_data;
    struct record record;

    (void)backend;
    if (event >= VHUSHMEM_QUEUE_STARTED && event <= VHUSHMEM_QUEUE_BROKEN && event != VHUSHMEM_QUEUE_KICKED) {
        const char *name = names[event - VHUSHMEM_QUEUE_STARTED];

        record_begin(&record, probe->json, name);
        record_number(&record, "queue", queue);
        if (message != NULL) {
            record_text(&record, "message", message);
        }
        record_end(&record);
        probe_note_event(probe, name);
    }
    if (event == VHUSHMEM_QUEUE_KICKED) {
        take_chains(probe, queue);
    } else if (event != VHUSHMEM_QUEUE_STARTED) {
        chains_drop(queue);
    }
}
