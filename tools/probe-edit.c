/* SPDX-License-Identifier: BSD-3-Clause */

/**
 * The editor for a person at a terminal, with libedit: editing, history, completion. A thread waits for keys. A thread that
 * changes the terminal holds a lock. The editor's thread releases it while it waits.
 */

#include "probe.h"

#ifdef HAVE_LIBEDIT

#include <errno.h>
#include <histedit.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

#define MAX_HISTORY 1000
#define MAX_LISTED 100

static struct {
    struct probe *probe;
    EditLine *el;
    History *history;
    GThread *thread;
    GMutex lock;
    FILE *in, *out;
    bool waiting; /* it waits for a key, so the line can be removed from the screen */
    bool ending;
    int wake[2];
} editor;

static char *prompt(EditLine *el)
{
    static char plain[] = "> ", bold[] = "\1\033[1m\1> \1\033[0m\1";

    (void)el;
    return screen_has_colours() ? bold : plain;
}

/** The editor's next key. */
static int next_key(EditLine *el, wchar_t *key)
{
    mbstate_t state = {0};
    int result = -1;

    (void)el;
    editor.waiting = true;
    g_mutex_unlock(&editor.lock);
    for (;;) {
        struct pollfd targets[2] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = editor.wake[0], .events = POLLIN}};
        char byte;
        ssize_t n;

        if (poll(targets, 2, -1) < 0) {
            continue;
        }
        if (targets[1].revents != 0) {
            result = 0; /* the program ends */
            break;
        }
        n = read(STDIN_FILENO, &byte, 1);
        if (n < 0 && (errno == EINTR || errno == EAGAIN)) {
            continue;
        }
        if (n <= 0) {
            result = 0;
            break;
        }
        size_t used = mbrtowc(key, &byte, 1, &state);

        if (used == (size_t)-2) {
            continue; /* more bytes of the character follow */
        }
        if (used == (size_t)-1) {
            *key = L'?';
        }
        result = 1;
        break;
    }
    g_mutex_lock(&editor.lock);
    editor.waiting = false;
    return result;
}

/** The length of the beginning that all words have in common. */
static size_t common_beginning(const GPtrArray *found)
{
    const char *first = found->pdata[0];
    size_t common = strlen(first);

    for (guint i = 1; i < found->len; i++) {
        const char *other = found->pdata[i];
        size_t same = 0;

        while (same < common && first[same] == other[same]) {
            same++;
        }
        common = same;
    }
    return common;
}

/** Print the words below the line. The line comes back after them. */
static void list(const GPtrArray *found)
{
    fputs("\r\n", editor.out);
    for (guint i = 0; i < found->len && i < MAX_LISTED; i++) {
        char *safe = g_strescape(found->pdata[i], NULL);

        fprintf(editor.out, "%s  ", safe);
        g_free(safe);
    }
    fputs(found->len > MAX_LISTED ? "...\r\n" : "\r\n", editor.out);
}

static unsigned char complete(EditLine *el, int key)
{
    const LineInfo *line = el_line(el);
    size_t begun = 0;
    GPtrArray *found = complete_line(editor.probe, line->buffer, (size_t)(line->cursor - line->buffer), &begun);
    unsigned char result = CC_ERROR;

    (void)key;
    if (found->len > 0) {
        const char *first = found->pdata[0];
        size_t common = common_beginning(found);

        if (found->len == 1 || common > begun) {
            bool ends = found->len == 1 && !g_str_has_suffix(first, "/");
            char *text = g_strdup_printf("%.*s%s", (int)common, first, ends ? " " : "");

            /* The typed text may differ in upper and lower case. */
            el_deletestr(el, (int)begun);
            el_insertstr(el, text);
            g_free(text);
            result = CC_REFRESH;
        } else {
            list(found);
            result = CC_REDISPLAY;
        }
    }
    g_ptr_array_unref(found);
    return result;
}

static gpointer run_editor(gpointer unused)
{
    HistEvent event;
    const char *line;
    int count;

    g_mutex_lock(&editor.lock);
    while (!editor.ending && (line = el_gets(editor.el, &count)) != NULL && count > 0) {
        if (line[0] != '\n') {
            history(editor.history, &event, H_ENTER, line);
        }
        probe_input_typed(editor.probe, line);
    }
    g_mutex_unlock(&editor.lock);
    probe_input_typed(editor.probe, NULL);
    return unused;
}

bool edit_begin(struct probe *probe)
{
    HistEvent event;

    if (probe->json || !isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) || pipe(editor.wake) < 0) {
        return false;
    }
    editor.probe = probe;
    editor.in = fdopen(dup(STDIN_FILENO), "r");
    editor.out = fdopen(dup(STDOUT_FILENO), "w");
    editor.el = editor.in != NULL && editor.out != NULL ? el_init("vhushmem-probe", editor.in, editor.out, stderr) : NULL;
    if (editor.el == NULL) {
        return false;
    }
    editor.history = history_init();
    history(editor.history, &event, H_SETSIZE, MAX_HISTORY);
    history(editor.history, &event, H_SETUNIQUE, 1);
    el_set(editor.el, EL_EDITOR, "emacs");
    el_set(editor.el, EL_PROMPT_ESC, prompt, '\1');
    el_set(editor.el, EL_SIGNAL, 0);
    el_set(editor.el, EL_HIST, history, editor.history);
    el_set(editor.el, EL_GETCFN, next_key);
    /* This is the wide form. The other form leaks copies of its words. */
    el_wset(editor.el, EL_ADDFN, L"complete", L"Complete a command", complete);
    el_set(editor.el, EL_BIND, "^I", "complete", NULL);
    el_source(editor.el, NULL);
    editor.thread = g_thread_new("editor", run_editor, NULL);
    return true;
}

void edit_hide(bool line)
{
    if (editor.thread == NULL) {
        return;
    }
    g_mutex_lock(&editor.lock);
    if (line && editor.waiting) {
        fputs("\r\033[K", editor.out);
        fflush(editor.out);
    }
}

void edit_show(bool line)
{
    if (editor.thread == NULL) {
        return;
    }
    if (line && editor.waiting) {
        el_set(editor.el, EL_REFRESH);
        fflush(editor.out);
    }
    g_mutex_unlock(&editor.lock);
}

void edit_pause(void)
{
    if (editor.thread == NULL) {
        return;
    }
    g_mutex_lock(&editor.lock);
    fputs("\r\n", editor.out);
    fflush(editor.out);
    el_set(editor.el, EL_PREP_TERM, 0);
    g_mutex_unlock(&editor.lock);
}

void edit_resume(void)
{
    if (editor.thread == NULL) {
        return;
    }
    g_mutex_lock(&editor.lock);
    /* Until this call the editor keeps the terminal. */
    el_set(editor.el, EL_PREP_TERM, 0);
    el_set(editor.el, EL_PREP_TERM, 1);
    el_set(editor.el, EL_REFRESH);
    fflush(editor.out);
    g_mutex_unlock(&editor.lock);
}

void edit_end(void)
{
    if (editor.thread == NULL) {
        return;
    }
    editor.ending = true;
    if (write(editor.wake[1], "", 1) == 1) {
        g_thread_join(editor.thread);
    }
    editor.thread = NULL;
    el_end(editor.el);
    history_end(editor.history);
    fclose(editor.in);
    fclose(editor.out);
    close(editor.wake[0]);
    close(editor.wake[1]);
}

#else

bool edit_begin(struct probe *probe)
{
    (void)probe;
    return false;
}

void edit_hide(bool line) { (void)line; }
void edit_show(bool line) { (void)line; }
void edit_pause(void) {}
void edit_resume(void) {}
void edit_end(void) {}

#endif
