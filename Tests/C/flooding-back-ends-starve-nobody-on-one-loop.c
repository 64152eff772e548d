/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * 64 back-end processes on one GMainLoop, of which 8 map and unmap as fast as their channels take it and never ask for an answer: none
 * of the others waits longer than some turns of the loop, counted in requests of others that are served first.
 *
 * Which process the host runs next is not the library's doing, and with 64 of them it decides most of the time that a request takes. So
 * time is reported, and held to a very wide limit only.
 */
#include "pair.h"
#include "peer.h"

#include <signal.h>
#include <sys/prctl.h>

#define BACK_ENDS 64
#define FLOODING 8 /* every eighth */
#define SAMPLES 4096
#define AT_A_TIME 64                       /* requests that a front-end takes at most, before it is another one's turn */
#define ENOUGH (4 * BACK_ENDS * AT_A_TIME) /* served of the flood: enough for somebody to drown in */

/* What a back-end tells of itself, in memory that all processes share. Microseconds. */
typedef struct ledger {
    uint32_t answers;
    uint32_t worst;
    int64_t asked_at;     /* of the request that is waiting; 0: none is */
    uint64_t served_then; /* how many requests had been served when it was about to be sent */
    uint32_t waits[SAMPLES];
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
static uint64_t most_others; /* that were served while a request waited */

static int64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static bool is_flooding(int i) { return i % (BACK_ENDS / FLOODING) == 0; }

/* ---- in the children ---- */

static void note(ledger *l, int64_t began)
{
    uint32_t wait = (uint32_t)(now_us() - began);
    __atomic_store_n(&l->asked_at, 0, __ATOMIC_RELAXED);
    l->waits[l->answers++ % SAMPLES] = wait;
    l->worst = wait > l->worst ? wait : l->worst;
}

/* A back-end of ours that waits for each answer. */
static void ask_and_wait(vhushmem_backend *backend)
{
    ledger *l = &shared->of[me];
    int fd = memfd_of(PAGE, 1);
    while (!__atomic_load_n(&shared->go, __ATOMIC_ACQUIRE)) {
        usleep(1000);
    }
    while (!__atomic_load_n(&shared->stop, __ATOMIC_ACQUIRE)) {
        for (int undo = 0; undo < 2; undo++) {
            int64_t began = now_us();
            __atomic_store_n(&l->asked_at, began, __ATOMIC_RELAXED);
            __atomic_store_n(&l->served_then, __atomic_load_n(&shared->served, __ATOMIC_RELAXED), __ATOMIC_RELAXED);
            ok(undo ? vhushmem_backend_unmap(backend, 0, 0, PAGE, &error)
                    : vhushmem_backend_map(backend, 0, fd, 0, 0, PAGE, 0, &error));
            note(l, began);
        }
    }
    close(fd);
}

/* One that speaks bytes, and never stops to listen. Killed by the test. */
static void flood(int socket)
{
    peer p;
    uint64_t page = PAGE;
    int fd = memfd_of(page, 1), channel = -1;
    VhostUserMMap m = {.len = page};
    peer_init(&p);
    peer_add_region(&p, 0, 16 * page);
    peer_start(&p, socket);
    while (peer_heard(&p, GET_SHMEM_CONFIG, 0) == NULL || !__atomic_load_n(&shared->go, __ATOMIC_ACQUIRE)) {
        usleep(1000);
    }
    channel = p.channel;
    for (;;) {
        if (try_send_message(channel, MAP, 0x1, &m, sizeof(m), &fd, 1) < 0 ||
            try_send_message(channel, UNMAP, 0x1, &m, sizeof(m), NULL, 0) < 0) {
            FAIL("the channel of a flooding back-end was closed");
        }
    }
}

/* ---- in the front-ends' process ---- */

static void note_others(int i)
{
    uint64_t served = __atomic_fetch_add(&shared->served, 1, __ATOMIC_RELAXED);
    if (!is_flooding(i)) {
        uint64_t others = served - __atomic_load_n(&shared->of[i].served_then, __ATOMIC_RELAXED);
        /* The answer has been sent: the next request may be on its way already, and then its number is the newer one. */
        most_others = (int64_t)others > 0 && others > most_others ? others : most_others;
    }
}

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
        f->served++;
        note_others((int)(f - ends));
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
        run_back_end(pairs[i][1], 16 * PAGE, ask_and_wait);
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

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static uint32_t median(uint32_t *numbers, size_t count)
{
    qsort(numbers, count, sizeof(*numbers), by_size);
    return numbers[count / 2];
}

static uint64_t served_of_flood(void)
{
    uint64_t served = 0;
    for (int i = 0; i < BACK_ENDS; i++) {
        served += is_flooding(i) ? ends[i].served : 0;
    }
    return served;
}

/* Everybody was served, and nobody stood in the queue for long. */
static void judge(unsigned ran_ms, int64_t end)
{
    static uint32_t waits[BACK_ENDS * SAMPLES];
    uint32_t answers[BACK_ENDS], fewest = UINT32_MAX, worst = 0;
    uint64_t flooded = served_of_flood(), least_flooded = UINT64_MAX;
    size_t polite = 0, samples = 0;
    for (int i = 0; i < BACK_ENDS; i++) {
        ledger *l = &shared->of[i];
        if (is_flooding(i)) {
            least_flooded = ends[i].served < least_flooded ? ends[i].served : least_flooded;
            continue;
        }
        int64_t asked_at = __atomic_load_n(&l->asked_at, __ATOMIC_RELAXED);
        uint32_t waiting = asked_at != 0 && end > asked_at ? (uint32_t)(end - asked_at) : 0;
        worst = waiting > worst ? waiting : worst;
        worst = l->worst > worst ? l->worst : worst;
        fewest = l->answers < fewest ? l->answers : fewest;
        answers[polite++] = l->answers;
        for (uint32_t n = 0; n < l->answers && n < SAMPLES; n++) {
            waits[samples++] = l->waits[n];
        }
    }
    uint32_t usual_answers = median(answers, polite), usual_wait = samples > 0 ? median(waits, samples) : 0;
    printf("note: worst wait %.1f ms, %" PRIu64 " requests; median %.3f ms; %u to %u (median %u) answers, %" PRIu64
           " flooded\n",
           worst / 1000.0, most_others, usual_wait / 1000.0, fewest, answers[polite - 1], usual_answers, flooded);
    fflush(stdout);
    CHECK(fewest > 0 && least_flooded > 0);
    CHECK(flooded > ENOUGH);
    /* One turn of a fair loop is BACK_ENDS * AT_A_TIME at most. */
    CHECK(most_others <= 3 * BACK_ENDS * AT_A_TIME);
    CHECK(worst <= 1000 * ran_ms / 2);
}

int main(void)
{
    int pairs[BACK_ENDS][2];
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED);
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
    unsigned run_ms = getenv("VHUSHMEM_TEST_LONG") != NULL ? 20000 : under_valgrind() ? 5000 : 2000;
    unsigned ran_ms = 0;
    int64_t limit = now_ms() + 2 * PATIENCE_MS;
    do { /* once, as a rule: a slow host gets the time for a flood that is large enough to tell */
        run_for(context, run_ms);
        ran_ms += run_ms;
    } while (served_of_flood() <= ENOUGH && now_ms() < limit);
    int64_t end = now_us();
    __atomic_store_n(&shared->stop, 1, __ATOMIC_RELEASE);
    judge(ran_ms, end);

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
    /* The last answers are still owed; the others end by themselves then. */
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
