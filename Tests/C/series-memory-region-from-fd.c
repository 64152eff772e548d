/* SPDX-License-Identifier: BSD-3-Clause */
/* memory_region_init_ram_from_fd maps a file: shared or private, read-only or not. It takes the fd over if it succeeds, and
   only then. */
#include "harness.h"

#include <vhushmem/series.h>

int main(void)
{
    uint64_t page = PAGE, word;
    char *fds = fds_now();
    char name[] = "ram";
    int owner, fd = memfd_of(4 * page, 1), other = dup(fd);
    MemoryRegion mr = {0}, ro = {0}, none = {0};

    refused(errno_of_false(memory_region_init_ram_from_fd(&none, NULL, "x", 0, RAM_SHARED, fd, 0, &error)), -EINVAL);
    refused(errno_of_false(memory_region_init_ram_from_fd(&none, NULL, "x", page, 1u << 30, fd, 0, &error)), -EINVAL);
    refused(errno_of_false(memory_region_init_ram_from_fd(&none, NULL, "x", page, RAM_SHARED, fd, 8, &error)), -EINVAL, hex(8));
    refused(errno_of_false(memory_region_init_ram_from_fd(&none, NULL, "x", 5 * page, RAM_SHARED, fd, 0, &error)), -EOVERFLOW,
            hex(5 * page));
    refused(errno_of_false(memory_region_init_ram_from_fd(&none, NULL, "x", page, RAM_SHARED, fd, 4 * page, &error)),
            -EOVERFLOW);
    refused(errno_of_false(memory_region_init_ram_from_fd(&none, NULL, "x", page, RAM_SHARED, -1, 0, &error)), -EBADF);
    refused(errno_of_false(memory_region_init_ram_from_fd(NULL, NULL, "x", page, RAM_SHARED, fd, 0, &error)), -EFAULT);
    CHECK(fcntl(fd, F_GETFD) >= 0);

    CHECK(memory_region_init_ram_from_fd(&mr, &owner, name, 2 * page, RAM_SHARED, fd, page, &error) && error == NULL);
    name[0] = 'X';
    CHECK(strcmp(mr.name, "ram") == 0 && mr.owner == &owner && mr.size == 2 * page);
    EQ(memory_region_size(&mr), 2 * page);
    EQ(memory_region_get_fd(&mr), fd);
    uint64_t *ram = some(memory_region_get_ram_ptr(&mr));
    EQ(ram[0], pattern(1, page));
    ram[0] = 42;
    EQ(pread(other, &word, 8, (off_t)page), 8);
    EQ(word, 42);

    int reader = read_only(other);
    refused(errno_of_false(memory_region_init_ram_from_fd(&ro, NULL, NULL, page, RAM_SHARED, reader, 0, &error)), -EACCES);
    CHECK(
        memory_region_init_ram_from_fd(&ro, NULL, NULL, page, RAM_SHARED | RAM_READONLY | RAM_READONLY_FD, reader, 0, &error));
    CHECK(readable(memory_region_get_ram_ptr(&ro)) && !writable(memory_region_get_ram_ptr(&ro)));
    memory_region_unref(&ro);
    CHECK(fcntl(reader, F_GETFD) < 0);

    /* Without RAM_SHARED, writes are private. */
    MemoryRegion copy = {0};
    CHECK(memory_region_init_ram_from_fd(&copy, NULL, "copy", page, 0, dup(other), 0, &error));
    *(volatile uint64_t *)memory_region_get_ram_ptr(&copy) = 7;
    EQ(pread(other, &word, 8, 0), 8);
    EQ(word, pattern(1, 0));
    memory_region_unref(&copy);
    reader = read_only(other);
    CHECK(memory_region_init_ram_from_fd(&copy, NULL, "copy", page, RAM_READONLY_FD, reader, 0, &error));
    *(volatile uint64_t *)memory_region_get_ram_ptr(&copy) = 7; /* a file that is open for reading is enough */
    memory_region_unref(&copy);

    /* A file that is sealed against writing can be shared for reading. It is not made private in secret. */
    int sealed = memfd_of(page, 3);
    CHECK(fcntl(sealed, F_ADD_SEALS, F_SEAL_WRITE) == 0);
    refused(errno_of_false(memory_region_init_ram_from_fd(&none, NULL, "x", page, RAM_SHARED, sealed, 0, &error)), -EPERM,
            "sealed");
    CHECK(memory_region_init_ram_from_fd(&ro, NULL, NULL, page, RAM_SHARED | RAM_READONLY, sealed, 0, &error));
    EQ(*(uint64_t *)memory_region_get_ram_ptr(&ro), pattern(3, 0));
    memory_region_unref(&ro);
    sealed = memfd_of(page, 3);
    CHECK(fcntl(sealed, F_ADD_SEALS, F_SEAL_WRITE) == 0);
    CHECK(memory_region_init_ram_from_fd(&copy, NULL, "copy", page, 0, sealed, 0, &error)); /* a private copy can be written */
    *(volatile uint64_t *)memory_region_get_ram_ptr(&copy) = 7;
    memory_region_unref(&copy);

    /* No other flags of QEMU: RAM_PMEM, RAM_NORESERVE, RAM_PROTECTED, RAM_NAMED_FILE. */
    for (unsigned bit = 5; bit <= 9; bit++) {
        if (bit != 6) {
            refused(errno_of_false(
                        memory_region_init_ram_from_fd(&none, NULL, "x", page, RAM_SHARED | 1u << bit, other, 0, &error)),
                    -EINVAL, hex(RAM_SHARED | 1u << bit));
        }
    }

    memory_region_ref(&mr);
    memory_region_unref(&mr);
    EQ(ram[0], 42);
    memory_region_unref(&mr);
    CHECK(fcntl(fd, F_GETFD) < 0);
    CHECK(!readable(ram));
    close(other);
    same(fds, fds_now());
    return 0;
}
