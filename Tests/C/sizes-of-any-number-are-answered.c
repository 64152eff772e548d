/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A size_t may be SIZE_MAX, and half of all its values are negative numbers in the library's language. Such a size is many. A
 * function that copies as much as there is copies all, any other refuses, and none ends the process.
 */
#include "bare-queue.h"

#include "rig.h"

static const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 7, (size_t)1 << 63, SIZE_MAX / 2};

static void never(vhushmem_frontend *frontend, const vhushmem_reply *reply, void *user_data)
{
    (void)frontend;
    (void)reply;
    (void)user_data;
    FAIL("a request that was refused has a reply%s", "");
}

static void regions(size_t size)
{
    rig r;
    uint8_t bytes[64] = {0}, ids[4] = {0};
    rig_open(&r, 16 * PAGE, NULL);
    int fd = memfd_of(PAGE, 1);
    ok(vhushmem_region_map(r.region, fd, 0, 0, PAGE, VHOST_USER_FLAG_MAP_RW, &error));
    refused(vhushmem_region_read(r.region, 0, bytes, size, &error), -EINVAL);
    refused(vhushmem_region_read(r.region, UINT64_MAX, bytes, size, &error), -EINVAL);
    refused(vhushmem_region_write(r.region, 0, bytes, size, &error), -EINVAL);
    EQ(vhushmem_device_region_ids(r.device, ids, size), 1);
    refused(vhushmem_device_add_config(r.device, bytes, size, NULL, &error), -EPROTO);
    size_t room = size;
    int reply_fd;
    uint64_t reply;
    refused(vhushmem_frontend_request(r.frontend, 1000, bytes, size, NULL, 0, 0, NULL, NULL, NULL, &error), -EINVAL);
    refused(vhushmem_frontend_request(r.frontend, 1000, bytes, size, NULL, 0, VHUSHMEM_REQUEST_HAS_REPLY, &reply, &room,
                                      &reply_fd, &error),
            -EINVAL);
    refused(vhushmem_frontend_request_async(r.frontend, 1000, bytes, size, NULL, 0, 0, never, NULL, NULL, &error), -EINVAL);
    close(fd);
    rig_close(&r);
}

static void chains(size_t size)
{
    bare_queue b;
    uint8_t bytes[64] = "some of it";
    struct iovec pieces[4];
    vhushmem_chain *chain;
    vhushmem_shmem_request request = {.struct_size = sizeof(request)};
    bare_queue_open(&b, 0);
    set_descriptor(&b, 0, BUFFERS, 10, NEXT, 1);
    set_descriptor(&b, 1, BUFFERS + PAGE, 10, WRITE, 0);
    memcpy(b.ram + BUFFERS, "0123456789", 10);
    offer(&b, 0);
    EQ(ok(vhushmem_backend_pop_many(b.r.backend, 0, &chain, size, &error)), 1);
    EQ(vhushmem_chain_write(chain, 0, bytes, size), 10);
    EQ(memcmp(b.ram + BUFFERS + PAGE, "some of it", 10), 0);
    EQ(vhushmem_chain_read(chain, 0, bytes, size), 10);
    EQ(memcmp(bytes, "0123456789", 10), 0);
    EQ(vhushmem_chain_iovec(chain, false, 0, size, pieces, size), 1);
    EQ(pieces[0].iov_len, 10);
    ok(vhushmem_backend_push(b.r.backend, chain, 10, &error));
    refused(vhushmem_backend_request(b.r.backend, 1000, bytes, size, -1, NULL, NULL, &error), -EINVAL);
    refused(vhushmem_backend_perform(b.r.backend, &request, size, 0, &error), -EINVAL);
    backend_rig_close(&b.r);
    bare_queue_close(&b);
}

int main(void)
{
    char *fds = fds_now();
    for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
        regions(sizes[i]);
        if (sizes[i] > SIZE_MAX / 2) {
            chains(sizes[i]);
        }
    }
    same(fds, fds_now());
    return 0;
}
