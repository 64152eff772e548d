/* SPDX-License-Identifier: BSD-3-Clause */

/**
 * Dialogues with a class of devices: a few requests that show much. The code of each is in the order of its requests. While it
 * waits, the main loop runs.
 */

#include "probe-dialogue.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define ANSWER_SECONDS 10
#define SECTOR 512

/* ---- waiting ---- */

static gboolean on_time(gpointer user_data)
{
    struct dialogue *dialogue = user_data;

    dialogue->timer = 0;
    return G_SOURCE_REMOVE;
}

/** Run the main loop until the answer has come. @returns false: it has not; error has the reason. */
static bool wait_for(struct dialogue *dialogue, const char *what)
{
    dialogue->timer = g_timeout_add_seconds(ANSWER_SECONDS, on_time, dialogue);
    while (!dialogue->over && dialogue->timer != 0 && !dialogue->probe->quitting) {
        g_main_context_iteration(NULL, TRUE);
    }
    if (dialogue->timer != 0) {
        g_source_remove(dialogue->timer);
        dialogue->timer = 0;
    } else if (!dialogue->over) {
        driver_reap(dialogue->probe); /* the device may have forgotten to signal */
    }
    if (!dialogue->over && !dialogue->probe->quitting) {
        dialogue->error = g_strdup_printf("%s: no answer in %d seconds", what, ANSWER_SECONDS);
    } else if (!dialogue->over) {
        dialogue->error = g_strdup_printf("%s: the program ends before the answer", what);
    }
    return dialogue->error == NULL;
}

static struct dialogue *current; /* one at a time */

static void on_started(struct probe *probe, const char *error)
{
    (void)probe;
    if (current != NULL) {
        current->error = g_strdup(error);
        current->over = true;
    }
}

bool dialogue_start(struct dialogue *dialogue, unsigned queues)
{
    if (driver_max_queues(dialogue->probe) < queues) {
        dialogue->error = g_strdup_printf("this needs %u queues: give --queues %u", queues, queues);
        return false;
    }
    if (driver_is_started(dialogue->probe)) {
        return true;
    }
    dialogue->over = false;
    dialogue->error = driver_start(dialogue->probe, queues, DRIVER_QUEUE_SIZE, on_started);
    return dialogue->error == NULL && wait_for(dialogue, "start");
}

static void on_returned(struct probe *probe, const struct returned *returned, void *user_data)
{
    struct dialogue *dialogue = user_data;

    (void)probe;
    dialogue->error = g_strdup(returned->error);
    g_byte_array_append(dialogue->in, returned->bytes, (guint)returned->len);
    dialogue->over = true;
}

/** Make a request. Its answer is in `in`. */
bool dialogue_exchange(struct dialogue *dialogue, const char *what, unsigned queue, const struct piece *pieces, unsigned count)
{
    uint16_t head;

    g_byte_array_set_size(dialogue->in, 0);
    dialogue->over = false;
    dialogue->error = driver_push(dialogue->probe, queue, pieces, count, on_returned, dialogue, &head);
    if (dialogue->error == NULL) {
        dialogue->error = driver_kick(dialogue->probe, queue);
    }
    if (dialogue->error == NULL && !wait_for(dialogue, what)) {
        driver_abandon(dialogue->probe, queue, head);
    }
    return dialogue->error == NULL;
}

void dialogue_begin_step(struct dialogue *dialogue, struct record *record, const char *step)
{
    record_begin(record, dialogue->probe->json, "step");
    record_text(record, "name", step);
}

void dialogue_show_bytes(struct record *record, uint64_t offset, const uint8_t *bytes, size_t len)
{
    if (record->json) {
        record_bytes(record, "hex", bytes, len);
    } else {
        record_dump(record, offset, bytes, len);
    }
}

/* ---- virtio-rng, virtio-blk ---- */

static void talk_rng(struct dialogue *dialogue)
{
    uint64_t len = SHOWN;
    struct record record;

    if (dialogue->words[1] != NULL && (!probe_parse_size(dialogue->words[1], MAX_ROOM, &len) || len == 0)) {
        dialogue->error = g_strdup("LEN is no number from 1 to 64K");
        return;
    }
    struct piece room = {NULL, len};

    if (dialogue_start(dialogue, 1) && dialogue_exchange(dialogue, "entropy", 0, &room, 1)) {
        dialogue_begin_step(dialogue, &record, "entropy");
        dialogue_show_bytes(&record, 0, dialogue->in->data, dialogue->in->len);
        record_end(&record);
    }
}

static void talk_blk(struct dialogue *dialogue)
{
    struct {
        uint32_t type, reserved;
        uint64_t sector;
    } header = {0};
    uint64_t sector = 0;
    struct piece pieces[3] = {{(const uint8_t *)&header, sizeof(header)}, {NULL, SECTOR}, {NULL, 1}};
    struct record record;

    if (dialogue->words[1] != NULL && !probe_parse_number(dialogue->words[1], UINT64_MAX, &sector)) {
        dialogue->error = g_strdup("SECTOR is no number");
        return;
    }
    header.sector = htole64(sector);
    if (!dialogue_start(dialogue, 1) || !dialogue_exchange(dialogue, "read", 0, pieces, 3)) {
        return;
    }
    if (dialogue->in->len != SECTOR + 1) {
        dialogue->error =
            g_strdup_printf("the device says that it has written %u bytes, not %d", dialogue->in->len, SECTOR + 1);
        return;
    }
    probe_keep_bytes(dialogue->probe, dialogue->in->data, SECTOR);
    dialogue_begin_step(dialogue, &record, "read");
    record_number(&record, "sector", sector);
    record_number(&record, "status", dialogue->in->data[SECTOR]);
    if (dialogue->in->data[SECTOR] == 0 || record.json) {
        dialogue_show_bytes(&record, sector * SECTOR, dialogue->in->data, SECTOR);
    }
    record_end(&record);
    if (dialogue->in->data[SECTOR] != 0) {
        dialogue->error = g_strdup_printf("the device answers status %u", dialogue->in->data[SECTOR]);
    }
}

/* ---- the commands ---- */

static gboolean run_dialogue(gpointer user_data)
{
    struct dialogue *dialogue = user_data;
    struct probe *probe = dialogue->probe;

    current = dialogue;
    dialogue->in = g_byte_array_new();
    if (strcmp(dialogue->words[0], "virtio-fs") == 0) {
        dialogue_fs(dialogue);
    } else if (strcmp(dialogue->words[0], "virtio-blk") == 0) {
        talk_blk(dialogue);
    } else {
        talk_rng(dialogue);
    }
    current = NULL;
    probe_finish(probe, dialogue->error);
    g_byte_array_unref(dialogue->in);
    g_strfreev(dialogue->words);
    g_free(dialogue);
    return G_SOURCE_REMOVE;
}

static char *begin_dialogue(struct probe *probe, char **words)
{
    struct dialogue *dialogue = g_new0(struct dialogue, 1);

    /* It does not run here, because it runs the main loop. */
    dialogue->probe = probe;
    dialogue->words = g_strdupv(words);
    g_idle_add(run_dialogue, dialogue);
    return NULL;
}

const struct command dialogue_commands[] = {
    {"virtio-fs", "virtio-fs FILE", "start, INIT, LOOKUP and OPEN of a file, SETUPMAPPING, and read through the window", 2, 2,
     MODE_CONNECT, NEEDS_PEER, NULL, begin_dialogue},
    {"virtio-blk", "virtio-blk [SECTOR]", "start, and read a sector", 1, 2, MODE_CONNECT, NEEDS_PEER, NULL, begin_dialogue},
    {"virtio-rng", "virtio-rng [LEN]", "start, and get random bytes", 1, 2, MODE_CONNECT, NEEDS_PEER, NULL, begin_dialogue},
    {0},
};
