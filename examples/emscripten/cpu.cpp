/*
 * RV32I harts in C++ on guest memory that memslots maps, built by emscripten with -pthread. Engine and guest RAM are
 * blocks of this program's heap, so that a host address is a pointer; each hart is a pthread.
 *
 * The guest sees its base integer instructions alone: no CSRs, no traps. An access that finds no memory is counted and
 * tried again in the next section, which is what an emulator does for which the map is about to change.
 */
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <thread>

#include <emscripten.h>

#include "memslots.h"

namespace {

constexpr uint32_t KIB = 1024;
constexpr uint32_t HARTS = 4;
constexpr uint32_t PAGE_BYTES = 4096;
constexpr uint32_t ENGINE_BYTES = 512 * KIB;
constexpr uint32_t RAM_BYTES = 256 * KIB;
constexpr uint32_t TLB_ENTRIES = 64;
/* Instructions of a section: a change of the map waits that long for a hart, some microseconds. */
constexpr uint32_t SECTION = 1000;
/* Milliseconds that a hart waits for the writer lock before it asks again. */
constexpr int32_t LOCK_MS = 5;

enum State : uint32_t { NOT_RUN, RUNNING, ENDED, ILLEGAL, REFUSED };

/* What a hart shows JavaScript; examples/native/machine.ts reads it. */
struct Status {
  std::atomic<uint32_t> state;
  /* Accesses that found no memory. */
  std::atomic<uint32_t> faults;
  std::atomic<uint64_t> instructions;
};

Status statuses[HARTS];

uint32_t address_of(const void *pointer) { return reinterpret_cast<uintptr_t>(pointer); }

/* A block that lives as long as the program. */
uint32_t allocate(uint32_t bytes) { return address_of(std::aligned_alloc(PAGE_BYTES, bytes)); }

/* Why a section ends before its last instruction; NO_MEMORY also if an address is not aligned. */
enum class Stop { NONE, NO_MEMORY, ILLEGAL, ECALL };

/* OP and OP-IMM; `other` asks for SUB and SRA. */
inline uint32_t operate(uint32_t f3, uint32_t a, uint32_t b, bool other) {
  switch (f3) {
    case 0: return other ? a - b : a + b;
    case 1: return a << (b & 31);
    case 2: return static_cast<int32_t>(a) < static_cast<int32_t>(b);
    case 3: return a < b;
    case 4: return a ^ b;
    case 5: return other ? static_cast<int32_t>(a) >> (b & 31) : a >> (b & 31);
    case 6: return a | b;
    default: return a & b;
  }
}

inline bool branches(uint32_t f3, uint32_t a, uint32_t b) {
  const bool holds = f3 < 2 ? a == b : f3 < 6 ? static_cast<int32_t>(a) < static_cast<int32_t>(b) : a < b;
  return holds != ((f3 & 1) != 0);
}

inline uint32_t sign_of(uint32_t word) { return static_cast<int32_t>(word) >> 31; }

inline uint32_t branch_offset(uint32_t word) {
  return sign_of(word) << 12 | (word & 0x80) << 4 | (word >> 20 & 0x7e0) | (word >> 7 & 0x1e);
}

inline uint32_t jump_offset(uint32_t word) {
  return sign_of(word) << 20 | (word & 0xff000) | (word >> 9 & 0x800) | (word >> 20 & 0x7fe);
}

class Hart {
 public:
  /* As firmware leaves it: the number is in a0. */
  Hart(uint32_t reader, uint32_t number, uint32_t pc) : reader_(reader), tlb_(memslots_tlbOf(reader)), pc_(pc) {
    x_[10] = number;
  }

  State run(Status &status) {
    for (;;) {
      memslots_enterSection(reader_);
      uint32_t done = 0;
      Stop stop = Stop::NONE;
      while (done < SECTION && (stop = step()) == Stop::NONE) done++;
      memslots_exitSection(reader_);
      status.instructions += done;
      if (stop == Stop::NO_MEMORY) status.faults++;
      if (stop == Stop::ILLEGAL) return State::ILLEGAL;
      if (stop == Stop::ECALL) return State::ENDED;
    }
  }

 private:
  /* One instruction; one that is stopped has changed nothing. */
  inline Stop step() {
    const auto *code = host<const uint32_t>(pc_, MEMSLOTS_TLB_CODE);
    if (code == nullptr) return Stop::NO_MEMORY;
    const uint32_t word = *const_cast<const volatile uint32_t *>(code);
    const uint32_t rd = word >> 7 & 31;
    const uint32_t a = x_[word >> 15 & 31];
    const uint32_t b = x_[word >> 20 & 31];
    const uint32_t f3 = word >> 12 & 7;
    const uint32_t imm = static_cast<int32_t>(word) >> 20;
    uint32_t next = pc_ + 4;
    Stop stop = Stop::NONE;
    switch (word & 0x7f) {
      case 0x13: x_[rd] = operate(f3, a, imm, f3 == 5 && (word >> 30 & 1)); break;
      case 0x33:
        if (word & 0xbe000000) return Stop::ILLEGAL;
        x_[rd] = operate(f3, a, b, word >> 30);
        break;
      case 0x03: stop = load(f3, a + imm, x_[rd]); break;
      case 0x23: stop = store(f3, a + ((imm & ~31u) | rd), b); break;
      case 0x63:
        if (f3 >> 1 == 1) return Stop::ILLEGAL;
        if (branches(f3, a, b)) next = pc_ + branch_offset(word);
        break;
      case 0x6f:
        x_[rd] = next;
        next = pc_ + jump_offset(word);
        break;
      case 0x67:
        x_[rd] = next;
        next = (a + imm) & ~1u;
        break;
      case 0x37: x_[rd] = word & ~0xfffu; break;
      case 0x17: x_[rd] = pc_ + (word & ~0xfffu); break;
      case 0x0f: std::atomic_thread_fence(std::memory_order_seq_cst); break;
      case 0x73: return Stop::ECALL;
      default: return Stop::ILLEGAL;
    }
    if (stop != Stop::NONE) return stop;
    x_[0] = 0;
    pc_ = next;
    return Stop::NONE;
  }

  inline Stop load(uint32_t f3, uint32_t gpa, uint32_t &into) {
    switch (f3) {
      case 0: return load_as<int8_t>(gpa, into);
      case 1: return load_as<int16_t>(gpa, into);
      case 2: return load_as<uint32_t>(gpa, into);
      case 4: return load_as<uint8_t>(gpa, into);
      case 5: return load_as<uint16_t>(gpa, into);
      default: return Stop::ILLEGAL;
    }
  }

  inline Stop store(uint32_t f3, uint32_t gpa, uint32_t value) {
    switch (f3) {
      case 0: return store_as<uint8_t>(gpa, value);
      case 1: return store_as<uint16_t>(gpa, value);
      case 2: return store_as<uint32_t>(gpa, value);
      default: return Stop::ILLEGAL;
    }
  }

  template <typename T>
  inline Stop load_as(uint32_t gpa, uint32_t &into) {
    const volatile T *at = host<T>(gpa, MEMSLOTS_TLB_READ);
    if (at == nullptr) return Stop::NO_MEMORY;
    into = *at;
    return Stop::NONE;
  }

  template <typename T>
  inline Stop store_as(uint32_t gpa, uint32_t value) {
    volatile T *at = host<T>(gpa, MEMSLOTS_TLB_WRITE);
    if (at == nullptr) return Stop::NO_MEMORY;
    *at = value;
    return Stop::NONE;
  }

  /* The bytes behind a guest address: by the TLB's probe, which is inlined here, or by the call for its misses. */
  template <typename T>
  inline T *host(uint32_t gpa, uint32_t access) {
    uint64_t hva = memslots_probeTlb(tlb_, gpa, sizeof(T), access);
    if (hva == MEMSLOTS_TLB_MISS) hva = host_on_miss(gpa, sizeof(T), access);
    return reinterpret_cast<T *>(static_cast<uintptr_t>(hva));
  }

  [[gnu::noinline]] uint64_t host_on_miss(uint32_t gpa, uint32_t bytes, uint32_t access) {
    if (gpa & (bytes - 1)) return 0;
    const double hva = memslots_fillTlb(reader_, gpa, access);
    return hva < 0 ? 0 : static_cast<uint64_t>(hva);
  }

  uint32_t reader_;
  uint32_t tlb_;
  uint32_t pc_;
  uint32_t x_[32] = {};
};

/* A vCPU's line with a TLB, for the calling thread; 0 if there is none. */
uint32_t claim(uint32_t header) {
  if (memslots_checkStamp(header, MEMSLOTS_LAYOUT_HASH) != 0) return 0;
  const uint32_t owner = memslots_attachOwner(header);
  const uint32_t reader = memslots_claimVcpu(header, owner, 1);
  if (reader == 0) return 0;
  int32_t result;
  do result = memslots_lockEngine(header, owner, LOCK_MS);
  while (result == MEMSLOTS_EAGAIN);
  if (result == 0) {
    result = memslots_attachTlb(reader, TLB_ENTRIES);
    memslots_unlockEngine(header);
  }
  if (result == 0) return reader;
  memslots_releaseReader(reader);
  return 0;
}

void run_hart(uint32_t number, uint32_t header, uint32_t pc) {
  const uint32_t reader = claim(header);
  if (reader == 0) {
    statuses[number].state = State::REFUSED;
    return;
  }
  const State end = Hart(reader, number, pc).run(statuses[number]);
  memslots_releaseReader(reader);
  statuses[number].state = end;
}

}  // namespace

extern "C" {

EMSCRIPTEN_KEEPALIVE uint32_t engine_base() {
  static const uint32_t base = allocate(ENGINE_BYTES);
  return base;
}

EMSCRIPTEN_KEEPALIVE uint32_t engine_bytes() { return ENGINE_BYTES; }

EMSCRIPTEN_KEEPALIVE uint32_t ram_base() {
  static const uint32_t base = allocate(RAM_BYTES);
  return base;
}

EMSCRIPTEN_KEEPALIVE uint32_t ram_bytes() { return RAM_BYTES; }

EMSCRIPTEN_KEEPALIVE uint32_t status_of(uint32_t number) { return address_of(&statuses[number]); }

/* Run hart `number` in a thread, from `pc` on, as a vCPU of the engine at `header`. Each hart runs once. */
EMSCRIPTEN_KEEPALIVE void start_hart(uint32_t number, uint32_t header, uint32_t pc) {
  statuses[number].state = State::RUNNING;
  std::thread(run_hart, number, header, pc).detach();
}
}
