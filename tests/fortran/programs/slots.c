/* Prints the slots of keys: slots KEYSPACE NAME [KEYSPACE NAME …] */
#include "internal.h"

#include <stdio.h>
#include <string.h>

int main(int count, char *words[])
{
    for (int i = 1; i + 1 < count; i += 2) {
        struct prefix keyspace = {.length = strlen(words[i])};
        memcpy(keyspace.bytes, words[i], keyspace.length);
        if (keyspace.length > 0)
            keyspace.bytes[keyspace.length++] = '.';
        printf("%u\n", cluster_slot(&keyspace, words[i + 1]));
    }
    return 0;
}
