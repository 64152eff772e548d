/* SPDX-License-Identifier: BSD-3-Clause */

/** Ctrl-Z on a terminal: the shell gets the terminal as it was. When the program is continued, it takes the terminal again. */

#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <glib-unix.h>

static int wake[2] = {-1, -1};

static void on_signal(int number)
{
    int error = errno;
    char byte = number == SIGTSTP ? 's' : 'c';

    if (write(wake[1], &byte, 1) < 0) {
        errno = 0; /* the pipe is full of these; one more says nothing new */
    }
    errno = error;
}

static void catch (int number)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

    sigaction(number, &action, NULL);
}

static gboolean on_wake(gint fd, GIOCondition condition, gpointer user_data)
{
    struct probe *probe = user_data;
    char byte = 0;

    (void)condition;
    if (read(fd, &byte, 1) == 1 && byte == 's') {
        probe_view_pause(probe);
        edit_pause();
        screen_flush();
        /* This is the kernel's default action: it does not stop a program if no shell could continue it. */
        signal(SIGTSTP, SIG_DFL);
        raise(SIGTSTP);
        catch (SIGTSTP);
    }
    edit_resume();
    probe_view_refresh(probe);
    return G_SOURCE_CONTINUE;
}

void suspend_begin(struct probe *probe)
{
    struct sigaction action;

    /* A shell without jobs has its programs ignore the signal. */
    if (!isatty(STDOUT_FILENO) || sigaction(SIGTSTP, NULL, &action) < 0 || action.sa_handler == SIG_IGN ||
        !g_unix_open_pipe(wake, FD_CLOEXEC, NULL)) {
        return;
    }
    g_unix_set_fd_nonblocking(wake[0], TRUE, NULL);
    g_unix_set_fd_nonblocking(wake[1], TRUE, NULL);
    g_unix_fd_add(wake[0], G_IO_IN, on_wake, probe);
    catch (SIGTSTP);
    catch (SIGCONT);
}
