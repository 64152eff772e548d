/* SPDX-License-Identifier: BSD-3-Clause */

/** Messages that pass through: they are filtered and shown, counted, timed, followed and recorded. */

#include "probe-wire.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* The most requests without an answer. If there are more, the oldest are forgotten. */
#define MAX_AWAITED 256
/* Round-trip times are counted in buckets of 1/16 of a power of two, in microseconds. */
#define STEPS 16
#define BUCKETS (40 * STEPS)

/** A request that waits for its answer. */
struct awaited {
    struct wire_message message;
    VhostUserMMap map; /* of SHMEM_MAP and SHMEM_UNMAP */
    int fd;            /* of SHMEM_MAP, if mappings are followed; -1 */
};

struct counts {
    bool on_channel;
    uint32_t request;
    uint64_t messages, replies, failures;
    uint64_t max_us;
    uint32_t times[BUCKETS];
};

struct traffic {
    bool prints, follows;
    GQueue awaited[2];  /* by socket; of struct awaited */
    GHashTable *counts; /* socket << 32 | request -> struct counts */
    gint64 last_us;
};

static void free_awaited(gpointer data)
{
    struct awaited *awaited = data;

    if (awaited->fd >= 0) {
        close_received(awaited->fd);
    }
    g_free(awaited);
}

void traffic_begin(struct probe *probe, const struct probe_options *options, bool follows)
{
    struct traffic *traffic = g_new0(struct traffic, 1);

    traffic->prints = options->dump_wire;
    traffic->follows = follows;
    g_queue_init(&traffic->awaited[0]);
    g_queue_init(&traffic->awaited[1]);
    traffic->counts = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, g_free);
    probe->traffic = traffic;
}

/* ---- round-trip times ---- */

static unsigned bucket_of(uint64_t us)
{
    unsigned power = 0;

    if (us < STEPS) {
        return (unsigned)us;
    }
    while (us >> power >= 2 * STEPS) {
        power++;
    }
    return MIN(power * STEPS + (unsigned)(us >> power), BUCKETS - 1);
}

/** The largest time of a bucket. */
static uint64_t bucket_end(unsigned bucket)
{
    if (bucket < 2 * STEPS) {
        return bucket;
    }
    unsigned power = bucket / STEPS - 1;

    return ((uint64_t)(bucket - power * STEPS + 1) << power) - 1;
}

static uint64_t percentile(const struct counts *counts, unsigned percent)
{
    uint64_t wanted = (counts->replies * percent + 99) / 100, seen = 0;

    for (unsigned i = 0; i < BUCKETS; i++) {
        seen += counts->times[i];
        if (seen >= wanted && seen > 0) {
            return MIN(bucket_end(i), counts->max_us);
        }
    }
    return counts->max_us;
}

static struct counts *counts_of(struct traffic *traffic, const struct wire_message *message)
{
    gint64 key = (gint64)((uint64_t)message->on_channel << 32 | message->request);
    struct counts *counts = g_hash_table_lookup(traffic->counts, &key);

    if (counts == NULL && g_hash_table_size(traffic->counts) < 1024) {
        gint64 *own_key = g_new(gint64, 1);

        *own_key = key;
        counts = g_new0(struct counts, 1);
        counts->on_channel = message->on_channel;
        counts->request = message->request;
        g_hash_table_insert(traffic->counts, own_key, counts);
    }
    return counts;
}

/* ---- requests and their answers ---- */

static bool is_mapping(const struct wire_message *message)
{
    return message->on_channel && message->size == sizeof(VhostUserMMap) &&
           (message->request == VHOST_USER_BACKEND_SHMEM_MAP || message->request == VHOST_USER_BACKEND_SHMEM_UNMAP);
}

static void await_reply(struct probe *probe, const struct wire_message *message)
{
    struct traffic *traffic = probe->traffic;
    bool owes = (message->flags & VHOST_USER_NEED_REPLY_MASK) != 0 || request_has_reply(message);
    bool follows = traffic->follows && !message->is_late;
    struct awaited *awaited = g_new(struct awaited, 1);

    *awaited = (struct awaited){.message = *message, .fd = -1};
    if (is_mapping(message)) {
        memcpy(&awaited->map, message->payload, sizeof(awaited->map));
        if (follows && message->request == VHOST_USER_BACKEND_SHMEM_MAP && message->nfds == 1) {
            awaited->fd = fcntl(message->fds[0], F_DUPFD_CLOEXEC, 0);
        }
    }
    if (!owes) {
        /* No answer says whether it was served. It counts as served. */
        if (is_mapping(message) && follows) {
            follow_request(probe, message, awaited->fd);
        }
        free_awaited(awaited);
        return;
    }
    g_queue_push_tail(&traffic->awaited[message->on_channel], awaited);
    if (g_queue_get_length(&traffic->awaited[message->on_channel]) > MAX_AWAITED) {
        free_awaited(g_queue_pop_head(&traffic->awaited[message->on_channel]));
    }
}

/** Take the request of an answer out of the queue. @returns the round-trip time, or -1: there is no such request. */
static gint64 take_reply(struct probe *probe, const struct wire_message *reply)
{
    struct traffic *traffic = probe->traffic;
    GQueue *queue = &traffic->awaited[reply->on_channel];
    struct awaited *awaited = NULL;
    gint64 took;
    uint64_t value = 0;

    for (GList *link = queue->head; link != NULL; link = link->next) {
        struct awaited *candidate = link->data;

        if (candidate->message.request == reply->request) {
            awaited = candidate;
            g_queue_delete_link(queue, link);
            break;
        }
    }
    if (awaited == NULL) {
        return -1;
    }
    took = MAX(reply->time_us - awaited->message.time_us, 0);
    if (reply->size == sizeof(value)) {
        memcpy(&value, reply->payload, sizeof(value));
    }
    struct counts *counts = counts_of(traffic, reply);

    if (counts != NULL) {
        counts->replies++;
        counts->failures += !request_has_reply(reply) && value != 0 ? 1 : 0;
        counts->max_us = MAX(counts->max_us, (uint64_t)took);
        counts->times[bucket_of((uint64_t)took)]++;
    }
    if (is_mapping(&awaited->message) && traffic->follows && !reply->is_late) {
        int32_t result = value == 0 ? 0 : value >= (uint64_t)INT64_C(-4095) ? (int32_t)value : -1;

        if (reply->request == VHOST_USER_BACKEND_SHMEM_MAP) {
            follow_map(probe, &awaited->map, awaited->fd, result);
        } else {
            follow_unmap(probe, &awaited->map, result);
        }
    }
    free_awaited(awaited);
    return took;
}

/* ---- showing ---- */

static void print(struct probe *probe, const struct wire_message *message, const char *name, gint64 since, gint64 took)
{
    struct record record;

    record_begin(&record, probe->json, "wire");
    record_text(&record, "from", message->from_backend ? "back-end" : "front-end");
    record_text(&record, "socket", message->on_channel ? "channel" : "main");
    record_number(&record, "id", message->request);
    record_text(&record, "name", name);
    record_bool(&record, "reply", (message->flags & VHOST_USER_REPLY_MASK) != 0);
    record_hex(&record, "flags", message->flags);
    record_number(&record, "size", message->size);
    record_number(&record, "since_us", (uint64_t)since);
    if (took >= 0) {
        record_number(&record, "round_trip_us", (uint64_t)took);
    }
    record_number(&record, "fds", message->nfds);
    if (message->nfds > 0) {
        record_list_begin(&record, "fd_kinds");
        for (unsigned i = 0; i < message->nfds; i++) {
            char *kind = describe_fd(message->fds[i]);

            record_list_text(&record, kind);
            g_free(kind);
        }
        record_list_end(&record);
    }
    decode_payload(&record, message);
    record_end(&record);
}

void traffic_message(struct probe *probe, const struct wire_message *message)
{
    struct traffic *traffic = probe->traffic;
    bool reply = (message->flags & VHOST_USER_REPLY_MASK) != 0;
    const char *known = vhushmem_request_name(message->on_channel, message->request), *name = known != NULL ? known : "?";
    gint64 since = traffic->last_us != 0 ? message->time_us - traffic->last_us : 0, took = -1;
    struct counts *counts = counts_of(traffic, message);

    traffic->last_us = message->time_us;
    capture_message(probe->capture, message);
    if (counts != NULL && !reply) {
        counts->messages++;
    }
    if (traffic->prints && filter_wants(name, message->on_channel) && !reply) {
        print(probe, message, name, since, -1);
    }
    if (reply) {
        took = take_reply(probe, message);
        if (traffic->prints && filter_wants(name, message->on_channel)) {
            print(probe, message, name, since, took);
        }
        if (traffic->follows && !message->on_channel) {
            follow_config(probe, message);
        }
    } else {
        await_reply(probe, message);
        if (traffic->follows && !message->on_channel) {
            follow_request(probe, message, -1);
        }
    }
}

void traffic_channel_ended(struct probe *probe)
{
    if (probe->traffic != NULL) {
        g_queue_clear_full(&probe->traffic->awaited[1], free_awaited);
    }
}

void traffic_ended(struct probe *probe)
{
    /* A request on the channel may still get its answer there. */
    g_queue_clear_full(&probe->traffic->awaited[0], free_awaited);
}

/* ---- the summary ---- */

static gint compare_counts(gconstpointer a, gconstpointer b)
{
    const struct counts *x = a, *y = b;

    return x->on_channel != y->on_channel ? (x->on_channel ? 1 : -1) : x->request < y->request ? -1 : x->request > y->request;
}

void traffic_print_summary(struct probe *probe)
{
    struct traffic *traffic = probe->traffic;
    GList *all = g_list_sort(g_hash_table_get_values(traffic->counts), compare_counts);
    struct record record;

    record_begin(&record, probe->json, "summary");
    record_list_begin(&record, "requests");
    for (GList *link = all; link != NULL; link = link->next) {
        const struct counts *counts = link->data;
        const char *name = vhushmem_request_name(counts->on_channel, counts->request);

        record_object_begin(&record, NULL);
        record_text(&record, "name", name != NULL ? name : "?");
        record_text(&record, "socket", counts->on_channel ? "channel" : "main");
        record_number(&record, "id", counts->request);
        record_number(&record, "count", counts->messages);
        record_number(&record, "replies", counts->replies);
        record_number(&record, "failures", counts->failures);
        if (counts->replies > 0) {
            record_number(&record, "p50_us", percentile(counts, 50));
            record_number(&record, "p99_us", percentile(counts, 99));
            record_number(&record, "max_us", counts->max_us);
        }
        record_object_end(&record);
    }
    record_list_end(&record);
    record_end(&record);
    g_list_free(all);
}

void traffic_free(struct probe *probe)
{
    if (probe->traffic != NULL) {
        traffic_ended(probe);
        traffic_channel_ended(probe);
        g_hash_table_unref(probe->traffic->counts);
        g_clear_pointer(&probe->traffic, g_free);
    }
}
