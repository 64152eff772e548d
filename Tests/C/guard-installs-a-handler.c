/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vhushmem_guard_install: the library repairs its own pages. Another SIGBUS goes to the former handler, or ends the process
 * as it would without the guard. A second install changes nothing.
 */
#include "guard-rig.h"

#include <sys/wait.h>

static char *mine;
static volatile int mine_count;

/* The program's own handler, for a page that the program itself truncated. */
static void on_mine(int number, siginfo_t *info, void *context)
{
    (void)context;
    EQ(number, SIGBUS);
    if (info->si_code > 0) {
        CHECK((char *)info->si_addr >= mine && (char *)info->si_addr < mine + PAGE);
        CHECK(mmap(mine, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == mine);
    }
    mine_count++;
}

static void plain(int number)
{
    EQ(number, SIGBUS);
    _exit(42);
}

static char *truncated(void)
{
    int fd = memfd_of(PAGE, 0);
    char *page = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
    CHECK(page != MAP_FAILED && ftruncate(fd, 0) == 0);
    close(fd);
    return page;
}

enum what { TOUCH_MINE, TOUCH_THE_WINDOW, SEND };

static volatile char seen;

/* How a process ends that had this handler before, installed the guard, and then does `what`. */
static int ends(void (*handler)(int), enum what what)
{
    pid_t child = fork();
    if (child == 0) {
        CHECK(signal(SIGBUS, handler) != SIG_ERR);
        ok(vhushmem_guard_install(&error));
        if (what == SEND) {
            kill(getpid(), SIGBUS);
        } else if (what == TOUCH_MINE) {
            seen = *(volatile char *)truncated();
        } else {
            vhushmem_device *device = some(vhushmem_device_new(NULL, &error));
            vhushmem_region *region = some(vhushmem_region_new(device, 0, PAGE, NULL, &error));
            int fd = memfd_of(PAGE, 1);
            ok(vhushmem_region_map(region, fd, 0, 0, PAGE, 0, &error));
            CHECK(ftruncate(fd, 0) == 0);
            EQ(word_at(region, 0), 0);
            vhushmem_device_unref(device);
        }
        _exit(7);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

int main(void)
{
    rig r;
    EQ(ends(SIG_DFL, TOUCH_THE_WINDOW), 7);
    EQ(ends(SIG_DFL, TOUCH_MINE), -SIGBUS);
    EQ(ends(SIG_DFL, SEND), -SIGBUS);
    EQ(ends(SIG_IGN, TOUCH_THE_WINDOW), 7);
    EQ(ends(SIG_IGN, TOUCH_MINE), -SIGBUS);
    EQ(ends(SIG_IGN, SEND), 7);
    EQ(ends(plain, TOUCH_MINE), 42);
    EQ(ends(plain, SEND), 42);
    EQ(ends(plain, TOUCH_THE_WINDOW), 7);

    struct sigaction before = {.sa_sigaction = on_mine, .sa_flags = SA_SIGINFO}, now, after;
    CHECK(sigaction(SIGBUS, &before, NULL) == 0);
    ok(vhushmem_guard_install(&error));
    CHECK(sigaction(SIGBUS, NULL, &now) == 0);
    ok(vhushmem_guard_install(&error));
    CHECK(sigaction(SIGBUS, NULL, &after) == 0);
    CHECK(now.sa_sigaction == after.sa_sigaction && now.sa_sigaction != on_mine);
    mine = truncated();
    EQ(*(volatile char *)mine, 0);
    EQ(mine_count, 1);
    CHECK(kill(getpid(), SIGBUS) == 0);
    EQ(mine_count, 2);

    rig_open(&r, 16 * PAGE, NULL);
    int fd = memfd_of(4 * PAGE, 1);
    ok(rig_map(&r, fd, 0, 0, 4 * PAGE, 0));
    CHECK(ftruncate(fd, (off_t)PAGE) == 0);
    EQ(word_at(r.region, 2 * PAGE), 0);
    EQ(word_at(r.region, 0), pattern(1, 0));
    EQ(mine_count, 2);
    PUMP_UNTIL(r.frontend, r.events[VHUSHMEM_EVENT_BROKEN] == 1);
    CHECK(!vhushmem_guard_handle_sigbus(NULL));
    siginfo_t strange = {.si_signo = SIGBUS, .si_code = SI_USER};
    CHECK(!vhushmem_guard_handle_sigbus(&strange));
    strange.si_code = BUS_ADRALN;
    strange.si_addr = vhushmem_region_window(r.region);
    CHECK(!vhushmem_guard_handle_sigbus(&strange));
    strange.si_code = BUS_ADRERR; /* a hole of the window, and its end */
    strange.si_addr = (char *)vhushmem_region_window(r.region) + 8 * PAGE;
    CHECK(!vhushmem_guard_handle_sigbus(&strange));
    strange.si_addr = (char *)vhushmem_region_window(r.region) + 16 * PAGE;
    CHECK(!vhushmem_guard_handle_sigbus(&strange));
    rig_close(&r);
    close(fd);
    return 0;
}
