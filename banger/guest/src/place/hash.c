#include "hash.h"

#include <string.h>

static const uint32_t k256[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
    0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
    0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
    0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
    0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
    0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t left(uint32_t word, int by)
{
    return word << by | word >> (32 - by);
}

static uint32_t right(uint32_t word, int by)
{
    return word >> by | word << (32 - by);
}

static uint32_t big_endian(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void sha1_block(uint32_t *state, const uint8_t *block)
{
    uint32_t w[80], a = state[0], b = state[1], c = state[2], d = state[3], e = state[4], next;

    for (int i = 0; i < 80; i++)
        w[i] = i < 16 ? big_endian(block + 4 * i) : left(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    for (int i = 0; i < 80; i++) {
        if (i < 20)
            next = ((b & c) | (~b & d)) + 0x5a827999;
        else if (i < 40)
            next = (b ^ c ^ d) + 0x6ed9eba1;
        else if (i < 60)
            next = ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdc;
        else
            next = (b ^ c ^ d) + 0xca62c1d6;
        next += left(a, 5) + e + w[i];
        e = d;
        d = c;
        c = left(b, 30);
        b = a;
        a = next;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
}

static void sha256_block(uint32_t *state, const uint8_t *block)
{
    uint32_t w[64], s[8], one, two;

    for (int i = 0; i < 64; i++) {
        if (i < 16) {
            w[i] = big_endian(block + 4 * i);
            continue;
        }
        one = right(w[i - 15], 7) ^ right(w[i - 15], 18) ^ w[i - 15] >> 3;
        two = right(w[i - 2], 17) ^ right(w[i - 2], 19) ^ w[i - 2] >> 10;
        w[i] = w[i - 16] + one + w[i - 7] + two;
    }
    memcpy(s, state, sizeof s);
    for (int i = 0; i < 64; i++) {
        one = s[7] + (right(s[4], 6) ^ right(s[4], 11) ^ right(s[4], 25)) + ((s[4] & s[5]) ^ (~s[4] & s[6])) + k256[i] + w[i];
        two = (right(s[0], 2) ^ right(s[0], 13) ^ right(s[0], 22)) + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
        memmove(s + 1, s, 7 * sizeof *s);
        s[4] += one;
        s[0] = one + two;
    }
    for (int i = 0; i < 8; i++)
        state[i] += s[i];
}

static void add_block(struct hash *hash, const uint8_t *block)
{
    if (hash->bytes == SHA1_BYTES)
        sha1_block(hash->state, block);
    else
        sha256_block(hash->state, block);
}

void hash_begin(struct hash *hash, size_t bytes)
{
    static const uint32_t first1[8] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    static const uint32_t first256[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                         0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

    hash->bytes = bytes;
    hash->total = 0;
    memcpy(hash->state, bytes == SHA1_BYTES ? first1 : first256, sizeof hash->state);
}

void hash_add(struct hash *hash, const void *data, size_t size)
{
    const uint8_t *from = data;

    while (size > 0) {
        size_t used = hash->total % 64, part = 64 - used < size ? 64 - used : size;

        if (used == 0 && size >= 64) {
            add_block(hash, from);
            part = 64;
        } else {
            memcpy(hash->block + used, from, part);
            if (used + part == 64)
                add_block(hash, hash->block);
        }
        hash->total += part;
        from += part;
        size -= part;
    }
}

void hash_end(struct hash *hash, uint8_t *digest)
{
    uint64_t bits = hash->total * 8;
    uint8_t length[8];

    hash_add(hash, "\x80", 1);
    while (hash->total % 64 != 56)
        hash_add(hash, "", 1);
    for (int i = 0; i < 8; i++)
        length[i] = (uint8_t)(bits >> (56 - 8 * i));
    hash_add(hash, length, sizeof length);
    for (size_t i = 0; i < hash->bytes; i++)
        digest[i] = (uint8_t)(hash->state[i / 4] >> (24 - 8 * (i % 4)));
}
