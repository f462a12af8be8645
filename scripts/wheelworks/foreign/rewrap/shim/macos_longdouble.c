/* Functions of `long double`: on ARM64 Apple's is a double, so that they are those of double; on x86-64 it is the same
   as Linux's. Source: Apple's <math.h>, <complex.h>, <stdlib.h>, <wchar.h>. */

#include <complex.h>
#include <math.h>
#include <wchar.h>

#include "macos.h"

typedef AppleLongDouble LD;
#if defined(__aarch64__)
#define TWIN(name) name
typedef double complex LC;
#else
#define TWIN(name) name##l
typedef long double complex LC;
#endif

#define ONE(name)                                                                                                      \
    EXPORT(name##l, LD)(LD x) { return TWIN(name)(x); }
#define TWO(name)                                                                                                      \
    EXPORT(name##l, LD)(LD x, LD y) { return TWIN(name)(x, y); }
#define COMPLEX(name)                                                                                                  \
    EXPORT(name##l, LC)(LC z) { return TWIN(name)(z); }
#define COMPLEX_TO_REAL(name)                                                                                          \
    EXPORT(name##l, LD)(LC z) { return TWIN(name)(z); }

ONE(acos) ONE(asin) ONE(atan) ONE(cos) ONE(sin) ONE(tan) ONE(acosh) ONE(asinh) ONE(atanh) ONE(cosh) ONE(sinh) ONE(tanh)
ONE(exp) ONE(exp2) ONE(expm1) ONE(log) ONE(log2) ONE(log10) ONE(log1p) ONE(logb) ONE(sqrt) ONE(cbrt) ONE(ceil)
ONE(floor) ONE(trunc) ONE(round) ONE(rint) ONE(nearbyint) ONE(fabs) ONE(erf) ONE(erfc) ONE(tgamma) ONE(lgamma)
TWO(atan2) TWO(pow) TWO(fmod) TWO(remainder) TWO(hypot) TWO(copysign) TWO(nextafter) TWO(fdim) TWO(fmax) TWO(fmin)
COMPLEX(cacos) COMPLEX(casin) COMPLEX(catan) COMPLEX(ccos) COMPLEX(csin) COMPLEX(ctan) COMPLEX(cacosh) COMPLEX(casinh)
COMPLEX(catanh) COMPLEX(ccosh) COMPLEX(csinh) COMPLEX(ctanh) COMPLEX(cexp) COMPLEX(clog) COMPLEX(csqrt)
COMPLEX_TO_REAL(cabs) COMPLEX_TO_REAL(carg)

EXPORT(cpowl, LC)(LC x, LC y) { return TWIN(cpow)(x, y); }

EXPORT(ldexpl, LD)(LD x, int exponent) { return TWIN(ldexp)(x, exponent); }

EXPORT(scalbnl, LD)(LD x, int exponent) { return TWIN(scalbn)(x, exponent); }

EXPORT(frexpl, LD)(LD x, int *exponent) { return TWIN(frexp)(x, exponent); }

EXPORT(modfl, LD)(LD x, LD *whole) { return TWIN(modf)(x, whole); }

EXPORT(ilogbl, int)(LD x) { return TWIN(ilogb)(x); }

EXPORT(fmal, LD)(LD x, LD y, LD z) { return TWIN(fma)(x, y, z); }

EXPORT(lroundl, long)(LD x) { return TWIN(lround)(x); }

EXPORT(lrintl, long)(LD x) { return TWIN(lrint)(x); }

#if defined(__aarch64__)
#define STRTOLD strtod

#define WCSTOLD wcstod
#else
#define STRTOLD strtold

#define WCSTOLD wcstold
#endif

EXPORT(strtold, LD)(const char *text, char **end) { return STRTOLD(text, end); }

EXPORT(wcstold, LD)(const wchar_t *text, wchar_t **end) { return WCSTOLD(text, end); }
