/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Mappers, resets, readers, truncated files, page repair, guests' faults and KVM placements, all at once. Each thread reads
 * only bytes of a file that was mapped there meanwhile, and nothing is left over at the end. The test takes 3 seconds, 30 with
 * VHUSHMEM_TEST_LONG, or VHUSHMEM_STRESS_SECONDS=N. VHUSHMEM_TEST_SEED gives the seed.
 */
/* tsan: yes (many threads use one device) */
/* asan: scale 3 (without a tool, the race runs for its full time) */
#include "stress-model.h"

#include <linux/kvm.h>
#include <sys/ioctl.h>

#include <vhushmem/series.h>

/* The regions: one like QEMU's; one for DAX, with a slot for each mapping; one with zeros in its holes; one with a listener. */
enum { PLAIN, DAX, ZERO_HOLES, LISTENED, REGIONS };

#define GUEST_ADDRESS 0x100000000ull
#define KVM_PLACE (PLACES - 1) /* of DAX: only the thread that places regions maps there */
#define PROBE_SLOT 300u

typedef struct stress_region {
    vhushmem_device *device;
    vhushmem_region *region;
    char *window;
    uint8_t number;
    bool replaces, by_offset, keeps_files, beyond_end;
    place places[PLACES];
} stress_region;

static stress_region regions[REGIONS];
static stress_file files[FILES];
static bool stop;

/* A thread's state, and what it has done. */
enum {
    MAPS,
    UNMAPS,
    RESETS,
    REFUSED,
    READS,
    WRITES,
    TOUCHES,
    TRUNCATIONS,
    FAULTS,
    PLACEMENTS,
    PROBES,
    LISTENERS,
    UNCHECKED,
    COUNTERS
};
static const char *const counter_names[COUNTERS] = {"maps",   "unmaps",    "resets",      "refused", "reads",
                                                    "writes", "touches",   "truncations", "faults",  "placements",
                                                    "probes", "listeners", "unchecked"};

typedef struct worker {
    pthread_t thread;
    void (*round)(struct worker *);
    const char *name;
    unsigned number;
    uint64_t random;
    uint64_t rounds;
    uint64_t count[COUNTERS];
    uint64_t scribbles;
} worker;

static uint64_t below(worker *w, uint64_t limit) { return random_below(&w->random, limit); }

static bool one_in(worker *w, uint64_t n) { return below(w, n) == 0; }

static void meanwhile(void *user_data)
{
    /* Some of these steps run hundreds of times, others never. */
    worker *w = user_data;
    for (uint64_t i = one_in(w, 4) ? below(w, 20000) : below(w, 200); i > 0; i--) {
        (void)stamp();
    }
}

/* DAX is chosen less often: KVM takes milliseconds to change a slot, and whoever looks at that region waits for it. */
static stress_region *any_region(worker *w)
{
    return one_in(w, 12) ? &regions[DAX] : one_in(w, 4) ? &regions[LISTENED] : &regions[one_in(w, 2) ? PLAIN : ZERO_HOLES];
}

/* A region that several threads change. */
static stress_region *shared_region(worker *w)
{
    return one_in(w, 12) ? &regions[DAX] : &regions[one_in(w, 2) ? PLAIN : ZERO_HOLES];
}

/* ---- what was read ---- */

typedef struct look {
    stress_region *r;
    uint64_t from, to;
    bool is_touch;      /* through an address: what the file lacks shows zeros */
    bool is_guest_read; /* a hole shows zeros as well */
} look;

typedef struct verdict {
    uint64_t checked; /* the word, all but its number in the page */
    bool is_known;
} verdict;

static bool word_is_allowed(const look *l, place *p, uint64_t page_in_place, uint64_t word, uint64_t number)
{
    uint64_t region_page = (uint64_t)(p - l->r->places) * PLACE_PAGES + page_in_place;
    if (word == 0 && l->is_guest_read && may_be_hole(p, page_in_place, l->from, l->to)) {
        return true;
    }
    for (int i = 0; i < STEPS_KEPT; i++) {
        step *map = &p->steps[i];
        if (!is_possible(p, map, l->from, l->to) || map->pages <= page_in_place) {
            continue;
        }
        stress_file *f = map->file;
        uint64_t file_page = map->file_page + page_in_place;
        /* A private page keeps a content that the file had at any time since the map. */
        bool is_private = may_be_private(p, map, l->to);
        uint64_t from = is_private ? map->begin : l->from;
        if (word == 0) {
            if (((l->is_touch || l->is_guest_read) && f->shrinks) || state_is_possible(f, file_page, ZEROS, 0, from, l->to)) {
                return true;
            }
        } else if (word >> 57 == FILE_MARK) {
            uint32_t state = state_in(word);
            if (word == file_word(f->number, file_page, state, number) && state % KINDS < MISSING &&
                state_is_possible(f, file_page, state % KINDS, state, from, l->to)) {
                return true;
            }
        } else if (word >> 57 == SCRIBBLE_MARK && number >= SCRIBBLES) {
            if (f->writable || (is_private && is_scribble(word, l->r->number, region_page))) {
                return true;
            }
        }
    }
    return false;
}

static void __attribute__((noreturn))
complain(const look *l, place *p, uint64_t page, uint64_t word, uint64_t number, const char *who)
{
    uint64_t place_number = (uint64_t)(p - l->r->places);
    fprintf(stderr, "%s: region %u, place %" PRIu64 ", page %" PRIu64 ", word %" PRIu64 " is %016" PRIx64 "\n", who,
            l->r->number, place_number, page, number, word);
    fprintf(stderr, "  file %" PRIu64 " page %" PRIu64 " state %u, seen between %" PRIu64 " and %" PRIu64 "\n",
            word >> 49 & 0xff, word >> 41 & 0xff, state_in(word), l->from, l->to);
    for (int i = 0; i < STEPS_KEPT; i++) {
        const step *s = &p->steps[i];
        if (s->is_there && (is_possible(p, s, l->from, l->to) || s->end >= l->from || l->from - s->end < 400)) {
            fprintf(stderr, "  %s%s%s%s %" PRIu64 " to %" PRIu64 " file %d from page %" PRIu64 ", %" PRIu64 " pages%s%s\n",
                    s->maps ? "map" : "", s->unmaps ? "unmap" : "", s->makes_private ? "private" : "",
                    s->failed ? " (failed)" : "", s->begin, s->end, s->file != NULL ? s->file->number : -1, s->file_page,
                    s->pages, s->writable ? " rw" : "", is_possible(p, s, l->from, l->to) ? " *" : "");
        }
    }
    FAIL("%s read a word that nobody had put there", who);
}

/* Words that were read from a part of one page. */
static void check_words(worker *w, const look *l, uint64_t offset, const uint64_t *words, uint64_t count)
{
    uint64_t page = offset / PAGE, first = offset % PAGE / 8;
    place *p = &l->r->places[page / PLACE_PAGES];
    verdict known[2] = {{0, false}, {0, false}};
    pthread_mutex_lock(&p->lock);
    if (l->from < p->forgotten) {
        w->count[UNCHECKED]++;
        count = 0;
    }
    for (uint64_t i = 0; i < count; i++) {
        uint64_t number = first + i, word = words[i];
        /* Most words of a page differ only in their number. */
        bool is_of_file = word >> 57 == FILE_MARK && number_in(word) == number;
        verdict *v = &known[is_of_file];
        if (v->is_known && (is_of_file || word == 0) && v->checked == (is_of_file ? word - number_in(word) : word)) {
            continue;
        }
        if (!word_is_allowed(l, p, page % PLACE_PAGES, word, number)) {
            complain(l, p, page % PLACE_PAGES, word, number, w->name);
        }
        *v = (verdict){is_of_file ? word - number_in(word) : word, is_of_file || word == 0};
    }
    pthread_mutex_unlock(&p->lock);
}

static void check_bytes(worker *w, const look *l, uint64_t offset, const uint64_t *words, uint64_t bytes)
{
    for (uint64_t done = 0; done < bytes;) {
        uint64_t rest = PAGE - (offset + done) % PAGE, piece = rest < bytes - done ? rest : bytes - done;
        check_words(w, l, offset + done, words + done / 8, piece / 8);
        done += piece;
    }
}

/* Whether the fact may hold for any page of a range. It may if the model has forgotten. */
typedef bool page_fact(const look *l, place *p, uint64_t page_in_place);

static bool some_page(const look *l, uint64_t offset, uint64_t bytes, page_fact *fact)
{
    bool is_so = false;
    for (uint64_t page = offset / PAGE; page <= (offset + bytes - 1) / PAGE && !is_so; page++) {
        place *p = &l->r->places[page / PLACE_PAGES];
        pthread_mutex_lock(&p->lock);
        is_so = l->from < p->forgotten || fact(l, p, page % PLACE_PAGES);
        pthread_mutex_unlock(&p->lock);
    }
    return is_so;
}

static bool is_hole(const look *l, place *p, uint64_t page) { return may_be_hole(p, page, l->from, l->to); }

static bool has_mapping(const look *l, place *p, uint64_t page, int writable, int shrinks)
{
    for (int i = 0; i < STEPS_KEPT; i++) {
        step *map = &p->steps[i];
        if (is_possible(p, map, l->from, l->to) && map->pages > page && (writable < 0 || map->writable == writable) &&
            (shrinks < 0 || map->file->shrinks == shrinks)) {
            return true;
        }
    }
    return false;
}

static bool is_mapped(const look *l, place *p, uint64_t page) { return has_mapping(l, p, page, -1, -1); }
static bool is_read_only(const look *l, place *p, uint64_t page) { return has_mapping(l, p, page, 0, -1); }
static bool is_read_write(const look *l, place *p, uint64_t page) { return has_mapping(l, p, page, 1, -1); }
static bool can_shrink(const look *l, place *p, uint64_t page) { return has_mapping(l, p, page, -1, 1); }

/* ---- mappers ---- */

static void hold_rule(place *p, bool to_write)
{
    if (p->is_ruled) {
        CHECK((to_write ? pthread_rwlock_wrlock(&p->rule) : pthread_rwlock_rdlock(&p->rule)) == 0);
    }
}

static void let_rule_go(place *p)
{
    if (p->is_ruled) {
        pthread_rwlock_unlock(&p->rule);
    }
}

static step any_map(worker *w)
{
    stress_file *f = &files[below(w, FILES)];
    uint64_t pages = one_in(w, 3) ? PLACE_PAGES : 1 + below(w, PLACE_PAGES);
    return (step){.maps = true,
                  .file = f,
                  .file_page = below(w, FILE_PAGES - pages + 1),
                  .pages = pages,
                  .len = pages * PAGE - (one_in(w, 4) ? below(w, PAGE) : 0),
                  .writable = f->writable && one_in(w, 2)};
}

/* One of the four ways to map. */
static int map_by(worker *w, stress_region *r, const step *m, uint64_t offset)
{
    uint64_t flags = m->writable ? VHOST_USER_FLAG_MAP_RW : 0;
    VhostUserMMap message = {
        .shmid = r->number, .fd_offset = m->file_page * PAGE, .shm_offset = offset, .len = m->len, .flags = flags};
    vhushmem_mapping *mapping;
    int rc;
    switch (below(w, 4)) {
    case 0:
        rc = vhushmem_handle_map(r->device, &message, m->file->fd, NULL);
        vhushmem_device_commit(r->device);
        return rc;
    case 1:
        mapping = vhushmem_mapping_new(r->number, m->file->fd, message.fd_offset, offset, m->len, flags, NULL);
        CHECK(mapping != NULL);
        rc = vhushmem_region_add_mapping(r->region, mapping, NULL);
        if (rc != 0) {
            vhushmem_mapping_unref(mapping);
        }
        return rc;
    default:
        return vhushmem_region_map(r->region, m->file->fd, message.fd_offset, offset, m->len, flags, NULL);
    }
}

static void map_refused(worker *w, stress_region *r, place *p, const step *m, uint64_t begin, uint64_t end, int rc)
{
    look l = {.r = r, .from = begin, .to = end};
    w->count[REFUSED]++;
    if (rc == -EEXIST) {
        CHECK(some_page(&l, (uint64_t)(p - r->places) * PLACE_PAGES * PAGE, 1, is_mapped));
    } else if (rc == -EOVERFLOW) {
        CHECK(m->file->shrinks && !r->beyond_end);
    } else {
        FAIL("a map was refused with %d (%s)", rc, strerror(-rc));
    }
}

static void map_something(worker *w, stress_region *r, place *p)
{
    step m = any_map(w);
    uint64_t offset = (uint64_t)(p - r->places) * PLACE_PAGES * PAGE;
    /* A read-only mapping in place of a read-write one breaks the rule for writers. */
    bool is_exclusive = r->replaces && !m.writable;
    if (is_exclusive) {
        hold_rule(p, true);
    }
    step *mine = step_begins(p, m);
    uint64_t begin = mine->begin;
    int rc = map_by(w, r, &m, offset);
    uint64_t end = step_ends(p, mine, rc == 0);
    if (is_exclusive) {
        let_rule_go(p);
    }
    w->count[MAPS]++;
    if (rc != 0) {
        map_refused(w, r, p, &m, begin, end, rc);
    }
}

/* Anywhere: the library chooses the place. */
static void allocate(worker *w, stress_region *r)
{
    step m = any_map(w), *mine[PLACES];
    uint64_t offset = NEVER;
    for (int i = 0; i < PLACES; i++) {
        mine[i] = step_begins(&r->places[i], m);
    }
    int rc = vhushmem_region_alloc(r->region, m.file->fd, m.file_page * PAGE, m.len, PLACE_PAGES * PAGE,
                                   m.writable ? VHOST_USER_FLAG_MAP_RW : 0, &offset, NULL);
    CHECK(rc == 0 || rc == -ENOSPC || (rc == -EOVERFLOW && m.file->shrinks && !r->beyond_end));
    CHECK(rc != 0 || offset % (PLACE_PAGES * PAGE) == 0);
    for (uint64_t i = 0; i < PLACES; i++) {
        step_ends(&r->places[i], mine[i], rc == 0 && offset / (PLACE_PAGES * PAGE) == i);
    }
    w->count[rc == 0 ? MAPS : REFUSED]++;
}

static void unmap_something(worker *w, stress_region *r, place *p)
{
    uint64_t offset = (uint64_t)(p - r->places) * PLACE_PAGES * PAGE, len = 1 + below(w, PLACE_PAGES * PAGE), now = stamp();
    pthread_mutex_lock(&p->lock);
    for (int i = 0; i < STEPS_KEPT; i++) {
        if (is_possible(p, &p->steps[i], now, now)) {
            len = p->steps[i].len;
        }
    }
    pthread_mutex_unlock(&p->lock);
    hold_rule(p, true);
    step *mine = step_begins(p, (step){.unmaps = true});
    uint64_t begin = mine->begin;
    VhostUserMMap message = {.shmid = r->number, .shm_offset = offset, .len = r->by_offset ? below(w, 3) : len};
    int rc = one_in(w, 2) ? vhushmem_handle_unmap(r->device, &message, NULL)
                          : vhushmem_region_unmap(r->region, offset, message.len, NULL);
    look l = {.r = r, .from = begin, .to = step_ends(p, mine, rc == 0)};
    let_rule_go(p);
    vhushmem_device_commit(r->device);
    w->count[UNMAPS]++;
    if (rc == -ENOENT) {
        CHECK(some_page(&l, offset, 1, is_hole));
    } else if (rc == -EINVAL) {
        CHECK(!r->by_offset && some_page(&l, offset, 1, is_mapped));
    } else {
        CHECK(rc == 0 && some_page(&l, offset, 1, is_mapped));
    }
}

static void reset(worker *w, stress_region *r)
{
    step *mine[PLACES];
    for (int i = 0; i < PLACES; i++) {
        hold_rule(&r->places[i], true);
        mine[i] = step_begins(&r->places[i], (step){.unmaps = true});
    }
    CHECK(vhushmem_region_unmap_all(r->region) >= 0);
    for (int i = 0; i < PLACES; i++) {
        step_ends(&r->places[i], mine[i], true);
        let_rule_go(&r->places[i]);
    }
    w->count[RESETS]++;
}

static void mapper(worker *w)
{
    meanwhile(w);
    stress_region *r = shared_region(w);
    place *p = &r->places[below(w, KVM_PLACE)];
    if (one_in(w, 400)) {
        reset(w, r);
    } else if (r->number == ZERO_HOLES && one_in(w, 20)) {
        allocate(w, r);
    } else if (one_in(w, 3)) {
        unmap_something(w, r, p);
    } else {
        map_something(w, r, p);
    }
}

/* ---- readers ---- */

static void read_bytes(worker *w)
{
    stress_region *r = any_region(w);
    uint64_t words[3 * WORDS], offset = below(w, REGION_PAGES * WORDS) * 8;
    uint64_t bytes = one_in(w, 2) ? sizeof(words) : 8 * (1 + below(w, 3 * WORDS));
    if (offset + bytes > REGION_PAGES * PAGE) {
        return;
    }
    look l = {.r = r, .from = stamp()};
    int rc = vhushmem_region_read(r->region, offset, words, bytes, NULL);
    l.to = stamp();
    w->count[READS]++;
    switch (rc) {
    case 0:
        check_bytes(w, &l, offset, words, bytes);
        break;
    case -ENOENT:
        CHECK(some_page(&l, offset, bytes, is_hole));
        break;
    case -EIO:
        CHECK(some_page(&l, offset, bytes, can_shrink));
        break;
    default:
        CHECK(rc == -EAGAIN);
    }
}

/* The one mapping that may have been there all the time, if no other may have been there. */
static bool only_mapping(const look *l, place *p, uint64_t page, step *only)
{
    int count = 0;
    pthread_mutex_lock(&p->lock);
    for (int i = 0; i < STEPS_KEPT; i++) {
        if (is_possible(p, &p->steps[i], l->from, l->to)) {
            *only = p->steps[i];
            count++;
        }
    }
    bool is_only = count == 1 && only->pages > page && l->from >= p->forgotten;
    pthread_mutex_unlock(&p->lock);
    return is_only;
}

static void write_bytes(worker *w)
{
    stress_region *r = any_region(w);
    uint64_t page = below(w, REGION_PAGES), number = SCRIBBLES + w->number, offset = page * PAGE + number * 8, seen = 0;
    uint64_t word = scribble_word(r->number, page, ++w->scribbles);
    place *p = &r->places[page / PLACE_PAGES];
    step only = {0};
    look l = {.r = r, .from = stamp()};
    int rc = vhushmem_region_write(r->region, offset, &word, 8, NULL);
    l.to = stamp();
    w->count[WRITES]++;
    switch (rc) {
    case 0:
        CHECK(some_page(&l, offset, 8, is_read_write));
        break;
    case -ENOENT:
        CHECK(some_page(&l, offset, 8, is_hole));
        return;
    case -EACCES:
        CHECK(some_page(&l, offset, 8, is_read_only));
        return;
    case -EIO:
        CHECK(some_page(&l, offset, 8, can_shrink));
        return;
    default:
        CHECK(rc == -EAGAIN);
        return;
    }
    /* If nothing else changed the file's page, the file has the word. */
    if (!only_mapping(&l, p, page % PLACE_PAGES, &only) || only.file->shrinks) {
        return;
    }
    uint64_t file_page = only.file_page + page % PLACE_PAGES;
    CHECK(only.writable && pread(only.file->fd, &seen, 8, (off_t)(file_page * PAGE + number * 8)) == 8);
    if (seen != word && !state_is_possible(only.file, file_page, WRITTEN, 0, l.from, NEVER) &&
        !state_is_possible(only.file, file_page, WRITTEN_AGAIN, 0, l.from, NEVER)) {
        FAIL("a word that was written is not in the file");
    }
    pthread_mutex_lock(&only.file->history);
    bool has_changed = only.file->states[file_page][0].end > l.from;
    pthread_mutex_unlock(&only.file->history);
    if (seen != word && !has_changed) {
        FAIL("a word that was written is not in the file");
    }
}

/* By addresses, under the readers' rule where there is one. */
static void touch(worker *w)
{
    stress_region *r = shared_region(w);
    uint64_t page = below(w, REGION_PAGES), words[WORDS];
    place *p = &r->places[page / PLACE_PAGES];
    bool to_write = one_in(w, 4);
    hold_rule(p, false);
    look l = {.r = r, .from = stamp(), .is_touch = true};
    volatile uint64_t *seen = vhushmem_region_translate(r->region, page * PAGE, PAGE, to_write);
    CHECK(seen == NULL || (char *)seen == r->window + page * PAGE);
    if (seen != NULL && p->is_ruled && to_write) {
        __atomic_store_n(&seen[SCRIBBLES + w->number], scribble_word(r->number, page, ++w->scribbles), __ATOMIC_RELAXED);
    } else if (seen != NULL && p->is_ruled) {
        for (uint64_t i = 0; i < WORDS; i++) {
            words[i] = seen[i];
        }
    }
    l.to = stamp();
    let_rule_go(p);
    w->count[TOUCHES]++;
    if (seen == NULL) {
        CHECK(some_page(&l, page * PAGE, 1, is_hole) || (to_write && some_page(&l, page * PAGE, 1, is_read_only)));
    } else {
        CHECK(some_page(&l, page * PAGE, 1, to_write ? is_read_write : is_mapped));
        if (p->is_ruled && !to_write) {
            check_words(w, &l, page * PAGE, words, WORDS);
        }
    }
}

static bool is_described(const look *l, const vhushmem_mapping_info *info)
{
    bool is_so = false;
    place *p = &l->r->places[info->shm_offset / (PLACE_PAGES * PAGE)];
    pthread_mutex_lock(&p->lock);
    for (int i = 0; i < STEPS_KEPT && !is_so; i++) {
        const step *m = &p->steps[i];
        is_so = is_possible(p, m, l->from, l->to) && m->len == info->len && m->file_page * PAGE == info->fd_offset &&
                m->writable == (info->flags != 0) && (!info->broken || m->file->shrinks);
    }
    is_so |= l->from < p->forgotten;
    pthread_mutex_unlock(&p->lock);
    return is_so;
}

static void list(worker *w)
{
    stress_region *r = any_region(w);
    vhushmem_mapping_info info = {.struct_size = sizeof(info)};
    look l = {.r = r, .from = stamp()};
    uint64_t from = below(w, REGION_PAGES * PAGE);
    for (int i = 0; i < 4 && vhushmem_region_next_mapping(r->region, from, &info) == 0; i++) {
        l.to = stamp();
        CHECK(info.shm_offset + info.len > from && info.shm_offset % (PLACE_PAGES * PAGE) == 0);
        CHECK((char *)info.host == r->window + info.shm_offset && is_described(&l, &info));
        from = info.shm_offset + info.len;
        l.from = stamp();
    }
}

/* A held mapping stays what it was, and gives its file out again. */
static void hold(worker *w)
{
    stress_region *r = any_region(w);
    vhushmem_mapping_info info = {.struct_size = sizeof(info)}, again = info;
    look l = {.r = r, .from = stamp()};
    if (vhushmem_region_next_mapping(r->region, below(w, REGION_PAGES * PAGE), &info) != 0) {
        return;
    }
    vhushmem_mapping *mapping = vhushmem_region_find_mapping(r->region, info.shm_offset, info.len);
    if (mapping == NULL) {
        return;
    }
    int is_live = vhushmem_mapping_get_info(mapping, &again);
    l.to = stamp();
    CHECK(again.shm_offset == info.shm_offset && again.len == info.len && is_described(&l, &again));
    CHECK(is_live == 0 || is_live == 1);
    CHECK(again.host == NULL || (char *)again.host == r->window + info.shm_offset);
    if (r->keeps_files) {
        struct stat status;
        bool is_known = false;
        int fd = vhushmem_mapping_dup_fd(mapping, NULL);
        CHECK(fd >= 0 && fstat(fd, &status) == 0);
        close(fd);
        for (int i = 0; i < FILES; i++) {
            is_known |= files[i].inode == status.st_ino;
        }
        CHECK(is_known);
    }
    vhushmem_mapping_unref(mapping);
}

static void reader(worker *w)
{
    switch (below(w, 8)) {
    case 0:
    case 1:
    case 2:
        return read_bytes(w);
    case 3:
        return write_bytes(w);
    case 4:
    case 5:
        return touch(w);
    case 6:
        return list(w);
    default:
        return hold(w);
    }
}

/* ---- files that change, and guests that touch pages that cannot serve them ---- */

static void file_changer(worker *w)
{
    stress_file *f = &files[below(w, FILES)];
    pthread_mutex_lock(&f->changes);
    if (f->shrinks && one_in(w, 2)) {
        truncate_and_mend(f, below(w, FILE_PAGES), meanwhile, w);
        w->count[TRUNCATIONS]++;
    } else if (!f->sealed) {
        write_page(f, below(w, FILE_PAGES));
    }
    pthread_mutex_unlock(&f->changes);
    if (one_in(w, 50)) {
        CHECK(vhushmem_region_heal(regions[below(w, REGIONS)].region) >= 0);
    }
}

static void guest_with_data(worker *w, stress_region *r, uint64_t page)
{
    bool is_write = one_in(w, 2);
    uint64_t number = is_write ? SCRIBBLES + w->number : below(w, WORDS), offset = page * PAGE + number * 8;
    uint64_t word = scribble_word(r->number, page, ++w->scribbles);
    look l = {.r = r, .from = stamp(), .is_guest_read = true};
    EQ(vhushmem_resolve_guest_fault(r->region, offset, 8, is_write ? VHUSHMEM_ACCESS_WRITE : VHUSHMEM_ACCESS_READ, &word), 0);
    l.to = stamp();
    if (!is_write) {
        check_words(w, &l, offset, &word, 1);
    }
}

static void guest_without_data(worker *w, stress_region *r, uint64_t page)
{
    static const uint32_t accesses[3] = {VHUSHMEM_ACCESS_READ, VHUSHMEM_ACCESS_WRITE, VHUSHMEM_ACCESS_UNKNOWN};
    uint32_t access = accesses[below(w, 3)];
    /* A read of a hole makes all holes of its region readable, so one region is left out. */
    if (access == VHUSHMEM_ACCESS_READ && r->number == DAX) {
        access = VHUSHMEM_ACCESS_WRITE;
    }
    place *p = &r->places[page / PLACE_PAGES];
    step *mine = access == VHUSHMEM_ACCESS_READ ? NULL : step_begins(p, (step){.makes_private = true});
    int rc = vhushmem_resolve_guest_fault(r->region, page * PAGE + 8, 8, access, NULL);
    CHECK(rc == 0 || rc == -ENOSPC);
    if (mine != NULL) {
        uint64_t word = scribble_word(r->number, page, ++w->scribbles);
        struct iovec here = {&word, 8}, there = {r->window + page * PAGE + (SCRIBBLES + w->number) * 8, 8};
        /* The guest's instruction runs again. It may fail, since another thread may have undone everything. */
        (void)!process_vm_writev(getpid(), &here, 1, &there, 1, 0);
        step_ends(p, mine, true);
    }
}

static void guest(worker *w)
{
    stress_region *r = any_region(w);
    uint64_t page = below(w, REGION_PAGES);
    w->count[FAULTS]++;
    if (one_in(w, 2)) {
        guest_with_data(w, r, page);
    } else {
        guest_without_data(w, r, page);
    }
}

/* ---- KVM ---- */

static int kvm_fd = -1, vm_fd = -1;
static vhushmem_kvm *kvm;

/* Whether the VM has no slot in a range of guest addresses. */
static bool is_free(worker *w, uint64_t guest_address, uint64_t bytes)
{
    static char *own;
    if (own == NULL) {
        own = mmap(NULL, REGION_PAGES * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(own != MAP_FAILED);
    }
    struct kvm_userspace_memory_region slot = {
        .slot = PROBE_SLOT, .guest_phys_addr = guest_address, .memory_size = bytes, .userspace_addr = (uintptr_t)own};
    w->count[PROBES]++;
    if (ioctl(vm_fd, KVM_SET_USER_MEMORY_REGION, &slot) != 0) {
        EQ(errno, EEXIST);
        return false;
    }
    slot.memory_size = 0;
    CHECK(ioctl(vm_fd, KVM_SET_USER_MEMORY_REGION, &slot) == 0);
    return true;
}

static void placer(worker *w)
{
    stress_region *r = &regions[one_in(w, 2) ? DAX : one_in(w, 2) ? PLAIN : ZERO_HOLES];
    uint64_t at = GUEST_ADDRESS + r->number * 0x10000000ull, bytes = REGION_PAGES * PAGE;
    uint64_t offset = KVM_PLACE * PLACE_PAGES * PAGE;
    place *p = &r->places[KVM_PLACE];
    if (kvm == NULL) {
        kvm = some(vhushmem_kvm_new(vm_fd, 1, 200, &error));
    }
    ok(vhushmem_kvm_place(kvm, r->region, at, &error));
    if (r->number == DAX) {
        hold_rule(p, true); /* no reset comes in between, and nobody uses an address */
        CHECK(is_free(w, at + offset, PAGE));
        step m = any_map(w), *mine = step_begins(p, m);
        int rc = map_by(w, r, &m, offset);
        step_ends(p, mine, rc == 0);
        EQ(rc, 0);
        CHECK(!is_free(w, at + offset, PAGE));
        CHECK(m.pages == PLACE_PAGES || is_free(w, at + offset + m.pages * PAGE, PAGE));
        mine = step_begins(p, (step){.unmaps = true});
        EQ(vhushmem_region_unmap(r->region, offset, 1, NULL), 0);
        step_ends(p, mine, true);
        CHECK(is_free(w, at + offset, PAGE));
        let_rule_go(p);
    } else {
        CHECK(!is_free(w, at, bytes));
    }
    meanwhile(w);
    if (one_in(w, 8)) {
        vhushmem_kvm_free(kvm);
        kvm = NULL;
    } else {
        EQ(vhushmem_kvm_remove(kvm, r->region), 0);
    }
    CHECK(is_free(w, at, bytes));
    w->count[PLACEMENTS]++;
}

static bool open_kvm(void)
{
    if (under_valgrind()) { /* valgrind does not know what the ioctls read */
        return false;
    }
    kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    vm_fd = kvm_fd >= 0 ? ioctl(kvm_fd, KVM_CREATE_VM, 0) : -1;
    return vm_fd >= 0;
}

/* ---- a region whose changes one listener hears; they come from one thread ---- */

static MemoryListener listener;
static bool is_listening, is_heard[PLACES];
static int heard;

static void section_comes(MemoryListener *l, MemoryRegionSection *section)
{
    uint64_t at = section->offset_within_region / (PLACE_PAGES * PAGE);
    CHECK(l == &listener && is_listening && !is_heard[at] &&
          (char *)section->host == regions[LISTENED].window + section->offset_within_region);
    is_heard[at] = true;
    heard++;
}

static void section_goes(MemoryListener *l, MemoryRegionSection *section)
{
    uint64_t at = section->offset_within_region / (PLACE_PAGES * PAGE);
    CHECK(l == &listener && is_listening && is_heard[at]);
    is_heard[at] = false;
    heard--;
}

static void listen_or_not(worker *w)
{
    if (!is_listening) {
        is_listening = true;
        listener = (MemoryListener){.region_add = section_comes, .region_del = section_goes, .name = "stress"};
        memory_listener_register(&listener, virtio_shmem_memory_region(regions[LISTENED].region));
    } else {
        EQ(heard, vhushmem_region_mapping_count(regions[LISTENED].region));
        memory_listener_unregister(&listener);
        is_listening = false;
        EQ(heard, 0);
    }
    w->count[LISTENERS]++;
}

static void listened(worker *w)
{
    stress_region *r = &regions[LISTENED];
    place *p = &r->places[below(w, PLACES)];
    if (one_in(w, 100)) {
        reset(w, r);
    } else if (one_in(w, 50)) {
        listen_or_not(w);
    } else if (one_in(w, 3)) {
        unmap_something(w, r, p);
    } else {
        map_something(w, r, p);
    }
    if (is_listening) {
        EQ(heard, vhushmem_region_mapping_count(r->region));
    }
}

/* ---- begin and end ---- */

static void region_new(int number, const vhushmem_region_options *options)
{
    stress_region *r = &regions[number];
    r->number = (uint8_t)number;
    r->device = some(vhushmem_device_new(NULL, &error));
    r->region = some(vhushmem_region_new(r->device, (uint8_t)number, REGION_PAGES * PAGE, options, &error));
    r->window = vhushmem_region_window(r->region);
    r->replaces = options->flags & VHUSHMEM_REGION_REPLACE;
    r->by_offset = options->flags & VHUSHMEM_REGION_UNMAP_BY_OFFSET;
    r->keeps_files = options->flags & VHUSHMEM_REGION_KEEP_FDS;
    r->beyond_end = options->fd_policy & VHUSHMEM_FD_ALLOW_BEYOND_END;
    for (int i = 0; i < PLACES; i++) {
        /* Every other place, and the one where the test looks for slots. */
        place_new(&r->places[i], i % 2 == 0 || i == KVM_PLACE);
    }
}

/* How many mappings the kernel has in the windows. */
static uint64_t lines_in_windows(void)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[600];
    uint64_t count = 0, start, end;
    CHECK(maps != NULL);
    while (fgets(line, sizeof(line), maps) != NULL) {
        CHECK(sscanf(line, "%" SCNx64 "-%" SCNx64, &start, &end) == 2);
        for (int i = 0; i < REGIONS; i++) {
            uint64_t window = (uint64_t)(uintptr_t)regions[i].window;
            count += start < window + REGION_PAGES * PAGE && end > window;
        }
    }
    fclose(maps);
    return count;
}

static uint64_t budget_in_use(void)
{
    char *status = some(vhushmem_device_status_json(regions[0].device, 0));
    char *text = some(strstr(status, "\"process\":{\"mappings\":{\"used\":"));
    uint64_t used = strtoull(strrchr(strndupa(text, strcspn(text, ",")), ':') + 1, NULL, 10);
    g_free(status);
    return used;
}

static void *work(void *user_data)
{
    worker *w = user_data;
    while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
        w->round(w);
        __atomic_add_fetch(&w->rounds, 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

static void check_all_at_rest(worker *w)
{
    for (int i = 0; i < REGIONS; i++) {
        stress_region *r = &regions[i];
        vhushmem_region_heal(r->region);
        for (uint64_t page = 0; page < REGION_PAGES; page++) {
            uint64_t words[WORDS];
            look l = {.r = r, .from = stamp()};
            int rc = vhushmem_region_read(r->region, page * PAGE, words, sizeof(words), NULL);
            l.to = stamp();
            if (rc == 0) {
                check_words(w, &l, page * PAGE, words, WORDS);
            } else if (rc == -ENOENT) {
                CHECK(some_page(&l, page * PAGE, 1, is_hole));
            } else { /* the sealed file's pages are lost for good: nobody can write them again */
                EQ(rc, -EIO);
                CHECK(some_page(&l, page * PAGE, 1, can_shrink));
            }
        }
    }
    /* Private pages may have kept such words. A file that nobody may write has none. */
    for (int i = 0; i < FILES; i++) {
        for (uint64_t page = 0; page < FILE_PAGES; page++) {
            uint64_t words[WORDS];
            CHECK(pread(files[i].fd, words, PAGE, (off_t)(page * PAGE)) == (ssize_t)PAGE);
            for (uint64_t k = 0; k < WORDS; k++) {
                bool is_scribbled = words[k] >> 57 == SCRIBBLE_MARK;
                CHECK(!is_scribbled || (files[i].writable && k >= SCRIBBLES));
                CHECK(words[k] != 0 || files[i].sealed);
            }
        }
    }
}

int main(void)
{
    static worker workers[] = {{.round = mapper, .name = "a mapper"},       {.round = mapper, .name = "a mapper"},
                               {.round = mapper, .name = "a mapper"},       {.round = reader, .name = "a reader"},
                               {.round = reader, .name = "a reader"},       {.round = reader, .name = "a reader"},
                               {.round = guest, .name = "a guest"},         {.round = guest, .name = "a guest"},
                               {.round = file_changer, .name = "a device"}, {.round = listened, .name = "a listener"},
                               {.round = placer, .name = "a placer"}};
    unsigned count = sizeof(workers) / sizeof(workers[0]);
    char *directory = new_directory(), *fds;
    uint64_t seed = random_seed();
    CHECK(WORDS <= 1u << WORD_BITS);
    for (int i = 0; i < FILES; i++) {
        char *path = g_strdup_printf("%s/%d", directory, i);
        file_new(&files[i], i,
                 i % 5 == 4 ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600)
                            : memfd_create("stress", MFD_CLOEXEC | MFD_ALLOW_SEALING));
        g_free(path);
    }
    region_new(PLAIN,
               &(vhushmem_region_options){.struct_size = sizeof(vhushmem_region_options), .flags = VHUSHMEM_REGION_REPLACE});
    region_new(DAX, &(vhushmem_region_options){.struct_size = sizeof(vhushmem_region_options),
                                               .strategy = VHUSHMEM_STRATEGY_SLOTS,
                                               .fd_policy = VHUSHMEM_FD_ALLOW_BEYOND_END,
                                               .flags = VHUSHMEM_REGION_REPLACE | VHUSHMEM_REGION_KEEP_FDS |
                                                        VHUSHMEM_REGION_UNMAP_BY_OFFSET});
    region_new(ZERO_HOLES,
               &(vhushmem_region_options){.struct_size = sizeof(vhushmem_region_options), .holes = VHUSHMEM_HOLES_ZERO});
    region_new(LISTENED, &(vhushmem_region_options){.struct_size = sizeof(vhushmem_region_options)});
    uint64_t at_rest = budget_in_use();
    EQ(lines_in_windows(), REGIONS);
    ok(vhushmem_guard_install(&error));
    if (!open_kvm()) {
        count--;
    }
    fds = fds_now();

    const char *given = getenv("VHUSHMEM_STRESS_SECONDS");
    int64_t seconds = given != NULL ? atoi(given) : getenv("VHUSHMEM_TEST_LONG") != NULL ? 30 : 3;
    alarm((unsigned)seconds * 2 + 1200);
    for (unsigned i = 0; i < count; i++) {
        workers[i].number = i;
        workers[i].random = seed + i * 0x10001;
        CHECK(pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0);
    }
    int64_t begin = now_ms();
    bool is_enough = false;
    while (!is_enough) {
        poll(NULL, 0, 10);
        is_enough = now_ms() - begin >= seconds * 1000 / (steps(1000) < 1000 ? 3 : 1);
        for (unsigned i = 0; i < count; i++) {
            is_enough &= __atomic_load_n(&workers[i].rounds, __ATOMIC_RELAXED) >= (uint64_t)steps(50);
        }
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELEASE);
    uint64_t total[COUNTERS] = {0};
    for (unsigned i = 0; i < count; i++) {
        pthread_join(workers[i].thread, NULL);
        for (int k = 0; k < COUNTERS; k++) {
            total[k] += workers[i].count[k];
        }
    }
    check_all_at_rest(&workers[0]);
    /* The kernel may merge neighbours, so the budget must say at least as many as there are. `at_rest` has the window of
       each region. */
    uint64_t used = budget_in_use() - at_rest, lines = lines_in_windows() - REGIONS;
    if (lines > used || used > lines + 2 * REGIONS * PLACES) {
        fprintf(stderr, "the budget counts %" PRIu64 " mappings, and there are %" PRIu64 "; %" PRIu64 " were counted at rest\n",
                used, lines, at_rest);
    }
    CHECK(lines <= used && used <= lines + 2 * REGIONS * PLACES);
    if (is_listening) {
        memory_listener_unregister(&listener);
        EQ(heard, 0);
    }
    vhushmem_kvm_free(kvm);
    for (int i = 0; i < REGIONS; i++) {
        ok(vhushmem_region_unmap_all(regions[i].region));
        EQ(vhushmem_region_mapping_count(regions[i].region), 0);
    }
    EQ(lines_in_windows(), REGIONS);
    EQ(budget_in_use(), at_rest);
    same(fds, fds_now());
    for (int i = 0; i < REGIONS; i++) {
        vhushmem_device_unref(regions[i].device);
    }

    printf("note: %" PRId64 " s, seed 0x%" PRIx64 ":", (now_ms() - begin) / 1000, seed);
    for (int k = 0; k < COUNTERS; k++) {
        printf("%s %" PRIu64 " %s", k > 0 ? "," : "", total[k], counter_names[k]);
    }
    printf("\n");
    for (int i = 0; i < FILES; i++) {
        close(files[i].fd);
    }
    close(vm_fd);
    close(kvm_fd);
    remove_directory(directory);
    return 0;
}
