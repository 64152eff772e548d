/* SPDX-License-Identifier: BSD-3-Clause */
/* A back-end undoes all its live mappings: of one region or of all, with or without waiting. */
#include "backend-rig.h"

#define MOST 4096

static int file;

/* ---- a front-end that grants what it is asked, and refuses what it is told to ---- */

typedef struct front_end {
    backend_rig r;
    pthread_t thread;
    int stop[2];
    int unmaps, maps, refusal; /* of unmaps; 0: none */
    uint64_t refused_at;       /* of maps */
    uint8_t live[2][MOST];
} front_end;

static void *answers(void *user_data)
{
    front_end *f = user_data;
    message m;
    for (;;) {
        struct pollfd ready[2] = {{f->r.channel, POLLIN, 0}, {f->stop[0], POLLIN, 0}};
        CHECK(poll(ready, 2, PATIENCE_MS) > 0);
        if (ready[0].revents == 0) {
            return NULL;
        }
        EQ(receive(f->r.channel, &m, PATIENCE_MS), 1);
        uint8_t shmid = m.payload[0];
        uint64_t offset, len;
        int64_t value = 0;
        memcpy(&offset, m.payload + 16, 8);
        memcpy(&len, m.payload + 24, 8);
        CHECK(shmid < 2 && offset / PAGE < MOST && len == PAGE);
        uint8_t *live = &f->live[shmid][offset / PAGE];
        if (m.header.request == MAP) {
            EQ(m.fd_count, 1);
            close(m.fds[0]);
            f->maps++;
            value = offset == f->refused_at ? -EPERM : 0;
            *live = value == 0 ? 1 : *live;
        } else {
            EQ(m.header.request, UNMAP);
            f->unmaps++;
            value = f->refusal != 0 ? f->refusal : *live ? 0 : -ENOENT;
            *live = value == 0 ? 0 : *live;
        }
        if (m.header.flags & 0x8) {
            send_message(f->r.channel, m.header.request, 0x5, &value, 8, NULL, 0);
        }
    }
}

static void open_front_end(front_end *f, uint64_t protocol_features, const vhushmem_backend_options *options)
{
    memset(f, 0, sizeof(*f));
    f->refused_at = UINT64_MAX;
    backend_rig_new(&f->r, MOST * PAGE, options);
    backend_rig_shake_hands(&f->r, protocol_features);
    CHECK(pipe(f->stop) == 0);
    CHECK(pthread_create(&f->thread, NULL, answers, f) == 0);
}

static void close_front_end(front_end *f)
{
    close(f->stop[1]);
    pthread_join(f->thread, NULL);
    close(f->stop[0]);
    backend_rig_close(&f->r);
}

static void map(front_end *f, uint8_t shmid, unsigned page)
{
    ok(vhushmem_backend_map(f->r.backend, shmid, file, 0, page * PAGE, PAGE, 0, &error));
}

static int unmap_all(front_end *f, int shmid) { return vhushmem_backend_unmap_all(f->r.backend, shmid, &error); }

typedef struct outcome {
    int told, result, destroyed;
} outcome;

static void on_result(vhushmem_backend *backend, int result, const char *message, void *user_data)
{
    outcome *o = user_data;
    (void)backend;
    CHECK((message != NULL) == (result != 0));
    o->told++;
    o->result = result;
}

static void on_destroy(void *user_data) { ((outcome *)user_data)->destroyed++; }

/* ---- it is waited for ---- */

static void one_region_or_all(void)
{
    front_end f;
    open_front_end(&f, BACKEND_RIG_FEATURES, NULL);
    EQ(ok(unmap_all(&f, VHUSHMEM_ALL_REGIONS)), 0);
    for (unsigned i = 0; i < 100; i++) {
        map(&f, 0, 2 * i);
        map(&f, 1, i);
    }
    ok(vhushmem_backend_unmap(f.r.backend, 1, 7 * PAGE, PAGE, &error));
    EQ(f.unmaps, 1);
    EQ(ok(unmap_all(&f, 1)), 99);
    EQ(f.unmaps, 100);
    CHECK(memchr(f.live[1], 1, MOST) == NULL);
    EQ(ok(unmap_all(&f, 1)), 0);
    EQ(f.unmaps, 100);
    EQ(ok(unmap_all(&f, VHUSHMEM_ALL_REGIONS)), 100);
    CHECK(memchr(f.live[0], 1, MOST) == NULL);
    EQ(f.unmaps, 200);
    refused(unmap_all(&f, 256), -EINVAL, "256");
    refused(unmap_all(&f, -2), -EINVAL, "-2");
    close_front_end(&f);
}

/* A refused map is not live. A mapping that the front-end has lost counts as undone. A mapping that it does not undo stays
   known. */
static void answers_decide(void)
{
    front_end f;
    open_front_end(&f, BACKEND_RIG_FEATURES, NULL);
    map(&f, 0, 1);
    map(&f, 0, 2);
    f.refused_at = 3 * PAGE;
    refused(vhushmem_backend_map(f.r.backend, 0, file, 0, 3 * PAGE, PAGE, 0, &error), -EPERM, hex(3 * PAGE));
    f.live[0][1] = 0;
    EQ(ok(unmap_all(&f, 0)), 1);
    EQ(f.unmaps, 2);

    map(&f, 0, 1);
    map(&f, 0, 2);
    f.refusal = -EPERM;
    refused(unmap_all(&f, 0), -EPERM, "unmap");
    EQ(f.unmaps, 4);
    f.refusal = 0;
    EQ(ok(unmap_all(&f, 0)), 2);
    close_front_end(&f);
}

/* Several at once count too, and those without an answer. */
static void unanswered_maps_count(void)
{
    front_end f;
    outcome o = {0};
    vhushmem_shmem_request some[3];
    memset(some, 0, sizeof(some));
    for (int i = 0; i < 3; i++) {
        some[i] = (vhushmem_shmem_request){.struct_size = sizeof(vhushmem_shmem_request),
                                           .request = MAP,
                                           .fd = file,
                                           .shm_offset = (uint64_t)i * PAGE,
                                           .len = PAGE,
                                           .flags = VHOST_USER_FLAG_MAP_RW};
    }
    open_front_end(&f, BACKEND_RIG_FEATURES, NULL);
    ok(vhushmem_backend_perform(f.r.backend, some, 3, VHUSHMEM_PERFORM_ONE_ANSWER, &error));
    EQ(ok(unmap_all(&f, 0)), 3);
    close_front_end(&f);

    open_front_end(&f, BACKEND_RIG_FEATURES & ~BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK), NULL);
    map(&f, 0, 5);
    ok(vhushmem_backend_map_async(f.r.backend, 0, file, 0, 6 * PAGE, PAGE, 0, on_result, &o, NULL, &error));
    EQ(ok(unmap_all(&f, 0)), 2);
    close_front_end(&f);
}

static void reset_forgets(void)
{
    front_end f;
    open_front_end(&f, BACKEND_RIG_FEATURES | BIT(13), NULL);
    map(&f, 0, 1);
    backend_rig_set(&f.r, 34, NULL, 0, NULL, 0); /* RESET_DEVICE */
    EQ(f.r.events[VHUSHMEM_BACKEND_RESET], 1);
    EQ(ok(unmap_all(&f, 0)), 0);
    EQ(f.unmaps, 0);
    close_front_end(&f);
}

/* ---- it is not waited for ---- */

static int begin(front_end *f, int shmid, outcome *o)
{
    memset(o, 0, sizeof(*o));
    return vhushmem_backend_unmap_all_async(f->r.backend, shmid, on_result, o, on_destroy, &error);
}

static void until_told(front_end *f, outcome *o)
{
    EQ(o->told, 0);
    STEP_UNTIL(o->told > 0, {
        usleep(200);
        pump_backend(f->r.backend);
    });
    EQ(o->told, 1);
    EQ(o->destroyed, 1);
}

static void one_outcome_for_all(void)
{
    front_end f;
    outcome o, maps[40];
    open_front_end(&f, BACKEND_RIG_FEATURES, NULL);
    ok(begin(&f, 0, &o));
    until_told(&f, &o);
    EQ(o.result, 0);

    for (unsigned i = 0; i < 300; i++) {
        map(&f, 0, i);
    }
    /* Maps whose answer has not come are undone too. */
    memset(maps, 0, sizeof(maps));
    for (unsigned i = 0; i < 40; i++) {
        ok(vhushmem_backend_map_async(f.r.backend, 0, file, 0, (1000 + i) * PAGE, PAGE, 0, on_result, &maps[i], on_destroy,
                                      &error));
    }
    ok(begin(&f, 0, &o));
    until_told(&f, &o);
    EQ(o.result, 0);
    EQ(f.maps, 340);
    EQ(f.unmaps, 340);
    CHECK(memchr(f.live[0], 1, MOST) == NULL);

    map(&f, 0, 1);
    map(&f, 0, 2);
    f.refusal = -EPERM;
    ok(begin(&f, VHUSHMEM_ALL_REGIONS, &o));
    until_told(&f, &o);
    EQ(o.result, -EPERM);
    EQ(f.unmaps, 342);
    close_front_end(&f);
}

/* The callback runs once, and its data is destroyed, whatever ends the call. */
static void ends_with_the_back_end(void)
{
    front_end f;
    outcome o;
    open_front_end(&f, BACKEND_RIG_FEATURES, NULL);
    for (unsigned i = 0; i < 100; i++) {
        map(&f, 0, i);
    }
    close(f.stop[1]);
    pthread_join(f.thread, NULL);
    ok(begin(&f, 0, &o));
    pump_backend(f.r.backend);
    EQ(o.told, 0);
    close(f.stop[0]);
    backend_rig_close(&f.r);
    EQ(o.told, 1);
    EQ(o.result, -ENOTCONN);
    EQ(o.destroyed, 1);
}

static void refusals(void)
{
    front_end f;
    outcome o;
    vhushmem_backend_options qemu = {.struct_size = sizeof(qemu), .flags = VHUSHMEM_BACKEND_FOR_QEMU};
    vhushmem_backend *lonely = some(vhushmem_backend_new(NULL, &error));
    refused(vhushmem_backend_unmap_all(lonely, 0, &error), -ENOTCONN, "");
    memset(&o, 0, sizeof(o));
    refused(vhushmem_backend_unmap_all_async(lonely, 0, on_result, &o, on_destroy, &error), -ENOTCONN, "no front-end");
    EQ(o.destroyed, 1);
    EQ(o.told, 0);
    vhushmem_backend_free(lonely);

    open_front_end(&f, BACKEND_RIG_FEATURES, &qemu);
    EQ(ok(unmap_all(&f, 0)), 0);
    refused(begin(&f, 300, &o), -EINVAL, "300");
    EQ(o.destroyed, 1);
    close_front_end(&f);
}

int main(void)
{
    file = memfd_of(PAGE, 0);
    char *fds = fds_now();
    one_region_or_all();
    answers_decide();
    unanswered_maps_count();
    reset_forgets();
    one_outcome_for_all();
    ends_with_the_back_end();
    refusals();
    same(fds, fds_now());
    close(file);
    return 0;
}
