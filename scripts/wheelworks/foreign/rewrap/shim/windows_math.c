/* Mathematics of Microsoft's C library where it differs from glibc's: classification, `long double`, a double there,
   and the exceptions of floating point.
   Source: corecrt_math.h, fenv.h; https://learn.microsoft.com/cpp/c-runtime-library/floating-point-support */

#include <complex.h>
#include <fenv.h>
#include <math.h>

#include "windows.h"

/* ---- classification: FP_INFINITE and the other classes ---- */

static short
convert_class(int number)
{
    return (short)(number == FP_NAN         ? 2
                   : number == FP_INFINITE  ? 1
                   : number == FP_NORMAL    ? -1
                   : number == FP_SUBNORMAL ? -2
                                            : 0);
}

EXPORT(_dclass, short)(double x) { return convert_class(fpclassify(x)); }
EXPORT(_fdclass, short)(float x) { return convert_class(fpclassify(x)); }
EXPORT(_ldclass, short)(double x) { return convert_class(fpclassify(x)); }
EXPORT(_dtest, short)(const double *x) { return convert_class(fpclassify(*x)); }
EXPORT(_fdtest, short)(const float *x) { return convert_class(fpclassify(*x)); }
EXPORT(_ldtest, short)(const double *x) { return convert_class(fpclassify(*x)); }

enum { SIGN = 0x8000 };
EXPORT(_dsign, int)(double x) { return signbit(x) ? SIGN : 0; }
EXPORT(_fdsign, int)(float x) { return signbit(x) ? SIGN : 0; }
EXPORT(_ldsign, int)(double x) { return signbit(x) ? SIGN : 0; }
EXPORT(_finite, int)(double x) { return isfinite(x); }
EXPORT(_finitef, int)(float x) { return isfinite(x); }
EXPORT(_isnan, int)(double x) { return isnan(x); }
EXPORT(_isnanf, int)(float x) { return isnan(x); }

/* Comparisons that raise nothing: _FP_LT 1, _FP_EQ 2, _FP_GT 4, 0 if one is NaN. */
EXPORT(_dpcomp, int)(double x, double y) { return x < y ? 1 : x == y ? 2 : x > y ? 4 : 0; }
EXPORT(_fdpcomp, int)(float x, float y) { return x < y ? 1 : x == y ? 2 : x > y ? 4 : 0; }
EXPORT(_ldpcomp, int)(double x, double y) { return x < y ? 1 : x == y ? 2 : x > y ? 4 : 0; }

enum {
    CLASS_SIGNALING = 1,
    CLASS_QUIET = 2,
    CLASS_INFINITE = 4,
    CLASS_NORMAL = 8,
    CLASS_SUBNORMAL = 16,
    CLASS_ZERO = 32
};

EXPORT(_fpclass, int)(double x)
{
    u64 bits;
    memcpy(&bits, &x, sizeof(bits));
    int number = fpclassify(x);
    if (number == FP_NAN) {
        return bits >> 51 & 1 ? CLASS_QUIET : CLASS_SIGNALING;
    }
    int class = number == FP_INFINITE ? CLASS_INFINITE
                : number == FP_NORMAL ? CLASS_NORMAL
                : number == FP_ZERO   ? CLASS_ZERO
                                      : CLASS_SUBNORMAL;
    /* positive ones: zero 0x40, subnormal 0x80, normal 0x100, infinite 0x200 */
    return signbit(x)                 ? class
           : class == CLASS_INFINITE  ? 0x200
           : class == CLASS_NORMAL    ? 0x100
           : class == CLASS_SUBNORMAL ? 0x80
                                      : 0x40;
}

/* ---- Microsoft's names ---- */

EXPORT(_copysign, double)(double x, double y) { return copysign(x, y); }
EXPORT(_copysignf, float)(float x, float y) { return copysignf(x, y); }
EXPORT(_chgsign, double)(double x) { return -x; }
EXPORT(_chgsignf, float)(float x) { return -x; }
EXPORT(_hypot, double)(double x, double y) { return hypot(x, y); }
EXPORT(_hypotf, float)(float x, float y) { return hypotf(x, y); }
EXPORT(_nextafter, double)(double x, double y) { return nextafter(x, y); }
EXPORT(_nextafterf, float)(float x, float y) { return nextafterf(x, y); }
EXPORT(_scalb, double)(double x, int n) { return scalbn(x, n); } /* `long` */
EXPORT(_scalbf, float)(float x, int n) { return scalbnf(x, n); }
EXPORT(_logb, double)(double x) { return logb(x); }
EXPORT(_logbf, float)(float x) { return logbf(x); }
EXPORT(_j0, double)(double x) { return j0(x); }
EXPORT(_j1, double)(double x) { return j1(x); }
EXPORT(_jn, double)(int n, double x) { return jn(n, x); }
EXPORT(_y0, double)(double x) { return y0(x); }
EXPORT(_y1, double)(double x) { return y1(x); }
EXPORT(_yn, double)(int n, double x) { return yn(n, x); }
EXPORT(_cabs, double)(double complex x) { return cabs(x); } /* struct _complex: two doubles in registers */

/* Results of type `long`, which are out of range more often than in glibc: LONG_MIN then, as on Windows. */
static int
convert_rounded(double value)
{
    return value >= -2147483648.0 && value <= 2147483647.0 ? (int)value : INT32_MIN;
}

EXPORT(lround, int)(double x) { return convert_rounded(round(x)); }
EXPORT(lroundf, int)(float x) { return convert_rounded(roundf(x)); }
EXPORT(lroundl, int)(double x) { return convert_rounded(round(x)); }
EXPORT(lrint, int)(double x) { return convert_rounded(rint(x)); }
EXPORT(lrintf, int)(float x) { return convert_rounded(rintf(x)); }
EXPORT(lrintl, int)(double x) { return convert_rounded(rint(x)); }
EXPORT(scalbln, double)(double x, int n) { return scalbn(x, n); }
EXPORT(scalblnf, float)(float x, int n) { return scalbnf(x, n); }

/* ---- long double ---- */

#define FUNCTIONS_1(X)                                                                                             \
    X(acos) X(asin) X(atan) X(cos) X(sin) X(tan) X(acosh) X(asinh) X(atanh) X(cosh) X(sinh) X(tanh) X(exp) X(exp2) \
    X(expm1) X(log) X(log2) X(log10) X(log1p) X(logb) X(sqrt) X(cbrt) X(ceil) X(floor) X(trunc) X(round) X(rint)   \
    X(nearbyint) X(fabs) X(erf) X(erfc) X(tgamma) X(lgamma)
#define LONG_DOUBLE_1(name) \
    EXPORT(name##l, double)(double x) { return name(x); }
FUNCTIONS_1(LONG_DOUBLE_1)

#define FUNCTIONS_2(X)                                                                             \
    X(atan2) X(pow) X(hypot) X(fmod) X(remainder) X(fdim) X(fmax) X(fmin) X(copysign) X(nextafter)
#define LONG_DOUBLE_2(name) \
    EXPORT(name##l, double)(double x, double y) { return name(x, y); }
FUNCTIONS_2(LONG_DOUBLE_2)

#define COMPLEX_FUNCTIONS(X)                                                                                        \
    X(ccos) X(ccosh) X(cexp) X(clog) X(conj) X(cproj) X(csin) X(csinh) X(csqrt) X(ctan) X(ctanh) X(cacos) X(cacosh) \
    X(casin) X(casinh) X(catan) X(catanh)
#define LONG_COMPLEX(name) \
    EXPORT(name##l, double complex)(double complex x) { return name(x); }
COMPLEX_FUNCTIONS(LONG_COMPLEX)

#define PARTS_OF_COMPLEX(X)           \
    X(cabs) X(carg) X(creal) X(cimag)
#define LONG_COMPLEX_PART(name) \
    EXPORT(name##l, double)(double complex x) { return name(x); }
PARTS_OF_COMPLEX(LONG_COMPLEX_PART)

EXPORT(cpowl, double complex)(double complex x, double complex y) { return cpow(x, y); }
EXPORT(nexttoward, double)(double x, double y) { return nextafter(x, y); }
EXPORT(nexttowardl, double)(double x, double y) { return nextafter(x, y); }
EXPORT(ldexpl, double)(double x, int n) { return ldexp(x, n); }
EXPORT(scalbnl, double)(double x, int n) { return scalbn(x, n); }
EXPORT(frexpl, double)(double x, int *n) { return frexp(x, n); }
EXPORT(modfl, double)(double x, double *whole) { return modf(x, whole); }
EXPORT(ilogbl, int)(double x) { return ilogb(x); }
EXPORT(llroundl, long long)(double x) { return llround(x); }
EXPORT(llrintl, long long)(double x) { return llrint(x); }
EXPORT(fmal, double)(double x, double y, double z) { return fma(x, y, z); }
EXPORT(strtold, double)(const char *text, char **end) { return strtod(text, end); }

/* ---- exceptions of floating point: fenv.h of ARM64 numbers them in another order ---- */

static const Flag exceptions[] = {
    {1, FE_INEXACT}, {2, FE_UNDERFLOW}, {4, FE_OVERFLOW}, {8, FE_DIVBYZERO}, {16, FE_INVALID}};

EXPORT(feclearexcept, int)(int flags) { return feclearexcept(TO_NATIVE_FLAGS(exceptions, flags)); }
EXPORT(feraiseexcept, int)(int flags) { return feraiseexcept(TO_NATIVE_FLAGS(exceptions, flags)); }
EXPORT(fetestexcept, int)(int flags)
{
    int raised = fetestexcept(TO_NATIVE_FLAGS(exceptions, flags));
    return TO_WINDOWS_FLAGS(exceptions, raised);
}
EXPORT(_statusfp, u32)(void)
{
    int raised = fetestexcept(FE_ALL_EXCEPT);
    return (u32)TO_WINDOWS_FLAGS(exceptions, raised);
}
EXPORT(_clearfp, u32)(void)
{
    u32 flags = w__statusfp();
    feclearexcept(FE_ALL_EXCEPT);
    return flags;
}

/* Rounding: to nearest 0, down 0x100, up 0x200, toward zero 0x300. */
static const int roundings[] = {FE_TONEAREST, FE_DOWNWARD, FE_UPWARD, FE_TOWARDZERO};

EXPORT(fegetround, int)(void)
{
    int current = fegetround(), i = 0;
    while (roundings[i] != current) {
        i++;
    }
    return i << 8;
}

EXPORT(fesetround, int)(int rounding) { return rounding & ~0x300 ? 1 : fesetround(roundings[rounding >> 8]); }

EXPORT(_fpreset, void)(void) { fesetenv(FE_DFL_ENV); }
