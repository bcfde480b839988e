// One step of a decoder in one call: token rows in, logits or hidden states of the wanted rows out.
//
// Phases are shared among the threads of one parallel region, each begun when the one before is finished. Nothing that is
// computed depends on which rows share a step, in which order, or on the number of threads.
#pragma once

#include "attention.h"
#include "gemm.h"

extern "C" {

struct Shape {
    int64_t vocab, width, layers, heads, kv_heads, head_dim, channel;
    int64_t qk_norm;    // 0 none, 1 per head, 2 over the full width
    int64_t post_norm;  // 0: norms before the mixers, 1: after them
    float eps;
};

struct StepArguments {
    int64_t rows, wanted_rows, table_stride, branches;
    const int64_t *ids, *positions, *branch, *wanted;
    const int32_t *tables;
    const float *embedding;       // [V, D], the model's own
    const float *cosines, *sines;  // [positions, E / 2]
    int64_t known_positions;
    int64_t want_hidden;
    float *out;
};
}

enum Slot { QKV = 0, OUT = 1, GATE_UP = 2, DOWN = 3, SLOTS = 4 };
enum Norm { MIXER = 0, CHANNEL = 1, QUERY = 2, KEY = 3, NORMS = 4 };

struct Layer {
    Matrix matrices[SLOTS];
    Memory norms[NORMS];
    int64_t window = 0;  // 0: sees everything
};

// Rows that attention takes together: one branch, positions that follow each other.
struct Run {
    int64_t row, count, to;  // first row of the step, how many, first row of the output
};

struct Model {
    Shape shape;
    Storage storage;
    int threads;
    Layer *layers = nullptr;
    Matrix head;
    Memory last_norm;
    Cache cache;
    // scratch of a step; strides are an odd number of cache lines, so that rows do not crowd into the same sets
    Memory x, normed, qkv, mixed, hidden, kept, counters, rooms, runs;
    int64_t width_stride, qkv_stride, mixed_stride, channel_stride;

    ~Model() { delete[] layers; }
    int64_t queries() const { return shape.heads * shape.head_dim; }
    int64_t keys() const { return shape.kv_heads * shape.head_dim; }
};

inline int64_t stride_of(int64_t floats) { return ((floats + T + 15) / 16 | 1) * 16; }

// One thread's work on a step.
struct Worker {
    Model &model;
    const StepArguments &step;
    Team team;
    float *wide;  // one panel of floats, or the scores of one attention tile

    const Shape &shape() const { return model.shape; }

    void embed() {
        team.share(step.rows, 8, [&](int64_t first, int64_t last) {
            for (int64_t row = first; row < last; row++)
                memcpy(model.x.floats() + row * model.width_stride, step.embedding + step.ids[row] * shape().width,
                       shape().width * sizeof(float));
        });
    }

    // What a mixer reads: the residual stream itself (post-norm), or its norm.
    const float *mixer_input(const Layer &layer, Norm norm, const float *x, int64_t rows) {
        if (shape().post_norm) return x;
        const int64_t stride = model.width_stride;
        team.share(rows, 4, [&](int64_t first, int64_t last) {
            for (int64_t row = first; row < last; row++)
                rms_norm(x + row * stride, layer.norms[norm].floats(), model.normed.floats() + row * stride,
                         shape().width, shape().eps);
        });
        return model.normed.floats();
    }

    // x += W y + b, through a norm where norms come after the mixers.
    void add_to_stream(const Layer &layer, Slot slot, Norm norm, const float *y, int64_t y_stride, float *x,
                       int64_t rows) {
        const Matrix &matrix = layer.matrices[slot];
        const int64_t stride = model.width_stride;
        const float *bias = matrix.bias.floats();
        const bool biased = matrix.biased, post = shape().post_norm;
        float *out = post ? model.normed.floats() : x;
        product(team, matrix, y, y_stride, rows, wide, [=](int64_t row, int64_t panel, const float *sums) {
            float *to = out + row * stride + panel * T;
            UNROLL for (int v = 0; v < NV; v++) {
                vf value = load(sums + v * W);
                if (biased) value += load(bias + panel * T + v * W);
                store(to + v * W, post ? value : load(to + v * W) + value);
            }
        });
        if (!post) return;
        team.share(rows, 4, [&](int64_t first, int64_t last) {
            for (int64_t row = first; row < last; row++) {
                float *mixed = out + row * stride;
                rms_norm(mixed, layer.norms[norm].floats(), mixed, shape().width, shape().eps);
                for (int64_t i = 0; i < shape().width; i++) x[row * stride + i] += mixed[i];
            }
        });
    }

    void queries_keys_values(const Layer &layer, const float *x) {
        const Matrix &matrix = layer.matrices[QKV];
        const float *bias = matrix.bias.floats();
        const bool biased = matrix.biased;
        float *out = model.qkv.floats();
        const int64_t stride = model.qkv_stride;
        product(team, matrix, x, model.width_stride, step.rows, wide, [=](int64_t row, int64_t panel, const float *sums) {
            UNROLL for (int v = 0; v < NV; v++) {
                vf value = load(sums + v * W);
                if (biased) value += load(bias + panel * T + v * W);
                store(out + row * stride + panel * T + v * W, value);
            }
        });
    }

    void rotate(float *head, int64_t position) const {
        const int64_t half = shape().head_dim / 2;
        const float *cosine = step.cosines + position * half, *sine = step.sines + position * half;
        for (int64_t i = 0; i < half; i++) {
            const float low = head[i], high = head[half + i];
            head[i] = low * cosine[i] - high * sine[i];
            head[half + i] = high * cosine[i] + low * sine[i];
        }
    }

    // Norms and rotates queries and keys in place, and puts keys and values into the cache.
    void fill_cache(const Layer &layer, int64_t index) {
        const int64_t E = shape().head_dim, Q = model.queries(), K = model.keys();
        const float *query_norm = layer.norms[QUERY].floats(), *key_norm = layer.norms[KEY].floats();
        team.share(step.rows, 2, [&](int64_t first, int64_t last) {
            for (int64_t row = first; row < last; row++) {
                float *q = model.qkv.floats() + row * model.qkv_stride, *k = q + Q, *v = k + K;
                const int64_t position = step.positions[row];
                const int32_t block = step.tables[step.branch[row] * step.table_stride + position / BLOCK];
                if (shape().qk_norm == 2) {
                    rms_norm(q, query_norm, q, Q, shape().eps);
                    rms_norm(k, key_norm, k, K, shape().eps);
                }
                for (int64_t head = 0; head < shape().heads; head++) {
                    if (shape().qk_norm == 1) rms_norm(q + head * E, query_norm, q + head * E, E, shape().eps);
                    rotate(q + head * E, position);
                }
                for (int64_t head = 0; head < shape().kv_heads; head++) {
                    if (shape().qk_norm == 1) rms_norm(k + head * E, key_norm, k + head * E, E, shape().eps);
                    rotate(k + head * E, position);
                    model.cache.write(index, block, position % BLOCK, head, k + head * E, v + head * E);
                }
            }
        });
    }

    void attend_run(const Layer &layer, int64_t index, const Run &run, int64_t head) {
        const Cache &cache = model.cache;
        const int64_t E = shape().head_dim, group = shape().heads / shape().kv_heads;
        const float scale = (float)(1.0 / sqrt((double)E));
        const View view = {cache.block(index, 0) + head * cache.head_floats(),
                           step.tables + step.branch[run.row] * step.table_stride, cache.block_floats(), E, cache.padded};
        const int64_t total = run.count * group, parts = (total + MOST_QUERIES - 1) / MOST_QUERIES;
        for (int64_t part = 0; part < parts; part++) {  // parts of nearly equal size
            const int64_t begin = total * part / parts, count = total * (part + 1) / parts - begin;
            Queries queries;
            for (int64_t i = 0; i < count; i++) {
                const int64_t row = (begin + i) / group, column = (head * group + (begin + i) % group) * E;
                const int64_t position = step.positions[run.row + row];
                queries.query[i] = model.qkv.floats() + (run.row + row) * model.qkv_stride + column;
                queries.out[i] = model.mixed.floats() + (run.to + row) * model.mixed_stride + column;
                queries.last[i] = position;
                queries.first[i] = layer.window && position >= layer.window ? position - layer.window + 1 : 0;
            }
            attend_all(count, view, queries, scale, wide);
        }
    }

    void attention(const Layer &layer, int64_t index, const Run *runs, int64_t count) {
        const int64_t heads = shape().kv_heads;
        team.share(count * heads, 1, [&](int64_t first, int64_t last) {
            for (int64_t unit = first; unit < last; unit++) attend_run(layer, index, runs[unit / heads], unit % heads);
        });
    }

    void channel(const Layer &layer, float *x, int64_t rows) {
        const float *input = mixer_input(layer, CHANNEL, x, rows);
        const Matrix &matrix = layer.matrices[GATE_UP];
        const float *bias = matrix.bias.floats();
        const bool biased = matrix.biased;
        float *out = model.hidden.floats();
        const int64_t stride = model.channel_stride;
        product(team, matrix, input, model.width_stride, rows, wide, [=](int64_t row, int64_t panel, const float *sums) {
            vf gate = load(sums), up = load(sums + W);
            if (biased) gate += load(bias + panel * T), up += load(bias + panel * T + W);
            store(out + row * stride + panel * W, silu(gate) * up);
        });
        add_to_stream(layer, DOWN, CHANNEL, out, stride, x, rows);
    }

    // The last layer's attention and everything after it are computed for the wanted rows alone.
    float *keep_wanted() {
        const int64_t stride = model.width_stride;
        team.share(step.wanted_rows, 8, [&](int64_t first, int64_t last) {
            for (int64_t i = first; i < last; i++)
                memcpy(model.kept.floats() + i * stride, model.x.floats() + step.wanted[i] * stride,
                       shape().width * sizeof(float));
        });
        return model.kept.floats();
    }

    void run(const Run *all, int64_t all_count, const Run *last, int64_t last_count) {
        embed();
        float *x = model.x.floats();
        int64_t rows = step.rows;
        for (int64_t index = 0; index < shape().layers; index++) {
            const Layer &layer = model.layers[index];
            const bool final_layer = index + 1 == shape().layers;
            queries_keys_values(layer, mixer_input(layer, MIXER, x, rows));
            fill_cache(layer, index);
            if (final_layer) x = keep_wanted(), rows = step.wanted_rows;
            attention(layer, index, final_layer ? last : all, final_layer ? last_count : all_count);
            add_to_stream(layer, OUT, MIXER, model.mixed.floats(), model.mixed_stride, x, rows);
            channel(layer, x, rows);
        }
        finish(x);
    }

    void finish(const float *x) {
        const int64_t stride = model.width_stride, width = shape().width, vocab = shape().vocab;
        float *out = step.out, *normed = step.want_hidden ? out : model.normed.floats();
        const int64_t normed_stride = step.want_hidden ? width : stride;
        team.share(step.wanted_rows, 4, [&](int64_t first, int64_t last) {
            for (int64_t row = first; row < last; row++)
                rms_norm(x + row * stride, model.last_norm.floats(), normed + row * normed_stride, width, shape().eps);
        });
        if (step.want_hidden) return;
        const Matrix &head = model.head;
        const float *bias = head.bias.floats();
        const bool biased = head.biased;
        product(team, head, normed, stride, step.wanted_rows, wide, [=](int64_t row, int64_t panel, const float *sums) {
            UNROLL for (int v = 0; v < NV; v++) {
                const int64_t column = panel * T + v * W;
                if (column >= vocab) break;
                vf value = load(sums + v * W);
                if (biased) value += load(bias + column);
                store_some(out + row * vocab + column, value, vocab - column);
            }
        });
    }
};
