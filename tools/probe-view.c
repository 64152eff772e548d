/* SPDX-License-Identifier: BSD-3-Clause */

/**
 * The live view of a terminal. Its upper part shows regions as bars, rates, counters and the last requests. Below it the
 * answers to commands scroll, as they do without a view. If standard output is no terminal, nothing is drawn.
 */

#include "probe.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define REDRAW_MS 200
#define RATE_US (G_USEC_PER_SEC / 2)
/* Rows of the view without those for regions, and the least number of rows for commands. */
#define FIXED_ROWS (4 + PROBE_LAST_REQUESTS)
#define ROWS_BELOW 6
#define MIN_COLUMNS 50
#define LABEL_COLUMNS 30
/* The most mappings that are looked at for one cell, which shows one character. */
#define LOOKS_PER_CELL 64

/** The content of a cell of a bar. A later one is more important. */
enum cell { CELL_HOLE, CELL_READ_ONLY, CELL_READ_WRITE, CELL_BROKEN, CELL_KINDS };

static const char *cell_text(enum cell cell)
{
    static const char *const ascii[CELL_KINDS] = {".", "r", "W", "X"};
    static const char *const unicode[CELL_KINDS] = {"\u00b7", "\u2592", "\u2588", "X"};

    return g_get_charset(NULL) ? unicode[cell] : ascii[cell];
}

static enum cell look(vhushmem_region *region, uint64_t from, uint64_t to)
{
    enum cell cell = CELL_HOLE;
    vhushmem_mapping_info info = {.struct_size = sizeof(info)};

    for (int i = 0; i < LOOKS_PER_CELL && from < to; i++) {
        if (vhushmem_region_next_mapping(region, from, &info) < 0 || info.shm_offset >= to) {
            break;
        }
        enum cell seen = info.broken                                  ? CELL_BROKEN
                         : (info.flags & VHOST_USER_FLAG_MAP_RW) != 0 ? CELL_READ_WRITE
                                                                      : CELL_READ_ONLY;
        cell = MAX(cell, seen);
        from = info.shm_offset + info.len;
    }
    return cell;
}

/** End a row, and clear the rest of it. */
static void end_row(GString *out) { g_string_append(out, "\033[K\n"); }

static void draw_bar(GString *out, vhushmem_region *region, unsigned columns)
{
    uint64_t size = vhushmem_region_size(region), page = (uint64_t)sysconf(_SC_PAGESIZE);
    unsigned cells = (unsigned)MIN(columns - LABEL_COLUMNS - 1, size / page);
    char *all = probe_size_text(size), *each = probe_size_text(cells > 0 ? size / page / cells * page : 0);
    char *label = g_strdup_printf("%d: %s, %s a cell", vhushmem_region_id(region), all, each);

    g_string_append_printf(out, "%-*.*s", LABEL_COLUMNS, LABEL_COLUMNS - 1, label);
    for (unsigned i = 0; i < cells; i++) {
        /* In pages, so that the product cannot overflow. */
        uint64_t from = size / page * i / cells * page, to = size / page * (i + 1) / cells * page;

        g_string_append(out, cell_text(look(region, from, to)));
    }
    end_row(out);
    g_free(label);
    g_free(all);
    g_free(each);
}

static const char *state(const struct probe *probe)
{
    if (!probe->was_ready) {
        return probe->mode == MODE_PROXY ? "waiting for a connection with shared memory" : "waiting for the handshake";
    }
    if (!probe_has_peer(probe)) {
        return probe->mode == MODE_PROXY ? "waiting for the next connection" : "the back-end is gone";
    }
    if (probe->mode == MODE_PROXY) {
        return "handing on";
    }
    return probe->channel_lost ? "the back-end channel is closed" : "serving";
}

static void draw_regions(struct probe *probe, GString *out, unsigned columns, unsigned rows)
{
    uint8_t ids[VHUSHMEM_MAX_REGIONS];
    int count = vhushmem_device_region_ids(probe->device, ids, G_N_ELEMENTS(ids));
    unsigned shown = MIN((unsigned)MAX(count, 0), rows);

    if ((unsigned)MAX(count, 0) > rows) {
        shown = rows - 1;
    }
    for (unsigned i = 0; i < shown; i++) {
        draw_bar(out, vhushmem_device_find_region(probe->device, ids[i]), columns);
    }
    if (shown < (unsigned)MAX(count, 0)) {
        g_string_append_printf(out, "and %u regions more", (unsigned)count - shown);
        end_row(out);
        shown++;
    }
    for (; shown < rows; shown++) {
        end_row(out);
    }
}

static void measure(struct probe_view *view, const struct probe_counters *counters)
{
    gint64 now = g_get_monotonic_time();
    uint64_t total = counters->maps + counters->unmaps + counters->refused;

    if (now - view->measured_at >= RATE_US) {
        view->rate = (double)(total - view->measured_total) * G_USEC_PER_SEC / (double)(now - view->measured_at);
        view->measured_at = now;
        view->measured_total = total;
    }
}

static void draw(struct probe *probe)
{
    struct probe_view *view = &probe->view;
    const struct probe_counters *counters = &probe->counters;
    unsigned region_rows = view->rows - FIXED_ROWS - ROWS_BELOW;
    GString *out = g_string_new("\0337\033[H"); /* save the position of the cursor, then go to the upper left */

    measure(view, counters);
    g_string_append_printf(out, "vhushmem-probe: %s", state(probe));
    end_row(out);
    g_string_append_printf(out, "%" PRIu64 " maps, %" PRIu64 " unmaps, %" PRIu64 " refused, %" PRIu64 " resets, %.0f a second",
                           counters->maps, counters->unmaps, counters->refused, counters->resets, view->rate);
    end_row(out);
    g_string_append_printf(out, "%s hole  %s read-only  %s read-write  %s broken", cell_text(CELL_HOLE),
                           cell_text(CELL_READ_ONLY), cell_text(CELL_READ_WRITE), cell_text(CELL_BROKEN));
    end_row(out);
    region_rows = MIN(region_rows, view->region_rows);
    draw_regions(probe, out, view->columns, region_rows);
    for (unsigned i = 0; i < PROBE_LAST_REQUESTS; i++) {
        const char *line = view->last[(view->next + i) % PROBE_LAST_REQUESTS];

        if (line != NULL) {
            g_string_append_printf(out, "%.*s", (int)view->columns - 1, line);
        }
        end_row(out);
    }
    for (unsigned i = 0; i + 1 < view->columns; i++) {
        g_string_append_c(out, '-');
    }
    g_string_append(out, "\033[K\0338");
    screen_write(out->str, out->len, false);
    g_string_free(out, TRUE);
}

/** Let the whole terminal scroll again. Until the next drawing, each request is a line. */
static void leave(struct probe_view *view)
{
    if (view->rows != 0) {
        screen_printf("\0337\033[r\0338");
    }
    view->rows = 0;
}

/** Check that there is room. If the size of the terminal or of the view has changed, set the part that scrolls. */
static bool fit(struct probe *probe)
{
    struct probe_view *view = &probe->view;
    struct winsize size;
    unsigned regions = (unsigned)MAX(vhushmem_device_region_ids(probe->device, NULL, 0), 0), room;

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_row < FIXED_ROWS + ROWS_BELOW + 1 || size.ws_col < MIN_COLUMNS) {
        leave(view);
        return false;
    }
    room = size.ws_row - FIXED_ROWS - ROWS_BELOW;
    regions = MIN(MAX(regions, 1), room);
    if (size.ws_row != view->rows || size.ws_col != view->columns || regions != view->region_rows) {
        view->rows = size.ws_row;
        view->columns = size.ws_col;
        view->region_rows = regions;
        screen_printf("\033[2J\033[%u;%ur\033[%u;1H", FIXED_ROWS + regions + 1, view->rows, FIXED_ROWS + regions + 1);
    }
    return true;
}

static gboolean redraw(gpointer user_data)
{
    struct probe *probe = user_data;

    if (fit(probe)) {
        draw(probe);
    }
    return G_SOURCE_CONTINUE;
}

void probe_view_begin(struct probe *probe)
{
    if (probe->json || !isatty(STDOUT_FILENO) || !fit(probe)) {
        return;
    }
    probe->view.timer = g_timeout_add(REDRAW_MS, redraw, probe);
    redraw(probe);
}

void probe_view_refresh(struct probe *probe)
{
    if (probe->view.timer != 0) {
        redraw(probe);
    }
}

/** A request and its result, short enough for a row. */
static char *summary(const vhushmem_event *event)
{
    char *result = event->message != NULL ? g_strescape(event->message, NULL) : g_strdup("done");
    char *text;

    if (event->type == VHUSHMEM_EVENT_OTHER_REQUEST) {
        text = g_strdup_printf("request %" PRIu32 ": %s", event->request, result);
    } else if (event->message != NULL) {
        text = g_strdup(result); /* the result names the range */
    } else if (event->type == VHUSHMEM_EVENT_MAP) {
        text = g_strdup_printf("map    region %d  0x%" PRIx64 " bytes at 0x%" PRIx64 ", file 0x%" PRIx64 ", %s", event->shmid,
                               event->len, event->shm_offset, event->fd_offset,
                               (event->flags & VHOST_USER_FLAG_MAP_RW) != 0 ? "read-write" : "read-only");
    } else {
        text =
            g_strdup_printf("unmap  region %d  0x%" PRIx64 " bytes at 0x%" PRIx64, event->shmid, event->len, event->shm_offset);
    }
    g_free(result);
    return text;
}

bool probe_view_takes(struct probe *probe, const vhushmem_event *event)
{
    struct probe_view *view = &probe->view;

    if (view->timer == 0 || view->rows == 0) {
        return false;
    }
    g_free(view->last[view->next]);
    view->last[view->next] = summary(event);
    view->next = (view->next + 1) % PROBE_LAST_REQUESTS;
    return true;
}

void probe_view_pause(struct probe *probe)
{
    if (probe->view.timer != 0) {
        leave(&probe->view);
    }
}

void probe_view_end(struct probe *probe)
{
    if (probe->view.timer == 0) {
        return;
    }
    /* Draw once more to show the last events. Then give the terminal back. */
    probe_view_refresh(probe);
    g_source_remove(probe->view.timer);
    probe->view.timer = 0;
    leave(&probe->view);
    screen_printf("\n");
    for (unsigned i = 0; i < PROBE_LAST_REQUESTS; i++) {
        g_clear_pointer(&probe->view.last[i], g_free);
    }
}
