// Rows of the recurrence of the filter; see smoothing.pyx.
#pragma once

#include "vectors.h"

namespace parslflow {

template <class Real>
struct Row {
    const Real* field;
    const Real* south;   // b_(k+1), as are the next two
    const Real* centre;
    const Real* north;
    const Real* before;  // b_(k+2)
    const Real* sea;     // 1 for sea, 0 for land; NULL where there is no land
    const Real* closed;  // how many neighbours are land
    Real* out;           // b_k, in the place of b_(k+2) unless that is 0
};

template <class Real>
PARSLFLOW_INLINE void recur_any(const Row<Real>& row, Real coefficient, Real factor,
                                std::ptrdiff_t first, std::ptrdiff_t end) {
    const Real* field = row.field;
    const Real* south = row.south;
    const Real* centre = row.centre;
    const Real* north = row.north;
    const Real* before = row.before;
    Real* out = row.out;
    if (!row.sea) {
#pragma GCC ivdep
        for (std::ptrdiff_t i = first; i < end; ++i) {
            const Real sum = (centre[i - 1] + centre[i + 1]) + (south[i] + north[i]);
            out[i] = coefficient * field[i] + (factor * sum - before[i]);
        }
        return;
    }
    const Real* sea = row.sea;
    const Real* closed = row.closed;
#pragma GCC ivdep
    for (std::ptrdiff_t i = first; i < end; ++i) {
        const Real sum = (centre[i - 1] + centre[i + 1]) + (south[i] + north[i]);
        const Real with_walls = sum + closed[i] * centre[i];
        out[i] = sea[i] * (coefficient * field[i] + (factor * with_walls - before[i]));
    }
}

// A row of b_k and then the row to the south of it of b_(k-1), where there is no land: the one is
// north of the other, and its south is the other's b_(k+1), so that neither is loaded again.
template <class Real>
PARSLFLOW_INLINE void recur_twice_any(const Row<Real>& first_row, const Row<Real>& second_row,
                                      Real coefficient, Real next_coefficient, Real factor,
                                      Real next_factor, std::ptrdiff_t first, std::ptrdiff_t end) {
    const Row<Real> row = first_row;
    const Row<Real> next = second_row;
#pragma GCC ivdep
    for (std::ptrdiff_t i = first; i < end; ++i) {
        const Real south = row.south[i];
        const Real sum = (row.centre[i - 1] + row.centre[i + 1]) + (south + row.north[i]);
        const Real value = coefficient * row.field[i] + (factor * sum - row.before[i]);
        row.out[i] = value;
        const Real next_sum = (next.centre[i - 1] + next.centre[i + 1]) + (next.south[i] + value);
        next.out[i] = next_coefficient * next.field[i] + (next_factor * next_sum - south);
    }
}

// The first row of a block's recurrence: the field, and b_K = c_K f. Whether a value is NaN.
template <class Real>
PARSLFLOW_INLINE bool begin_any(const Real* source, Real* __restrict field, Real* __restrict out,
                                Real coefficient, std::ptrdiff_t n) {
    int dry = 0;
    for (std::ptrdiff_t i = 0; i < n; ++i) {
        field[i] = source[i];
        out[i] = coefficient * source[i];
        dry |= source[i] != source[i];
    }
    return dry != 0;
}

template <class Real>
PARSLFLOW_WIDE inline void recur_wide(const Row<Real>& row, Real coefficient, Real factor,
                                      std::ptrdiff_t first, std::ptrdiff_t end) {
    recur_any(row, coefficient, factor, first, end);
}

template <class Real>
PARSLFLOW_WIDE inline bool begin_wide(const Real* source, Real* field, Real* out, Real coefficient,
                                      std::ptrdiff_t n) {
    return begin_any(source, field, out, coefficient, n);
}

template <class Real>
PARSLFLOW_WIDE inline void recur_twice_wide(const Row<Real>& row, const Row<Real>& next,
                                            Real coefficient, Real next_coefficient, Real factor,
                                            Real next_factor, std::ptrdiff_t first,
                                            std::ptrdiff_t end) {
    recur_twice_any(row, next, coefficient, next_coefficient, factor, next_factor, first, end);
}

// b_k = c_k f + factor * (sum of the four neighbours of b_(k+1)) - b_(k+2), for first <= i < end.
template <class Real>
inline void recur(const Row<Real>& row, Real coefficient, Real factor, std::ptrdiff_t first,
                  std::ptrdiff_t end) {
    if (wide_vectors()) {
        recur_wide(row, coefficient, factor, first, end);
    } else {
        recur_any(row, coefficient, factor, first, end);
    }
}

// ``next`` is the row to the south of ``row``, and takes the step after it.
template <class Real>
inline void recur_twice(const Row<Real>& row, const Row<Real>& next, Real coefficient,
                        Real next_coefficient, Real factor, Real next_factor, std::ptrdiff_t first,
                        std::ptrdiff_t end) {
    if (wide_vectors()) {
        recur_twice_wide(row, next, coefficient, next_coefficient, factor, next_factor, first, end);
    } else {
        recur_twice_any(row, next, coefficient, next_coefficient, factor, next_factor, first, end);
    }
}

template <class Real>
inline bool begin(const Real* source, Real* field, Real* out, Real coefficient, std::ptrdiff_t n) {
    return wide_vectors() ? begin_wide(source, field, out, coefficient, n)
                          : begin_any(source, field, out, coefficient, n);
}

}  // namespace parslflow
