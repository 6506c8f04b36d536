/* Arrays of edge stages, stored as S: float or __half. */
#ifndef UMAS_STORED_CUH
#define UMAS_STORED_CUH

#include <cuda_fp16.h>

#include <algorithm>

#include "device_array.cuh"
#include "edge_stages/edge_stages.cuh"

template <typename S> using stored = std::vector<S>;

/* The numbers of an array that a stage reads, as it stores them. */
template <typename S> stored<S> store(const floats &values) {
    stored<S> s;
    for (float v : values) s.push_back(S(v));
    return s;
}

template <typename S> doubles load(const stored<S> &values) {
    doubles d;
    for (S v : values) d.push_back((double)(float)v);
    return d;
}

template <typename S> stored<S> stored_poison(size_t n) { return store<S>(poison<float>(n)); }

/* A stage's array over edges, of which there are want.size() / width, against double: `relative` is
 * what rounding to S adds.  What follows the last edge must still be poison. */
template <typename S>
void check_stored(const char *name, const stored<S> &got, const doubles &want) {
    doubles all = load(got);
    CHECK(all.size() >= want.size());
    for (size_t i = want.size(); i < all.size(); i++) CHECK(std::isnan(all[i]));
    check_close(name, all.data(), want.data(), (long)want.size(),
                TOLERANCE_STAGE * largest_of(want), sizeof(S) == 2 ? TOLERANCE_HALF : 0);
}

/* Calls stage(span) for so many edges, those in the list and the spare ones, in so many chunks,
 * as a step does. */
template <typename Stage> void in_chunks(size_t room, int chunks, Stage stage) {
    const int all = (int)room, size = (all + chunks - 1) / chunks;
    for (int begin = 0; begin < all; begin += size)
        stage(edge_span{begin, std::min(size, all - begin)});
}

#endif
