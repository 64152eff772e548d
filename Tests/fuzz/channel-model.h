/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_TESTS_CHANNEL_MODEL_H
#define VHUSHMEM_TESTS_CHANNEL_MODEL_H

/*
 * What two regions must answer, worked out in the simplest way: each page has an owner, and each
 * rule of vhushmem_region_map and of the specification is one line. There is no clever
 * structure.
 */

#include "fuzz.h"

#define REGIONS 2
#define PAGES 24 /* of each region */

typedef struct mapping {
    bool live;
    uint64_t offset, len, fd_offset, flags;
    kind file;
} mapping;

typedef struct region_model {
    uint8_t shmid;
    vhushmem_region *region;
    mapping mappings[PAGES]; /* a mapping has the index of its first page */
    int owner[PAGES];        /* index of a mapping, or -1 */
    uint64_t max_mappings, max_bytes;
} region_model;

typedef struct model {
    uint32_t fd_policy;
    region_model regions[REGIONS];
    uint64_t max_mappings, max_bytes; /* of the device */
} model;

/*
 * What the kernel itself answers to a shared mapping of one page of each file: 0 or a negative
 * errno.
 */
static int kernel_says[KINDS][2];

static inline void ask_the_kernel(void)
{
    for (unsigned i = 0; i < KINDS; i++) {
        for (int writable = 0; writable < 2; writable++) {
            void *p = mmap(NULL, PAGE, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED,
                           files[i].fd, 0);
            kernel_says[i][writable] = p == MAP_FAILED ? -errno : 0;
            if (p != MAP_FAILED) {
                munmap(p, PAGE);
            }
        }
    }
}

static inline uint64_t pages_in(uint64_t len) { return len / PAGE + (len % PAGE != 0); }

static inline region_model *model_region(model *m, uint8_t shmid)
{
    for (int i = 0; i < REGIONS; i++) {
        if (m->regions[i].shmid == shmid) {
            return &m->regions[i];
        }
    }
    return NULL;
}

static inline void count_up(const region_model *r, uint64_t *mappings, uint64_t *bytes)
{
    for (int i = 0; i < PAGES; i++) {
        *mappings += r->mappings[i].live;
        *bytes += r->owner[i] >= 0 ? PAGE : 0;
    }
}

static inline bool is_used_up(uint64_t max_mappings, uint64_t max_bytes, uint64_t mappings,
                              uint64_t bytes, uint64_t more)
{
    return (max_mappings != 0 && mappings >= max_mappings) ||
           (max_bytes != 0 && bytes + more > max_bytes);
}

static inline int wrong_range(uint64_t offset, uint64_t len)
{
    return len == 0 || offset % PAGE != 0 || offset > UINT64_MAX - len ||
           offset + len > PAGES * PAGE;
}

/*
 * A newer kernel looks at a memfd's seals, and whether it can be mapped at all, before it unmaps
 * anything. There the library asks it last.
 */
static inline bool kernel_is_asked_last(const model *m)
{
    static int looks_first = -1;
    if (looks_first < 0) {
        void *page = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        looks_first = mmap(page, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
                           files[SEALED_WRITE].fd, 0) == MAP_FAILED &&
                      msync(page, PAGE, MS_ASYNC) == 0;
        munmap(page, PAGE);
    }
    return looks_first && !(m->fd_policy & VHUSHMEM_FD_REQUIRE_SEAL_SHRINK);
}

static inline int file_refuses(const model *m, const VhostUserMMap *map, kind k)
{
    bool regular = k <= EMPTY_FILE || k == PATH_ONLY,
         writable = map->flags & VHOST_USER_FLAG_MAP_RW;
    if (k == DIRECTORY || k == PIPE || k == SOCKET || k == BROKEN_PIPE || k == BROKEN_SOCKET) {
        return -ENODEV;
    }
    if (!regular && (m->fd_policy & VHUSHMEM_FD_FILES_ONLY)) {
        return -EACCES;
    }
    if (k == PATH_ONLY && !kernel_is_asked_last(m)) {
        return -EBADF;
    }
    if ((m->fd_policy & VHUSHMEM_FD_REQUIRE_SEAL_SHRINK) && k != SEALED_SHRINK) {
        return -EPERM;
    }
    if (map->fd_offset % PAGE != 0) {
        return -EINVAL;
    }
    uint64_t len = pages_in(map->len) * PAGE;
    if (map->fd_offset > INT64_MAX || map->fd_offset + len > INT64_MAX) {
        return -EOVERFLOW;
    }
    if (regular && !(m->fd_policy & VHUSHMEM_FD_ALLOW_BEYOND_END) &&
        map->fd_offset + len > pages_in(files[k].size) * PAGE) {
        return -EOVERFLOW;
    }
    return !kernel_is_asked_last(m) && writable && (k == SEALED_WRITE || k == SEALED_FUTURE_WRITE)
               ? -EPERM
               : 0;
}

static inline int model_map(model *m, const VhostUserMMap *map, kind k)
{
    region_model *r = model_region(m, map->shmid);
    if (r == NULL) {
        return -ENOENT;
    }
    if (wrong_range(map->shm_offset, map->len) ||
        (map->flags & ~(uint64_t)VHOST_USER_FLAG_MAP_RW) != 0) {
        return -EINVAL;
    }
    int refusal = file_refuses(m, map, k);
    if (refusal != 0) {
        return refusal;
    }
    uint64_t first = map->shm_offset / PAGE, count = pages_in(map->len), bytes = count * PAGE;
    for (uint64_t i = first; i < first + count; i++) {
        if (r->owner[i] >= 0) {
            return -EEXIST;
        }
    }
    uint64_t mappings = 0, mapped = 0;
    count_up(r, &mappings, &mapped);
    if (is_used_up(r->max_mappings, r->max_bytes, mappings, mapped, bytes)) {
        return -ENOSPC;
    }
    mappings = mapped = 0;
    for (int i = 0; i < REGIONS; i++) {
        count_up(&m->regions[i], &mappings, &mapped);
    }
    if (is_used_up(m->max_mappings, m->max_bytes, mappings, mapped, bytes)) {
        return -ENOSPC;
    }
    bool writable = map->flags & VHOST_USER_FLAG_MAP_RW;
    if (k == PATH_ONLY) {
        return -EBADF;
    }
    if ((k != SEALED_WRITE || writable) && kernel_says[k][writable] != 0) {
        return kernel_says[k][writable];
    }
    r->mappings[first] = (mapping){true, map->shm_offset, map->len, map->fd_offset, map->flags, k};
    for (uint64_t i = first; i < first + count; i++) {
        r->owner[i] = (int)first;
    }
    return 0;
}

static inline int model_unmap(model *m, const VhostUserMMap *map)
{
    region_model *r = model_region(m, map->shmid);
    if (r == NULL) {
        return -ENOENT;
    }
    if (wrong_range(map->shm_offset, map->len)) {
        return -EINVAL;
    }
    uint64_t first = map->shm_offset / PAGE, count = pages_in(map->len);
    mapping *it = &r->mappings[first];
    if (it->live && it->len == map->len) {
        it->live = false;
        for (uint64_t i = first; i < first + count; i++) {
            r->owner[i] = -1;
        }
        return 0;
    }
    for (uint64_t i = first; i < first + count; i++) {
        if (r->owner[i] >= 0) {
            return -EINVAL;
        }
    }
    return -ENOENT;
}

static inline void model_forget_all(model *m)
{
    for (int n = 0; n < REGIONS; n++) {
        memset(m->regions[n].mappings, 0, sizeof(m->regions[n].mappings));
        for (int i = 0; i < PAGES; i++) {
            m->regions[n].owner[i] = -1;
        }
    }
}

/* The content of the file at an offset: its pattern, or zeros after its end and in files without
   a pattern. */
static inline uint64_t word_of(kind k, uint64_t offset)
{
    bool has_pattern = k <= SHORT_FILE;
    return has_pattern && offset < files[k].size / PAGE * PAGE ? pattern(files[k].seed, offset) : 0;
}

static inline void page_is_as_modelled(const region_model *r, uint64_t page)
{
    uint64_t offset = page * PAGE, word = 1;
    const mapping *m = r->owner[page] < 0 ? NULL : &r->mappings[r->owner[page]];
    char *at = (char *)vhushmem_region_window(r->region) + offset;
    CHECK(vhushmem_region_translate(r->region, offset, PAGE, false) == (m != NULL ? at : NULL));
    CHECK(vhushmem_region_translate(r->region, offset, PAGE, true) ==
          (m != NULL && m->flags != 0 ? at : NULL));
    if (m == NULL && page % 8 != 0) {
        return; /* the next line is slow */
    }
    if (m == NULL) {
        err(vhushmem_region_read(r->region, offset, &word, sizeof(word), &error), -ENOENT);
        return;
    }
    uint64_t in_file = m->fd_offset + (offset - m->offset);
    /*
     * The kernel makes a file as long as the mapping of a shared /dev/zero. Pages that an offset
     * moves beyond its end raise SIGBUS.
     */
    uint64_t size = m->file == DEV_ZERO ? m->len : files[m->file].size;
    if (in_file >= pages_in(size) * PAGE) {
        err(vhushmem_region_read(r->region, offset, &word, sizeof(word), &error), -EIO);
        return;
    }
    EQ(word_at(r->region, offset), word_of(m->file, in_file));
    EQ(word_at(r->region, offset + PAGE - 8), word_of(m->file, in_file + PAGE - 8));
    if (m->flags != 0 && m->file == DEV_ZERO) {
        CHECK(writable(at));
    }
}

/* The regions report what the model has, and their windows show it. */
static inline void regions_are_as_modelled(model *m)
{
    for (int n = 0; n < REGIONS; n++) {
        region_model *r = &m->regions[n];
        uint64_t mappings = 0, bytes = 0, from = 0;
        count_up(r, &mappings, &bytes);
        EQ(vhushmem_region_mapping_count(r->region), mappings);
        EQ(vhushmem_region_mapped_bytes(r->region), bytes);
        vhushmem_mapping_info info = {.struct_size = sizeof(info)};
        for (int i = 0; i < PAGES; i++) {
            const mapping *it = &r->mappings[i];
            if (it->live) {
                ok(vhushmem_region_next_mapping(r->region, from, &info));
                EQ(info.shm_offset, it->offset);
                EQ(info.len, it->len);
                EQ(info.fd_offset, it->fd_offset);
                EQ(info.flags, it->flags);
                from = info.shm_offset + info.len;
            }
        }
        err(vhushmem_region_next_mapping(r->region, from, &info), -ENOENT);
        for (uint64_t i = 0; i < PAGES; i++) {
            page_is_as_modelled(r, i);
        }
    }
}

#endif
