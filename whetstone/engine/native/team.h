// Memory for the kernel, and the sharing of a phase's work among the threads of one parallel region.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include <sched.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif
#if defined(__x86_64__)
#include <immintrin.h>
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

// A phase's progress: pieces taken and pieces finished.
struct alignas(64) Counter {
    std::atomic<int64_t> taken{0};
    alignas(64) std::atomic<int64_t> finished{0};

    // Wait until all pieces are finished, not until all threads are here: on a machine that is also used otherwise a
    // thread may be off its core for a long time, and one that has taken nothing is not needed. After a short spin a
    // waiting thread offers its own core, because the one waited for may need just that.
    void wait(int64_t units) const {
        for (int spins = 0; finished.load(std::memory_order_acquire) < units; spins++) {
            if (spins > 2000) sched_yield();
#if defined(__x86_64__)
            _mm_pause();
#endif
        }
    }
};

// One per thread of a region; all threads go through the same calls of `share` in the same order. Which thread takes
// which piece depends on the clock, what is computed does not.
struct Team {
    Counter *counters;

    // Calls work(first, last) on pieces of [0, units), then waits until all are finished.
    template <class Work>
    void share(int64_t units, int64_t grain, Work &&work) {
        Counter &counter = *counters++;
        for (;;) {
            const int64_t first = counter.taken.fetch_add(grain, std::memory_order_relaxed);
            if (first >= units) break;
            const int64_t last = first + grain < units ? first + grain : units;
            work(first, last);
            counter.finished.fetch_add(last - first, std::memory_order_release);
        }
        counter.wait(units);
    }

    // The same in single pieces, work(piece, next): a thread takes one piece ahead, so that it can fetch what it will
    // read next while it computes. `next` is -1 at the end.
    template <class Work>
    void share_ahead(int64_t units, Work &&work) {
        Counter &counter = *counters++;
        int64_t current = counter.taken.fetch_add(1, std::memory_order_relaxed);
        while (current < units) {
            const int64_t following = counter.taken.fetch_add(1, std::memory_order_relaxed);
            work(current, following < units ? following : -1);
            counter.finished.fetch_add(1, std::memory_order_release);
            current = following;
        }
        counter.wait(units);
    }
};
