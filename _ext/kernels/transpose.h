// Transposed copy of a rectangle of a tile.
#pragma once

#include "vectors.h"

namespace parslflow {

// Four rows of four, each a column of the other side. The bytes of a reply need not be aligned.
PARSLFLOW_INLINE void transpose_block(const char* from, std::ptrdiff_t from_stride, double* to,
                                      std::ptrdiff_t to_stride) {
    const std::ptrdiff_t row = from_stride * static_cast<std::ptrdiff_t>(sizeof(double));
    const Doubles a = load(from, double());
    const Doubles b = load(from + row, double());
    const Doubles c = load(from + 2 * row, double());
    const Doubles d = load(from + 3 * row, double());
    const Doubles ab_even = PARSLFLOW_LANES(a, b, 0, 4, 2, 6);
    const Doubles ab_odd = PARSLFLOW_LANES(a, b, 1, 5, 3, 7);
    const Doubles cd_even = PARSLFLOW_LANES(c, d, 0, 4, 2, 6);
    const Doubles cd_odd = PARSLFLOW_LANES(c, d, 1, 5, 3, 7);
    store(to, PARSLFLOW_LANES(ab_even, cd_even, 0, 1, 4, 5));
    store(to + to_stride, PARSLFLOW_LANES(ab_odd, cd_odd, 0, 1, 4, 5));
    store(to + 2 * to_stride, PARSLFLOW_LANES(ab_even, cd_even, 2, 3, 6, 7));
    store(to + 3 * to_stride, PARSLFLOW_LANES(ab_odd, cd_odd, 2, 3, 6, 7));
}

PARSLFLOW_INLINE void transpose_block(const char* from, std::ptrdiff_t from_stride, float* to,
                                      std::ptrdiff_t to_stride) {
    for (int k = 0; k < LANES; ++k) {
        for (int i = 0; i < LANES; ++i) {
            std::memcpy(to + k * to_stride + i, from + (i * from_stride + k) * sizeof(float),
                        sizeof(float));
        }
    }
}

// Where the block after ``at`` begins: the last one reaches back, and copies some values again.
PARSLFLOW_INLINE std::ptrdiff_t next_block(std::ptrdiff_t at, std::ptrdiff_t n) {
    const std::ptrdiff_t next = at + LANES;
    return next < n && next + LANES > n ? n - LANES : next;
}

template <class Real>
PARSLFLOW_INLINE void transpose_any(const char* from, std::ptrdiff_t from_stride, Real* to,
                                    std::ptrdiff_t to_stride, std::ptrdiff_t ni, std::ptrdiff_t nj) {
    constexpr std::ptrdiff_t size = sizeof(Real);
    if (ni < LANES || nj < LANES) {
        for (std::ptrdiff_t i = 0; i < ni; ++i) {
            for (std::ptrdiff_t j = 0; j < nj; ++j) {
                std::memcpy(to + j * to_stride + i, from + (i * from_stride + j) * size, size);
            }
        }
        return;
    }
    std::ptrdiff_t j = 0;
    // Two blocks side by side read whole cache lines of the tile; both write along rows.
    for (; j + 2 * LANES <= nj; j += 2 * LANES) {
        for (std::ptrdiff_t i = 0; i < ni; i = next_block(i, ni)) {
            const char* block = from + (i * from_stride + j) * size;
            Real* target = to + j * to_stride + i;
            transpose_block(block, from_stride, target, to_stride);
            transpose_block(block + LANES * size, from_stride, target + LANES * to_stride, to_stride);
        }
    }
    if (j < nj && j + LANES > nj) {
        j = nj - LANES;
    }
    for (; j < nj; j = next_block(j, nj)) {
        for (std::ptrdiff_t i = 0; i < ni; i = next_block(i, ni)) {
            transpose_block(from + (i * from_stride + j) * size, from_stride,
                            to + j * to_stride + i, to_stride);
        }
    }
}

template <class Real>
PARSLFLOW_WIDE inline void transpose_wide(const char* from, std::ptrdiff_t from_stride, Real* to,
                                          std::ptrdiff_t to_stride, std::ptrdiff_t ni,
                                          std::ptrdiff_t nj) {
    transpose_any(from, from_stride, to, to_stride, ni, nj);
}

// to[j * to_stride + i] = from[i * from_stride + j] for i < ni, j < nj; strides in values.
template <class Real>
inline void transpose(const char* from, std::ptrdiff_t from_stride, Real* to,
                      std::ptrdiff_t to_stride, std::ptrdiff_t ni, std::ptrdiff_t nj) {
    if (wide_vectors()) {
        transpose_wide(from, from_stride, to, to_stride, ni, nj);
    } else {
        transpose_any(from, from_stride, to, to_stride, ni, nj);
    }
}

}  // namespace parslflow
