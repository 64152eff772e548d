/* SPDX-License-Identifier: BSD-3-Clause */
/* The library's back-end returns the errno of the front-end's answer, and EIO for an answer that is no errno. */
#include "backend-rig.h"

int main(void)
{
    static const struct {
        int64_t answer;
        int result;
    } lines[] = {
        {-EEXIST, -EEXIST}, {-ENOENT, -ENOENT}, {-ENOSPC, -ENOSPC}, {-EINVAL, -EINVAL}, {-1, -1},
        {1, -EIO},          {EINVAL, -EIO},     {INT64_MAX, -EIO},  {INT64_MIN, -EIO},  {-5000, -EIO},
    };
    uint64_t page = PAGE;
    backend_rig r;
    backend_rig_open(&r, 16 * page, NULL);
    int fd = memfd_of(page, 1);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        answerer map = {.channel = r.channel, .value = (uint64_t)lines[i].answer};
        answerer_start(&map);
        refused(vhushmem_backend_map(r.backend, 0, fd, 0, 0, page, 0, &error), lines[i].result);
        answerer_end(&map);
        answerer unmap = {.channel = r.channel, .value = (uint64_t)lines[i].answer};
        answerer_start(&unmap);
        refused(vhushmem_backend_unmap(r.backend, 0, 0, page, &error), lines[i].result);
        answerer_end(&unmap);
        CHECK(vhushmem_backend_is_negotiated(r.backend));
    }
    close(fd);
    backend_rig_close(&r);
    return 0;
}
