// The C interface of the kernel, called from Python (see interface.py): make a model, pack its weights, run steps.
#include <new>

#include "pack.h"
#include "step.h"

#if defined(_OPENMP)
// declared here because some compilers know OpenMP but do not bring its header
extern "C" int omp_get_thread_num(void);
#endif

static int thread_number() {
#if defined(_OPENMP)
    return omp_get_thread_num();
#else
    return 0;
#endif
}

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
    for (int64_t i = 0; i < counters; i++) new ((Counter *)model.counters.data + i) Counter;
    Run *all = (Run *)model.runs.data, *last = all + step.rows;
    const int64_t all_count = runs_of(model, step, nullptr, step.rows, all);
    const int64_t last_count = runs_of(model, step, step.wanted, step.wanted_rows, last);
#pragma omp parallel num_threads(model.threads)
    {
        const int thread = thread_number();
        Worker worker = {model, step, Team{(Counter *)model.counters.data},
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
    new (model.counters.data) Counter;
    for (int64_t row = 0; row < rows; row++)
        memcpy(model.hidden.floats() + row * stride, x + row * matrix.inputs, matrix.inputs * 4);
#pragma omp parallel num_threads(model.threads)
    {
        const int thread = thread_number();
        Team team = {(Counter *)model.counters.data};
        product(team, matrix, model.hidden.floats(), stride, rows, model.rooms.floats() + thread * room,
                [=](int64_t row, int64_t panel, const float *sums) {
                    memcpy(out + row * columns + panel * T, sums, T * 4);
                });
    }
    return 0;
}

// For each row: the largest logit, and for each block of 256 the sum of exp((logit - largest) * scale).
void native_block_sums(const float *logits, int64_t rows, int64_t vocab, int64_t stride, const float *scale, float *top,
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
        top[row] = largest;
        for (int64_t block = 0; block < blocks; block++) {
            vf sum = {};
            const int64_t end = block * SPAN + SPAN < vocab ? block * SPAN + SPAN : vocab;
            int64_t i = block * SPAN;
            for (; i + W <= end; i += W) sum += exp_of((load(from + i) - splat(largest)) * splat(scale[row]));
            double total = sum_lanes(sum);
            for (; i < end; i++) {
                float one[W] = {};
                store(one, exp_of(splat((from[i] - largest) * scale[row])));
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
