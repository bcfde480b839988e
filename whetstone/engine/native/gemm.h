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
constexpr int64_t LINE = 64;                // bytes of a cache line
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
        UNROLL for (int v = 0; v < NV; v++) out[v] = floats_of(weights + k * T + v * W) * scales[v];
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

// What a tile brings into the cache while it computes, LINES cache lines and `step` bytes for each k: the processor's own
// prefetching stops at the end of a page, which a tile of a few rows reaches before memory can answer.
template <int LINES>
struct InOrder {
    const uint8_t *next;
    int64_t step;
    INLINE void fetch(int64_t) {
        UNROLL for (int line = 0; line < LINES; line++) __builtin_prefetch(next + line * LINE, 0, 2);
        next += step;
    }
};

// The same from STRANDS places in turn, `apart` bytes from each other. The processor prefetches in each page by itself,
// and a core has few buffers for what it asks for: with several pages begun, more reads are under way at once. Pays
// where memory sets the pace; where sums set it, finding the place costs more.
constexpr int STRANDS = 8;

template <int LINES>
struct InStrands {
    const uint8_t *next;
    int64_t step, apart;
    INLINE void fetch(int64_t k) {
        const uint8_t *from = next + k % STRANDS * apart;
        UNROLL for (int line = 0; line < LINES; line++) __builtin_prefetch(from + line * LINE, 0, 2);
        if (k % STRANDS == STRANDS - 1) next += step;
    }
};

template <class S, int P, int R, class Ahead>
INLINE void add_group(const uint8_t *group, int64_t panel_bytes, const float *x, int64_t stride, int64_t count,
                      Ahead &ahead, vf (&sums)[P][R][NV]) {
    S panel[P];
    UNROLL for (int p = 0; p < P; p++) panel[p].open(group + p * panel_bytes);
    for (int64_t k = 0; k < count; k++) {
        vf weights[P][NV];
        ahead.fetch(k);
        UNROLL for (int p = 0; p < P; p++) panel[p].read(k, weights[p]);
        UNROLL for (int r = 0; r < R; r++) {
            vf value = splat(x[r * stride + k]);
            UNROLL for (int p = 0; p < P; p++)
                UNROLL for (int v = 0; v < NV; v++) sums[p][r][v] = fma(value, weights[p][v], sums[p][r][v]);
        }
    }
}

// out[p][r][T] = products of P panels with R rows.
template <class S, int P, int R, class Ahead>
void tile(const uint8_t *panel, int64_t panel_bytes, const float *x, int64_t stride, int64_t inputs, Ahead ahead,
          float *out) {
    vf sums[P][R][NV] = {};
    int64_t k = 0;
    for (; k + GROUP <= inputs; k += GROUP, panel += S::group_bytes)
        add_group<S, P, R>(panel, panel_bytes, x + k, stride, GROUP, ahead, sums);
    if (k < inputs) add_group<S, P, R>(panel, panel_bytes, x + k, stride, inputs - k, ahead, sums);
    UNROLL for (int p = 0; p < P; p++)
        UNROLL for (int r = 0; r < R; r++)
            UNROLL for (int v = 0; v < NV; v++) store(out + ((p * R + r) * NV + v) * W, sums[p][r][v]);
}

template <class S, int R = MOST_ROWS, class Ahead>
INLINE void tile_of(int rows, const uint8_t *panel, const float *x, int64_t stride, int64_t inputs, Ahead ahead,
                    float *out) {
    if constexpr (R > 0) {
        if (rows == R) return tile<S, 1, R>(panel, 0, x, stride, inputs, ahead, out);
        tile_of<S, R - 1>(rows, panel, x, stride, inputs, ahead, out);
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

template <class S>
constexpr int lines_of(int panels) {
    return (int)((panels * S::group_bytes / GROUP + LINE - 1) / LINE);
}

// R rows, few: memory sets the pace, and two panels at once give the processor sums to overlap.
template <class S, int R, class Put>
void few_rows(Team &team, const Matrix &matrix, const float *x, int64_t stride, Put &put) {
    const int64_t bytes = matrix.panel_bytes();
    team.share_ahead((matrix.panels + 1) / 2, [&](int64_t unit, int64_t next) {
        alignas(64) float out[2 * R * T];
        const uint8_t *weights = matrix.data.data + 2 * unit * bytes;
        const InStrands<lines_of<S>(2)> ahead = {matrix.data.data + 2 * (next < 0 ? unit : next) * bytes,
                                                 2 * S::group_bytes / GROUP, 2 * bytes / STRANDS};
        const int panels = matrix.panels - 2 * unit < 2 ? 1 : 2;
        if (panels == 2)
            tile<S, 2, R>(weights, bytes, x, stride, matrix.inputs, ahead, out);
        else
            tile<S, 1, R>(weights, bytes, x, stride, matrix.inputs, ahead, out);
        for (int p = 0; p < panels; p++)
            for (int r = 0; r < R; r++) put(r, 2 * unit + p, out + (p * R + r) * T);
    });
}

// One panel times rows [begin, end), in tiles of nearly equal heights; `next` is the panel to bring into the cache.
template <class S, class Put>
void panel_times_rows(const Matrix &matrix, int64_t panel, int64_t next, const float *x, int64_t stride, int64_t begin,
                      int64_t end, float *wide, Put &put) {
    alignas(64) float out[MOST_ROWS * T];
    const int64_t bytes = matrix.panel_bytes(), inputs = matrix.inputs;
    const uint8_t *weights = matrix.data.data + panel * bytes;
    const int64_t rows = end - begin, tiles = (rows + MOST_ROWS - 1) / MOST_ROWS;
    const uint8_t *following = matrix.data.data + next * bytes;
    if (tiles == 1) {
        const InStrands<lines_of<S>(1)> ahead = {following, S::group_bytes / GROUP, bytes / STRANDS};
        tile_of<S>((int)rows, weights, x + begin * stride, stride, inputs, ahead, out);
        for (int64_t r = 0; r < rows; r++) put(begin + r, panel, out + r * T);
        return;
    }
    const bool narrow = S::group_bytes != Float32::group_bytes;
    if (narrow) {
        widen<S>(weights, inputs, wide);
        weights = (const uint8_t *)wide;
    }
    const int64_t step = (bytes / tiles + inputs - 1) / inputs;
    const bool memory_bound = !narrow && tiles <= 3;
    for (int64_t i = 0; i < tiles; i++) {
        const int64_t row = begin + rows * i / tiles;
        const int count = (int)(begin + rows * (i + 1) / tiles - row);
        const InStrands<1> in_strands = {following + bytes / STRANDS * i / tiles, step, bytes / STRANDS};
        const InOrder<1> in_order = {following + bytes * i / tiles, step};
        const float *from = x + row * stride;
        if (memory_bound)
            tile_of<Float32>(count, weights, from, stride, inputs, in_strands, out);
        else
            tile_of<Float32>(count, weights, from, stride, inputs, in_order, out);
        for (int r = 0; r < count; r++) put(row + r, panel, out + r * T);
    }
}

// The whole product, shared among the team: put(row, panel, sums[T]) is called once for each row and panel.
// `wide` is this thread's room for one panel of floats.
template <class S, class Put>
void product_of(Team &team, const Matrix &matrix, const float *x, int64_t stride, int64_t rows, float *wide, Put &put) {
    if (rows == 1) return few_rows<S, 1>(team, matrix, x, stride, put);
    if (rows == 2) return few_rows<S, 2>(team, matrix, x, stride, put);
    if (rows == 3) return few_rows<S, 3>(team, matrix, x, stride, put);
    int64_t most = ROW_BYTES / (matrix.inputs * 4) / MOST_ROWS * MOST_ROWS;
    if (most < MOST_ROWS) most = MOST_ROWS;
    const int64_t parts = (rows + most - 1) / most;
    team.share_ahead(parts * matrix.panels, [&](int64_t unit, int64_t next) {
        const int64_t part = unit / matrix.panels, following = next < 0 ? unit : next;
        panel_times_rows<S>(matrix, unit % matrix.panels, following % matrix.panels, x, stride, rows * part / parts,
                            rows * (part + 1) / parts, wide, put);
    });
}

template <class Put>
void product(Team &team, const Matrix &matrix, const float *x, int64_t stride, int64_t rows, float *wide, Put &&put) {
    if (matrix.storage == FP32) product_of<Float32>(team, matrix, x, stride, rows, wide, put);
    if (matrix.storage == BF16) product_of<Bfloat16>(team, matrix, x, stride, rows, wide, put);
    if (matrix.storage == INT8) product_of<Int8>(team, matrix, x, stride, rows, wide, put);
}
