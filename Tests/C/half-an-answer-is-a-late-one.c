/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A front-end begins an answer and does not finish it. The back-end's request fails with ETIMEDOUT, as without any byte of an
 * answer: it came late, and was not wrong. It does not matter whether the back-end waits for it.
 */
#include "backend-rig.h"

static int results[2], told;

static void on_result(vhushmem_backend *backend, int result, const char *message, void *user_data)
{
    (void)backend;
    (void)message;
    (void)user_data;
    CHECK(told < 2);
    results[told++] = result;
}

/* So many bytes of two answers come. */
static void half(size_t sent, bool blocks)
{
    backend_rig r;
    const vhushmem_backend_options options = {.struct_size = sizeof(options), .answer_timeout_ms = 100};
    const VhostUserHeader answer = {MAP, 0x5, 8};
    uint8_t bytes[40] = {0};
    int file = memfd_of(PAGE, 1);
    told = 0;
    backend_rig_open(&r, 16 * PAGE, &options);
    for (uint64_t page = 0; page < 2; page++) {
        memcpy(bytes + 20 * page, &answer, 12);
        ok(vhushmem_backend_map_async(r.backend, 0, file, 0, page * PAGE, PAGE, 0, on_result, NULL, NULL, &error));
    }
    send_bytes(r.channel, bytes, sent, NULL, 0);
    pump_backend(r.backend); /* it has read them, unless the machine is slow */
    usleep(200000);          /* all limits have passed when it looks again */
    if (blocks) {
        err(vhushmem_backend_map(r.backend, 0, file, 0, 2 * PAGE, PAGE, 0, &error), -ETIMEDOUT);
    }
    STEP_UNTIL(told == 2, vhushmem_backend_dispatch(r.backend));
    EQ(results[0], sent < 20 ? -ETIMEDOUT : 0);
    EQ(results[1], -ETIMEDOUT);
    CHECK(!vhushmem_backend_is_negotiated(r.backend));
    backend_rig_close(&r);
    close(file);
}

int main(void)
{
    half(1, false);
    half(13, false);
    half(33, false);
    half(13, true);
    return 0;
}
