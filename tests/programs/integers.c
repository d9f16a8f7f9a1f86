/* Integer arithmetic of all widths over many operands, as the compiler chooses instructions for it: one line of a checksum for each
 * operation. Part of tests/programs.rs. */
#include <stdint.h>
#include <stdio.h>

static uint64_t state = 0x9e3779b97f4a7c15;

/* xorshift64*, with the values that arithmetic trips over in between. */
static uint64_t next(void) {
    static const uint64_t edges[] = {0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0x7fffffff, 0x80000000, 0xffffffff,
                                     0x7fffffffffffffff, 0x8000000000000000, 0xffffffffffffffff};
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    uint64_t value = state * 0x2545f4914f6cdd1d;
    return value % 5 ? value >> (value % 61) : edges[value / 5 % 13];
}

#define ROUNDS 20000
#define CHECK(name, type, expression)                                                    \
    do {                                                                                 \
        uint64_t sum = 0xcbf29ce484222325;                                               \
        for (int n = 0; n < ROUNDS; n++) {                                               \
            type a = (type)next(), b = (type)next();                                     \
            (void)b;                                                                     \
            sum = (sum ^ (uint64_t)(expression)) * 0x100000001b3;                        \
        }                                                                                \
        printf("%-24s %016llx\n", #type " " name, (unsigned long long)sum);              \
    } while (0)
#define UNSIGNED(type)                                                                   \
    CHECK("sum", type, a + b + (a < b));                                                 \
    CHECK("difference", type, a - b - (a > b));                                          \
    CHECK("product", type, a * (uint64_t)b);                                             \
    CHECK("quotient", type, b ? a / b : a);                                              \
    CHECK("remainder", type, b ? a % b : a);                                             \
    CHECK("shifts", type, (a << (b % (8 * sizeof a))) ^ (a >> (b / 7 % (8 * sizeof a)))); \
    CHECK("logic", type, (a & ~b) ^ (a | b))
#define SIGNED(type)                                                                     \
    CHECK("quotient", type, b && b != -1 ? a / b : a);                                   \
    CHECK("remainder", type, b && b != -1 ? a % b : a);                                  \
    CHECK("arithmetic shift", type, a >> (b & 7));                                       \
    CHECK("comparison", type, (a < b) + 2 * (a <= b) + 4 * (a > 0))

typedef unsigned __int128 u128;

/* Tables through pointers, so that copies, fills and gathers are made. */
static uint32_t sorted[4096];

static void sort(int low, int high) {
    while (low < high) {
        uint32_t pivot = sorted[(low + high) / 2];
        int i = low, j = high;
        while (i <= j) {
            while (sorted[i] < pivot) i++;
            while (sorted[j] > pivot) j--;
            if (i <= j) {
                uint32_t swapped = sorted[i];
                sorted[i++] = sorted[j];
                sorted[j--] = swapped;
            }
        }
        sort(low, j);
        low = i;
    }
}

int main(void) {
    UNSIGNED(uint8_t);
    UNSIGNED(uint16_t);
    UNSIGNED(uint32_t);
    UNSIGNED(uint64_t);
    SIGNED(int8_t);
    SIGNED(int16_t);
    SIGNED(int32_t);
    SIGNED(int64_t);
    CHECK("wide product", uint64_t, (u128)a * b >> 64);
    CHECK("wide quotient", uint64_t, b ? (uint64_t)(((u128)a << 32 | 7) / b) : 0);
    CHECK("ones", uint64_t, __builtin_popcountll(a));
    CHECK("leading zeros", uint64_t, a ? __builtin_clzll(a) : 64);
    CHECK("trailing zeros", uint32_t, a ? __builtin_ctz(a) : 32);
    CHECK("byte order", uint64_t, __builtin_bswap64(a) ^ __builtin_bswap32((uint32_t)b));
    CHECK("turns", uint32_t, a << (b & 31) | a >> (-b & 31));

    uint64_t sum = 0;
    for (int n = 0; n < 4096; n++) sorted[n] = (uint32_t)next();
    sort(0, 4095);
    for (int n = 0; n < 4096; n++) sum = sum * 31 + sorted[n];
    printf("%-24s %016llx\n", "sorted", (unsigned long long)sum);
    return 0;
}
