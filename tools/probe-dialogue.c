/* SPDX-License-Identifier: BSD-3-Clause */

/**
 * Ready-made dialogues with a device of a class: a few requests that say much. Each is written from top to bottom; what it waits for turns
 * the main loop meanwhile.
 */

#include "probe-driver.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <linux/fuse.h>

#define ANSWER_SECONDS 10
#define SECTOR 512
/* As many bytes of a file are shown. */
#define SHOWN 64
#define MAX_ROOM 65536

struct dialogue {
    struct probe *probe;
    char **words;
    bool over; /* what is awaited has come, or its time has passed */
    char *error;
    GByteArray *in; /* what the device wrote */
    uint64_t unique;
};

/* ---- waiting ---- */

static gboolean on_time(gpointer user_data)
{
    struct dialogue *dialogue = user_data;

    dialogue->over = true;
    return G_SOURCE_REMOVE;
}

/** Turn the main loop until something has come. @returns false: it has not; error says why. */
static bool wait_for(struct dialogue *dialogue, const char *what)
{
    bool in_time = true;
    gint64 until = g_get_monotonic_time() + ANSWER_SECONDS * G_USEC_PER_SEC;
    guint timer = g_timeout_add_seconds(ANSWER_SECONDS, on_time, dialogue);

    while (!dialogue->over && !dialogue->probe->quitting) {
        g_main_context_iteration(NULL, TRUE);
        in_time = g_get_monotonic_time() < until;
    }
    if (in_time || dialogue->error != NULL) {
        g_source_remove(timer);
    }
    if (dialogue->error == NULL && (!in_time || dialogue->probe->quitting)) {
        dialogue->error = g_strdup_printf("%s: no answer in %d seconds", what, ANSWER_SECONDS);
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

static bool start(struct dialogue *dialogue, unsigned queues)
{
    if (driver_max_queues(dialogue->probe) < queues) {
        dialogue->error = g_strdup_printf("this needs %u queues: say --queues %u", queues, queues);
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

/** A request, and its answer in `in`. */
static bool exchange(struct dialogue *dialogue, const char *what, unsigned queue, const struct piece *pieces, unsigned count)
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

static void begin_step(struct dialogue *dialogue, struct record *record, const char *step)
{
    record_begin(record, dialogue->probe->json, "step");
    record_text(record, "name", step);
}

static void show_bytes(struct record *record, uint64_t offset, const uint8_t *bytes, size_t len)
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

    if (start(dialogue, 1) && exchange(dialogue, "entropy", 0, &room, 1)) {
        begin_step(dialogue, &record, "entropy");
        show_bytes(&record, 0, dialogue->in->data, dialogue->in->len);
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
    if (!start(dialogue, 1) || !exchange(dialogue, "read", 0, pieces, 3)) {
        return;
    }
    if (dialogue->in->len != SECTOR + 1) {
        dialogue->error =
            g_strdup_printf("the device says that it has written %u bytes, not %d", dialogue->in->len, SECTOR + 1);
        return;
    }
    probe_keep_bytes(dialogue->probe, dialogue->in->data, SECTOR);
    begin_step(dialogue, &record, "read");
    record_number(&record, "sector", sector);
    record_number(&record, "status", dialogue->in->data[SECTOR]);
    show_bytes(&record, sector * SECTOR, dialogue->in->data, SECTOR);
    record_end(&record);
    if (dialogue->in->data[SECTOR] != 0) {
        dialogue->error = g_strdup_printf("the device answers status %u", dialogue->in->data[SECTOR]);
    }
}

/* ---- virtio-fs ---- */

/** One request of FUSE. @returns the answer's body of at least `least` bytes, or NULL. */
static const void *fuse(struct dialogue *dialogue, const char *name, uint32_t opcode, uint64_t node, const void *body,
                        size_t len, size_t least)
{
    struct fuse_in_header header = {
        .len = (uint32_t)(sizeof(header) + len), .opcode = opcode, .unique = ++dialogue->unique, .nodeid = node};
    struct piece pieces[3] = {{(const uint8_t *)&header, sizeof(header)}, {body, len}, {NULL, MAX_ROOM}};
    struct fuse_out_header answer;

    if (!exchange(dialogue, name, 1, pieces, 3)) {
        return NULL;
    }
    if (dialogue->in->len < sizeof(answer)) {
        dialogue->error = g_strdup_printf("%s: the answer has %u bytes", name, dialogue->in->len);
        return NULL;
    }
    memcpy(&answer, dialogue->in->data, sizeof(answer));
    if (answer.error != 0) {
        dialogue->error = g_strdup_printf("%s: %s (%d)", name, g_strerror(-answer.error), answer.error);
    } else if (answer.unique != header.unique || dialogue->in->len < sizeof(answer) + least) {
        dialogue->error = g_strdup_printf("%s: the answer is to another request, or has %u bytes", name, dialogue->in->len);
    }
    return dialogue->error == NULL ? dialogue->in->data + sizeof(answer) : NULL;
}

static bool fuse_init(struct dialogue *dialogue)
{
    struct fuse_init_in in = {.major = FUSE_KERNEL_VERSION, .minor = 31, .max_readahead = 0, .flags = FUSE_MAP_ALIGNMENT};
    struct fuse_init_out out = {0};
    struct record record;
    /* The body of protocol 7.31 has 16 bytes; later versions have more. */
    const void *body = fuse(dialogue, "INIT", FUSE_INIT, 0, &in, 16, 24);

    if (body == NULL) {
        return false;
    }
    memcpy(&out, body, MIN(sizeof(out), dialogue->in->len - sizeof(struct fuse_out_header)));
    begin_step(dialogue, &record, "INIT");
    record_number(&record, "major", out.major);
    record_number(&record, "minor", out.minor);
    record_hex(&record, "flags", out.flags);
    record_hex(&record, "max_write", out.max_write);
    record_end(&record);
    return true;
}

static bool fuse_lookup(struct dialogue *dialogue, const char *name, struct fuse_entry_out *entry)
{
    struct record record;
    const void *body = fuse(dialogue, "LOOKUP", FUSE_LOOKUP, FUSE_ROOT_ID, name, strlen(name) + 1, sizeof(*entry));

    if (body == NULL) {
        return false;
    }
    memcpy(entry, body, sizeof(*entry));
    begin_step(dialogue, &record, "LOOKUP");
    record_text(&record, "file", name);
    record_number(&record, "node", entry->nodeid);
    record_size(&record, "size", entry->attr.size);
    record_end(&record);
    return true;
}

/** SETUPMAPPING of a file that is open, a look through the window, and REMOVEMAPPING. */
static void fuse_map(struct dialogue *dialogue, const struct fuse_entry_out *entry, uint64_t handle)
{
    uint8_t id;
    vhushmem_region *region = NULL;
    struct fuse_setupmapping_in in = {.fh = handle, .flags = FUSE_SETUPMAPPING_FLAG_READ};
    struct {
        struct fuse_removemapping_in count;
        struct fuse_removemapping_one one;
    } remove = {.count = {.count = 1}};
    uint8_t bytes[SHOWN];
    size_t shown = MIN(entry->attr.size, SHOWN);
    struct record record;
    GError *error = NULL;

    if (vhushmem_device_region_ids(dialogue->probe->device, &id, 1) > 0) {
        region = vhushmem_device_find_region(dialogue->probe->device, id);
    }
    if (region == NULL) {
        dialogue->error = g_strdup("SETUPMAPPING: the device has no shared memory region");
        return;
    }
    in.len = MIN((entry->attr.size + 4095) / 4096 * 4096, MIN(UINT64_C(2) << 20, vhushmem_region_size(region)));
    if (in.len == 0) {
        dialogue->error = g_strdup("SETUPMAPPING: the file is empty");
        return;
    }
    if (fuse(dialogue, "SETUPMAPPING", FUSE_SETUPMAPPING, entry->nodeid, &in, sizeof(in), 0) == NULL) {
        return;
    }
    begin_step(dialogue, &record, "SETUPMAPPING");
    record_hex(&record, "len", in.len);
    record_end(&record);
    if (vhushmem_region_read(region, 0, bytes, shown, &error) < 0) {
        dialogue->error = g_strdup_printf("reading through the window: %s", error->message);
        g_error_free(error);
        return;
    }
    probe_keep_bytes(dialogue->probe, bytes, shown);
    begin_step(dialogue, &record, "window");
    record_number(&record, "shmid", (uint64_t)vhushmem_region_id(region));
    show_bytes(&record, 0, bytes, shown);
    record_end(&record);
    remove.one.len = in.len;
    if (fuse(dialogue, "REMOVEMAPPING", FUSE_REMOVEMAPPING, entry->nodeid, &remove, sizeof(remove), 0) != NULL) {
        begin_step(dialogue, &record, "REMOVEMAPPING");
        record_end(&record);
    }
}

static void talk_fs(struct dialogue *dialogue)
{
    struct fuse_entry_out entry;
    struct fuse_open_in in = {0};
    struct fuse_open_out open;
    struct record record;
    const void *body;

    if (!start(dialogue, 2) || !fuse_init(dialogue) || !fuse_lookup(dialogue, dialogue->words[1], &entry)) {
        return;
    }
    body = fuse(dialogue, "OPEN", FUSE_OPEN, entry.nodeid, &in, sizeof(in), sizeof(open));
    if (body == NULL) {
        return;
    }
    memcpy(&open, body, sizeof(open));
    begin_step(dialogue, &record, "OPEN");
    record_number(&record, "handle", open.fh);
    record_end(&record);
    fuse_map(dialogue, &entry, open.fh);
}

/* ---- the commands ---- */

static gboolean run_dialogue(gpointer user_data)
{
    struct dialogue *dialogue = user_data;
    struct probe *probe = dialogue->probe;

    current = dialogue;
    dialogue->in = g_byte_array_new();
    if (strcmp(dialogue->words[0], "virtio-fs") == 0) {
        talk_fs(dialogue);
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

    /* Not here: it turns the main loop. */
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
