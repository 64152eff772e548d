/* SPDX-License-Identifier: BSD-3-Clause */
/* Guest memory that no back-end could map is refused before any back-end is told. */
#include "device-rig.h"

static vhushmem_frontend *frontend;

static int64_t given(vhushmem_guest_memory range) { return vhushmem_frontend_set_memory(frontend, &range, 1, &error); }

int main(void)
{
    int pair[2], file = memfd_of(4 * PAGE, 1), reader = read_only(file), event = eventfd(0, EFD_CLOEXEC);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0 && event >= 0);
    frontend = some(vhushmem_frontend_new("/nowhere", NULL, &error));

    ok(given(memory_of(0x100000, 4 * PAGE, file, 0)));
    ok(given(memory_of(0x100000, 3 * PAGE, file, PAGE)));
    ok(given(memory_of(0x100000, 4 * PAGE, file, PAGE))); /* it may grow */
    refused(given(memory_of(0x100000, PAGE, file, 4 * PAGE)), -EINVAL, hex(4 * PAGE));
    refused(given(memory_of(0x100010, PAGE, file, 0)), -EINVAL, "page size");
    refused(given(memory_of(0x100000, PAGE + 8, file, 0)), -EINVAL, "page size");
    refused(given(memory_of(0x100000, PAGE, file, 16)), -EINVAL, "page size");
    refused(given(memory_of(0x100000, PAGE, reader, 0)), -EACCES, "reading and writing");
    refused(given(memory_of(0x100000, PAGE, event, 0)), -EINVAL, "cannot be mapped");
    refused(given(memory_of(0x100000, PAGE, pair[0], 0)), -EINVAL, "cannot be mapped");

    /* Each range of a file is checked, even if the file was seen before. */
    vhushmem_guest_memory two[] = {memory_of(0x100000, PAGE, file, 0), memory_of(0x200000, PAGE, file, 5 * PAGE)};
    refused(vhushmem_frontend_set_memory(frontend, two, 2, &error), -EINVAL, hex(5 * PAGE));

    vhushmem_frontend_free(frontend);
    close(file);
    close(reader);
    close(event);
    close(pair[0]);
    close(pair[1]);
    return 0;
}
