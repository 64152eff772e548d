/* SPDX-License-Identifier: BSD-3-Clause */
/* The JSON has the list of strings, and a number of what has no name, which is left out where there is nothing. */
#include "harness.h"

static void tells(uint64_t features, const char *wanted)
{
    char *json = some(vhushmem_protocol_features_to_json(features));
    if (strcmp(json, wanted) != 0) {
        FAIL("%s, not %s", json, wanted);
    }
    g_free(json);
}

int main(void)
{
    char **strings = some(vhushmem_protocol_features_to_strings(UINT64_C(0x400001), NULL));
    char *two = g_strdup_printf("{\"protocol-features\":[\"%s\",\"%s\"]}", strings[0], strings[1]);
    tells(0, "{\"protocol-features\":[]}");
    tells(UINT64_C(0x400001), two);
    tells(UINT64_C(1) << 63, "{\"protocol-features\":[],\"unknown-protocol-features\":9223372036854775808}");
    g_strfreev(strings);
    g_free(two);
    return 0;
}
