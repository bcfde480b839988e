// Weights [outputs][K] into panels: fp32 as they are, bf16 rounded to nearest even, int8 with a scale per 32 weights.
#pragma once

#include "gemm.h"

INLINE uint32_t bf16_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return (bits >> 16) | 0x40u;  // not a number: stays quiet
    return (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16;
}

// rows[T] point at one group of each output's weights (null: an output that only pads the panel).
INLINE void pack_float32(const float *const *rows, int64_t count, uint8_t *group) {
    float *out = (float *)group;
    for (int64_t k = 0; k < count; k++)
        for (int j = 0; j < T; j++) out[k * T + j] = rows[j] ? rows[j][k] : 0.0f;
}

INLINE void pack_bfloat16(const float *const *rows, int64_t count, uint8_t *group) {
    uint32_t *out = (uint32_t *)group;
    for (int64_t k = 0; k < count; k++)
        for (int j = 0; j < W; j++) {
            uint32_t low = rows[j] ? bf16_bits(rows[j][k]) : 0, high = rows[j + W] ? bf16_bits(rows[j + W][k]) : 0;
            out[k * W + j] = low | (high << 16);
        }
}

INLINE void pack_int8(const float *const *rows, int64_t count, uint8_t *group) {
    float *scales = (float *)group;
    int8_t *out = (int8_t *)group + T * 4;
    for (int j = 0; j < T; j++) {
        float largest = 0.0f;
        bool broken = false;  // a weight that is no finite number makes its whole group not a number
        for (int64_t k = 0; rows[j] && k < count; k++) {
            const float size = fabsf(rows[j][k]);
            broken = broken || !(size < INFINITY);
            largest = size > largest ? size : largest;
        }
        const float scale = scales[j] = broken ? NAN : largest / 127.0f;
        for (int64_t k = 0; k < count; k++) {
            float whole = scale > 0.0f ? nearbyintf(rows[j][k] / scale) : 0.0f;
            // a subnormal scale is too coarse to keep to 127
            out[k * T + j] = (int8_t)(whole > 127.0f ? 127.0f : whole < -127.0f ? -127.0f : whole);
        }
    }
}

// Fill a matrix from `sources` weights of rows[i] outputs each, one after another; `paired`: two sources of equal
// height, a panel holding W outputs of the first and the same W of the second.
struct Sources {
    int64_t count;
    const float *const *weights;
    const float *const *biases;  // null pointers where there is none
    const int64_t *rows;
    bool paired;

    int64_t outputs() const {
        int64_t total = 0;
        for (int64_t i = 0; i < count; i++) total += rows[i];
        return total;
    }

    int64_t panels() const {
        return paired ? (rows[0] + W - 1) / W : (outputs() + T - 1) / T;
    }

    // Which source and which of its rows stands in a column; false for padding.
    bool find(int64_t column, int64_t &source, int64_t &row) const {
        if (paired) {
            source = column % T / W;
            row = column / T * W + column % W;
            return row < rows[source];
        }
        for (source = 0, row = column; source < count && row >= rows[source]; source++) row -= rows[source];
        return source < count;
    }
};

inline bool pack(Matrix &matrix, Storage storage, int64_t inputs, const Sources &sources, int threads) {
    matrix.storage = storage;
    matrix.inputs = inputs;
    matrix.panels = sources.panels();
    if (!matrix.data.reserve(matrix.panels * matrix.panel_bytes()) || !matrix.bias.reserve(matrix.panels * T * 4))
        return false;
    matrix.biased = false;
    for (int64_t column = 0; column < matrix.panels * T; column++) {
        int64_t source, row;
        const float *bias = sources.find(column, source, row) ? sources.biases[source] : nullptr;
        matrix.bias.floats()[column] = bias ? bias[row] : 0.0f;
        matrix.biased = matrix.biased || bias;
    }
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1)
    for (int64_t panel = 0; panel < matrix.panels; panel++) {
        const float *start[T], *rows[T];
        for (int j = 0; j < T; j++) {
            int64_t source, row;
            start[j] = sources.find(panel * T + j, source, row) ? sources.weights[source] + row * inputs : nullptr;
        }
        uint8_t *group = matrix.data.data + panel * matrix.panel_bytes();
        for (int64_t k = 0; k < inputs; k += GROUP, group += matrix.group_bytes()) {
            const int64_t count = inputs - k < GROUP ? inputs - k : GROUP;
            for (int j = 0; j < T; j++) rows[j] = start[j] ? start[j] + k : nullptr;
            if (storage == FP32) pack_float32(rows, count, group);
            if (storage == BF16) pack_bfloat16(rows, count, group);
            if (storage == INT8) pack_int8(rows, count, group);
        }
    }
    return true;
}
