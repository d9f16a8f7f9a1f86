/* What processors are compared by: each workload between two marked lines on the console. Part of the bench `peers`, which compiles it
 * with the distribution's gcc at -O2 and runs it in the Debian guest. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile uint64_t sink;

static uint64_t sieve(void) {
    enum { N = 2000000 };
    static uint8_t composite[N];
    uint64_t primes = 0;
    for (int round = 0; round < 4; round++) {
        memset(composite, 0, N);
        primes = 0;
        for (int i = 2; i < N; i++) {
            if (composite[i]) continue;
            primes++;
            for (int j = i * 2; j < N; j += i) composite[j] = 1;
        }
    }
    return primes;
}

static uint32_t turn(uint32_t x, int n) { return x >> n | x << (32 - n); }

/* The rounds of SHA-256 with constants of no meaning: the same work. */
static uint64_t sha(void) {
    uint32_t h[8] = {1, 2, 3, 4, 5, 6, 7, 8}, w[64];
    for (uint32_t block = 0; block < 40000; block++) {
        for (uint32_t n = 0; n < 16; n++) w[n] = block * 2654435761u + n;
        for (int n = 16; n < 64; n++)
            w[n] = w[n - 16] + w[n - 7] + (turn(w[n - 15], 7) ^ turn(w[n - 15], 18) ^ w[n - 15] >> 3) +
                   (turn(w[n - 2], 17) ^ turn(w[n - 2], 19) ^ w[n - 2] >> 10);
        uint32_t s[8];
        memcpy(s, h, sizeof s);
        for (uint32_t n = 0; n < 64; n++) {
            uint32_t t1 = s[7] + (turn(s[4], 6) ^ turn(s[4], 11) ^ turn(s[4], 25)) + ((s[4] & s[5]) ^ (~s[4] & s[6])) + w[n] +
                          n * 0x9e3779b9u;
            uint32_t t2 = (turn(s[0], 2) ^ turn(s[0], 13) ^ turn(s[0], 22)) + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
            for (int k = 7; k > 0; k--) s[k] = s[k - 1];
            s[4] += t1;
            s[0] = t1 + t2;
        }
        for (int n = 0; n < 8; n++) h[n] += s[n];
    }
    return h[0];
}

static uint64_t matrices(void) {
    enum { N = 160 };
    static double a[N][N], b[N][N], c[N][N];
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) a[i][j] = i + 0.5 * j, b[i][j] = i - 0.25 * j;
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            double sum = 0;
            for (int k = 0; k < N; k++) sum += a[i][k] * b[k][j];
            c[i][j] = sum / 3;
        }
    return (uint64_t)c[7][9];
}

static uint64_t chase(void) {
    enum { N = 4 << 20 };
    uint64_t *next = malloc(N * sizeof *next), at = 0;
    for (uint64_t n = 0; n < N; n++) next[n] = (n * 2654435761u + 12345) & (N - 1);
    for (int n = 0; n < 3000000; n++) at = next[at];
    free(next);
    return at;
}

static uint64_t copies(void) {
    enum { LEN = 1 << 20 };
    char *from = malloc(LEN), *to = malloc(LEN);
    memset(from, 7, LEN);
    for (int n = 0; n < 100; n++) {
        memcpy(to, from, LEN - n);
        from[n] = to[n + 1];
    }
    uint64_t last = (uint8_t)to[99];
    free(from), free(to);
    return last;
}

static uint64_t rep_movsb(void) {
    enum { LEN = 1 << 20 };
    char *from = malloc(LEN), *to = malloc(LEN);
    memset(from, 7, LEN);
    for (int n = 0; n < 200; n++) {
        void *d = to, *s = from;
        size_t len = LEN;
        __asm__ volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(len) : : "memory");
    }
    uint64_t last = (uint8_t)to[99];
    free(from), free(to);
    return last;
}

static uint64_t system_calls(void) {
    uint64_t sum = 0;
    for (int n = 0; n < 300000; n++) sum += (uint64_t)syscall(SYS_getpid);
    return sum;
}

static uint64_t page_faults(void) {
    for (int n = 0; n < 60; n++) {
        char *at = mmap(0, 4 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        for (int page = 0; page < 1024; page++) at[page * 4096] = 1;
        munmap(at, 4 << 20);
    }
    return 0;
}

static uint64_t interpreter(void) {
    static const uint8_t program[] = {0, 1, 2, 3, 1, 4, 2, 5, 6, 0, 3, 1, 7};
    uint64_t a = 1, b = 2, count = 0;
    for (int n = 0; n < 3000000; n++)
        for (unsigned at = 0;; at++) {
            switch (program[at]) {
            case 0: a += b; break;
            case 1: b ^= a >> 3; break;
            case 2: a = a * 5 + 1; break;
            case 3: b = b << 1 | b >> 63; break;
            case 4: a -= b; break;
            case 5: if (a & 1) b++; break;
            case 6: a ^= count; break;
            default: goto done;
            }
            count++;
        }
done:
    return a + b + count;
}

static uint64_t ping_pong(void) {
    int there[2], back[2];
    char byte = 0;
    if (pipe(there) || pipe(back)) return 0;
    pid_t child = fork();
    if (child == 0) {
        while (read(there[0], &byte, 1) == 1 && byte != 'q')
            if (write(back[1], &byte, 1) != 1) break;
        _exit(0);
    }
    for (int n = 0; n < 15000; n++)
        if (write(there[1], "x", 1) != 1 || read(back[0], &byte, 1) != 1) break;
    if (write(there[1], "q", 1) != 1) return 1;
    waitpid(child, 0, 0);
    return 0;
}

int main(void) {
    static const struct {
        const char *name;
        uint64_t (*run)(void);
    } all[] = {
        {"sieve", sieve},         {"sha", sha},         {"matrices", matrices},         {"chase", chase},
        {"copies", copies},       {"rep-movsb", rep_movsb}, {"system-calls", system_calls}, {"page-faults", page_faults},
        {"interpreter", interpreter}, {"ping-pong", ping_pong},
    };
    for (unsigned n = 0; n < sizeof all / sizeof *all; n++) {
        printf("@begin %s\n", all[n].name);
        fflush(stdout);
        sink = all[n].run();
        printf("@end %s\n", all[n].name);
        fflush(stdout);
    }
    return 0;
}
