/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A device that finds its queue empty asks to be kicked, and looks again: a driver that added something between the first
 * look and the wish saw no wish for a kick. Here the driver adds at exactly that moment. The memory where the back-end
 * writes its wish cannot be written, and the handler of the signal is the driver.
 */
#include "bare-queue.h"

#include <signal.h>

static bare_queue b;
static void *used_page; /* the page with the used ring, at the back-end's address */
static volatile sig_atomic_t faults;

static void on_fault(int signal)
{
    (void)signal;
    if (faults++ > 0) {
        _exit(1);
    }
    offer(&b, 0);
    mprotect(used_page, PAGE, PROT_READ | PROT_WRITE);
}

static void protect(void)
{
    faults = 0;
    CHECK(mprotect(used_page, PAGE, PROT_READ) == 0);
}

static void open_queue(uint64_t features)
{
    bare_queue_open(&b, features);
    set_descriptor(&b, 0, BUFFERS, 4, 0, 0);
    used_page = (void *)((uintptr_t)some(vhushmem_backend_guest_memory(b.r.backend, RAM + USED, PAGE)) & ~(PAGE - 1));
}

static void close_queue(void)
{
    backend_rig_close(&b.r);
    bare_queue_close(&b);
}

int main(void)
{
    struct sigaction action = {.sa_handler = on_fault};
    CHECK(sigaction(SIGSEGV, &action, NULL) == 0);

    /* With event indices the wish is an index, and pop writes it. */
    open_queue(BIT(29));
    protect();
    vhushmem_chain *chain = vhushmem_backend_pop(b.r.backend, 0, &error);
    EQ(faults, 1);
    CHECK(chain != NULL && vhushmem_chain_head(chain) == 0);
    vhushmem_chain_free(chain);
    close_queue();

    /* And by set_kicks, which tells that there is something, with event indices and with flags. */
    for (int with_event = 0; with_event < 2; with_event++) {
        open_queue(with_event ? BIT(29) : 0);
        EQ(vhushmem_backend_set_kicks(b.r.backend, 0, false, &error), 0);
        protect();
        EQ(vhushmem_backend_set_kicks(b.r.backend, 0, true, &error), 1);
        EQ(faults, 1);
        close_queue();
    }
    return 0;
}
