// One step of a decoder in one call: token rows in, logits or hidden states of the wanted rows out.
//
// Phases are shared among the threads of one parallel region with a barrier after each. Nothing that is computed depends
// on which rows share a step, in which order, or on the number of threads.
#include <new>

#include "attention.h"
#include "gemm.h"
#include "pack.h"

extern "C" {

#if defined(_OPENMP)
int omp_get_thread_num(void);  // declared here because some compilers know OpenMP but do not bring its header
#endif

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

static int thread_number() {
#if defined(_OPENMP)
    return omp_get_thread_num();
#else
    return 0;
#endif
}

static int64_t stride_of(int64_t floats) { return ((floats + T + 15) / 16 | 1) * 16; }

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

// Group rows[0..count) (null: all rows) into runs for attention.
static int64_t runs_of(const Model &model, const StepArguments &step, const int64_t *rows, int64_t count, Run *out) {
    const int64_t group = model.shape.heads / model.shape.kv_heads;
    const int64_t most = MOST_QUERIES / group < 1 ? 1 : MOST_QUERIES / group;
    int64_t runs = 0;
    for (int64_t i = 0; i < count; i++) {
        const int64_t row = rows ? rows[i] : i;
        if (runs > 0) {
            Run &run = out[runs - 1];
            const int64_t before = run.row + run.count - 1;
            if (run.count < most && row == before + 1 && step.branch[row] == step.branch[before] &&
                step.positions[row] == step.positions[before] + 1) {
                run.count++;
                continue;
            }
        }
        out[runs++] = {row, 1, i};
    }
    return runs;
}

// 0, or which of the step's numbers is out of range: 1 id, 2 position, 3 branch, 4 table, 5 wanted row.
static int check(const Model &model, const StepArguments &step) {
    int64_t widest = 1;
    for (int64_t index = 0; index < model.shape.layers && widest; index++) {
        const int64_t window = model.layers[index].window;
        widest = window == 0 ? 0 : window > widest ? window : widest;
    }
    for (int64_t row = 0; row < step.rows; row++) {
        const int64_t position = step.positions[row], branch = step.branch[row];
        if (step.ids[row] < 0 || step.ids[row] >= model.shape.vocab) return 1;
        if (position < 0 || position >= step.known_positions) return 2;
        if (branch < 0 || branch >= step.branches) return 3;
        if (position / BLOCK >= step.table_stride) return 4;
        const int64_t first = widest && position >= widest ? position - widest + 1 : 0;
        for (int64_t block = first / BLOCK; block <= position / BLOCK; block++) {
            const int32_t entry = step.tables[branch * step.table_stride + block];
            if (entry < 0 || entry >= model.cache.blocks) return 4;
        }
    }
    for (int64_t i = 0; i < step.wanted_rows; i++)
        if (step.wanted[i] < 0 || step.wanted[i] >= step.rows) return 5;
    return 0;
}

static bool reserve_scratch(Model &model, const StepArguments &step, int64_t room_floats, int64_t counters) {
    const int64_t rows = step.rows > step.wanted_rows ? step.rows : step.wanted_rows;
    return model.x.reserve(rows * model.width_stride * 4) && model.normed.reserve(rows * model.width_stride * 4) &&
           model.kept.reserve(step.wanted_rows * model.width_stride * 4) &&
           model.qkv.reserve(rows * model.qkv_stride * 4) && model.mixed.reserve(rows * model.mixed_stride * 4) &&
           model.hidden.reserve(rows * model.channel_stride * 4) && model.runs.reserve(2 * rows * sizeof(Run)) &&
           model.rooms.reserve(model.threads * room_floats * 4) && model.counters.reserve(counters * sizeof(Counter));
}

extern "C" {

// Floats in a vector: which instructions the library was compiled for.
int native_width() { return W; }

// Null when there is not enough memory. `windows` has one entry a layer, 0 for none.
void *native_create(const Shape *shape, const int64_t *windows, int64_t blocks, int storage, int threads) {
    Model *model = new (std::nothrow) Model;
    if (!model) return nullptr;
    model->shape = *shape;
    model->storage = (Storage)storage;
    model->threads = threads;
    model->layers = new (std::nothrow) Layer[shape->layers];
    if (!model->layers || !model->cache.make(shape->layers, blocks, shape->kv_heads, shape->head_dim)) {
        delete model;
        return nullptr;
    }
    for (int64_t i = 0; i < shape->layers; i++) model->layers[i].window = windows[i];
    model->width_stride = stride_of(shape->width);
    model->qkv_stride = stride_of(model->queries() + 2 * model->keys());
    model->mixed_stride = stride_of(model->queries());
    model->channel_stride = stride_of(shape->channel);
    return model;
}

void native_free(void *handle) { delete (Model *)handle; }

void native_copy_block(void *handle, int64_t source, int64_t target) { ((Model *)handle)->cache.copy(source, target); }

// Pack a layer's matrix (layer -1: the head). Returns 0, or 1 without enough memory.
int native_pack(void *handle, int64_t layer, int64_t slot, int64_t inputs, int64_t count, const float *const *weights,
                const float *const *biases, const int64_t *rows) {
    Model &model = *(Model *)handle;
    Matrix &matrix = layer < 0 ? model.head : model.layers[layer].matrices[slot];
    const Sources sources = {count, weights, biases, rows, layer >= 0 && slot == GATE_UP};
    return pack(matrix, model.storage, inputs, sources, model.threads) ? 0 : 1;
}

// Copy a norm's weights (layer -1: the last norm).
int native_set_norm(void *handle, int64_t layer, int64_t which, const float *weights, int64_t count) {
    Model &model = *(Model *)handle;
    Memory &memory = layer < 0 ? model.last_norm : model.layers[layer].norms[which];
    if (!memory.reserve(count * 4)) return 1;
    memcpy(memory.data, weights, count * 4);
    return 0;
}

// 0, 1..5 for a step that is out of range (see `check`), -1 without enough memory.
int native_step(void *handle, const StepArguments *arguments) {
    Model &model = *(Model *)handle;
    const StepArguments &step = *arguments;
    if (const int wrong = check(model, step)) return wrong;
    int64_t longest = 0;
    for (int64_t row = 0; row < step.rows; row++) longest = step.positions[row] > longest ? step.positions[row] : longest;
    const int64_t inputs = model.queries() > model.shape.channel ? model.queries() : model.shape.channel;
    const int64_t panel = ((inputs > model.shape.width ? inputs : model.shape.width) + GROUP) * T;
    const int64_t scores = (longest / BLOCK + 1) * BLOCK * MOST_QUERIES;
    const int64_t room = (panel > scores ? panel : scores) + 64, counters = model.shape.layers * 12 + 8;
    if (!reserve_scratch(model, step, room / 16 * 16, counters)) return -1;
    for (int64_t i = 0; i < counters; i++) ((Counter *)model.counters.data)[i].next.store(0, std::memory_order_relaxed);
    Run *all = (Run *)model.runs.data, *last = all + step.rows;
    const int64_t all_count = runs_of(model, step, nullptr, step.rows, all);
    const int64_t last_count = runs_of(model, step, step.wanted, step.wanted_rows, last);
#pragma omp parallel num_threads(model.threads)
    {
        const int thread = thread_number();
        Worker worker = {model, step, Team{(Counter *)model.counters.data, thread},
                         model.rooms.floats() + thread * (room / 16 * 16)};
        worker.run(all, all_count, last, last_count);
    }
    return 0;
}

// One product alone, for measurements: out[rows][panels * T]. Returns 1 without enough memory.
int native_product(void *handle, int64_t layer, int64_t slot, const float *x, int64_t rows, float *out) {
    Model &model = *(Model *)handle;
    const Matrix &matrix = layer < 0 ? model.head : model.layers[layer].matrices[slot];
    const int64_t stride = stride_of(matrix.inputs), columns = matrix.panels * T, room = (matrix.inputs + GROUP) * T;
    if (!model.counters.reserve(8 * sizeof(Counter)) || !model.rooms.reserve(model.threads * room * 4) ||
        !model.hidden.reserve(rows * stride * 4))
        return 1;
    ((Counter *)model.counters.data)->next.store(0);
    for (int64_t row = 0; row < rows; row++)
        memcpy(model.hidden.floats() + row * stride, x + row * matrix.inputs, matrix.inputs * 4);
#pragma omp parallel num_threads(model.threads)
    {
        const int thread = thread_number();
        Team team = {(Counter *)model.counters.data, thread};
        product(team, matrix, model.hidden.floats(), stride, rows, model.rooms.floats() + thread * room,
                [=](int64_t row, int64_t panel, const float *sums) {
                    memcpy(out + row * columns + panel * T, sums, T * 4);
                });
    }
    return 0;
}

// For each row: the largest of logits / temperature, and for each block of 256 the sum of exp(logit / temperature - max).
void native_block_sums(const float *logits, int64_t rows, int64_t vocab, int64_t stride, float temperature, float *top,
                       double *sums, int threads) {
    constexpr int64_t SPAN = 256;
    const int64_t blocks = (vocab + SPAN - 1) / SPAN;
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1)
    for (int64_t row = 0; row < rows; row++) {
        const float *from = logits + row * stride;
        vf best = splat(-INFINITY);
        for (int64_t i = 0; i + W <= vocab; i += W) best = larger(best, load(from + i));
        float largest = max_lanes(best);
        for (int64_t i = vocab / W * W; i < vocab; i++) largest = largest > from[i] ? largest : from[i];
        largest /= temperature;
        top[row] = largest;
        for (int64_t block = 0; block < blocks; block++) {
            vf sum = {};
            const int64_t end = block * SPAN + SPAN < vocab ? block * SPAN + SPAN : vocab;
            int64_t i = block * SPAN;
            for (; i + W <= end; i += W) sum += exp_of(load(from + i) / splat(temperature) - splat(largest));
            double total = sum_lanes(sum);
            for (; i < end; i++) {
                float one[W] = {};
                store(one, exp_of(splat(from[i] / temperature - largest)));
                total += one[0];
            }
            sums[row * blocks + block] = total;
        }
    }
}

// exp over `count` floats, for tests.
void native_exp(const float *from, float *to, int64_t count) {
    for (int64_t i = 0; i < count; i += W) store_some(to + i, exp_of(load_some(from + i, count - i < W ? count - i : W)), count - i);
}
}
