/* SPDX-License-Identifier: BSD-3-Clause */
/* A back-end that asks for many maps at once sends 32 before the first answer arrives, and then one more for each answer. */
#include "backend-rig.h"

#define COUNT 100
#define IN_FLIGHT 32

static unsigned heard(int channel)
{
    unsigned count = 0;
    message m;
    while (wait_readable(channel, 0) && receive(channel, &m, PATIENCE_MS) == 1) {
        for (int i = 0; i < m.fd_count; i++) {
            close(m.fds[i]);
        }
        count++;
    }
    return count;
}

/* This many answers are there before the back-end asks, and no more come. So the test sees how many requests it sends
   without further answers. */
static void sends(unsigned answers, unsigned flags, unsigned wanted)
{
    vhushmem_backend_options options = {.struct_size = sizeof(options), .answer_timeout_ms = 100};
    vhushmem_shmem_request all[COUNT] = {{0}};
    const uint64_t done = 0;
    backend_rig r;
    int fd = memfd_of(PAGE, 1);
    backend_rig_open(&r, COUNT * PAGE, &options);
    for (unsigned i = 0; i < COUNT; i++) {
        all[i] = (vhushmem_shmem_request){
            .struct_size = sizeof(vhushmem_shmem_request), .request = MAP, .fd = fd, .shm_offset = i * PAGE, .len = PAGE};
    }
    for (unsigned i = 0; i < answers; i++) {
        send_message(r.channel, MAP, 0x5, &done, 8, NULL, 0);
    }
    err(vhushmem_backend_perform(r.backend, all, COUNT, flags, &error), -ETIMEDOUT);
    EQ(heard(r.channel), wanted);
    for (unsigned i = 0; i < COUNT && flags == 0; i++) {
        EQ(all[i].result, i < answers ? 0 : -ETIMEDOUT);
    }
    backend_rig_close(&r);
    close(fd);
}

int main(void)
{
    sends(0, 0, IN_FLIGHT);
    sends(1, 0, IN_FLIGHT + 1);
    sends(20, 0, IN_FLIGHT + 20);
    sends(0, VHUSHMEM_PERFORM_ONE_ANSWER, COUNT); /* one answer cannot fill anything */
    return 0;
}
