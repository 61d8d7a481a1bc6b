/* SHA-1 and SHA-256 (FIPS 180-4), by which git names what a file holds. */
#ifndef BANGER_PLACE_HASH_H
#define BANGER_PLACE_HASH_H

#include <stddef.h>
#include <stdint.h>

#define OID_MOST 32
#define SHA1_BYTES 20
#define SHA256_BYTES 32

struct hash {
    size_t bytes; /* of the digest: SHA1_BYTES or SHA256_BYTES; says which it is */
    uint32_t state[8];
    uint64_t total;
    uint8_t block[64];
};

void hash_begin(struct hash *hash, size_t bytes);
void hash_add(struct hash *hash, const void *data, size_t size);
void hash_end(struct hash *hash, uint8_t *digest);

#endif
