/* SPDX-License-Identifier: BSD-3-Clause */

/**
 * Captures: pcapng, as Wireshark reads it. There is an interface for each socket. A packet is a message behind a header of our
 * own, which tools/wireshark/vhost-user.lua knows too; its numbers are little-endian:
 *
 *   u8 version (1), u8 flags (1: from the back-end, 2: the channel), u8 descriptors, u8 0, u32 0 of each descriptor: u8 kind, 7
 *   bytes 0, u64 size in bytes of its file
 */

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "probe-wire.h"

#define BLOCK_SECTION UINT32_C(0x0a0d0d0a)
#define BLOCK_INTERFACE 1u
#define BLOCK_PACKET 6u
#define BYTE_ORDER_MAGIC UINT32_C(0x1a2b3c4d)
#define LINK_TYPE_USER0 147
#define OPTION_NAME 2
#define VERSION 1
#define FROM_BACKEND 1
#define ON_CHANNEL 2
#define FIXED 8
#define SET_MEM_TABLE 5
#define SET_VRING_ADDR 9
#define ADD_MEM_REG 37
#define REM_MEM_REG 38
#define PER_FD 16
/* A larger block is not from this program. */
#define MAX_BLOCK (WIRE_MAX_PAYLOAD + 4096)
#define MAX_FILE (UINT64_C(1) << 30)

struct capture {
    FILE *file;
    bool failed;
};

static void put32(GByteArray *block, uint32_t value)
{
    value = htole32(value);
    g_byte_array_append(block, (const guint8 *)&value, sizeof(value));
}

static void put64(GByteArray *block, uint64_t value)
{
    value = htole64(value);
    g_byte_array_append(block, (const guint8 *)&value, sizeof(value));
}

static void pad(GByteArray *block)
{
    static const guint8 zeros[3] = {0};

    g_byte_array_append(block, zeros, (4 - block->len % 4) % 4);
}

static void write_block(struct capture *capture, uint32_t type, GByteArray *body)
{
    uint32_t len, total;

    pad(body);
    type = htole32(type);
    total = htole32(body->len + 12);
    len = body->len;
    if (fwrite(&type, 4, 1, capture->file) != 1 || fwrite(&total, 4, 1, capture->file) != 1 ||
        fwrite(body->data, 1, len, capture->file) != len || fwrite(&total, 4, 1, capture->file) != 1) {
        capture->failed = true;
    }
    g_byte_array_unref(body);
}

static void write_interface(struct capture *capture, const char *name)
{
    GByteArray *body = g_byte_array_new();

    put32(body, LINK_TYPE_USER0);
    put32(body, 0); /* no limit for the length of a packet */
    put32(body, OPTION_NAME | (uint32_t)strlen(name) << 16);
    g_byte_array_append(body, (const guint8 *)name, (guint)strlen(name));
    pad(body);
    put32(body, 0);
    write_block(capture, BLOCK_INTERFACE, body);
}

struct capture *capture_create(const char *path)
{
    FILE *file = fopen(path, "wbe");
    struct capture *capture;
    GByteArray *body;

    if (file == NULL) {
        return NULL;
    }
    capture = g_new0(struct capture, 1);
    capture->file = file;
    body = g_byte_array_new();
    put32(body, BYTE_ORDER_MAGIC);
    put32(body, 1); /* version 1.0 */
    put64(body, UINT64_MAX);
    write_block(capture, BLOCK_SECTION, body);
    write_interface(capture, "main");
    write_interface(capture, "channel");
    return capture;
}

void capture_message(struct capture *capture, const struct wire_message *message)
{
    if (capture == NULL) {
        return;
    }
    GByteArray *body = g_byte_array_new();
    uint64_t now = (uint64_t)g_get_real_time();
    uint32_t len = FIXED + PER_FD * message->nfds + WIRE_HEADER + message->size;
    guint8 fixed[FIXED] = {VERSION,
                           (guint8)((message->from_backend ? FROM_BACKEND : 0) | (message->on_channel ? ON_CHANNEL : 0)),
                           (guint8)message->nfds};

    put32(body, message->on_channel ? 1 : 0);
    put32(body, (uint32_t)(now >> 32));
    put32(body, (uint32_t)now);
    put32(body, len);
    put32(body, len);
    g_byte_array_append(body, fixed, sizeof(fixed));
    for (unsigned i = 0; i < message->nfds; i++) {
        uint64_t size;
        guint8 kind[8] = {(guint8)kind_of_fd(message->fds[i], &size)};

        g_byte_array_append(body, kind, sizeof(kind));
        put64(body, size);
    }
    g_byte_array_append(body, (const guint8 *)&message->request, 4);
    g_byte_array_append(body, (const guint8 *)&message->flags, 4);
    g_byte_array_append(body, (const guint8 *)&message->size, 4);
    g_byte_array_append(body, message->payload, message->size);
    write_block(capture, BLOCK_PACKET, body);
    if (fflush(capture->file) != 0) { /* if this program is killed, the file has all messages until then */
        capture->failed = true;
    }
}

bool capture_close(struct capture *capture)
{
    bool written = fclose(capture->file) == 0 && !capture->failed;

    g_free(capture);
    return written;
}

/* ---- reading ---- */

static uint32_t get32(const uint8_t *at)
{
    uint32_t value;

    memcpy(&value, at, sizeof(value));
    return le32toh(value);
}

static void free_captured(gpointer data)
{
    struct captured *captured = data;

    g_free((void *)captured->message.payload);
    g_free(captured);
}

/** @returns NULL: the packet is no message. */
static struct captured *parse_packet(const uint8_t *bytes, size_t len)
{
    struct captured *captured;
    const uint8_t *message;
    unsigned nfds;
    size_t front;

    if (len < FIXED || bytes[0] != VERSION || bytes[2] > WIRE_MAX_FDS) {
        return NULL;
    }
    nfds = bytes[2];
    front = FIXED + (size_t)PER_FD * nfds;
    if (len < front + WIRE_HEADER || get32(bytes + front + 8) != len - front - WIRE_HEADER) {
        return NULL;
    }
    message = bytes + front;
    captured = g_new0(struct captured, 1);
    captured->message = (struct wire_message){.from_backend = (bytes[1] & FROM_BACKEND) != 0,
                                              .on_channel = (bytes[1] & ON_CHANNEL) != 0,
                                              .request = get32(message),
                                              .flags = get32(message + 4),
                                              .size = get32(message + 8),
                                              .nfds = nfds,
                                              .payload = g_memdup2(message + WIRE_HEADER, len - front - WIRE_HEADER)};
    for (unsigned i = 0; i < nfds; i++) {
        uint64_t size;

        memcpy(&size, bytes + FIXED + PER_FD * i + 8, sizeof(size));
        captured->kinds[i] = bytes[FIXED + PER_FD * i];
        captured->sizes[i] = le64toh(size);
    }
    return captured;
}

/** @returns false: this program does not write such blocks. */
static bool read_block(const uint8_t *at, size_t left, size_t *block, GPtrArray *messages)
{
    uint32_t total;

    if (left < 12) {
        return false;
    }
    total = get32(at + 4);
    if (total < 12 || total > MAX_BLOCK || total % 4 != 0 || total > left || get32(at + total - 4) != total) {
        return false;
    }
    *block = total;
    if (get32(at) == BLOCK_PACKET) {
        struct captured *captured = NULL;

        if (total >= 32 && get32(at + 20) <= total - 32) {
            captured = parse_packet(at + 28, get32(at + 20));
        }
        if (captured == NULL) {
            return false;
        }
        g_ptr_array_add(messages, captured);
    }
    return true;
}

/**
 * Read a file. It is not mapped, so this program survives if the file becomes shorter meanwhile. @returns the bytes (g_free),
 * or NULL and a sentence.
 */
static uint8_t *read_file(const char *path, size_t *len, char **error)
{
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); /* with O_NONBLOCK, open does not wait for the writer of a pipe */
    struct stat status = {0};
    uint8_t *bytes = NULL;
    ssize_t n = 0;

    *len = 0;
    if (fd < 0 || fstat(fd, &status) < 0) {
        *error = g_strdup_printf("%s: %s", path, g_strerror(errno));
    } else if (!S_ISREG(status.st_mode) || (uint64_t)status.st_size > MAX_FILE) {
        *error = g_strdup_printf("%s is no regular file of up to 1 GiB", path);
    } else {
        bytes = g_malloc((size_t)status.st_size + 1);
        do {
            *len += (size_t)n;
            n = read(fd, bytes + *len, (size_t)status.st_size - *len);
        } while (n > 0);
        if (n < 0) {
            *error = g_strdup_printf("%s: %s", path, g_strerror(errno));
            g_clear_pointer(&bytes, g_free);
        }
    }
    if (fd >= 0) {
        close(fd);
    }
    return bytes;
}

GPtrArray *capture_read(const char *path, char **error)
{
    GPtrArray *messages;
    size_t len, at = 0, block;
    uint8_t *bytes = read_file(path, &len, error);

    if (bytes == NULL) {
        return NULL;
    }
    messages = g_ptr_array_new_with_free_func(free_captured);
    if (len < 12 || get32(bytes) != BLOCK_SECTION || get32(bytes + 8) != BYTE_ORDER_MAGIC) {
        *error = g_strdup_printf("%s is no little-endian pcapng file", path);
    }
    while (*error == NULL && at < len) {
        if (!read_block(bytes + at, len - at, &block, messages)) {
            *error = g_strdup_printf(
                "%s: at byte %zu of %zu is no message that vhushmem-probe has recorded, or one that is cut short", path, at,
                len);
            break;
        }
        at += block;
    }
    g_free(bytes);
    if (*error != NULL) {
        g_ptr_array_unref(messages);
        return NULL;
    }
    return messages;
}

/* ---- comparing ---- */

/** Remove addresses, which are different in another process. */
static void blank_addresses(uint32_t request, uint8_t *payload, uint32_t size)
{
    if (request == SET_VRING_ADDR && size == 40) {
        memset(payload + 8, 0, 32);
    } else if ((request == ADD_MEM_REG || request == REM_MEM_REG) && size == 40) {
        memset(payload + 24, 0, 8);
    }
    for (uint32_t at = 8; request == SET_MEM_TABLE && at + 32 <= size; at += 32) {
        memset(payload + at + 16, 0, 8);
    }
}

bool messages_are_alike(const struct wire_message *a, const struct wire_message *b)
{
    uint8_t *x, *y;
    bool alike;

    if (a->size != b->size) {
        return false;
    }
    x = g_memdup2(a->payload, a->size);
    y = g_memdup2(b->payload, b->size);
    if (!a->on_channel) {
        blank_addresses(a->request, x, a->size);
        blank_addresses(b->request, y, b->size);
    }
    alike = a->size == 0 || memcmp(x, y, a->size) == 0;
    g_free(x);
    g_free(y);
    return alike;
}
