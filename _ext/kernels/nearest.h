// The nearest centre of many samples at a time; see membership.pyx.
#pragma once

#include "vectors.h"

namespace parslflow {

enum { FEATURES = 4 };

// ln(1 + x) within 2 units in the last place; NaN where 1 + x is not a positive finite number.
//
// With u = 1 + x = 2^e m, m between sqrt(1/2) and sqrt(2): ln(u) = e ln 2 + 2 artanh(s), where
// s = (m - 1)/(m + 1), and 2 artanh(s) = 2 s + s z p(z), z = s^2, p the minimax polynomial of
// degree 6 on that interval (relative error 1e-17). What rounding took from 1 + x is added again
// where it counts, which is where e = 0.
PARSLFLOW_INLINE Doubles log1p_of(Doubles x) {
    typedef std::uint64_t Unsigned __attribute__((vector_size(32)));
    const Doubles zero = {0, 0, 0, 0};
    const Integers ones = {1, 1, 1, 1};
    const Doubles u = x + 1.0;
    const Doubles lost = x - (u - 1.0);

    // The exponent, biased so that it is not negative, goes into the last bits of 2^52 and comes
    // out as a double.
    const Integers biased = (Integers)u - 0x3fe6a09e667f3bcd + (ones << 62);
    const Integers exponent = (Integers)((Unsigned)biased >> 52);
    const Doubles e = (Doubles)(exponent | 0x4330000000000000) - (0x1p52 + 1024);
    const Doubles m = (Doubles)((Integers)u - (exponent << 52) + (ones << 62));

    const Doubles f = m - 1.0;
    const Doubles s = f / (m + 1.0);
    const Doubles z = s * s;
    const Doubles z2 = z * z;
    const Doubles low = 0x1.5555555555558p-1 + z * 0x1.99999999952d7p-2;
    const Doubles middle = 0x1.2492492df281ap-2 + z * 0x1.c71c62e3f11e6p-3;
    const Doubles high = 0x1.7462b51cb66b1p-3 + z * 0x1.39fe51a7c18f9p-3;
    const Doubles p = low + z2 * (middle + z2 * (high + z2 * 0x1.2b5900de53b32p-3));
    // 2 s = f - s f, where f is exact; what does not wait for s is summed meanwhile.
    const Doubles rounded = (Doubles)((Integers)lost & (Integers)(e == zero));
    const Doubles early = f + e * 0x1.62e42fee00000p-1;
    const Doubles correction = rounded + e * 0x1.a39ef35793c76p-33;
    const Doubles value = early - (s * (f - z * p) - correction);
    return (u > zero) & (u < __builtin_inf()) ? value : zero + __builtin_nan("");
}

// sign(x) ln(1 + |x| + offset), 0 for 0.
PARSLFLOW_INLINE Doubles symmetric_log(Doubles x, double offset) {
    const Integers sign = (Integers)x & (Integers{1, 1, 1, 1} << 63);
    const Doubles magnitude = (Doubles)((Integers)x ^ sign);
    const Doubles value = (Doubles)((Integers)log1p_of(magnitude + offset) | sign);
    return x == Doubles{} ? x : value;
}

// Of the squared distance of transformed features t and a centre, what differs between the
// centres, halved: constant - sum of weights times compressed features.
struct Centres {
    std::ptrdiff_t count;
    const double* constants;  // (count,)
    const double* weights;    // (count, 4)
    double rv_offset;
    double radius_scale;      // the last feature is this times what is given
};

// Where the features lie: feature f of sample n at features[f][n * stride].
template <class Real>
struct Samples {
    const Real* features[FEATURES];
    std::ptrdiff_t stride;
};

template <class Real>
PARSLFLOW_INLINE Doubles four(const Real* from, std::ptrdiff_t stride) {
    if (stride == 1) {
        return load(from);
    }
    return Doubles{double(from[0]), double(from[stride]), double(from[2 * stride]),
                   double(from[3 * stride])};
}

enum { WORD = 64 };

// Compressed features of up to 64 samples. What is not finite is NaN, as is what is not there.
struct Compressed {
    double of[FEATURES][WORD];
};

template <class Real>
PARSLFLOW_INLINE void compress(const Samples<Real>& samples, std::ptrdiff_t first,
                               std::ptrdiff_t stride, const Centres& centres, Compressed& out) {
    // One feature at a time: the steps of many logarithms overlap, where those of one cannot.
    const Real* energy = samples.features[0] + first * stride;
    const Real* vorticity = samples.features[1] + first * stride;
    const Real* slope = samples.features[2] + first * stride;
    const Real* radius = samples.features[3] + first * stride;
    for (int n = 0; n < WORD; n += LANES) {
        store(out.of[0] + n, log1p_of(four(energy + n * stride, stride)));
    }
    for (int n = 0; n < WORD; n += LANES) {
        store(out.of[1] + n, symmetric_log(four(vorticity + n * stride, stride), centres.rv_offset));
    }
    for (int n = 0; n < WORD; n += LANES) {
        store(out.of[2] + n, log1p_of(four(slope + n * stride, stride)));
    }
    for (int n = 0; n < WORD; n += LANES) {
        const Doubles value = four(radius + n * stride, stride) * centres.radius_scale;
        store(out.of[3] + n, value + (value - value));
    }
}

// The same for the last, less than 64 samples.
template <class Real>
PARSLFLOW_INLINE void compress_rest(const Samples<Real>& samples, std::ptrdiff_t first,
                                    std::ptrdiff_t n, const Centres& centres, Compressed& out) {
    Real rest[FEATURES][WORD];
    for (int f = 0; f < FEATURES; ++f) {
        for (int k = 0; k < WORD; ++k) {
            rest[f][k] = first + k < n ? samples.features[f][(first + k) * samples.stride]
                                       : static_cast<Real>(__builtin_nan(""));
        }
    }
    compress(Samples<Real>{{rest[0], rest[1], rest[2], rest[3]}, 1}, 0, 1, centres, out);
}

// The nearest centre of each sample, the first of equals; -1 where a feature is NaN.
PARSLFLOW_INLINE void nearest_of(const Compressed& samples, const Centres& centres,
                                 Integers nearest[WORD / LANES]) {
    for (int n = 0; n < WORD; n += 2 * LANES) {
        // Two at a time, which share the weights.
        Doubles t[2][FEATURES];
        Doubles best[2];
        Integers which[2];
        for (int half = 0; half < 2; ++half) {
            for (int f = 0; f < FEATURES; ++f) {
                t[half][f] = load(samples.of[f] + n + half * LANES);
            }
            best[half] = Doubles{} + __builtin_inf();
            which[half] = Integers{} - 1;
        }
        Integers this_one = {};
        for (std::ptrdiff_t k = 0; k < centres.count; ++k) {
            const double* w = centres.weights + k * FEATURES;
            for (int half = 0; half < 2; ++half) {
                const Doubles score =
                    (centres.constants[k] - t[half][0] * w[0] - t[half][1] * w[1]) -
                    (t[half][2] * w[2] + t[half][3] * w[3]);
                const Integers nearer = score < best[half];
                best[half] = nearer ? score : best[half];
                which[half] = nearer ? this_one : which[half];
            }
            this_one += 1;
        }
        nearest[n / LANES] = which[0];
        nearest[n / LANES + 1] = which[1];
    }
}

template <class Real>
PARSLFLOW_INLINE void nearest_any(const Samples<Real>& samples, std::ptrdiff_t n,
                                  const Centres& centres, int* clusters) {
    Compressed compressed;
    Integers nearest[WORD / LANES];
    for (std::ptrdiff_t first = 0; first < n; first += WORD) {
        if (first + WORD <= n) {
            compress(samples, first, samples.stride, centres, compressed);
        } else {
            compress_rest(samples, first, n, centres, compressed);
        }
        nearest_of(compressed, centres, nearest);
        for (int k = 0; k < WORD && first + k < n; ++k) {
            clusters[first + k] = static_cast<int>(nearest[k / LANES][k % LANES]);
        }
    }
}

// Which of up to 64 samples are of the wanted cluster, a bit each, and how many are of any.
struct Chosen {
    std::uint64_t bits;
    std::ptrdiff_t seen;
};

// There is a sample only where energy > mke, which a NaN is not.
template <class Real>
PARSLFLOW_INLINE Chosen choose_any(const Samples<Real>& samples, const Real* energy,
                                   const double* mke, std::ptrdiff_t n, const Centres& centres,
                                   std::int64_t wanted) {
    Compressed compressed;
    Integers nearest[WORD / LANES];
    double eke[WORD];
    if (n == WORD) {
        compress(samples, 0, 1, centres, compressed);
    } else {
        compress_rest(samples, 0, n, centres, compressed);
    }
    for (int k = 0; k < n; ++k) {
        eke[k] = energy[k] - mke[k];
    }
    for (std::ptrdiff_t k = n; k < WORD; ++k) {
        eke[k] = 0;
    }
    nearest_of(compressed, centres, nearest);
    Integers bits = {};
    Integers seen = {};
    Integers place = {1, 2, 4, 8};
    for (int k = 0; k < WORD; k += LANES) {
        const Integers cluster = nearest[k / LANES];
        const Integers sample = (load(eke + k) > Doubles{}) & (cluster >= Integers{});
        bits |= sample & (cluster == Integers{} + wanted) & place;
        seen -= sample;
        place = place << 4;
    }
    return {static_cast<std::uint64_t>(bits[0] | bits[1] | bits[2] | bits[3]),
            static_cast<std::ptrdiff_t>(seen[0] + seen[1] + seen[2] + seen[3])};
}

template <class Real>
PARSLFLOW_WIDE inline void nearest_wide(const Samples<Real>& samples, std::ptrdiff_t n,
                                        const Centres& centres, int* clusters) {
    nearest_any(samples, n, centres, clusters);
}

template <class Real>
PARSLFLOW_WIDE inline Chosen choose_wide(const Samples<Real>& samples, const Real* energy,
                                         const double* mke, std::ptrdiff_t n,
                                         const Centres& centres, std::int64_t wanted) {
    return choose_any(samples, energy, mke, n, centres, wanted);
}

// The nearest centre of each of n samples.
template <class Real>
inline void nearest_centres(const Samples<Real>& samples, std::ptrdiff_t n, const Centres& centres,
                            int* clusters) {
    if (wide_vectors()) {
        nearest_wide(samples, n, centres, clusters);
    } else {
        nearest_any(samples, n, centres, clusters);
    }
}

// See Chosen; the samples have the stride 1.
template <class Real>
inline Chosen choose(const Samples<Real>& samples, const Real* energy, const double* mke,
                     std::ptrdiff_t n, const Centres& centres, std::int64_t wanted) {
    return wide_vectors() ? choose_wide(samples, energy, mke, n, centres, wanted)
                          : choose_any(samples, energy, mke, n, centres, wanted);
}

}  // namespace parslflow
