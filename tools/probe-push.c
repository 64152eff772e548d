/* SPDX-License-Identifier: BSD-3-Clause */

/** The commands push and kick: a request of the driver, and its result. */

#include "probe-driver.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#define PUSH_SECONDS 10

static struct {
    bool waits;
    unsigned queue;
    uint16_t head;
    guint timer;
} pushed;

static void show_returned(struct record *record, const struct returned *returned)
{
    record_number(record, "queue", returned->queue);
    record_number(record, "head", returned->head);
    record_number(record, "written", returned->written);
    if (record->json) {
        record_bytes(record, "hex", returned->bytes, returned->len);
    } else if (returned->len > 0) {
        record_dump(record, 0, returned->bytes, returned->len);
    }
}

void driver_tell_returned(struct probe *probe, const struct returned *returned)
{
    struct record record;

    record_begin(&record, probe->json, "used");
    show_returned(&record, returned);
    record_end(&record);
    probe_keep_bytes(probe, returned->bytes, returned->len);
    probe_note_event(probe, "used");
}

static void on_returned(struct probe *probe, const struct returned *returned, void *user_data)
{
    struct record answer;

    (void)user_data;
    if (pushed.timer != 0) {
        g_source_remove(pushed.timer);
    }
    pushed.timer = 0;
    pushed.waits = false;
    if (returned->error != NULL) {
        probe_finish(probe, g_strdup(returned->error));
        return;
    }
    probe_keep_bytes(probe, returned->bytes, returned->len);
    probe_answer_begin(probe, &answer);
    show_returned(&answer, returned);
    probe_answer_end(probe, &answer);
}

static gboolean on_time(gpointer user_data)
{
    struct probe *probe = user_data;

    pushed.timer = 0;
    driver_reap(probe); /* the device may have forgotten to signal */
    if (pushed.waits) {
        pushed.waits = false;
        driver_abandon(probe, pushed.queue, pushed.head);
        probe_finish(probe, g_strdup_printf("the device did not give the request back in %d seconds", PUSH_SECONDS));
    }
    return G_SOURCE_REMOVE;
}

/** HEX or @FILE. @returns a sentence, or NULL. */
static char *take_bytes(const char *word, uint8_t **bytes, uint64_t *len)
{
    if (word[0] == '@') {
        /* With O_NONBLOCK, open does not wait for the writer of a pipe. */
        int fd = open(word + 1, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        size_t size = 0;
        ssize_t n = 0;

        *bytes = g_malloc(PROBE_MAX_LEN + 1);
        do {
            size += (size_t)n;
            n = fd >= 0 ? read(fd, *bytes + size, PROBE_MAX_LEN + 1 - size) : -1;
        } while (n > 0);
        if (n < 0) {
            char *sentence = g_strdup_printf("%s: %s", word + 1, g_strerror(errno));

            if (fd >= 0) {
                close(fd);
            }
            return sentence;
        }
        close(fd);
        *len = size;
        return size > PROBE_MAX_LEN || size == 0
                   ? g_strdup_printf("%s has no byte, or more than the 0x%" PRIx64 " that can be sent", word + 1, PROBE_MAX_LEN)
                   : NULL;
    }
    *bytes = probe_parse_hex(word, len);
    return *bytes == NULL ? g_strdup("after `out` come two hex digits a byte, or @FILE") : NULL;
}

struct request_words {
    struct piece pieces[DRIVER_MAX_PIECES];
    uint8_t *owned[DRIVER_MAX_PIECES];
    unsigned count;
    bool later;
};

/** [out HEX|@FILE]... [in LEN]... [--later]. @returns a sentence, or NULL. */
static char *parse_request(char **words, struct request_words *request)
{
    bool writes = false;

    for (; *words != NULL; words++) {
        struct piece *piece = &request->pieces[request->count];
        char *error = NULL;

        if (strcmp(*words, "--later") == 0) {
            request->later = true;
            continue;
        }
        if (words[1] == NULL || request->count == DRIVER_MAX_PIECES) {
            return g_strdup("the usage is: push QUEUE [out HEX|@FILE]... [in LEN]... [--later]");
        }
        if (strcmp(*words, "out") == 0 && !writes) {
            error = take_bytes(words[1], &request->owned[request->count], &piece->len);
            piece->bytes = request->owned[request->count];
            request->count++;
        } else if (strcmp(*words, "in") == 0) {
            writes = true;
            if (!probe_parse_size(words[1], PROBE_MAX_LEN, &piece->len) || piece->len == 0) {
                error = g_strdup("after `in` comes a number of bytes, 1 to 1M");
            }
            request->count++;
        } else {
            error = g_strdup("in a request, `out` comes before `in`");
        }
        if (error != NULL) {
            return error;
        }
        words++;
    }
    return request->count == 0 ? g_strdup("a request needs an `out` or an `in`") : NULL;
}

char *driver_begin_push(struct probe *probe, char **words)
{
    struct request_words request = {.count = 0};
    uint64_t queue;
    uint16_t head = 0;
    char *error;

    if (!probe_parse_number(words[1], 255, &queue)) {
        return g_strdup("QUEUE is no number from 0 to 255");
    }
    error = parse_request(words + 2, &request);
    if (error == NULL) {
        pushed.waits = !request.later;
        error =
            driver_push(probe, (unsigned)queue, request.pieces, request.count, request.later ? NULL : on_returned, NULL, &head);
    }
    for (unsigned i = 0; i < DRIVER_MAX_PIECES; i++) {
        g_free(request.owned[i]);
    }
    if (error != NULL) {
        return error;
    }
    if (request.later) {
        struct record answer;

        probe_answer_begin(probe, &answer);
        record_number(&answer, "queue", queue);
        record_number(&answer, "head", head);
        probe_answer_end(probe, &answer);
        return NULL;
    }
    pushed.queue = (unsigned)queue;
    pushed.head = head;
    pushed.timer = g_timeout_add_seconds(PUSH_SECONDS, on_time, probe);
    return driver_kick(probe, (unsigned)queue);
}

char *driver_run_kick(struct probe *probe, char **words, struct record *answer)
{
    uint64_t queue;

    (void)answer;
    return probe_parse_number(words[1], 255, &queue) ? driver_kick(probe, (unsigned)queue)
                                                     : g_strdup("QUEUE is no number from 0 to 255");
}
