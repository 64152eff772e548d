/* SPDX-License-Identifier: BSD-3-Clause */
/* Each protocol feature with a name has a description, in the order of the bits. The others come back as a number. */
#include "harness.h"

static void describes(uint64_t features)
{
    uint64_t unknown = 1;
    char **strings = some(vhushmem_protocol_features_to_strings(features, &unknown));
    unsigned count = 0;
    for (unsigned bit = 0; bit < 64; bit++) {
        const char *name = vhushmem_protocol_feature_name(bit);
        if ((features >> bit & 1) == 0) {
            CHECK((unknown >> bit & 1) == 0);
        } else if (name == NULL) {
            CHECK((unknown >> bit & 1) == 1);
        } else {
            char *begins = g_strdup_printf("VHOST_USER_PROTOCOL_F_%s: ", name);
            CHECK((unknown >> bit & 1) == 0);
            CHECK(g_str_has_prefix(strings[count], begins) && strlen(strings[count]) > strlen(begins));
            g_free(begins);
            count++;
        }
    }
    EQ(g_strv_length(strings), count);
    g_strfreev(strings);
    strings = some(vhushmem_protocol_features_to_strings(features, NULL));
    EQ(g_strv_length(strings), count);
    g_strfreev(strings);
}

int main(void)
{
    describes(0);
    describes(UINT64_MAX);
    for (unsigned bit = 0; bit < 64; bit++) {
        describes(UINT64_C(1) << bit);
        describes(~(UINT64_C(1) << bit));
    }
    /* Each description differs from the others. */
    char **all = some(vhushmem_protocol_features_to_strings(UINT64_MAX, NULL));
    for (int i = 0; all[i] != NULL; i++) {
        for (int j = 0; j < i; j++) {
            CHECK(strcmp(strchr(all[i], ':'), strchr(all[j], ':')) != 0);
        }
    }
    g_strfreev(all);
    return 0;
}
