/* SPDX-License-Identifier: BSD-3-Clause */

/**
 * @file
 * qemu-style SOCKET: plays QEMU for a device that is written to the patch series (qemu-style-device.c, which uses no name of
 * this library's own). It makes the VirtIODevice: QEMU would do that itself.
 *
 * It reads the messages of the back-end channel (own-frontend.h makes the connection) and gives them to the device. Its
 * MemoryListener takes the place of KVM's: region_add and region_del come before the answer, commit after it. The back-end is
 * backend.c. The host looks at its memory in the guest's place (stand-in.h). Each wait has a time limit. The exit status is 0
 * only if everything was right.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memfd_create */
#endif

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <vhushmem/device.h>

#include "control.h"
#include "own-frontend.h"
#include "qemu-style.h"
#include "stand-in.h"

#define PATIENCE_S 60

/* ---- in the place of KVM's listener ---- */

struct slots {
    MemoryListener listener; /* must be first: a callback gets a pointer to it */
    unsigned live, added, commits;
};

static void slot_add(MemoryListener *listener, MemoryRegionSection *section)
{
    struct slots *slots = (struct slots *)listener;

    slots->live++;
    slots->added++;
    printf("slots   add 0x%07" PRIx64 " +0x%" PRIx64 " at %p%s\n", section->offset_within_region, section->size, section->host,
           section->readonly ? ", read-only" : "");
}

static void slot_del(MemoryListener *listener, MemoryRegionSection *section)
{
    struct slots *slots = (struct slots *)listener;

    slots->live--;
    printf("slots   del 0x%07" PRIx64 " +0x%" PRIx64 "\n", section->offset_within_region, section->size);
}

static void slots_commit(MemoryListener *listener) { ((struct slots *)listener)->commits++; }

/* ---- in the place of QEMU's vhost-user ---- */

struct machine {
    StyleDevice style; /* must be first: from its vhost_dev a callback finds the machine */
    struct own_frontend frontend;
    struct slots slots;
};

static int get_shmem_config(struct vhost_dev *dev, int *nregions, uint64_t *memory_sizes, Error **errp)
{
    const struct machine *machine = (const struct machine *)dev;
    const VhostUserShMemConfig *config = &machine->frontend.config;

    (void)errp; /* the handshake has asked already */
    *nregions = (int)config->nregions;
    memcpy(memory_sizes, config->memory_sizes, sizeof(config->memory_sizes));
    return 0;
}

static const VhostOps user_ops = {.vhost_get_shmem_config = get_shmem_config};

static void take_descriptors(VhostUserMsg *msg, struct msghdr *message)
{
    unsigned count = 0;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c)) {
        for (size_t at = 0; c->cmsg_type == SCM_RIGHTS && CMSG_LEN(at + sizeof(int)) <= c->cmsg_len; at += sizeof(int)) {
            int fd;

            memcpy(&fd, CMSG_DATA(c) + at, sizeof(fd));
            if (count++ > 0) {
                close(msg->fd);
            }
            msg->fd = fd;
        }
    }
    if (count > 1) {
        close(msg->fd);
        msg->fd = -1;
    }
}

/**
 * Read a request. Its descriptors come with the first byte, so with the header. @returns false: the channel cannot be used any
 * more.
 */
static bool read_request(int channel, VhostUserMsg *msg)
{
    union {
        char bytes[CMSG_SPACE(VHOST_USER_MAX_FDS * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec part = {&msg->hdr, sizeof(msg->hdr)};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control)};

    memset(msg, 0, sizeof(*msg));
    msg->fd = -1;
    if (recvmsg(channel, &message, MSG_CMSG_CLOEXEC | MSG_WAITALL) != (ssize_t)sizeof(msg->hdr)) {
        return false;
    }
    take_descriptors(msg, &message);
    /* Only requests that this handler serves have so many bytes. A handler of more requests would skip the rest, and refuse. */
    if (msg->hdr.size > sizeof(msg->mmap) || recv(channel, &msg->mmap, msg->hdr.size, MSG_WAITALL) != (ssize_t)msg->hdr.size) {
        if (msg->fd >= 0) {
            close(msg->fd);
        }
        return false;
    }
    return true;
}

bool vhost_user_send_resp(struct vhost_dev *dev, const VhostUserMsg *msg, uint64_t value)
{
    struct {
        VhostUserHeader header;
        uint8_t value[sizeof(uint64_t)]; /* no padding before it */
    } reply = {.header = {msg->hdr.request, VHOST_USER_VERSION | VHOST_USER_REPLY_MASK, sizeof(uint64_t)}};

    if ((msg->hdr.flags & VHOST_USER_NEED_REPLY_MASK) == 0) {
        return true;
    }
    memcpy(reply.value, &value, sizeof(value));
    return send(dev->backend_channel, &reply, sizeof(reply), MSG_NOSIGNAL) == (ssize_t)sizeof(reply);
}

static bool serve_request(struct machine *machine)
{
    VhostUserMsg msg;
    bool answered;

    if (!read_request(machine->frontend.channel, &msg)) {
        return false;
    }
    answered = style_device_message(&machine->style, &msg);
    if (msg.fd >= 0) {
        close(msg.fd);
    }
    return answered;
}

/* ---- the VMM ---- */

/** Make a page of RAM from a file, in a container of its own, to show the other memory_region functions. */
static bool has_ram(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    MemoryRegion bar = {0}, ram = {0};
    GError *error = NULL;
    char text[6] = "";
    int fd = memfd_create("qemu-style", MFD_CLOEXEC);

    if (fd < 0 || ftruncate(fd, (off_t)page) < 0) {
        return false;
    }
    memory_region_init(&bar, NULL, "bar", 16 * page);
    if (!memory_region_init_ram_from_fd(&ram, NULL, "ram", page, RAM_SHARED, fd, 0, &error)) {
        fprintf(stderr, "vmm     FAILED: %s\n", error->message);
        g_error_free(error);
        close(fd);
        memory_region_unref(&bar);
        return false;
    }
    memory_region_add_subregion(&bar, 4 * page, &ram);
    memcpy(memory_region_get_ram_ptr(&ram), "hello", sizeof(text));
    bool is_there = pread(memory_region_get_fd(&ram), text, sizeof(text), 0) == (ssize_t)sizeof(text) &&
                    strcmp(text, "hello") == 0 && ram.container == &bar && memory_region_size(&ram) == page;
    memory_region_del_subregion(&bar, &ram);
    memory_region_unref(&ram); /* closes fd */
    memory_region_unref(&bar);
    return is_there;
}

/** Serve the channel until the device has been looked at and nothing is mapped any more. */
static bool run(struct machine *machine, VirtioSharedMemory *shmem)
{
    struct timeval patience = {.tv_sec = PATIENCE_S};
    gint64 deadline = g_get_monotonic_time() + PATIENCE_S * G_USEC_PER_SEC;
    bool answered = false;

    if (setsockopt(machine->frontend.channel, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0) {
        return false;
    }
    while (!answered || machine->slots.live > 0) {
        struct pollfd wait = {.fd = machine->frontend.channel, .events = POLLIN};

        if (poll(&wait, 1, 5) > 0 && !serve_request(machine)) {
            fprintf(stderr, "vmm     FAILED: the channel is lost\n");
            return false;
        }
        if (!answered) {
            int rc = stand_in_look(shmem);

            if (rc < 0) {
                return false;
            }
            answered = rc > 0;
        }
        if (g_get_monotonic_time() > deadline) {
            fprintf(stderr, "vmm     FAILED: not done after %d seconds\n", PATIENCE_S);
            return false;
        }
    }
    return true;
}

int main(int argc, char **argv)
{
    struct machine machine = {0};
    struct vhost_dev *dev = &machine.style.vhost_dev;
    struct slots *slots = &machine.slots;
    VirtioSharedMemory *shmem;
    Error *local_err = NULL;
    bool done = false;

    if (argc != 2) {
        fprintf(stderr, "usage: %s SOCKET\n", argv[0]);
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (own_frontend_connect(&machine.frontend, argv[1]) < 0) {
        return 1;
    }
    *dev = (struct vhost_dev){
        .vdev = vhushmem_device_new(NULL, NULL), .vhost_ops = &user_ops, .backend_channel = machine.frontend.channel};
    if (!style_device_realize(&machine.style, &local_err)) {
        fprintf(stderr, "vmm     FAILED: %s\n", local_err->message);
        g_error_free(local_err);
        object_unref(OBJECT(dev->vdev));
        own_frontend_close(&machine.frontend);
        return 1;
    }
    slots->listener = (MemoryListener){.region_add = slot_add, .region_del = slot_del, .commit = slots_commit, .name = "slots"};
    memory_listener_register(&slots->listener, &machine.style.shmembar);
    shmem = virtio_find_shmem_region(dev->vdev, CONTROL_SHMID);
    if (shmem != NULL) {
        printf("vmm     region %d: %" PRIu64 " MiB, window at %p\n", shmem->shmid, memory_region_size(&shmem->mr) >> 20,
               memory_region_get_ram_ptr(&shmem->mr));
        done = run(&machine, shmem) && has_ram();
    } else {
        fprintf(stderr, "vmm     FAILED: the device lacks region %d\n", CONTROL_SHMID);
    }
    memory_listener_unregister(&slots->listener);
    style_device_unrealize(&machine.style);
    /* Each change must have had a commit, and no change may be without one. */
    if (done && (slots->added == 0 || slots->commits != 2 * slots->added)) {
        fprintf(stderr, "vmm     FAILED: %u commits for %u mappings\n", slots->commits, slots->added);
        done = false;
    }
    object_unref(OBJECT(dev->vdev));
    own_frontend_close(&machine.frontend);
    if (done) {
        printf("vmm     %u mappings came, were looked at, and went\n", slots->added);
    }
    return done ? 0 : 1;
}
