// Memory for the kernel, and the sharing of a phase's work among the threads of one parallel region.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#if defined(__linux__)
#include <sys/mman.h>
#endif

// Zeroed memory that grows by being made anew; large pieces ask for huge pages (fewer address lookups per byte).
struct Memory {
    uint8_t *data = nullptr;
    int64_t bytes = 0;

    Memory() = default;
    Memory(const Memory &) = delete;
    Memory &operator=(const Memory &) = delete;
    ~Memory() { release(); }

    void release() {
#if defined(__linux__)
        if (data) munmap(data, bytes);
#else
        free(data);
#endif
        data = nullptr;
        bytes = 0;
    }

    // False when there is not enough memory. Contents are lost where the piece grows.
    bool reserve(int64_t wanted) {
        if (wanted <= bytes) return true;
        release();
        wanted = (wanted + 4095) / 4096 * 4096;
#if defined(__linux__)
        void *found = mmap(nullptr, wanted, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (found == MAP_FAILED) return false;
        if (wanted >= (4 << 20)) madvise(found, wanted, MADV_HUGEPAGE);
#else
        void *found = nullptr;
        if (posix_memalign(&found, 4096, wanted)) return false;
        memset(found, 0, wanted);
#endif
        data = (uint8_t *)found;
        bytes = wanted;
        return true;
    }

    float *floats() const { return (float *)data; }
};

struct alignas(64) Counter {
    std::atomic<int64_t> next{0};
};

// One per thread of a region; all threads go through the same calls of `share` in the same order.
struct Team {
    Counter *counters;
    int thread = 0;
    int64_t phase = 0;

    // Calls work(first, last) on pieces of [0, units), then waits for the whole team. Which thread takes which piece
    // depends on the clock, what is computed does not.
    template <class Work>
    void share(int64_t units, int64_t grain, Work &&work) {
        std::atomic<int64_t> &next = counters[phase++].next;
        for (;;) {
            int64_t first = next.fetch_add(grain, std::memory_order_relaxed);
            if (first >= units) break;
            work(first, first + grain < units ? first + grain : units);
        }
#pragma omp barrier
    }

    // The same in single pieces, work(piece, next): a thread takes one piece ahead, so that it can fetch what it will
    // read next while it computes. `next` is -1 at the end.
    template <class Work>
    void share_ahead(int64_t units, Work &&work) {
        std::atomic<int64_t> &next = counters[phase++].next;
        int64_t current = next.fetch_add(1, std::memory_order_relaxed);
        while (current < units) {
            const int64_t following = next.fetch_add(1, std::memory_order_relaxed);
            work(current, following < units ? following : -1);
            current = following;
        }
#pragma omp barrier
    }
};
