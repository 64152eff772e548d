/* SPDX-License-Identifier: BSD-3-Clause */

/** The commands that read and write shared memory. */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* process_vm_readv */
#endif

#include "probe.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

/* ---- a range of a region ---- */

/** Check that each byte is mapped, and writable if `write`. Mappings that touch count as one, so it checks page by page. */
static char *check_mapped(const struct probe *probe, const struct range *range, bool write)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t end = range->offset + range->len;

    if (probe->zero_holes && !write) {
        return NULL; /* a hole shows zeros, as it does to a guest */
    }
    for (uint64_t at = range->offset; at < end;) {
        uint64_t piece = MIN(page - at % page, end - at);

        if (vhushmem_region_translate(range->region, at, piece, write) == NULL) {
            bool hole = !write || vhushmem_region_translate(range->region, at, piece, false) == NULL;

            return g_strdup_printf("0x%" PRIx64 " of region %d is %s", at, vhushmem_region_id(range->region),
                                   hole ? "not mapped" : "mapped read-only");
        }
        at += piece;
    }
    return NULL;
}

char *probe_find_range(struct probe *probe, char **words, uint64_t len, bool write, struct range *range)
{
    uint64_t shmid, size;

    if (!probe_parse_number(words[1], UINT8_MAX, &shmid)) {
        return g_strdup("SHMID is no number from 0 to 255");
    }
    range->region = vhushmem_device_find_region(probe->device, (uint8_t)shmid);
    if (range->region == NULL) {
        return g_strdup_printf("there is no region %" PRIu64, shmid);
    }
    if (!probe_parse_size(words[2], UINT64_MAX, &range->offset)) {
        return g_strdup("OFFSET is no number");
    }
    range->len = len;
    size = vhushmem_region_size(range->region);
    if (range->offset > size || len > size - range->offset) {
        return g_strdup_printf("0x%" PRIx64 " bytes at 0x%" PRIx64 " end beyond region %" PRIu64 " (0x%" PRIx64 " bytes)", len,
                               range->offset, shmid, size);
    }
    return check_mapped(probe, range, write);
}

char *probe_copy_range(const struct range *range, uint8_t *bytes, bool write)
{
    struct iovec local = {.iov_base = bytes, .iov_len = range->len};
    struct iovec remote = {
        .iov_base = (uint8_t *)vhushmem_region_window(range->region) + range->offset,
        .iov_len = range->len,
    };
    ssize_t n =
        write ? process_vm_writev(getpid(), &local, 1, &remote, 1, 0) : process_vm_readv(getpid(), &local, 1, &remote, 1, 0);

    if (n >= 0 && (uint64_t)n == range->len) {
        return NULL;
    }
    if (n < 0 && errno != EFAULT) {
        return g_strdup_printf("cannot copy: %s", g_strerror(errno));
    }
    return g_strdup_printf("the memory at 0x%" PRIx64 " of region %d cannot be reached: its file may have been truncated",
                           range->offset + (uint64_t)MAX(n, 0), vhushmem_region_id(range->region));
}

/* ---- the commands ---- */

/** Show bytes: raw, in rows for a person, or as hex digits. */
static char *show_bytes(struct probe *probe, struct record *answer, const struct range *range, uint8_t *bytes, bool raw)
{
    probe->counters.read_bytes += range->len;
    probe_keep_bytes(probe, bytes, range->len);
    if (raw) {
        screen_write((const char *)bytes, range->len, false);
        record_number(answer, "raw", range->len);
    } else if (answer->json) {
        record_bytes(answer, "hex", bytes, range->len);
    } else {
        record_dump(answer, range->offset, bytes, range->len);
    }
    g_free(bytes);
    return NULL;
}

/**
 * SHMID OFFSET LEN [--raw]. `touch`: read like a thread of a VMM. Then a page that a file has lost shows zeros, and its mapping
 * is broken.
 */
static char *read_bytes(struct probe *probe, char **words, struct record *answer, bool touch)
{
    struct range range = {0};
    uint64_t len;
    uint8_t *bytes;
    char *error;
    bool raw = words[4] != NULL;

    if (raw && strcmp(words[4], "--raw") != 0) {
        return g_strdup("after LEN only --raw may follow");
    }
    if (raw && probe->json) {
        return g_strdup("--json cannot print raw bytes: leave --raw out");
    }
    if (!probe_parse_size(words[3], PROBE_MAX_LEN, &len) || len == 0) {
        return g_strdup_printf("LEN is no number from 1 to 0x%" PRIx64, PROBE_MAX_LEN);
    }
    error = probe_find_range(probe, words, len, false, &range);
    if (error != NULL) {
        return error;
    }
    bytes = g_malloc(len);
    if (touch) {
        memcpy(bytes, (const uint8_t *)vhushmem_region_window(range.region) + range.offset, len);
    } else if ((error = probe_copy_range(&range, bytes, false)) != NULL) {
        g_free(bytes);
        return error;
    }
    return show_bytes(probe, answer, &range, bytes, raw);
}

static char *run_read(struct probe *probe, char **words, struct record *answer)
{
    return read_bytes(probe, words, answer, false);
}

static char *run_touch(struct probe *probe, char **words, struct record *answer)
{
    return read_bytes(probe, words, answer, true);
}

static char *run_write(struct probe *probe, char **words, struct record *answer)
{
    struct range range = {0};
    uint64_t len;
    uint8_t *bytes = probe_parse_hex(words[3], &len);
    char *error;

    if (bytes == NULL) {
        return g_strdup_printf("HEX is not two hex digits a byte, 1 to 0x%" PRIx64 " bytes", PROBE_MAX_LEN);
    }
    error = probe_find_range(probe, words, len, true, &range);
    if (error == NULL) {
        /* It writes all or nothing: a read first finds a page that cannot be reached. */
        uint8_t *before = g_malloc(len);

        error = probe_copy_range(&range, before, false);
        g_free(before);
    }
    if (error == NULL) {
        error = probe_copy_range(&range, bytes, true);
    }
    if (error == NULL) {
        probe->counters.written_bytes += len;
        record_number(answer, "written", len);
    }
    g_free(bytes);
    return error;
}

static void list_mappings(struct record *answer, vhushmem_region *region)
{
    vhushmem_mapping_info info = {.struct_size = sizeof(info)};
    uint64_t from = 0;

    while (vhushmem_region_next_mapping(region, from, &info) == 0) {
        record_object_begin(answer, NULL);
        record_number(answer, "shmid", info.shmid);
        record_hex(answer, "shm_offset", info.shm_offset);
        record_hex(answer, "len", info.len);
        record_hex(answer, "fd_offset", info.fd_offset);
        record_bool(answer, "rw", (info.flags & VHOST_USER_FLAG_MAP_RW) != 0);
        record_bool(answer, "broken", info.broken);
        record_object_end(answer);
        from = info.shm_offset + info.len;
    }
}

static char *run_status(struct probe *probe, char **words, struct record *answer)
{
    const struct probe_counters *counters = &probe->counters;
    uint8_t ids[VHUSHMEM_MAX_REGIONS];
    int count = vhushmem_device_region_ids(probe->device, ids, G_N_ELEMENTS(ids));

    (void)words;
    bool ready = probe_has_peer(probe);

    record_bool(answer, "ready", ready);
    record_bool(answer, "channel", ready && !probe->channel_lost);
    record_regions(answer, probe->device);
    record_size(answer, "mapped_bytes", vhushmem_device_mapped_bytes(probe->device));
    record_list_begin(answer, "mappings");
    for (int i = 0; i < count; i++) {
        list_mappings(answer, vhushmem_device_find_region(probe->device, ids[i]));
    }
    record_list_end(answer);
    record_object_begin(answer, "counters");
    record_number(answer, "maps", counters->maps);
    record_number(answer, "unmaps", counters->unmaps);
    record_number(answer, "refused", counters->refused);
    record_number(answer, "resets", counters->resets);
    record_number(answer, "total_mapped_bytes", counters->total_mapped_bytes);
    record_number(answer, "read_bytes", counters->read_bytes);
    record_number(answer, "written_bytes", counters->written_bytes);
    record_object_end(answer);
    return NULL;
}

/** Begin a reset. The answer comes with the event, which may come inside this call. */
static char *begin_reset(struct probe *probe, char **words)
{
    GError *error = NULL;
    int rc = vhushmem_frontend_reset(probe->frontend, &error);

    (void)words;
    return probe_outcome(rc, &error);
}

#define LOOKS (MODE_CONNECT | MODE_PROXY)

const struct command memory_commands[] = {
    {"read", "read SHMID OFFSET LEN [--raw]", "show bytes of a region", 4, 5, LOOKS, NEEDS_PEER, run_read, NULL},
    {"touch", "touch SHMID OFFSET LEN [--raw]", "the same, as a VMM's thread would read", 4, 5, MODE_CONNECT, NEEDS_PEER,
     run_touch, NULL},
    {"write", "write SHMID OFFSET HEX", "change bytes of a region", 4, 4, MODE_CONNECT, NEEDS_PEER, run_write, NULL},
    {"status", "status", "show regions, mappings and counters", 1, 1, LOOKS, NEEDS_READY, run_status, NULL},
    {"reset", "reset", "reset the device", 1, 1, MODE_CONNECT, NEEDS_PEER, NULL, begin_reset},
    {0},
};
