/* SPDX-License-Identifier: BSD-3-Clause */
/* A back-end that gets no answer in time, a wrong answer, or a hang-up reports which, closes the channel, and asks no more. */
#include "backend-rig.h"

static void loses_the_channel(answerer how, int code)
{
    uint64_t page = PAGE;
    backend_rig r;
    vhushmem_backend_options options = {.struct_size = sizeof(options),
                                        .answer_timeout_ms = code == -ETIMEDOUT ? 300 : PATIENCE_MS};
    backend_rig_open(&r, 16 * page, &options);
    int fd = memfd_of(page, 1);
    how.channel = r.channel;
    answerer_start(&how);
    int64_t begin = now_ms();
    refused(vhushmem_backend_map(r.backend, 0, fd, 0, 0, page, 0, &error), code);
    CHECK(code != -ETIMEDOUT || now_ms() - begin >= 290);
    answerer_end(&how);
    CHECK(hung_up(r.channel, PATIENCE_MS));
    CHECK(!vhushmem_backend_is_negotiated(r.backend));
    refused(vhushmem_backend_map(r.backend, 0, fd, 0, 0, page, 0, &error), -ENOTCONN);
    refused(vhushmem_backend_unmap(r.backend, 0, 0, page, &error), -ENOTCONN);
    close(fd);
    backend_rig_close(&r);
}

int main(void)
{
    loses_the_channel((answerer){.mute = true}, -ETIMEDOUT);
    loses_the_channel((answerer){.hang_up = true}, -ECONNRESET);
    loses_the_channel((answerer){.request = UNMAP}, -EPROTO);
    loses_the_channel((answerer){.flags = 0x1}, -EPROTO);
    loses_the_channel((answerer){.flags = 0x6}, -EPROTO);
    return 0;
}
