/* SPDX-License-Identifier: BSD-3-Clause */

/** Split virtqueues, from the driver's side. All that the device writes into the rings is checked like input from outside. */

#include "probe-rings.h"

#include <endian.h>
#include <inttypes.h>
#include <string.h>
#include <sys/eventfd.h>

#define DESC_NEXT 1
#define DESC_WRITE 2

/* ---- rings ---- */

static uint64_t round_up(uint64_t bytes) { return (bytes + PAGE - 1) / PAGE * PAGE; }
uint64_t desc_at(const struct queue *q) { return q->rings; }
uint64_t avail_at(const struct queue *q) { return q->rings + round_up(16u * (uint64_t)q->size); }
uint64_t used_at(const struct queue *q) { return avail_at(q) + round_up(6 + 2u * (uint64_t)q->size); }
uint64_t rings_size(unsigned size)
{
    return round_up(16u * (uint64_t)size) + round_up(6 + 2u * (uint64_t)size) + round_up(6 + 8u * (uint64_t)size);
}

/** Give a returned request to its owner. */
static void give_back(struct probe *probe, struct queue *q, uint16_t head, uint32_t written, const char *error)
{
    struct request request = q->requests[head];
    uint64_t room = request.len - request.out;
    struct returned returned = {.queue = q->index, .head = head, .written = written, .error = error};
    uint16_t at = head;

    /* The device may have changed the table. These are the numbers that the driver used: one after the other. */
    for (uint16_t i = 0; i < request.count; i++) {
        q->free[q->nfree++] = at;
        at = (uint16_t)(at + 1);
    }
    q->requests[head].in_use = false;
    returned.len = error == NULL ? MIN(written, room) : 0;
    uint8_t *copy = g_memdup2(probe->driver->ram + request.at + request.out, returned.len);
    returned.bytes = copy;
    if (request.fn != NULL) {
        request.fn(probe, &returned, request.user_data);
    } else if (error == NULL) {
        driver_tell_returned(probe, &returned);
    }
    g_free(copy);
}

void fail_requests(struct probe *probe, struct queue *q, const char *message)
{
    for (unsigned head = 0; head < q->size; head++) {
        if (q->requests[head].in_use) {
            give_back(probe, q, (uint16_t)head, 0, message);
        }
    }
}

static void break_queue(struct probe *probe, struct queue *q, char *sentence)
{
    struct record record;

    q->broken = true;
    record_begin(&record, probe->json, "queue_broken");
    record_number(&record, "queue", q->index);
    record_text(&record, "message", sentence);
    record_end(&record);
    probe_note_event(probe, "queue_broken");
    fail_requests(probe, q, sentence);
    g_free(sentence);
}

void reap_queue(struct probe *probe, struct queue *q)
{
    const uint8_t *used = probe->driver->ram + used_at(q);
    uint16_t index = le16toh(__atomic_load_n((const uint16_t *)(used + 2), __ATOMIC_ACQUIRE));

    while (!q->broken && q->seen != index) {
        const uint32_t *entry = (const uint32_t *)(used + 4 + 8u * (q->seen % q->size));
        uint32_t head = le32toh(__atomic_load_n(&entry[0], __ATOMIC_RELAXED));
        uint32_t written = le32toh(__atomic_load_n(&entry[1], __ATOMIC_RELAXED));

        if ((uint16_t)(index - q->seen) > (uint16_t)(q->asked - q->seen)) {
            break_queue(probe, q, g_strdup_printf("the used ring's index is %u, and %u requests were made", index, q->asked));
        } else if (head >= q->size || !q->requests[head].in_use) {
            break_queue(probe, q, g_strdup_printf("the device gives back request %" PRIu32 ", which it does not have", head));
        } else {
            q->seen++;
            give_back(probe, q, (uint16_t)head, written, NULL);
        }
    }
}

/** @returns the place of so many free bytes, or UINT64_MAX. */
static uint64_t find_room(struct driver *driver, uint64_t len)
{
    uint64_t at = driver->buffers;
    bool moved = true;

    while (moved) {
        moved = false;
        for (unsigned i = 0; i < driver->count; i++) {
            for (unsigned head = 0; head < driver->queues[i].size; head++) {
                const struct request *r = &driver->queues[i].requests[head];

                if (r->in_use && at < r->at + r->len && r->at < at + len) {
                    at = (r->at + r->len + 15) / 16 * 16;
                    moved = true;
                }
            }
        }
    }
    return len <= driver->ram_size && at <= driver->ram_size - len ? at : UINT64_MAX;
}

/* ---- requests ---- */

/** Take `count` free descriptors with consecutive numbers from the stack. @returns the first, or -1: there are not so many. */
static int take_descriptors(struct queue *q, unsigned count)
{
    for (unsigned first = 0; first + count <= q->size; first++) {
        unsigned found = 0;

        for (unsigned i = 0; i < q->nfree; i++) {
            found += q->free[i] >= first && q->free[i] < first + count ? 1 : 0;
        }
        if (found == count) {
            unsigned kept = 0;

            for (unsigned i = 0; i < q->nfree; i++) {
                if (q->free[i] < first || q->free[i] >= first + count) {
                    q->free[kept++] = q->free[i];
                }
            }
            q->nfree = (uint16_t)kept;
            return (int)first;
        }
    }
    return -1;
}

static struct queue *find_queue(struct probe *probe, unsigned queue, char **error)
{
    struct driver *driver = probe->driver;

    *error = NULL;
    if (!driver_is_started(probe)) {
        *error = g_strdup("the device does not run: start it first");
    } else if (queue >= driver->count) {
        *error = g_strdup_printf("queue %u was not started: there are %u", queue, driver->count);
    } else if (driver->queues[queue].broken) {
        *error = g_strdup_printf("queue %u is broken", queue);
    }
    return *error == NULL ? &driver->queues[queue] : NULL;
}

char *driver_push(struct probe *probe, unsigned queue, const struct piece *pieces, unsigned count, returned_fn fn,
                  void *user_data, uint16_t *head)
{
    struct driver *driver = probe->driver;
    char *error;
    struct queue *q = find_queue(probe, queue, &error);
    uint64_t len = 0, out = 0, at, place;
    int first;

    if (q == NULL) {
        return error;
    }
    for (unsigned i = 0; i < count; i++) {
        len += pieces[i].len;
        out += pieces[i].bytes != NULL ? pieces[i].len : 0;
    }
    at = place = find_room(driver, MAX(len, 1));
    if (at == UINT64_MAX) {
        return g_strdup_printf("guest memory has no room for 0x%" PRIx64 " bytes more", len);
    }
    first = take_descriptors(q, count);
    if (first < 0) {
        return g_strdup_printf("queue %u is full", queue);
    }
    struct descriptor *table = (struct descriptor *)(driver->ram + desc_at(q));

    for (unsigned i = 0; i < count; i++) {
        bool more = i + 1 < count;

        table[first + (int)i] =
            (struct descriptor){htole64(DRIVER_RAM_ADDR + place), htole32((uint32_t)pieces[i].len),
                                htole16((uint16_t)((pieces[i].bytes == NULL ? DESC_WRITE : 0) | (more ? DESC_NEXT : 0))),
                                htole16((uint16_t)(more ? first + (int)i + 1 : 0))};
        if (pieces[i].bytes != NULL) {
            memcpy(driver->ram + place, pieces[i].bytes, pieces[i].len);
        } else {
            memset(driver->ram + place, 0, pieces[i].len);
        }
        place += pieces[i].len;
    }
    q->requests[first] = (struct request){fn, user_data, at, len, out, (uint16_t)count, true};
    uint16_t *avail = (uint16_t *)(driver->ram + avail_at(q));

    avail[2 + q->asked % q->size] = htole16((uint16_t)first);
    q->asked++;
    __atomic_store_n(&avail[1], htole16(q->asked), __ATOMIC_RELEASE);
    *head = (uint16_t)first;
    return NULL;
}

char *driver_kick(struct probe *probe, unsigned queue)
{
    char *error;
    struct queue *q = find_queue(probe, queue, &error);

    if (q != NULL) {
        eventfd_write(q->kick, 1);
    }
    return error;
}

void driver_abandon(struct probe *probe, unsigned queue, uint16_t head)
{
    struct driver *driver = probe->driver;

    if (driver != NULL && queue < driver->count && head < driver->queues[queue].size) {
        driver->queues[queue].requests[head].fn = NULL;
    }
}
