/* SPDX-License-Identifier: BSD-3-Clause */

#include "mappings.h"

#include <string.h>

#include <glib.h>

size_t mappings_find(const struct mappings *m, uint64_t at)
{
    size_t low = 0, high = m->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (m->all[middle].at + m->all[middle].len <= at) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

size_t mappings_below(const struct mappings *m, size_t first, uint64_t end)
{
    size_t i = first;

    while (i < m->count && m->all[i].at < end) {
        i++;
    }
    return i - first;
}

void mappings_add(struct mappings *m, struct mapping mapping)
{
    size_t i = mappings_find(m, mapping.at);

    if (m->count == m->room) {
        m->room = MAX(64, 2 * m->room);
        m->all = g_renew(struct mapping, m->all, m->room);
    }
    memmove(m->all + i + 1, m->all + i, (m->count - i) * sizeof(mapping));
    m->all[i] = mapping;
    m->count++;
}

void mappings_remove(struct mappings *m, uint64_t at, uint64_t len)
{
    size_t i = mappings_find(m, at);

    if (i < m->count && m->all[i].at == at && m->all[i].len == len) {
        m->count--;
        memmove(m->all + i, m->all + i + 1, (m->count - i) * sizeof(*m->all));
    }
}

void mappings_clear(struct mappings *m)
{
    g_free(m->all);
    memset(m, 0, sizeof(*m));
}
