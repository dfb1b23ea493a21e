// Vectors of four doubles, and which instructions they become.
//
// A kernel is written once, as a template that is inlined into two callers: one for any machine, one
// for AVX2 and FMA. The processor is asked when the program runs, so that one build serves all.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#define PARSLFLOW_INLINE inline __attribute__((always_inline))

#if defined(__x86_64__)
#define PARSLFLOW_WIDE __attribute__((target("avx2,fma")))
#else
#define PARSLFLOW_WIDE
#endif

namespace parslflow {

typedef double Doubles __attribute__((vector_size(32)));
typedef std::int64_t Integers __attribute__((vector_size(32)));
typedef float Floats __attribute__((vector_size(16)));

enum { LANES = 4 };

// PARSLFLOW_VECTORS=baseline gives the same rounding on all machines of an architecture.
inline bool wide_vectors() {
#if defined(__x86_64__)
    static const bool wide = [] {
        const char* asked = std::getenv("PARSLFLOW_VECTORS");
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
               !(asked && std::strcmp(asked, "baseline") == 0);
    }();
    return wide;
#else
    return false;
#endif
}

// Ask for the memory at ``at``.
PARSLFLOW_INLINE void prefetch(const void* at) {
    __builtin_prefetch(at);
    // GCC takes a function that does nothing else for one without effect, and drops its calls.
    asm volatile("");
}

// By memcpy, since nothing here has to be aligned.
PARSLFLOW_INLINE Doubles load(const void* from, double) {
    Doubles value;
    std::memcpy(&value, from, sizeof value);
    return value;
}

PARSLFLOW_INLINE Doubles load(const void* from, float) {
    Floats value;
    std::memcpy(&value, from, sizeof value);
    return __builtin_convertvector(value, Doubles);
}

template <class Real>
PARSLFLOW_INLINE Doubles load(const Real* from) {
    return load(from, Real());
}

// Lanes of two vectors, numbered 0 to 3 and 4 to 7.
#if defined(__clang__)
#define PARSLFLOW_LANES(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define PARSLFLOW_LANES(a, b, ...) __builtin_shuffle(a, b, (::parslflow::Integers{__VA_ARGS__}))
#endif

template <class Value>
PARSLFLOW_INLINE void store(void* to, Value value) {
    std::memcpy(to, &value, sizeof value);
}

}  // namespace parslflow
