// Vectors of W floats, picked at compile time: AVX-512, AVX2 with FMA, or four lanes (NEON and everything else).
//
// The library is compiled without floating-point contraction, so a product and a sum are fused exactly where `fma`
// stands and nowhere else: every copy of a loop rounds alike, and that is what makes results independent of batches.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#if defined(__AVX512F__) || (defined(__AVX2__) && defined(__FMA__))
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

#define UNROLL _Pragma("GCC unroll 16")
#define INLINE inline __attribute__((always_inline))

#if defined(__AVX512F__)
constexpr int W = 16;
#elif defined(__AVX2__) && defined(__FMA__)
constexpr int W = 8;
#else
constexpr int W = 4;
#endif

typedef float vf __attribute__((vector_size(W * 4)));
typedef int32_t vi __attribute__((vector_size(W * 4)));
typedef uint32_t vu __attribute__((vector_size(W * 4)));

template <class V>
INLINE V load_as(const void *from) {
    V value;
    memcpy(&value, from, sizeof(V));
    return value;
}

INLINE vf load(const float *from) { return load_as<vf>(from); }
INLINE void store(float *to, vf value) { memcpy(to, &value, sizeof(vf)); }
INLINE vf splat(float value) { return value - vf{}; }

// The first `count` floats, zeros after them.
INLINE vf load_some(const float *from, int64_t count) {
    vf value = {};
    memcpy(&value, from, count * sizeof(float));
    return value;
}

INLINE void store_some(float *to, vf value, int64_t count) {
    if (count >= W)
        store(to, value);
    else
        memcpy(to, &value, count * sizeof(float));
}

// a * b + c, rounded once where the processor can.
INLINE vf fma(vf a, vf b, vf c) {
#if defined(__AVX512F__)
    return (vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__AVX2__) && defined(__FMA__)
    return (vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(__ARM_NEON)
    return (vf)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#else
    return a * b + c;
#endif
}

// W signed bytes as floats. Spelled out, because the compilers' own conversion takes the bytes one by one.
INLINE vf floats_of(const int8_t *bytes) {
#if defined(__AVX512F__)
    return (vf)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)bytes)));
#elif defined(__AVX2__) && defined(__FMA__)
    return (vf)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)bytes)));
#else
    vf value;
    for (int i = 0; i < W; i++) value[i] = bytes[i];
    return value;
#endif
}

// The larger of each pair; where b is not a number, so is the result.
INLINE vf larger(vf a, vf b) { return a > b ? a : b; }

// Sum of the lanes by halving, always in the same order.
INLINE float sum_lanes(vf value) {
    float lanes[W];
    store(lanes, value);
    for (int half = W / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++) lanes[i] += lanes[i + half];
    return lanes[0];
}

INLINE float max_lanes(vf value) {
    float lanes[W];
    store(lanes, value);
    float top = lanes[0];
    for (int i = 1; i < W; i++) top = top > lanes[i] ? top : lanes[i];
    return top;
}

// e^x to about one unit in the last place: 2^n times the Taylor sum of degree 7 on [-ln 2 / 2, ln 2 / 2].
// Exactly zero below -87 (also for -inf), e^88 above 88; not a number stays not a number.
INLINE vf exp_of(vf x) {
    const vf low = splat(-87.0f), high = splat(88.0f);
    vf within = x < low ? low : x;
    within = within > high ? high : within;
    // adding and taking away 1.5 * 2^23 rounds to the nearest whole number
    const vf magic = splat(12582912.0f);
    vf shifted = fma(within, splat(1.44269504088896341f), magic);
    vf n = shifted - magic;
    vf r = fma(n, splat(-0.693145751953125f), within);
    r = fma(n, splat(-1.428606765330187e-06f), r);
    vf sum = splat(1.9841270e-4f);
    sum = fma(sum, r, splat(1.3888889e-3f));
    sum = fma(sum, r, splat(8.3333333e-3f));
    sum = fma(sum, r, splat(4.1666667e-2f));
    sum = fma(sum, r, splat(1.6666667e-1f));
    sum = fma(sum, r, splat(0.5f));
    sum = fma(sum, r, splat(1.0f));
    sum = fma(sum, r, splat(1.0f));
    // the low bits of `shifted` hold n; shifted into the exponent they make 2^n
    vf power = (vf)(((vi)shifted << 23) + 0x3F800000);
    vf value = sum * power;
    return x < low ? vf{} : value;
}

INLINE vf silu(vf x) { return x / (splat(1.0f) + exp_of(-x)); }

// out = x / rms(x) * weight over `width` floats; out may be x.
INLINE void rms_norm(const float *x, const float *weight, float *out, int64_t width, float eps) {
    vf squares = {};
    int64_t i = 0;
    for (; i + W <= width; i += W) {
        vf value = load(x + i);
        squares = fma(value, value, squares);
    }
    if (i < width) {
        vf value = load_some(x + i, width - i);
        squares = fma(value, value, squares);
    }
    float scale = 1.0f / sqrtf(sum_lanes(squares) / (float)width + eps);
    for (i = 0; i < width; i++) out[i] = x[i] * scale * weight[i];
}
