/* SPDX-License-Identifier: BSD-3-Clause */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* process_vm_readv */
#endif

#include "probe.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define MAX_WORDS 5 /* one more than the longest command has */

struct command {
    const char *name;
    const char *usage;
    unsigned words;
    bool needs_connection;
    /** Puts what was found into the answer, or returns a sentence that says why not (g_free). */
    char *(*run)(struct probe *probe, char **words, struct record *answer);
};

bool probe_parse_number(const char *text, uint64_t max, uint64_t *value)
{
    bool hex = g_str_has_prefix(text, "0x");

    return g_ascii_string_to_unsigned(hex ? text + 2 : text, hex ? 16 : 10, 0, max, value, NULL);
}

/* ---- a range of a region ---- */

struct range {
    vhushmem_region *region;
    uint64_t offset;
    uint64_t len;
};

/** Whether every byte is mapped, and may be written. Mappings that touch are as good as one, so this goes page by page. */
static char *check_mapped(const struct probe *probe, const struct range *range, bool write)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t end = range->offset + range->len;

    if (probe->zero_holes && !write) {
        return NULL; /* what nothing is mapped at shows zeros, as to a guest */
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

static char *find_range(struct probe *probe, char **words, uint64_t len, bool write, struct range *range)
{
    uint64_t shmid, size;

    if (!probe_parse_number(words[1], UINT8_MAX, &shmid)) {
        return g_strdup("SHMID is no number from 0 to 255");
    }
    range->region = vhushmem_device_find_region(probe->device, (uint8_t)shmid);
    if (range->region == NULL) {
        return g_strdup_printf("there is no region %" PRIu64, shmid);
    }
    if (!probe_parse_number(words[2], UINT64_MAX, &range->offset)) {
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

/**
 * Copy between a buffer and the range by way of the kernel: a file that was truncated under its mapping makes this fail, where
 * touching the memory would raise SIGBUS.
 */
static char *copy_range(const struct range *range, uint8_t *bytes, bool write)
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
    return g_strdup_printf("the memory at 0x%" PRIx64 " of region %d can't be reached: its file may have been truncated",
                           range->offset + (uint64_t)MAX(n, 0), vhushmem_region_id(range->region));
}

/* ---- the commands ---- */

static char *run_read(struct probe *probe, char **words, struct record *answer)
{
    struct range range = {0};
    uint64_t len;
    uint8_t *bytes;
    char *error;

    if (!probe_parse_number(words[3], PROBE_MAX_LEN, &len) || len == 0) {
        return g_strdup_printf("LEN is no number from 1 to 0x%" PRIx64, PROBE_MAX_LEN);
    }
    error = find_range(probe, words, len, false, &range);
    if (error != NULL) {
        return error;
    }
    bytes = g_malloc(len);
    error = copy_range(&range, bytes, false);
    if (error == NULL) {
        probe->counters.bytes_read += len;
        record_bytes(answer, "hex", bytes, len);
    }
    g_free(bytes);
    return error;
}

/** As a thread of a VMM reads: what a file has lost shows zeros under the guard, and its mapping is broken. */
static char *run_touch(struct probe *probe, char **words, struct record *answer)
{
    struct range range = {0};
    uint64_t len;
    uint8_t *bytes;
    char *error;

    if (!probe_parse_number(words[3], PROBE_MAX_LEN, &len) || len == 0) {
        return g_strdup_printf("LEN is no number from 1 to 0x%" PRIx64, PROBE_MAX_LEN);
    }
    error = find_range(probe, words, len, false, &range);
    if (error != NULL) {
        return error;
    }
    bytes = g_malloc(len);
    memcpy(bytes, (const uint8_t *)vhushmem_region_window(range.region) + range.offset, len);
    probe->counters.bytes_read += len;
    record_bytes(answer, "hex", bytes, len);
    g_free(bytes);
    return NULL;
}

/** @returns the bytes (g_free), or NULL: it is not an even number of hex digits. */
static uint8_t *parse_bytes(const char *hex, uint64_t *len)
{
    size_t digits = strlen(hex);
    uint8_t *bytes;

    if (digits == 0 || digits % 2 != 0 || digits / 2 > PROBE_MAX_LEN) {
        return NULL;
    }
    for (size_t i = 0; i < digits; i++) {
        if (!g_ascii_isxdigit(hex[i])) {
            return NULL;
        }
    }
    bytes = g_malloc(digits / 2);
    for (size_t i = 0; i < digits / 2; i++) {
        bytes[i] = (uint8_t)(g_ascii_xdigit_value(hex[2 * i]) << 4 | g_ascii_xdigit_value(hex[2 * i + 1]));
    }
    *len = digits / 2;
    return bytes;
}

static char *run_write(struct probe *probe, char **words, struct record *answer)
{
    struct range range = {0};
    uint64_t len;
    uint8_t *bytes = parse_bytes(words[3], &len);
    char *error;

    if (bytes == NULL) {
        return g_strdup_printf("HEX is not two hex digits a byte, 1 to 0x%" PRIx64 " bytes", PROBE_MAX_LEN);
    }
    error = find_range(probe, words, len, true, &range);
    if (error == NULL) {
        /* All or nothing: a page that can't be reached shows in a read, before anything is written. */
        uint8_t *before = g_malloc(len);

        error = copy_range(&range, before, false);
        g_free(before);
    }
    if (error == NULL) {
        error = copy_range(&range, bytes, true);
    }
    if (error == NULL) {
        probe->counters.bytes_written += len;
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
    if (!probe->was_ready) {
        return g_strdup("the handshake is not done");
    }
    record_bool(answer, "ready", vhushmem_frontend_is_ready(probe->frontend));
    record_bool(answer, "channel", vhushmem_frontend_is_ready(probe->frontend) && !probe->channel_lost);
    record_regions(answer, probe->device);
    record_hex(answer, "mapped_bytes", vhushmem_device_mapped_bytes(probe->device));
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
    record_number(answer, "bytes_mapped", counters->bytes_mapped);
    record_number(answer, "bytes_read", counters->bytes_read);
    record_number(answer, "bytes_written", counters->bytes_written);
    record_object_end(answer);
    return NULL;
}

static char *run_quit(struct probe *probe, char **words, struct record *answer)
{
    (void)words;
    (void)answer;
    probe->quitting = true;
    return NULL;
}

/** Answered by probe_answer_reset, which may come while this asks for it. */
static void run_reset(struct probe *probe)
{
    GError *error = NULL;

    probe->resetting = true;
    if (vhushmem_frontend_reset(probe->frontend, &error) < 0) {
        probe_answer_reset(probe, error->message);
        g_error_free(error);
    }
}

static const struct command commands[] = {
    {"read", "read SHMID OFFSET LEN", 4, true, run_read},
    {"touch", "touch SHMID OFFSET LEN", 4, true, run_touch},
    {"write", "write SHMID OFFSET HEX", 4, true, run_write},
    {"status", "status", 1, false, run_status},
    {"reset", "reset", 1, true, NULL},
    {"quit", "quit", 1, false, run_quit},
};

/* ---- lines and answers ---- */

void probe_answer_error(struct probe *probe, const char *command, const char *sentence)
{
    struct record answer;

    record_begin(&answer, probe->json, "answer");
    if (command != NULL) {
        record_text(&answer, "command", command);
    }
    record_text(&answer, "error", sentence);
    record_end(&answer);
}

void probe_answer_reset(struct probe *probe, const char *sentence)
{
    if (!probe->resetting) {
        return;
    }
    probe->resetting = false;
    if (sentence != NULL) {
        probe_answer_error(probe, "reset", sentence);
    } else {
        struct record answer;

        record_begin(&answer, probe->json, "answer");
        record_text(&answer, "command", "reset");
        record_end(&answer);
    }
    probe_input_resume(probe);
}

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(commands); i++) {
        if (strcmp(commands[i].name, name) == 0) {
            return &commands[i];
        }
    }
    return NULL;
}

static void run_words(struct probe *probe, char **words, unsigned count)
{
    const struct command *command = find_command(words[0]);
    struct record answer;
    char *error;

    if (command == NULL) {
        probe_answer_error(probe, NULL, "there is no such command; there are read, touch, write, status, reset and quit");
        return;
    }
    if (count != command->words) {
        char *sentence = g_strdup_printf("it is to be: %s", command->usage);

        probe_answer_error(probe, command->name, sentence);
        g_free(sentence);
        return;
    }
    if (command->needs_connection && !vhushmem_frontend_is_ready(probe->frontend)) {
        probe_answer_error(probe, command->name, probe->was_ready ? "the back-end is gone" : "the handshake is not done");
        return;
    }
    if (command->run == NULL) {
        run_reset(probe);
        return;
    }
    record_begin(&answer, probe->json, "answer");
    record_text(&answer, "command", command->name);
    error = command->run(probe, words, &answer);
    if (error != NULL) {
        record_text(&answer, "error", error);
        g_free(error);
    }
    record_end(&answer);
}

void probe_run_command(struct probe *probe, const char *line, size_t len)
{
    char *words[MAX_WORDS] = {NULL};
    unsigned count = 0;
    char *text, *rest;

    if (memchr(line, '\0', len) != NULL) {
        probe_answer_error(probe, NULL, "there is a zero byte in the line");
        return;
    }
    text = rest = g_strndup(line, len);
    while (count < MAX_WORDS && (words[count] = strtok_r(rest, " \t\r", &rest)) != NULL) {
        count++;
    }
    if (count > 0) {
        run_words(probe, words, count);
    }
    g_free(text);
}
