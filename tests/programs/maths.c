/* The C library's functions in float, double and long double over many arguments: one line of a checksum over all result bits, and
 * one result in full, for each. Part of tests/programs.rs. */
#define _GNU_SOURCE
#include <fenv.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static uint64_t state;

static uint64_t next(void) {
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 0x2545f4914f6cdd1d;
}

/* An argument between the magnitudes 2^-40 and 2^40, sometimes a special one. */
static long double argument(void) {
    static const long double special[] = {0.0L, -0.0L, 1.0L, -1.0L, 0.5L, 1e-310L, 1e300L, 4e-320L};
    uint64_t bits = next();
    if (bits % 32 == 0) return special[bits / 32 % 8];
    if (bits % 32 == 1) return bits & 64 ? INFINITY : NAN;
    long double value = ldexpl((long double)(bits >> 11), -53 + (int)(bits / 32 % 80) - 40);
    return bits & 1024 ? -value : value;
}

static uint64_t add(uint64_t sum, const void *value, size_t len) {
    for (size_t n = 0; n < len; n++) sum = (sum ^ ((const unsigned char *)value)[n]) * 0x100000001b3;
    return sum;
}

#define ROUNDS 3000
/* Of a long double ten bytes count. A NaN's bits are the library's affair. */
#define CHECK(type, len, name, expression) CHECK_AS(type, type, len, name, expression)
/* The same of the result as another type. */
#define CHECK_AS(kept, type, len, name, expression)                                      \
    do {                                                                                 \
        uint64_t sum = 0xcbf29ce484222325;                                               \
        kept last = 0;                                                                   \
        state = 0x1234567 + sizeof name;                                                 \
        for (int n = 0; n < ROUNDS; n++) {                                               \
            type x = (type)argument(), y = (type)argument();                             \
            kept z = (kept)(expression);                                                 \
            if (isnan(z)) {                                                              \
                sum = add(sum, "nan", 3);                                                \
            } else {                                                                     \
                sum = add(sum, &z, len);                                                 \
                last = z;                                                                \
            }                                                                            \
            (void)y;                                                                     \
        }                                                                                \
        printf("%-12s %-10s %016llx %La\n", #type, name, (unsigned long long)sum,        \
               (long double)last);                                                       \
    } while (0)

/* Functions that the library makes of FPATAN, FYL2X and F2XM1 in long double: processors may differ in their last bit (SDM vol. 1,
 * 8.3.10), so they are compared as floats. */
#define BY_X87(s, kept, type, len)                                                       \
    CHECK_AS(kept, type, len, "acos", acos##s(x));                                       \
    CHECK_AS(kept, type, len, "atan", atan##s(x));                                       \
    CHECK_AS(kept, type, len, "atan2", atan2##s(x, y));                                  \
    CHECK_AS(kept, type, len, "sinh", sinh##s(x));                                       \
    CHECK_AS(kept, type, len, "tanh", tanh##s(x));                                       \
    CHECK_AS(kept, type, len, "asinh", asinh##s(x));                                     \
    CHECK_AS(kept, type, len, "exp", exp##s(x));                                         \
    CHECK_AS(kept, type, len, "exp2", exp2##s(x));                                       \
    CHECK_AS(kept, type, len, "expm1", expm1##s(x));                                     \
    CHECK_AS(kept, type, len, "log", log##s(fabs##s(x)));                                \
    CHECK_AS(kept, type, len, "log2", log2##s(fabs##s(x)));                              \
    CHECK_AS(kept, type, len, "log10", log10##s(fabs##s(x)));                            \
    CHECK_AS(kept, type, len, "log1p", log1p##s(x));                                     \
    CHECK_AS(kept, type, len, "pow", pow##s(fabs##s(x), y));                             \
    CHECK_AS(kept, type, len, "gamma", lgamma##s(x));                                    \
    CHECK_AS(kept, type, len, "erf", erf##s(x))

/* All others. */
#define ALL(s, type, len)                                                                \
    CHECK(type, len, "arithmetic", (x + y) * x - y / (x + 1));                           \
    CHECK(type, len, "sqrt", sqrt##s(fabs##s(x)));                                       \
    CHECK(type, len, "cbrt", cbrt##s(x));                                                \
    CHECK(type, len, "asin", asin##s(x));                                                \
    CHECK(type, len, "sin", sin##s(x));                                                  \
    CHECK(type, len, "cos", cos##s(x));                                                  \
    CHECK(type, len, "tan", tan##s(x));                                                  \
    CHECK(type, len, "hypot", hypot##s(x, y));                                           \
    CHECK(type, len, "fmod", fmod##s(x, y));                                             \
    CHECK(type, len, "remainder", remainder##s(x, y));                                   \
    CHECK(type, len, "fma", fma##s(x, y, x));                                            \
    CHECK(type, len, "floor", floor##s(x) + ceil##s(y) + trunc##s(x));                   \
    CHECK(type, len, "rint", rint##s(x));                                                \
    CHECK(type, len, "integers", (type)(int64_t)(x > -1e18 && x < 1e18 ? x : 0));        \
    CHECK(type, len, "unsigned", (type)(uint64_t)(x > 0 && x < 1e19 ? x : 0))

int main(void) {
    static const int modes[] = {FE_TONEAREST, FE_DOWNWARD, FE_UPWARD, FE_TOWARDZERO};
    ALL(f, float, 4);
    BY_X87(f, float, float, 4);
    ALL(, double, 8);
    BY_X87(, double, double, 8);
    ALL(l, long double, 10);
    BY_X87(l, float, long double, 4);
    for (int n = 0; n < 4; n++) {
        fesetround(modes[n]);
        feclearexcept(FE_ALL_EXCEPT);
        CHECK(float, 4, "rounded", x * y + x / y);
        CHECK(double, 8, "rounded", x * y + x / y);
        CHECK(long double, 10, "rounded", x * y + x / y);
        printf("exceptions %#x\n", (unsigned)fetestexcept(FE_ALL_EXCEPT));
    }
    return 0;
}
