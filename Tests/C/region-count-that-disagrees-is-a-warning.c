/* SPDX-License-Identifier: BSD-3-Clause */
/* If a back-end's nregions differs from the number of its sizes, the library warns, and the back-end works. */
#include "rig.h"

static int warnings;

static void count_warning(const char *domain, GLogLevelFlags level, const char *text, gpointer user_data)
{
    (void)user_data;
    CHECK(strcmp(domain, "vhushmem") == 0);
    CHECK((level & G_LOG_LEVEL_MASK) == G_LOG_LEVEL_WARNING);
    CHECK(text[0] != 0);
    warnings++;
}

int main(void)
{
    static const uint32_t counts[] = {0, 1, 3, 256};
    guint handler = g_log_set_handler("vhushmem", G_LOG_LEVEL_WARNING, count_warning, NULL);
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        rig r;
        memset(&r, 0, sizeof(r));
        peer_init(&r.peer);
        peer_add_region(&r.peer, 0, 16 * PAGE);
        peer_add_region(&r.peer, 2, 16 * PAGE);
        r.peer.config.nregions = counts[i];
        warnings = 0;
        rig_connect(&r, NULL);
        EQ(warnings, 1);
        EQ(vhushmem_device_region_ids(r.device, NULL, 0), 2);
        rig_still_works(&r);
        rig_close(&r);
    }
    g_log_remove_handler("vhushmem", handler);
    return 0;
}
