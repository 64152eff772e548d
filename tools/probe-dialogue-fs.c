/* SPDX-License-Identifier: BSD-3-Clause */

/** The dialogue with a virtio-fs device. */

#include "probe-dialogue.h"

#include <string.h>

#include <linux/fuse.h>

/** Make one request of FUSE. @returns the body of the answer, of at least `least` bytes, or NULL. */
static const void *fuse(struct dialogue *dialogue, const char *name, uint32_t opcode, uint64_t node, const void *body,
                        size_t len, size_t least)
{
    struct fuse_in_header header = {
        .len = (uint32_t)(sizeof(header) + len), .opcode = opcode, .unique = ++dialogue->unique, .nodeid = node};
    struct piece pieces[3] = {{(const uint8_t *)&header, sizeof(header)}, {body, len}, {NULL, MAX_ROOM}};
    struct fuse_out_header answer;

    if (!dialogue_exchange(dialogue, name, 1, pieces, 3)) {
        return NULL;
    }
    if (dialogue->in->len < sizeof(answer)) {
        dialogue->error = g_strdup_printf("%s: the answer has %u bytes", name, dialogue->in->len);
        return NULL;
    }
    memcpy(&answer, dialogue->in->data, sizeof(answer));
    if (answer.error != 0) {
        dialogue->error = g_strdup_printf("%s: %s (%d)", name, g_strerror(-MAX(answer.error, -INT32_MAX)), answer.error);
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
    /* In protocol 7.31 the body has 16 bytes. Later versions have more. */
    const void *body = fuse(dialogue, "INIT", FUSE_INIT, 0, &in, 16, 24);

    if (body == NULL) {
        return false;
    }
    memcpy(&out, body, MIN(sizeof(out), dialogue->in->len - sizeof(struct fuse_out_header)));
    dialogue_begin_step(dialogue, &record, "INIT");
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
    dialogue_begin_step(dialogue, &record, "LOOKUP");
    record_text(&record, "file", name);
    record_number(&record, "node", entry->nodeid);
    record_size(&record, "size", entry->attr.size);
    record_end(&record);
    return true;
}

/** SETUPMAPPING of an open file, a read through the window, and REMOVEMAPPING. */
static void fuse_map(struct dialogue *dialogue, const struct fuse_entry_out *entry, uint64_t handle)
{
    uint8_t id;
    vhushmem_region *region = NULL;
    struct fuse_setupmapping_in in = {.fh = handle, .flags = FUSE_SETUPMAPPING_FLAG_READ};
    struct __attribute__((packed)) { /* the wire has no padding between the two */
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
    dialogue_begin_step(dialogue, &record, "SETUPMAPPING");
    record_hex(&record, "len", in.len);
    record_end(&record);
    if (vhushmem_region_read(region, 0, bytes, shown, &error) < 0) {
        dialogue->error = g_strdup_printf("reading through the window: %s", error->message);
        g_error_free(error);
        return;
    }
    probe_keep_bytes(dialogue->probe, bytes, shown);
    dialogue_begin_step(dialogue, &record, "window");
    record_number(&record, "shmid", (uint64_t)vhushmem_region_id(region));
    dialogue_show_bytes(&record, 0, bytes, shown);
    record_end(&record);
    remove.one.len = in.len;
    if (fuse(dialogue, "REMOVEMAPPING", FUSE_REMOVEMAPPING, entry->nodeid, &remove, sizeof(remove), 0) != NULL) {
        dialogue_begin_step(dialogue, &record, "REMOVEMAPPING");
        record_end(&record);
    }
}

void dialogue_fs(struct dialogue *dialogue)
{
    struct fuse_entry_out entry;
    struct fuse_open_in in = {0};
    struct fuse_open_out open;
    struct record record;
    const void *body;

    if (!dialogue_start(dialogue, 2) || !fuse_init(dialogue) || !fuse_lookup(dialogue, dialogue->words[1], &entry)) {
        return;
    }
    body = fuse(dialogue, "OPEN", FUSE_OPEN, entry.nodeid, &in, sizeof(in), sizeof(open));
    if (body == NULL) {
        return;
    }
    memcpy(&open, body, sizeof(open));
    dialogue_begin_step(dialogue, &record, "OPEN");
    record_number(&record, "handle", open.fh);
    record_end(&record);
    fuse_map(dialogue, &entry, open.fh);
}
