// Matrix products y = x W^T with the weights packed as panels [outputs / T][K][T].
//
// Every (row, output) pair owns one lane of one accumulator, which runs over k = 0 .. K-1 in order. Tiles of any shape
// (panels x rows) do the same additions for each pair, so a result never depends on how many rows are computed together.
#pragma once

#include "simd.h"
#include "team.h"

enum Storage { FP32 = 0, BF16 = 1, INT8 = 2 };

constexpr int NV = 2;        // vectors of outputs in a panel
constexpr int T = NV * W;    // outputs in a panel
constexpr int GROUP = 32;    // weights along K that share an int8 scale; panels are padded to whole groups
constexpr int MOST_ROWS = W == 8 ? 6 : 12;  // rows of the largest tile: 16 registers hold 6 x 2, 32 hold 12 x 2
constexpr int64_t ROW_BYTES = 768 << 10;    // activations that stay in the second-level cache beside a panel

// How one group of a panel is stored, and how its weights are read as floats.
struct Float32 {
    static constexpr int64_t group_bytes = GROUP * T * 4;
    const float *weights;
    INLINE void open(const uint8_t *group) { weights = (const float *)group; }
    INLINE void read(int64_t k, vf (&out)[NV]) const {
        UNROLL for (int v = 0; v < NV; v++) out[v] = load(weights + k * T + v * W);
    }
};

// Two bf16 numbers per 32-bit lane: output j in the low half, output j + W in the high half.
struct Bfloat16 {
    static constexpr int64_t group_bytes = GROUP * T * 2;
    const uint8_t *weights;
    INLINE void open(const uint8_t *group) { weights = group; }
    INLINE void read(int64_t k, vf (&out)[NV]) const {
        vu pair = load_as<vu>(weights + k * T * 2);
        out[0] = (vf)(pair << 16);
        out[1] = (vf)(pair & 0xFFFF0000u);
    }
};

// T scales, then [GROUP][T] signed bytes.
struct Int8 {
    static constexpr int64_t group_bytes = T * 4 + GROUP * T;
    const int8_t *weights;
    vf scales[NV];
    INLINE void open(const uint8_t *group) {
        UNROLL for (int v = 0; v < NV; v++) scales[v] = load((const float *)group + v * W);
        weights = (const int8_t *)group + T * 4;
    }
    INLINE void read(int64_t k, vf (&out)[NV]) const {
        UNROLL for (int v = 0; v < NV; v++) {
            vb bytes = load_as<vb>(weights + k * T + v * W);
            out[v] = __builtin_convertvector(__builtin_convertvector(bytes, vi), vf) * scales[v];
        }
    }
};

struct Matrix {
    Storage storage = FP32;
    int64_t panels = 0, inputs = 0;
    Memory data;
    Memory bias;  // [panels * T], empty without one
    bool biased = false;

    int64_t groups() const { return (inputs + GROUP - 1) / GROUP; }
    int64_t group_bytes() const {
        return storage == FP32 ? Float32::group_bytes : storage == BF16 ? Bfloat16::group_bytes : Int8::group_bytes;
    }
    int64_t panel_bytes() const { return groups() * group_bytes(); }
};

template <class S, int P, int R>
INLINE void add_group(const uint8_t *group, int64_t panel_bytes, const float *x, int64_t stride, int64_t count,
                      vf (&sums)[P][R][NV]) {
    S panel[P];
    UNROLL for (int p = 0; p < P; p++) panel[p].open(group + p * panel_bytes);
    for (int64_t k = 0; k < count; k++) {
        vf weights[P][NV];
        UNROLL for (int p = 0; p < P; p++) panel[p].read(k, weights[p]);
        UNROLL for (int r = 0; r < R; r++) {
            vf value = splat(x[r * stride + k]);
            UNROLL for (int p = 0; p < P; p++)
                UNROLL for (int v = 0; v < NV; v++) sums[p][r][v] = fma(value, weights[p][v], sums[p][r][v]);
        }
    }
}

// out[p][r][T] = products of P panels with R rows.
template <class S, int P, int R>
void tile(const uint8_t *panel, int64_t panel_bytes, const float *x, int64_t stride, int64_t inputs, float *out) {
    vf sums[P][R][NV] = {};
    int64_t k = 0;
    for (; k + GROUP <= inputs; k += GROUP, panel += S::group_bytes)
        add_group<S, P, R>(panel, panel_bytes, x + k, stride, GROUP, sums);
    if (k < inputs) add_group<S, P, R>(panel, panel_bytes, x + k, stride, inputs - k, sums);
    UNROLL for (int p = 0; p < P; p++)
        UNROLL for (int r = 0; r < R; r++)
            UNROLL for (int v = 0; v < NV; v++) store(out + ((p * R + r) * NV + v) * W, sums[p][r][v]);
}

template <class S, int R = MOST_ROWS>
INLINE void tile_of(int rows, const uint8_t *panel, const float *x, int64_t stride, int64_t inputs, float *out) {
    if constexpr (R > 0) {
        if (rows == R) return tile<S, 1, R>(panel, 0, x, stride, inputs, out);
        tile_of<S, R - 1>(rows, panel, x, stride, inputs, out);
    }
}

// Write a panel's weights as floats: beyond one tile of rows that is cheaper than reading narrow weights each time.
template <class S>
void widen(const uint8_t *panel, int64_t inputs, float *out) {
    for (int64_t k = 0; k < inputs; k += GROUP, panel += S::group_bytes) {
        S group;
        group.open(panel);
        int64_t count = inputs - k < GROUP ? inputs - k : GROUP;
        for (int64_t i = 0; i < count; i++) {
            vf weights[NV];
            group.read(i, weights);
            UNROLL for (int v = 0; v < NV; v++) store(out + (k + i) * T + v * W, weights[v]);
        }
    }
}

// A few rows: memory sets the pace, and several panels at once give the processor sums to overlap.
template <class S, int P, int R, class Put>
void few_rows(const Matrix &matrix, int64_t first, int64_t last, const float *x, int64_t stride, Put &put) {
    alignas(64) float out[P * R * T];
    const int64_t bytes = matrix.panel_bytes();
    int64_t panel = first;
    for (; panel + P <= last; panel += P) {
        tile<S, P, R>(matrix.data.data + panel * bytes, bytes, x, stride, matrix.inputs, out);
        for (int p = 0; p < P; p++)
            for (int r = 0; r < R; r++) put(r, panel + p, out + (p * R + r) * T);
    }
    for (; panel < last; panel++) {
        tile<S, 1, R>(matrix.data.data + panel * bytes, bytes, x, stride, matrix.inputs, out);
        for (int r = 0; r < R; r++) put(r, panel, out + r * T);
    }
}

template <class S, class Put>
void panel_times_rows(const Matrix &matrix, int64_t panel, const float *x, int64_t stride, int64_t begin, int64_t end,
                      float *wide, Put &put) {
    alignas(64) float out[MOST_ROWS * T];
    const uint8_t *weights = matrix.data.data + panel * matrix.panel_bytes();
    const int64_t rows = end - begin, tiles = (rows + MOST_ROWS - 1) / MOST_ROWS;
    const bool widened = S::group_bytes != Float32::group_bytes && tiles > 1;
    if (widened) widen<S>(weights, matrix.inputs, wide);
    for (int64_t i = 0; i < tiles; i++) {  // tiles of nearly equal heights
        const int64_t row = begin + rows * i / tiles;
        const int count = (int)(begin + rows * (i + 1) / tiles - row);
        if (widened)
            tile_of<Float32>(count, (const uint8_t *)wide, x + row * stride, stride, matrix.inputs, out);
        else
            tile_of<S>(count, weights, x + row * stride, stride, matrix.inputs, out);
        for (int r = 0; r < count; r++) put(row + r, panel, out + r * T);
    }
}

// The whole product, shared among the team: put(row, panel, sums[T]) is called once for each row and panel.
// `wide` is this thread's room for one panel of floats.
template <class S, class Put>
void product_of(Team &team, const Matrix &matrix, const float *x, int64_t stride, int64_t rows, float *wide, Put &put) {
    if (rows <= 3) {
        team.share(matrix.panels, 4, [&](int64_t first, int64_t last) {
            if (rows == 1) few_rows<S, 4, 1>(matrix, first, last, x, stride, put);
            if (rows == 2) few_rows<S, 2, 2>(matrix, first, last, x, stride, put);
            if (rows == 3) few_rows<S, 2, 3>(matrix, first, last, x, stride, put);
        });
        return;
    }
    int64_t most = ROW_BYTES / (matrix.inputs * 4) / MOST_ROWS * MOST_ROWS;
    if (most < MOST_ROWS) most = MOST_ROWS;
    const int64_t parts = (rows + most - 1) / most;
    team.share(parts * matrix.panels, 1, [&](int64_t first, int64_t last) {
        for (int64_t unit = first; unit < last; unit++) {
            const int64_t part = unit / matrix.panels;
            panel_times_rows<S>(matrix, unit % matrix.panels, x, stride, rows * part / parts, rows * (part + 1) / parts,
                                wide, put);
        }
    });
}

template <class Put>
void product(Team &team, const Matrix &matrix, const float *x, int64_t stride, int64_t rows, float *wide, Put &&put) {
    if (matrix.storage == FP32) product_of<Float32>(team, matrix, x, stride, rows, wide, put);
    if (matrix.storage == BF16) product_of<Bfloat16>(team, matrix, x, stride, rows, wide, put);
    if (matrix.storage == INT8) product_of<Int8>(team, matrix, x, stride, rows, wide, put);
}
