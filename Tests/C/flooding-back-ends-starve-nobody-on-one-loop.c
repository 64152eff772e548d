/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * 64 back-end processes share one GMainLoop. 8 of them map and unmap as fast as their channels allow and never ask for an
 * answer. Each of the others waits only for some turns of the loop. The kernel decides when each process runs, so time says
 * nothing about the library. The test counts instead: how many requests of others the loop served between the moment when a
 * request was in the channel and the moment when it was served.
 */
/* valgrind: no (64 processes for one thread that runs at a time; AddressSanitizer runs the test) */
#include "pair.h"
#include "peer.h"

#include <signal.h>
#include <sys/prctl.h>

#define BACK_ENDS 64
#define FLOODING 8   /* every eighth */
#define AT_A_TIME 64 /* a front-end takes at most this many requests before it is another one's turn */
#define ENOUGH 20    /* each polite back-end has this many requests served before the test judges */
#define ENTRIES 4096 /* of a polite back-end's ledger; the test ignores further requests */
#define NOT_YET UINT64_MAX

/*
 * For each request of a polite back-end, how many requests the loop had served in all: when it had been sent, and when it
 * was served. The back-end writes sent_at after it has sent the request. If the kernel lets it wait in between, the
 * difference becomes smaller, never larger. The front-end writes served_at.
 */
typedef struct ledger {
    uint64_t sent_at[ENTRIES];
    uint64_t served_at[ENTRIES];
} ledger;

static struct shared {
    int go, stop;
    uint64_t served; /* requests of all together */
    ledger of[BACK_ENDS];
} * shared;

static struct front_end {
    vhushmem_frontend *frontend;
    GSource *source;
    pid_t process;
    bool ready;
    uint64_t served;
} ends[BACK_ENDS];

static GMainLoop *loop;
static int ready, me;

static bool is_flooding(int i) { return i % (BACK_ENDS / FLOODING) == 0; }

/* ---- in the children ---- */

/* The handshake is done, and all other front-ends are there as well. Returns the channel. */
static int start_peer(peer *p, int socket)
{
    peer_init(p);
    peer_add_region(p, 0, 16 * PAGE);
    peer_start(p, socket);
    while (peer_heard(p, GET_SHMEM_CONFIG, 0) == NULL || !__atomic_load_n(&shared->go, __ATOMIC_ACQUIRE)) {
        usleep(1000);
    }
    return p->channel;
}

/* A back-end that waits for each answer. */
static void ask_and_wait(int socket)
{
    peer p;
    message answer;
    ledger *l = &shared->of[me];
    int fd = memfd_of(PAGE, 1), channel = start_peer(&p, socket);
    VhostUserMMap m = {.len = PAGE};
    for (int n = 0; !__atomic_load_n(&shared->stop, __ATOMIC_ACQUIRE); n++) {
        bool undo = n % 2 != 0;
        send_message(channel, undo ? UNMAP : MAP, 0x9, &m, sizeof(m), &fd, undo ? 0 : 1);
        if (n < ENTRIES) {
            __atomic_store_n(&l->sent_at[n], __atomic_load_n(&shared->served, __ATOMIC_ACQUIRE), __ATOMIC_RELEASE);
        }
        if (receive(channel, &answer, PATIENCE_MS) != 1) {
            _exit(1); /* the test failed, and has said why */
        }
        EQ(u64_of(&answer), 0);
    }
    peer_hang_up(&p);
    peer_end(&p);
    close(fd);
    _exit(0);
}

/* A back-end that never listens. The test kills it. */
static void flood(int socket)
{
    peer p;
    int fd = memfd_of(PAGE, 1), channel = start_peer(&p, socket);
    VhostUserMMap m = {.len = PAGE};
    for (;;) {
        if (try_send_message(channel, MAP, 0x1, &m, sizeof(m), &fd, 1) < 0 ||
            try_send_message(channel, UNMAP, 0x1, &m, sizeof(m), NULL, 0) < 0) {
            FAIL("the channel of a flooding back-end was closed");
        }
    }
}

/* ---- in the front-ends' process ---- */

static void event(vhushmem_frontend *frontend, const vhushmem_event *event, void *user_data)
{
    struct front_end *f = user_data;
    CHECK(frontend == f->frontend);
    switch (event->type) {
    case VHUSHMEM_EVENT_READY:
        f->ready = true;
        if (++ready == BACK_ENDS) {
            g_main_loop_quit(loop);
        }
        break;
    case VHUSHMEM_EVENT_MAP:
    case VHUSHMEM_EVENT_UNMAP:
        EQ(event->result, 0);
        if (f->served < ENTRIES) {
            shared->of[f - ends].served_at[f->served] = shared->served;
        }
        f->served++;
        __atomic_fetch_add(&shared->served, 1, __ATOMIC_RELEASE);
        break;
    default:
        FAIL("back-end %d: event %u, %s", (int)(f - ends), event->type, event->message);
    }
}

static void start_back_end(int i, const int (*pairs)[2])
{
    struct front_end *f = &ends[i];
    fflush(NULL);
    f->process = fork();
    CHECK(f->process >= 0);
    if (f->process == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves nobody behind */
        me = i;
        for (int j = 0; j < BACK_ENDS; j++) {
            close(pairs[j][0]);
            if (j > i) {
                close(pairs[j][1]);
            }
        }
        if (is_flooding(i)) {
            flood(pairs[i][1]);
        }
        ask_and_wait(pairs[i][1]);
    }
    close(pairs[i][1]);
}

static gboolean quit(gpointer user_data)
{
    (void)user_data;
    g_main_loop_quit(loop);
    return G_SOURCE_REMOVE;
}

static void run_for(GMainContext *context, unsigned ms)
{
    GSource *timer = g_timeout_source_new(ms);
    g_source_set_callback(timer, quit, NULL, NULL);
    g_source_attach(timer, context);
    g_main_loop_run(loop);
    g_source_destroy(timer);
    g_source_unref(timer);
}

/* Each back-end was served often enough, and the flood was large enough. */
static bool is_enough(void)
{
    uint64_t flooded = 0;
    for (int i = 0; i < BACK_ENDS; i++) {
        flooded += is_flooding(i) ? ends[i].served : 0;
        if (ends[i].served < (is_flooding(i) ? 1 : ENOUGH)) {
            return false;
        }
    }
    return flooded > 4 * BACK_ENDS * AT_A_TIME;
}

/* No request waited for long. */
static void judge(void)
{
    uint64_t most = 0, polite = 0, looked_at = 0;
    for (int i = 0; i < BACK_ENDS; i++) {
        if (is_flooding(i)) {
            continue;
        }
        const ledger *l = &shared->of[i];
        polite += ends[i].served;
        for (uint64_t n = 0; n < ENTRIES; n++) {
            uint64_t sent_at = __atomic_load_n(&l->sent_at[n], __ATOMIC_ACQUIRE);
            if (sent_at == NOT_YET) { /* nor is a later one */
                break;
            }
            uint64_t end = n < ends[i].served ? l->served_at[n] : shared->served;
            uint64_t others = end > sent_at ? end - sent_at : 0;
            most = MAX(most, others);
            looked_at++;
        }
    }
    printf("note: at most %" PRIu64 " others were served first; %" PRIu64 " polite requests, %" PRIu64 " in all\n", most,
           polite, shared->served);
    fflush(stdout);
    CHECK(looked_at >= (BACK_ENDS - FLOODING) * ENOUGH);
    /* A turn of a fair loop serves BACK_ENDS * AT_A_TIME at most, and a request waits for two turns at most: the one under
       way, and the next. */
    CHECK(most <= 3 * BACK_ENDS * AT_A_TIME);
}

int main(void)
{
    int pairs[BACK_ENDS][2];
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED);
    memset(shared->of, 0xff, sizeof(shared->of)); /* NOT_YET */
    for (int i = 0; i < BACK_ENDS; i++) {
        CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pairs[i]) == 0);
    }
    for (int i = 0; i < BACK_ENDS; i++) {
        start_back_end(i, (const int(*)[2])pairs);
    }
    GMainContext *context = g_main_context_new();
    loop = g_main_loop_new(context, FALSE);
    for (int i = 0; i < BACK_ENDS; i++) {
        struct front_end *f = &ends[i];
        f->frontend = some(vhushmem_frontend_new_fd(pairs[i][0], NULL, &error));
        ok(vhushmem_frontend_set_callback(f->frontend, event, f, NULL));
        f->source = some(vhushmem_frontend_source_new(f->frontend));
        g_source_attach(f->source, context);
        ok(vhushmem_frontend_start(f->frontend, &error));
    }
    run_for(context, PATIENCE_MS);
    EQ(ready, BACK_ENDS);

    __atomic_store_n(&shared->go, 1, __ATOMIC_RELEASE);
    bool is_long = getenv("VHUSHMEM_TEST_LONG") != NULL;
    int slower = 1000 / steps(1000); /* than a machine that is not emulated */
    int64_t limit = now_ms() + PATIENCE_MS * slower;
    do {
        run_for(context, is_long ? 20000 : 1000);
        CHECK(now_ms() < limit); /* some back-end is never served */
    } while (!is_enough());
    judge();
    __atomic_store_n(&shared->stop, 1, __ATOMIC_RELEASE);

    for (int i = 0; i < BACK_ENDS; i++) {
        ok(vhushmem_frontend_set_callback(ends[i].frontend, NULL, NULL, NULL));
    }
    for (int i = 0; i < BACK_ENDS; i += BACK_ENDS / FLOODING) {
        kill(ends[i].process, SIGKILL);
        CHECK(waitpid(ends[i].process, NULL, 0) == ends[i].process);
        vhushmem_frontend_free(ends[i].frontend);
        g_source_unref(ends[i].source);
        ends[i].frontend = NULL;
    }
    /* The last answers are still owed. The others end by themselves then. */
    for (int i = 0; i < BACK_ENDS; i++) {
        struct front_end *f = &ends[i];
        if (f->frontend == NULL) {
            continue;
        }
        limit = now_ms() + PATIENCE_MS;
        while (!g_source_is_destroyed(f->source) && now_ms() < limit) {
            g_main_context_iteration(context, TRUE);
        }
        ends_well(f->process);
        vhushmem_frontend_free(f->frontend);
        g_source_unref(f->source);
    }
    g_main_loop_unref(loop);
    g_main_context_unref(context);
    return 0;
}
