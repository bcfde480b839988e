// Attention of rows to the cache blocks of their branch.
//
// A block holds the keys of 16 places transposed ([E][16], so that the lanes of a vector are places) and their values
// ([16][E padded to whole vectors]). Every (row, head) goes over its own places in order, whichever rows it is computed
// with: scores, their largest, exponentials and their sum lane by lane, then the weighted values.
#pragma once

#include "simd.h"
#include "team.h"

constexpr int BLOCK = 16;                      // places of a block
constexpr int BV = BLOCK / W;                  // vectors of places
constexpr int MOST_QUERIES = W == 8 ? 4 : 6;   // queries that are computed together
constexpr int REGISTERS = W == 8 ? 12 : 24;    // accumulators that fit beside operands

// Keys and values of all layers: [layer][block][kv head][keys, values].
struct Cache {
    Memory pool;
    int64_t layers = 0, blocks = 0, heads = 0, size = 0, padded = 0;

    int64_t head_floats() const { return BLOCK * (size + padded); }
    int64_t block_floats() const { return heads * head_floats(); }
    float *block(int64_t layer, int64_t index) const {
        return pool.floats() + (layer * blocks + index) * block_floats();
    }
    bool make(int64_t layers_, int64_t blocks_, int64_t heads_, int64_t size_) {
        layers = layers_, blocks = blocks_, heads = heads_, size = size_;
        padded = (size + W - 1) / W * W;
        return pool.reserve(layers * blocks * block_floats() * 4);
    }
    void write(int64_t layer, int64_t index, int64_t place, int64_t head, const float *key, const float *value) {
        float *keys = block(layer, index) + head * head_floats(), *values = keys + BLOCK * size;
        for (int64_t e = 0; e < size; e++) keys[e * BLOCK + place] = key[e];
        memcpy(values + place * padded, value, size * sizeof(float));
    }
    void copy(int64_t source, int64_t target) {
        for (int64_t layer = 0; layer < layers; layer++)
            memcpy(block(layer, target), block(layer, source), block_floats() * sizeof(float));
    }
};

// Queries of one key-value head that look at the same table. Query i sees places [first[i], last[i]].
struct Queries {
    const float *query[MOST_QUERIES];
    float *out[MOST_QUERIES];
    int64_t first[MOST_QUERIES], last[MOST_QUERIES];
};

// The part of the cache that one key-value head of one layer sees through a branch's table.
struct View {
    const float *base;  // the layer's block 0 at this head
    const int32_t *table;
    int64_t stride;  // floats from block to block
    int64_t size, padded;
    const float *keys(int64_t block) const { return base + table[block] * stride; }
    const float *values(int64_t block) const { return keys(block) + BLOCK * size; }
};

// Scaled scores of N blocks from `block` on, into scores[q][...], -inf where a query does not look.
template <int Q, int N>
INLINE void score_blocks(const View &view, const Queries &queries, int64_t block, int64_t from, float scale,
                         float *const (&scores)[Q], vf (&top)[Q]) {
    const float *keys[N];
    UNROLL for (int n = 0; n < N; n++) keys[n] = view.keys(block + n);
    vf sums[N][Q][BV] = {};
    for (int64_t e = 0; e < view.size; e++) {
        vf key[N][BV];
        UNROLL for (int n = 0; n < N; n++)
            UNROLL for (int v = 0; v < BV; v++) key[n][v] = load(keys[n] + e * BLOCK + v * W);
        UNROLL for (int q = 0; q < Q; q++) {
            const vf value = splat(queries.query[q][e]);
            UNROLL for (int n = 0; n < N; n++)
                UNROLL for (int v = 0; v < BV; v++) sums[n][q][v] = fma(value, key[n][v], sums[n][q][v]);
        }
    }
    vi lanes;
    for (int i = 0; i < W; i++) lanes[i] = i;
    UNROLL for (int n = 0; n < N; n++)
        UNROLL for (int q = 0; q < Q; q++)
            UNROLL for (int v = 0; v < BV; v++) {
                const int64_t place = (block + n) * BLOCK + v * W;
                vf score = sums[n][q][v] * splat(scale);
                if (place < queries.first[q] || place + W - 1 > queries.last[q]) {
                    const int64_t low = queries.first[q] - place, high = queries.last[q] - place;
                    const int32_t from_lane = (int32_t)(low < 0 ? 0 : low > W ? W : low);
                    const int32_t to_lane = (int32_t)(high < -1 ? -1 : high > W ? W : high);
                    const vi seen = (lanes >= from_lane) & (lanes <= to_lane);
                    score = seen ? score : splat(-INFINITY);
                }
                top[q] = larger(top[q], score);
                store(scores[q] + place - from * BLOCK, score);
            }
}

// out[q] += weights of `block`'s places [begin, end) times the values of N vectors from `e` on.
template <int Q, int N>
INLINE void add_values(const float *values, int64_t padded, float *const (&weights)[Q], int64_t begin, int64_t end,
                       vf (&sums)[Q][N]) {
    for (int64_t t = begin; t < end; t++) {
        vf value[N];
        UNROLL for (int n = 0; n < N; n++) value[n] = load(values + t * padded + n * W);
        UNROLL for (int q = 0; q < Q; q++) {
            const vf weight = splat(weights[q][t]);
            UNROLL for (int n = 0; n < N; n++) sums[q][n] = fma(weight, value[n], sums[q][n]);
        }
    }
}

template <int Q, int N>
void weigh_values(const View &view, const Queries &queries, int64_t from, int64_t to, int64_t e,
                  float *const (&scores)[Q], const float (&total)[Q]) {
    vf sums[Q][N] = {};
    for (int64_t block = from; block < to; block++) {
        const float *values = view.values(block) + e;
        const int64_t place = block * BLOCK;
        float *weights[Q];
        bool whole = true;
        for (int q = 0; q < Q; q++) {
            weights[q] = scores[q] + (block - from) * BLOCK;
            whole = whole && queries.first[q] <= place && place + BLOCK - 1 <= queries.last[q];
        }
        if (whole) {
            add_values<Q, N>(values, view.padded, weights, 0, BLOCK, sums);
            continue;
        }
        // at the edges each query stops at its own places: what another row wrote must not touch it, not even by 0 * inf
        for (int q = 0; q < Q; q++) {
            const int64_t low = queries.first[q] - place, high = queries.last[q] + 1 - place;
            float *const own[1] = {weights[q]};
            vf part[1][N];
            UNROLL for (int n = 0; n < N; n++) part[0][n] = sums[q][n];
            add_values<1, N>(values, view.padded, own, low < 0 ? 0 : low, high > BLOCK ? BLOCK : high, part);
            UNROLL for (int n = 0; n < N; n++) sums[q][n] = part[0][n];
        }
    }
    for (int q = 0; q < Q; q++)
        for (int n = 0; n < N; n++)
            if (e + n * W < view.size)
                store_some(queries.out[q] + e + n * W, sums[q][n] / splat(total[q]), view.size - e - n * W);
}

// Attention of Q queries; `room` has place for Q x (all places looked at) floats.
template <int Q>
void attend(const View &view, const Queries &queries, float scale, float *room) {
    int64_t from = queries.first[0], to = queries.last[0];
    for (int q = 1; q < Q; q++) {
        from = queries.first[q] < from ? queries.first[q] : from;
        to = queries.last[q] > to ? queries.last[q] : to;
    }
    from /= BLOCK, to = to / BLOCK + 1;
    const int64_t places = (to - from) * BLOCK;
    float *scores[Q];
    vf top[Q];
    for (int q = 0; q < Q; q++) scores[q] = room + q * places, top[q] = splat(-INFINITY);
    constexpr int fitting = REGISTERS / (Q * BV), N = fitting > 4 ? 4 : fitting < 1 ? 1 : fitting;
    int64_t block = from;
    for (; block + N <= to; block += N) score_blocks<Q, N>(view, queries, block, from, scale, scores, top);
    for (; block < to; block++) score_blocks<Q, 1>(view, queries, block, from, scale, scores, top);
    float total[Q];
    for (int q = 0; q < Q; q++) {
        const vf largest = splat(max_lanes(top[q]));
        vf sum[BV] = {};
        for (int64_t place = 0; place < places; place += BLOCK)
            UNROLL for (int v = 0; v < BV; v++) {
                const vf weight = exp_of(load(scores[q] + place + v * W) - largest);
                store(scores[q] + place + v * W, weight);
                sum[v] += weight;
            }
        for (int v = 1; v < BV; v++) sum[0] += sum[v];
        total[q] = sum_lanes(sum[0]);
    }
    constexpr int E = W == 8 ? 2 : 4;
    int64_t e = 0;
    for (; e + E * W <= view.padded; e += E * W) weigh_values<Q, E>(view, queries, from, to, e, scores, total);
    for (; e < view.padded; e += W) weigh_values<Q, 1>(view, queries, from, to, e, scores, total);
}

template <int Q = MOST_QUERIES>
INLINE void attend_all(int64_t count, const View &view, const Queries &queries, float scale, float *room) {
    if constexpr (Q > 0) {
        if (count == Q) return attend<Q>(view, queries, scale, room);
        attend_all<Q - 1>(count, view, queries, scale, room);
    }
}
