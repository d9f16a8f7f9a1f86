/* Loops that the compiler turns into vector code: products of matrices, sums, hashes, searches, conversions. With -march=x86-64-v3 that is
 * AVX2, FMA and BMI. Part of tests/programs.rs. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { N = 96, LEN = 10007 };

static double a[N][N], b[N][N], c[N][N];
static float f[LEN], g[LEN];
static int32_t words[LEN];
static int16_t shorts[LEN];
static uint8_t bytes[LEN];

static uint32_t state = 1;
static uint32_t next(void) { return state = state * 1664525 + 1013904223; }

static uint64_t sum_of(const void *data, size_t len) {
    uint64_t sum = 0xcbf29ce484222325;
    for (size_t n = 0; n < len; n++) sum = (sum ^ ((const uint8_t *)data)[n]) * 0x100000001b3;
    return sum;
}

static void tell(const char *what, uint64_t value) { printf("%-20s %016llx\n", what, (unsigned long long)value); }

/* SHA-256 of FIPS 180-4, its constants computed. */
static uint32_t k[64], h0[8];

static void constants(void) {
    int count = 0;
    for (int p = 2; count < 64; p++) {
        int prime = 1;
        for (int d = 2; d * d <= p; d++) prime &= p % d != 0;
        if (!prime) continue;
        /* The first bits of the fractional parts of roots, by bisection in integers. */
        unsigned __int128 low = 0, high = (unsigned __int128)8 << 40;
        while (high - low > 1) {
            unsigned __int128 mid = (low + high) / 2, part = mid >> 8;
            if (part * part * part <= (unsigned __int128)p << 96) low = mid; else high = mid;
        }
        k[count] = (uint32_t)(low >> 8);
        if (count < 8) {
            low = 0, high = (unsigned __int128)32 << 32;
            while (high - low > 1) {
                unsigned __int128 mid = (low + high) / 2;
                if (mid * mid <= (unsigned __int128)p << 64) low = mid; else high = mid;
            }
            h0[count] = (uint32_t)low;
        }
        count++;
    }
}

static uint32_t turn(uint32_t x, int n) { return x >> n | x << (32 - n); }

static void sha256(const uint8_t *data, size_t len, uint32_t h[8]) {
    uint8_t block[64];
    memcpy(h, h0, 32);
    for (size_t at = 0;; at += 64) {
        uint32_t w[64], s[8];
        size_t left = at < len ? len - at : 0;
        memset(block, 0, 64);
        memcpy(block, data + at, left < 64 ? left : 64);
        if (left < 64 && at <= len) block[left] = 0x80;
        int last = at + 64 >= len + 9;
        if (last) for (int n = 0; n < 8; n++) block[63 - n] = (uint8_t)(len * 8 >> (8 * n));
        for (int n = 0; n < 16; n++)
            w[n] = (uint32_t)block[4 * n] << 24 | block[4 * n + 1] << 16 | block[4 * n + 2] << 8 | block[4 * n + 3];
        for (int n = 16; n < 64; n++)
            w[n] = w[n - 16] + w[n - 7] + (turn(w[n - 15], 7) ^ turn(w[n - 15], 18) ^ w[n - 15] >> 3) +
                   (turn(w[n - 2], 17) ^ turn(w[n - 2], 19) ^ w[n - 2] >> 10);
        memcpy(s, h, 32);
        for (int n = 0; n < 64; n++) {
            uint32_t t1 = s[7] + (turn(s[4], 6) ^ turn(s[4], 11) ^ turn(s[4], 25)) +
                          ((s[4] & s[5]) ^ (~s[4] & s[6])) + k[n] + w[n];
            uint32_t t2 = (turn(s[0], 2) ^ turn(s[0], 13) ^ turn(s[0], 22)) +
                          ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
            memmove(s + 1, s, 28);
            s[4] += t1;
            s[0] = t1 + t2;
        }
        for (int n = 0; n < 8; n++) h[n] += s[n];
        if (last) return;
    }
}

int main(void) {
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            a[i][j] = (double)(int32_t)next() / 65536;
            b[i][j] = (double)(int32_t)next() / 1048576;
        }
    for (int i = 0; i < N; i++)
        for (int l = 0; l < N; l++)
            for (int j = 0; j < N; j++) c[i][j] += a[i][l] * b[l][j];
    tell("matrix product", sum_of(c, sizeof c));
    for (int n = 0; n < LEN; n++) {
        bytes[n] = (uint8_t)(next() >> 24);
        shorts[n] = (int16_t)(next() >> 16);
        words[n] = (int32_t)next();
        f[n] = (float)words[n] / 1000;
    }
    for (int n = 0; n < LEN; n++) g[n] = f[n] * 3.25f + (float)bytes[n];
    tell("multiply and add", sum_of(g, sizeof g));
    for (int n = 0; n < LEN; n++) g[n] = f[n] > g[n] ? f[n] : (f[n] < 0 ? -f[n] : g[n]);
    tell("choices", sum_of(g, sizeof g));
    int64_t total = 0;
    for (int n = 0; n < LEN; n++) total += (int64_t)words[n] * shorts[n];
    tell("dot product", (uint64_t)total);
    for (int n = 0; n < LEN; n++) words[n] = (int32_t)((uint32_t)words[n] << (bytes[n] & 31)) >> (shorts[n] & 15);
    tell("shifts", sum_of(words, sizeof words));
    uint32_t most = 0, count = 0;
    for (int n = 0; n < LEN; n++) {
        most = bytes[n] > most ? bytes[n] : most;
        count += bytes[n] == 0x5a;
    }
    tell("search", (uint64_t)most << 32 | count);
    for (int n = 0; n < LEN; n++) words[n] = (int32_t)g[n % 512] + f[bytes[n]] > 0;
    tell("gathers", sum_of(words, sizeof words));
    int16_t narrow[LEN];
    for (int n = 0; n < LEN; n++) {
        int wide = shorts[n] * 3 / 2;
        narrow[n] = (int16_t)(wide > 32767 ? 32767 : wide < -32768 ? -32768 : wide);
    }
    tell("saturation", sum_of(narrow, sizeof narrow));
    constants();
    uint32_t digest[8];
    sha256((const uint8_t *)"abc", 3, digest);
    printf("%s\n", digest[0] == 0xba7816bf && digest[7] == 0xf20015ad ? "SHA-256 is right" : "SHA-256 is wrong");
    sha256(bytes, LEN, digest);
    for (int n = 0; n < 8; n++) printf("%08x", digest[n]);
    printf("\n");
    return 0;
}
