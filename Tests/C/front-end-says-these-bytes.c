/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A whole session of the front-end against a transcript that was written by hand from the protocol's tables: every byte that
 * it sends, in order, and the number of descriptors. It understands the replies in the transcript.
 */
/* tsan: yes (another thread listens to the front-end) */
#include "device-rig.h"
#include "transcript.h"

static const struct {
    const char *said;
    int fds;
    const char *replied; /* NULL: no reply */
    int reply_fds;
} transcript[] = {
    /* GET_FEATURES: bits 30 and 32 */
    {"01000000 01000000 00000000", 0, "01000000 05000000 08000000 0000004001000000", 0},
    /* GET_PROTOCOL_FEATURES: 0 3 5 9 10 12 13 15 16 19 22; SET_PROTOCOL_FEATURES, before anything can be acknowledged */
    {"0f000000 01000000 00000000", 0, "0f000000 05000000 08000000 29b6490000000000", 0},
    {"10000000 01000000 08000000 29b6490000000000", 0, NULL, 0},
    /* GET_QUEUE_NUM, GET_MAX_MEM_SLOTS, SET_BACKEND_REQ_FD, SET_OWNER, GET_FEATURES */
    {"11000000 09000000 00000000", 0, "11000000 05000000 08000000 0100000000000000", 0},
    {"24000000 09000000 00000000", 0, "24000000 05000000 08000000 2000000000000000", 0},
    {"15000000 09000000 00000000", 1, "15000000 05000000 08000000 0000000000000000", 0},
    {"03000000 09000000 00000000", 0, "03000000 05000000 08000000 0000000000000000", 0},
    {"01000000 09000000 00000000", 0, "01000000 05000000 08000000 0000004001000000", 0},
    /* SET_VRING_CALL and SET_VRING_ERR of queue 0 */
    {"0d000000 09000000 08000000 0000000000000000", 1, "0d000000 05000000 08000000 0000000000000000", 0},
    {"0e000000 09000000 08000000 0000000000000000", 1, "0e000000 05000000 08000000 0000000000000000", 0},
    /* GET_SHMEM_CONFIG: 2056 bytes, region 0 of 64 KiB; the rest of them is zeros, which are filled in below */
    {"2c000000 09000000 00000000", 0, "2c000000 05000000 08080000 01000000 00000000 0000010000000000", 0},
    /* Start: SET_FEATURES, SET_STATUS 11, GET_STATUS */
    {"02000000 09000000 08000000 0000004001000000", 0, "02000000 05000000 08000000 0000000000000000", 0},
    {"27000000 09000000 08000000 0b00000000000000", 0, "27000000 05000000 08000000 0000000000000000", 0},
    {"28000000 09000000 00000000", 0, "28000000 05000000 08000000 0b00000000000000", 0},
    /* ADD_MEM_REG: 16 KiB at 1 MiB of the guest, from 4096 of the file on */
    {"25000000 09000000 28000000 0000000000000000 0000100000000000 0040000000000000 00001000007f0000 0010000000000000", 1,
     "25000000 05000000 08000000 0000000000000000", 0},
    /* SET_VRING_NUM 256, _BASE 7, _ADDR, _CALL, _ERR, _KICK, _ENABLE; SET_STATUS 15 */
    {"08000000 09000000 08000000 00000000 00010000", 0, "08000000 05000000 08000000 0000000000000000", 0},
    {"0a000000 09000000 08000000 00000000 07000000", 0, "0a000000 05000000 08000000 0000000000000000", 0},
    {"09000000 09000000 28000000 00000000 00000000 0000010000000000 0020010000000000 0010010000000000 0000000000000000", 0,
     "09000000 05000000 08000000 0000000000000000", 0},
    {"0d000000 09000000 08000000 0000000000000000", 1, "0d000000 05000000 08000000 0000000000000000", 0},
    {"0e000000 09000000 08000000 0000000000000000", 1, "0e000000 05000000 08000000 0000000000000000", 0},
    {"0c000000 09000000 08000000 0000000000000000", 1, "0c000000 05000000 08000000 0000000000000000", 0},
    {"12000000 09000000 08000000 00000000 01000000", 0, "12000000 05000000 08000000 0000000000000000", 0},
    {"27000000 09000000 08000000 0f00000000000000", 0, "27000000 05000000 08000000 0000000000000000", 0},
    /* GET_CONFIG and SET_CONFIG: offset 4, 3 bytes, no flags; SET_CONFIG of a migration */
    {"18000000 09000000 0f000000 04000000 03000000 00000000 000000", 0,
     "18000000 05000000 0f000000 04000000 03000000 00000000 616263", 0},
    {"19000000 09000000 0f000000 04000000 03000000 00000000 78797a", 0, "19000000 05000000 08000000 0000000000000000", 0},
    {"19000000 09000000 0d000000 00000000 01000000 01000000 78", 0, "19000000 05000000 08000000 0000000000000000", 0},
    /* GET_INFLIGHT_FD for a queue of 256 */
    {"1f000000 09000000 18000000 0000000000000000 0000000000000000 0100 0001 00000000", 0,
     "1f000000 05000000 18000000 0010000000000000 0000000000000000 0100 0001 00000000", 1},
    /* Stop: SET_VRING_ENABLE 0, GET_VRING_BASE, which was 42 */
    {"12000000 09000000 08000000 00000000 00000000", 0, "12000000 05000000 08000000 0000000000000000", 0},
    {"0b000000 09000000 08000000 00000000 00000000", 0, "0b000000 05000000 08000000 00000000 2a000000", 0},
    /* SET_DEVICE_STATE_FD: save, stopped; the reply says to use the descriptor as it is. CHECK_DEVICE_STATE */
    {"2a000000 09000000 08000000 00000000 00000000", 1, "2a000000 05000000 08000000 0001000000000000", 0},
    {"2b000000 09000000 00000000", 0, "2b000000 05000000 08000000 0000000000000000", 0},
    /* A generic request: SEND_RARP */
    {"13000000 09000000 08000000 1122334455660000", 0, "13000000 05000000 08000000 0000000000000000", 0},
    /* RESET_DEVICE */
    {"22000000 09000000 00000000", 0, "22000000 05000000 08000000 0000000000000000", 0},
};

/* The back-end's requests on the channel, and the answers. */
static const struct {
    const char *asked;
    int fds;
    const char *answered;
} channel_transcript[] = {
    /* CONFIG_CHANGE */
    {"02000000 09000000 00000000", 0, "02000000 05000000 08000000 0000000000000000"},
    /* SHMEM_MAP of 4096 bytes at 8192 of region 0, read-write; again, which is refused with -EEXIST; SHMEM_UNMAP */
    {"09000000 09000000 28000000 0000000000000000 0000000000000000 0020000000000000 0010000000000000 0100000000000000", 1,
     "09000000 05000000 08000000 0000000000000000"},
    {"09000000 09000000 28000000 0000000000000000 0000000000000000 0020000000000000 0010000000000000 0100000000000000", 1,
     "09000000 05000000 08000000 efffffffffffffff"},
    {"0a000000 09000000 28000000 0000000000000000 0000000000000000 0020000000000000 0010000000000000 0000000000000000", 0,
     "0a000000 05000000 08000000 0000000000000000"},
    /* VRING_CALL, which is not served here: -EOPNOTSUPP */
    {"04000000 09000000 08000000 00000000 00000000", 0, "04000000 05000000 08000000 a1ffffffffffffff"},
};

static int main_socket, channel = -1, line;

static void *hear(void *user_data)
{
    int area = memfd_of(4096, 0);
    (void)user_data;
    for (size_t i = 0; i < G_N_ELEMENTS(transcript); i++) {
        message m;
        char what[40];
        EQ(receive(main_socket, &m, PATIENCE_MS), 1);
        snprintf(what, sizeof(what), "message %zu", i);
        is_line(&m, transcript[i].said, transcript[i].fds, what);
        if (m.header.request == SET_BACKEND_REQ_FD) {
            __atomic_store_n(&channel, m.fds[0], __ATOMIC_RELEASE);
        } else {
            for (int n = 0; n < m.fd_count; n++) {
                close(m.fds[n]);
            }
        }
        if (m.header.request == GET_SHMEM_CONFIG) {
            uint8_t bytes[12 + 2056] = {0};
            CHECK(unhex(transcript[i].replied, bytes) == 28);
            send_bytes(main_socket, bytes, sizeof(bytes), NULL, 0);
        } else if (transcript[i].replied != NULL) {
            send_line(main_socket, transcript[i].replied, &area, transcript[i].reply_fds);
        }
        __atomic_store_n(&line, (int)i + 1, __ATOMIC_RELEASE);
    }
    close(area);
    return NULL;
}

static void ignore(vhushmem_frontend *frontend, const vhushmem_event *event, void *user_data)
{
    (void)frontend;
    ((int *)user_data)[event->type]++;
}

int main(void)
{
    only_with_pages_of_4_kib();
    char *fds = fds_now();
    int pair[2], pipe_fds[2], use, file = memfd_of(8 * PAGE, 1), kick = eventfd(0, EFD_CLOEXEC), events[9] = {0};
    uint8_t bytes[3];
    uint16_t base;
    pthread_t thread;
    vhushmem_inflight area = {.struct_size = sizeof(area)};
    vhushmem_guest_memory ram = memory_of(0x100000, 0x4000, file, 0x1000);
    vhushmem_queue queue = queue_of(256, 7, 0x10000, kick);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0 && pipe2(pipe_fds, O_CLOEXEC) == 0);
    main_socket = pair[1];
    CHECK(pthread_create(&thread, NULL, hear, NULL) == 0);
    vhushmem_frontend *f = some(vhushmem_frontend_new_fd(pair[0], NULL, &error));
    ok(vhushmem_frontend_set_callback(f, ignore, events, NULL));
    ok(vhushmem_frontend_connect(f, PATIENCE_MS, &error));
    EQ(vhushmem_region_size(some(vhushmem_device_find_region(vhushmem_frontend_device(f), 0))), 0x10000);
    ok(vhushmem_frontend_set_memory(f, &ram, 1, &error));
    ok(vhushmem_frontend_start_device(f, BIT(32), &queue, 1, &error));
    ok(vhushmem_frontend_get_config(f, 4, bytes, 3, &error));
    CHECK(memcmp(bytes, "abc", 3) == 0);
    ok(vhushmem_frontend_set_config(f, 4, "xyz", 3, 0, &error));
    ok(vhushmem_frontend_set_config(f, 0, "x", 1, VHUSHMEM_CONFIG_MIGRATION, &error));
    ok(vhushmem_frontend_get_inflight(f, 1, 256, &area, &error));
    EQ(area.size, 0x1000);
    close(area.fd);
    EQ(vhushmem_frontend_stop_device(f, &base, 1, &error), 1);
    EQ(base, 42);
    ok(vhushmem_frontend_set_device_state_fd(f, VHUSHMEM_STATE_SAVE, pipe_fds[1], &use, &error));
    EQ(use, -1);
    ok(vhushmem_frontend_check_device_state(f, &error));
    ok(vhushmem_frontend_request(f, 19, "\x11\x22\x33\x44\x55\x66\0", 8, NULL, 0, 0, NULL, NULL, NULL, &error));
    for (size_t i = 0; i < G_N_ELEMENTS(channel_transcript); i++) {
        message m;
        char what[40];
        send_line(channel, channel_transcript[i].asked, &file, channel_transcript[i].fds);
        pump(f);
        EQ(receive(channel, &m, PATIENCE_MS), 1);
        snprintf(what, sizeof(what), "answer %zu", i);
        is_line(&m, channel_transcript[i].answered, 0, what);
    }
    ok(vhushmem_frontend_reset(f, &error));
    PUMP_UNTIL(f, events[VHUSHMEM_EVENT_RESET] == 1);
    pthread_join(thread, NULL);
    EQ(line, G_N_ELEMENTS(transcript));
    CHECK(!wait_readable(main_socket, 0)); /* and not a byte more */
    vhushmem_frontend_free(f);
    close(main_socket);
    close(channel);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    close(file);
    close(kick);
    same(fds, fds_now());
    return 0;
}
