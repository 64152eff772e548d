/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_TESTS_STRESS_MODEL_H
#define VHUSHMEM_TESTS_STRESS_MODEL_H

/*
 * A naive model of files and regions that many threads change at once.
 *
 * Every thread stamps the begin and the end of each step with a number of one clock. The model
 * keeps the steps of each place of a region, and the states of each page of a file. From the stamps
 * of a read follows the set of mappings and states that the read may show. The model never guesses
 * an order: if two steps overlap, it allows both orders.
 *
 * A place is 8 pages of a region. Every mapping in a place begins at the first page of the place,
 * so at most one mapping of a place is live at a time. Two rules follow:
 *  - A mapping is dead once a later step has ended that mapped or unmapped the place. "Later": it
 *    began after the map had ended.
 *  - The place is no hole while a mapping is there and no unmap or reset overlaps the time since it
 *    was mapped.
 */

#include "random.h"

#define PLACE_PAGES 8
#define PLACES 24
#define REGION_PAGES (PLACES * PLACE_PAGES)
#define FILE_PAGES 24
#define FILES 16
#define NEVER UINT64_MAX

static uint64_t clock_now;

static inline uint64_t stamp(void) { return __atomic_add_fetch(&clock_now, 1, __ATOMIC_SEQ_CST); }

/* ---- files ---- */

/* The states of a file's page, numbered in the order in which the page takes them. It may skip
   some. */
enum { WRITTEN = 0, WRITTEN_AGAIN = 1, MISSING = 2, ZEROS = 3, KINDS = 4 };

#define STATES_KEPT 16

typedef struct page_state {
    uint32_t number;     /* modulo KINDS: the kind of the state */
    uint64_t begin, end; /* stamps of the step that made it */
} page_state;

typedef struct stress_file {
    int fd;
    uint8_t number;
    bool shrinks;  /* it is truncated and written again */
    bool writable; /* it may be mapped read-write */
    bool sealed;   /* nobody can write it again */
    ino_t inode;
    pthread_mutex_t changes; /* only the thread that holds this changes the file */
    pthread_mutex_t history; /* guards the states */
    page_state states[FILE_PAGES][STATES_KEPT]; /* newest first */
} stress_file;

/*
 * Each word of a page says where it belongs: a mark, the file, the page, the state, the word. A
 * page has up to 64 KiB.
 */
#define WORDS (PAGE / 8)
#define WORD_BITS 13
#define SCRIBBLES (WORDS - 16) /* words from here on may be written through a region */
#define FILE_MARK 0x2dull
#define SCRIBBLE_MARK 0x33ull

static inline uint64_t file_word(uint8_t file, uint64_t page, uint32_t state, uint64_t word)
{
    return FILE_MARK << 57 | (uint64_t)file << 49 | page << 41 | (uint64_t)state << WORD_BITS |
           word;
}

static inline uint64_t scribble_word(uint64_t region, uint64_t page, uint64_t number)
{
    return SCRIBBLE_MARK << 57 | region << 53 | page << 40 | (number & 0xffffffffff);
}

static inline bool is_scribble(uint64_t word, uint64_t region, uint64_t page)
{
    return word >> 57 == SCRIBBLE_MARK && (word >> 53 & 0xf) == region &&
           (word >> 40 & 0x1fff) == page;
}

static inline uint64_t number_in(uint64_t word) { return word & ((1u << WORD_BITS) - 1); }

static inline uint32_t state_in(uint64_t word)
{
    return (uint32_t)(word >> WORD_BITS & ((1u << (41 - WORD_BITS)) - 1));
}

static inline uint32_t next_state(uint32_t now, uint32_t kind)
{
    do {
        now++;
    } while (now % KINDS != kind);
    return now;
}

/* Before a page changes. */
static inline uint32_t state_begins(stress_file *f, uint64_t page, uint32_t kind)
{
    pthread_mutex_lock(&f->history);
    page_state *s = f->states[page];
    memmove(s + 1, s, (STATES_KEPT - 1) * sizeof(*s));
    s[0] = (page_state){next_state(s[1].number, kind), stamp(), NEVER};
    uint32_t number = s[0].number;
    pthread_mutex_unlock(&f->history);
    return number;
}

/* After it. */
static inline void state_ends(stress_file *f, uint64_t page)
{
    pthread_mutex_lock(&f->history);
    f->states[page][0].end = stamp();
    pthread_mutex_unlock(&f->history);
}

/*
 * Whether the page may have been in a state of this kind, and of this number unless it is 0,
 * between two stamps.
 */
static inline bool state_is_possible(stress_file *f, uint64_t page, uint32_t kind, uint32_t number,
                                     uint64_t from, uint64_t to)
{
    bool possible = false;
    pthread_mutex_lock(&f->history);
    const page_state *s = f->states[page];
    for (int i = 0; i < STATES_KEPT && !possible; i++) {
        possible = s[i].begin <= to && s[i].number % KINDS == kind &&
                   (number == 0 || s[i].number == number);
        if (s[i].end < from) {
            break; /* the states before this one had ended */
        }
        /* The model has forgotten older ones. They are allowed. */
        possible |= i == STATES_KEPT - 1 && number < s[i].number;
    }
    pthread_mutex_unlock(&f->history);
    return possible;
}

static inline void write_page(stress_file *f, uint64_t page)
{
    uint64_t words[WORDS];
    uint32_t kind = f->states[page][0].number % KINDS == WRITTEN ? WRITTEN_AGAIN : WRITTEN;
    uint32_t number = state_begins(f, page, kind);
    for (uint64_t i = 0; i < WORDS; i++) {
        words[i] = file_word(f->number, page, number, i);
    }
    CHECK(pwrite(f->fd, words, PAGE, (off_t)(page * PAGE)) == (ssize_t)PAGE);
    state_ends(f, page);
}

/* The file loses its pages from `first` on, and has them again after a while. */
static inline void truncate_and_mend(stress_file *f, uint64_t first, void (*meanwhile)(void *),
                                     void *user_data)
{
    static const uint32_t kinds[2] = {MISSING, ZEROS};
    for (int i = 0; i < 2; i++) {
        for (uint64_t page = first; page < FILE_PAGES; page++) {
            state_begins(f, page, kinds[i]);
        }
        CHECK(ftruncate(f->fd, (off_t)((i == 0 ? first : FILE_PAGES) * PAGE)) == 0);
        for (uint64_t page = first; page < FILE_PAGES; page++) {
            state_ends(f, page);
        }
        if (i == 0) {
            meanwhile(user_data);
        }
    }
    for (uint64_t page = first; page < FILE_PAGES && !f->sealed; page++) {
        write_page(f, page);
    }
}

static inline void file_new(stress_file *f, int number, int fd)
{
    struct stat status;
    f->fd = fd;
    f->number = (uint8_t)number;
    f->shrinks = number % 2 == 1;
    f->writable = number % 4 < 2;
    f->sealed = number == FILES - 1;
    CHECK(fd >= 0 && ftruncate(fd, (off_t)(FILE_PAGES * PAGE)) == 0 && fstat(fd, &status) == 0);
    f->inode = status.st_ino;
    pthread_mutex_init(&f->changes, NULL);
    pthread_mutex_init(&f->history, NULL);
    for (uint64_t page = 0; page < FILE_PAGES; page++) {
        f->states[page][0].number = ZEROS;
        write_page(f, page);
    }
    if (f->sealed) {
        CHECK(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) == 0);
    }
}

/* ---- places ---- */

typedef struct step {
    bool is_there, maps, unmaps, makes_private, failed;
    uint64_t begin, end;
    /* Of a map: */
    stress_file *file;
    uint64_t file_page, pages, len;
    bool writable;
} step;

#define STEPS_KEPT 40

typedef struct place {
    pthread_mutex_t lock; /* guards all but `rule` */
    step steps[STEPS_KEPT];
    uint64_t forgotten;    /* before this stamp the model knows nothing */
    uint64_t unmaps_end;   /* the last end of a forgotten unmap */
    uint64_t privates_end; /* the last end of a forgotten step that makes pages private */
    /* a thread that uses an address holds `rule` to read; one that undoes a mapping holds it to
       write */
    bool is_ruled;
    pthread_rwlock_t rule;
} place;

static inline void place_new(place *p, bool is_ruled)
{
    pthread_rwlockattr_t attributes;
    pthread_rwlockattr_init(&attributes);
    pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&p->rule, &attributes);
    pthread_rwlockattr_destroy(&attributes);
    pthread_mutex_init(&p->lock, NULL);
    p->is_ruled = is_ruled;
}

static inline bool has_succeeded(const step *s)
{
    return s->is_there && !s->failed && s->end != NEVER;
}

/* Whether a mapping had surely gone before a stamp. The caller holds the lock, here and below. */
static inline bool is_dead(const place *p, const step *map, uint64_t at)
{
    for (int i = 0; i < STEPS_KEPT; i++) {
        const step *s = &p->steps[i];
        if (s != map && has_succeeded(s) && (s->maps || s->unmaps) && s->begin > map->end &&
            s->end < at) {
            return true;
        }
    }
    return false;
}

static inline bool is_possible(const place *p, const step *map, uint64_t from, uint64_t to)
{
    return map->is_there && map->maps && !map->failed && map->begin <= to && !is_dead(p, map, from);
}

static inline bool may_be_hole(const place *p, uint64_t page, uint64_t from, uint64_t to)
{
    for (int i = 0; i < STEPS_KEPT; i++) {
        const step *map = &p->steps[i];
        if (!has_succeeded(map) || !map->maps || map->pages <= page || map->end >= from ||
            map->begin <= p->unmaps_end) {
            continue;
        }
        bool may_have_gone = false;
        for (int j = 0; j < STEPS_KEPT && !may_have_gone; j++) {
            const step *s = &p->steps[j];
            may_have_gone =
                s->is_there && s->unmaps && !s->failed && s->end >= map->begin && s->begin <= to;
        }
        if (!may_have_gone) {
            return false;
        }
    }
    return true;
}

static inline bool may_be_private(const place *p, const step *map, uint64_t to)
{
    bool may_be = p->privates_end >= map->begin;
    for (int i = 0; i < STEPS_KEPT && !may_be; i++) {
        const step *s = &p->steps[i];
        may_be = s->is_there && s->makes_private && s->end >= map->begin && s->begin <= to;
    }
    return may_be;
}

static inline void forget_what_is_over(place *p)
{
    uint64_t now = stamp();
    bool over[STEPS_KEPT];
    for (int i = 0; i < STEPS_KEPT; i++) {
        const step *s = &p->steps[i];
        over[i] = s->is_there && s->end != NEVER && (s->failed || !s->maps || is_dead(p, s, now));
    }
    for (int i = 0; i < STEPS_KEPT; i++) {
        step *s = &p->steps[i];
        if (!over[i]) {
            continue;
        }
        if (s->unmaps && !s->failed && s->end > p->unmaps_end) {
            p->unmaps_end = s->end;
        }
        if (s->makes_private && s->end > p->privates_end) {
            p->privates_end = s->end;
        }
        s->is_there = false;
    }
    p->forgotten = now;
}

/* Called before a step. */
static inline step *step_begins(place *p, step what)
{
    step *mine = NULL;
    pthread_mutex_lock(&p->lock);
    for (int round = 0; mine == NULL; round++) {
        CHECK(round < 2);
        for (int i = 0; i < STEPS_KEPT && mine == NULL; i++) {
            mine = p->steps[i].is_there ? NULL : &p->steps[i];
        }
        if (mine == NULL) {
            forget_what_is_over(p);
        }
    }
    what.is_there = true;
    what.begin = stamp();
    what.end = NEVER;
    *mine = what;
    pthread_mutex_unlock(&p->lock);
    return mine;
}

/* Called after it. Returns the stamp. */
static inline uint64_t step_ends(place *p, step *mine, bool done)
{
    pthread_mutex_lock(&p->lock);
    mine->failed = !done;
    uint64_t end = mine->end = stamp();
    pthread_mutex_unlock(&p->lock);
    return end;
}

#endif
