/* Prints what models on a server begin with, for each slot in turn as the server's first. */
#include "internal.h"

#include <stdio.h>

#define SLOTS 16384

int main(void)
{
    static short nodes[SLOTS];
    struct pf_client client = {.clustered = true, .node_of_slot = nodes};
    for (int slot = 0; slot < SLOTS; ++slot)
        nodes[slot] = -1;
    for (int slot = 0; slot < SLOTS; ++slot) {
        nodes[slot] = 0;
        struct prefix prefix = cluster_prefix(&client, 0);
        for (size_t i = 0; i < prefix.length; ++i)
            printf("%02x", (unsigned char)prefix.bytes[i]);
        printf("\n");
        nodes[slot] = -1;
    }
    return 0;
}
