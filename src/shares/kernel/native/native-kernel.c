/*
 * Hashes shares two abreast by the processor's SHA instructions (Intel SHA Extensions): what `run` and `hashTree`
 * of assembly/kernel.ts do, over the same memory, of the same layout. Whoever fills the memory is the WebAssembly
 * module; every address read from it is checked before it is followed.
 */
#include <immintrin.h>
#include <node_api.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define SHA __attribute__((target("sha,sse4.1,ssse3")))

/* The layout: see assembly/kernel.ts. */
enum {
  SLOT_SIZE = 64,
  SLOT_EXTRANONCE = 16,
  EXTRANONCE_MOST = 32,
  BLOCK = 64,
  DIGEST = 32,
  SCHEDULE = 256,
  JOB_TAIL = 256,
  MAGIC = 0x6a6f6221,
  BLOCKS_MOST = 1 << 16,
  BRANCHES_MOST = 1 << 10,
};

typedef struct {
  uint32_t blocks;
  uint32_t variable_blocks;
  uint32_t branches;
  uint32_t extranonce_at;
  uint32_t extranonce_size;
  uint32_t bits;
  uint32_t magic;
  uint32_t unused;
  uint32_t midstate[8];
  uint32_t prev_hash[8];
  uint32_t grouping[8];
  uint8_t templates[2][BLOCK];
  /* Behind it: the branches, then the schedules of the fixed blocks. */
  uint8_t tail[];
} Job;
_Static_assert(sizeof(Job) == JOB_TAIL, "the layout of a job");

typedef struct {
  uint32_t job;
  uint32_t version;
  uint32_t ntime;
  uint32_t nonce;
  uint8_t extranonce[EXTRANONCE_MOST];
} Slot;

/* Eight words of a state as the instructions want them. */
typedef struct {
  __m128i abef, cdgh;
} State;

/* FIPS 180-4, 4.2.2. */
static const uint32_t K[64] __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};
/* FIPS 180-4, 5.3.3. */
static const uint32_t IV[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                               0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

static State initial;
/* The schedule, round constants added, of the block that pads a message of 64 bytes. */
static uint32_t node_padding[64] __attribute__((aligned(16)));

static inline SHA __m128i swap_words(__m128i words) {
  return _mm_shuffle_epi8(words, _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203));
}

static inline SHA State state_of(const uint32_t words[8]) {
  __m128i dcba = _mm_loadu_si128((const __m128i *)words), hgfe = _mm_loadu_si128((const __m128i *)(words + 4));
  __m128i cdab = _mm_shuffle_epi32(dcba, 0xb1), efgh = _mm_shuffle_epi32(hgfe, 0x1b);
  return (State){_mm_alignr_epi8(cdab, efgh, 8), _mm_blend_epi16(efgh, cdab, 0xf0)};
}

/* The eight words, the first in the lowest place. */
static inline SHA void words_of(State state, __m128i words[2]) {
  __m128i feba = _mm_shuffle_epi32(state.abef, 0x1b), dchg = _mm_shuffle_epi32(state.cdgh, 0xb1);
  words[0] = _mm_blend_epi16(feba, dchg, 0xf0);
  words[1] = _mm_alignr_epi8(dchg, feba, 8);
}

static inline SHA State sum(State one, State other) {
  return (State){_mm_add_epi32(one.abef, other.abef), _mm_add_epi32(one.cdgh, other.cdgh)};
}

/* Four rounds, of words to which their constants are added. */
static inline SHA void rounds4(State *state, __m128i words) {
  state->cdgh = _mm_sha256rnds2_epu32(state->cdgh, state->abef, words);
  state->abef = _mm_sha256rnds2_epu32(state->abef, state->cdgh, _mm_shuffle_epi32(words, 0x0e));
}

/* The next four words of a schedule, by the sixteen before them, in the place of the first four. */
static inline SHA void expand4(__m128i words[4], int at) {
  __m128i last = words[(at + 3) & 3], first = words[at & 3];
  first = _mm_sha256msg1_epu32(first, words[(at + 1) & 3]);
  first = _mm_add_epi32(first, _mm_alignr_epi8(last, words[(at + 2) & 3], 4));
  words[at & 3] = _mm_sha256msg2_epu32(first, last);
}

/* Compresses sixteen words each into `lanes` states, side by side. */
static inline SHA void compress(State states[], __m128i words[][4], int lanes) {
  State before[2];
  for (int lane = 0; lane < lanes; lane++) before[lane] = states[lane];
#pragma GCC unroll 16
  for (int four = 0; four < 16; four++) {
    __m128i constants = _mm_load_si128((const __m128i *)(K + 4 * four));
    for (int lane = 0; lane < lanes; lane++) {
      if (four >= 4) expand4(words[lane], four);
      rounds4(&states[lane], _mm_add_epi32(words[lane][four & 3], constants));
    }
  }
  for (int lane = 0; lane < lanes; lane++) states[lane] = sum(states[lane], before[lane]);
}

/* The same by schedules that are ready, round constants added. */
static inline SHA void compress_schedules(State states[], const uint8_t *const schedules[], int lanes) {
  State before[2];
  for (int lane = 0; lane < lanes; lane++) before[lane] = states[lane];
#pragma GCC unroll 16
  for (int four = 0; four < 16; four++)
    for (int lane = 0; lane < lanes; lane++)
      rounds4(&states[lane], _mm_loadu_si128((const __m128i *)(schedules[lane] + 16 * four)));
  for (int lane = 0; lane < lanes; lane++) states[lane] = sum(states[lane], before[lane]);
}

static inline SHA void load_block(__m128i words[4], const uint8_t block[BLOCK]) {
  for (int part = 0; part < 4; part++)
    words[part] = swap_words(_mm_loadu_si128((const __m128i *)(block + 16 * part)));
}

/* The hash of the digests that the states are. */
static inline SHA void compress_digests(State states[], int lanes) {
  __m128i words[2][4];
  for (int lane = 0; lane < lanes; lane++) {
    words_of(states[lane], words[lane]);
    words[lane][2] = _mm_set_epi32(0, 0, 0, (int)0x80000000);
    words[lane][3] = _mm_set_epi32(256, 0, 0, 0);
    states[lane] = initial;
  }
  compress(states, words, lanes);
}

static inline SHA void store_digest(State state, uint8_t to[DIGEST]) {
  __m128i words[2];
  words_of(state, words);
  _mm_storeu_si128((__m128i *)to, swap_words(words[0]));
  _mm_storeu_si128((__m128i *)(to + 16), swap_words(words[1]));
}

typedef struct {
  const Slot *slot;
  const Job *job;
  uint8_t *hash;
} Share;

/* A block of the coinbase with the share's extranonce in it. */
static inline void compose_block(const Share *share, uint32_t block, uint8_t to[BLOCK]) {
  const Job *job = share->job;
  memcpy(to, job->templates[block & 1], BLOCK);
  int offset = (int)job->extranonce_at - (int)(block * BLOCK), size = (int)job->extranonce_size;
  int first = offset < 0 ? -offset : 0, end = size < BLOCK - offset ? size : BLOCK - offset;
  for (int byte = first; byte < end; byte++) to[offset + byte] = share->slot->extranonce[byte];
}

static inline SHA void hash_coinbase_block(State states[], const Share shares[], uint32_t block, int lanes) {
  bool all_variable = true, all_fixed = true;
  for (int lane = 0; lane < lanes; lane++) {
    bool is_variable = block < shares[lane].job->variable_blocks, is_there = block < shares[lane].job->blocks;
    all_variable &= is_variable;
    all_fixed &= is_there && !is_variable;
  }
  if (all_variable) {
    uint8_t composed[BLOCK];
    __m128i words[2][4];
    for (int lane = 0; lane < lanes; lane++) {
      compose_block(&shares[lane], block, composed);
      load_block(words[lane], composed);
    }
    compress(states, words, lanes);
  } else if (all_fixed) {
    const uint8_t *schedules[2];
    for (int lane = 0; lane < lanes; lane++) {
      const Job *job = shares[lane].job;
      schedules[lane] =
          job->tail + (size_t)job->branches * DIGEST + (size_t)(block - job->variable_blocks) * SCHEDULE;
    }
    compress_schedules(states, schedules, lanes);
  } else if (lanes == 2) {
    /* They differ: one after the other. A lane that has no such block is neither. */
    hash_coinbase_block(states, shares, block, 1);
    hash_coinbase_block(states + 1, shares + 1, block, 1);
  }
}

/* `root = sha256d(root || branch)`; a job with fewer branches keeps its root. */
static inline SHA void fold_branch(State states[], const Share shares[], uint32_t branch, int lanes) {
  State folded[2];
  __m128i words[2][4];
  const uint8_t *paddings[2] = {(const uint8_t *)node_padding, (const uint8_t *)node_padding};
  for (int lane = 0; lane < lanes; lane++) {
    const Job *job = shares[lane].job;
    const uint8_t *other = branch < job->branches ? job->tail + (size_t)branch * DIGEST : (const uint8_t *)job;
    words_of(states[lane], words[lane]);
    words[lane][2] = swap_words(_mm_loadu_si128((const __m128i *)other));
    words[lane][3] = swap_words(_mm_loadu_si128((const __m128i *)(other + 16)));
    folded[lane] = initial;
  }
  compress(folded, words, lanes);
  compress_schedules(folded, paddings, lanes);
  compress_digests(folded, lanes);
  for (int lane = 0; lane < lanes; lane++)
    if (branch < shares[lane].job->branches) states[lane] = folded[lane];
}

static inline SHA void hash_headers(State roots[], const Share shares[], int lanes) {
  State states[2];
  __m128i words[2][4], ends[2][4];
  for (int lane = 0; lane < lanes; lane++) {
    const Slot *slot = shares[lane].slot;
    const Job *job = shares[lane].job;
    __m128i root[2], previous[2];
    words_of(roots[lane], root);
    memcpy(previous, job->prev_hash, DIGEST);
    words[lane][0] = _mm_alignr_epi8(previous[0], _mm_set1_epi32((int)__builtin_bswap32(slot->version)), 12);
    words[lane][1] = _mm_alignr_epi8(previous[1], previous[0], 12);
    words[lane][2] = _mm_alignr_epi8(root[0], previous[1], 12);
    words[lane][3] = _mm_alignr_epi8(root[1], root[0], 12);
    ends[lane][0] = _mm_set_epi32((int)__builtin_bswap32(slot->nonce), (int)__builtin_bswap32(job->bits),
                                  (int)__builtin_bswap32(slot->ntime), _mm_extract_epi32(root[1], 3));
    ends[lane][1] = _mm_set_epi32(0, 0, 0, (int)0x80000000);
    ends[lane][2] = _mm_setzero_si128();
    ends[lane][3] = _mm_set_epi32(640, 0, 0, 0);
    states[lane] = initial;
  }
  compress(states, words, lanes);
  compress(states, ends, lanes);
  compress_digests(states, lanes);
  for (int lane = 0; lane < lanes; lane++) store_digest(states[lane], shares[lane].hash);
}

static inline uint32_t most(uint32_t one, uint32_t other) { return one > other ? one : other; }

static inline SHA __attribute__((always_inline)) void hash_shares(const Share shares[], int lanes) {
  State states[2];
  uint32_t blocks = 0, branches = 0;
  for (int lane = 0; lane < lanes; lane++) {
    states[lane] = state_of(shares[lane].job->midstate);
    blocks = most(blocks, shares[lane].job->blocks);
    branches = most(branches, shares[lane].job->branches);
  }
  for (uint32_t block = 0; block < blocks; block++) hash_coinbase_block(states, shares, block, lanes);
  compress_digests(states, lanes);
  for (uint32_t branch = 0; branch < branches; branch++) fold_branch(states, shares, branch, lanes);
  hash_headers(states, shares, lanes);
}

static SHA void hash_two(const Share shares[]) { hash_shares(shares, 2); }
static SHA void hash_one(const Share shares[]) { hash_shares(shares, 1); }

/* The job of a slot, or null where what the memory says of it does not lie within the memory. */
static const Job *job_of(const Slot *slot, const uint8_t *memory, size_t size) {
  if (slot->job == 0 || slot->job % 16 != 0 || slot->job > size || size - slot->job < JOB_TAIL) return NULL;
  const Job *job = (const Job *)(memory + slot->job);
  if (job->magic != MAGIC || job->blocks > BLOCKS_MOST || job->branches > BRANCHES_MOST) return NULL;
  if (job->variable_blocks < 1 || job->variable_blocks > 2 || job->variable_blocks > job->blocks) return NULL;
  if (job->extranonce_at >= BLOCK || job->extranonce_size > EXTRANONCE_MOST) return NULL;
  size_t tail = (size_t)job->branches * DIGEST + (size_t)(job->blocks - job->variable_blocks) * SCHEDULE;
  return size - slot->job - JOB_TAIL < tail ? NULL : job;
}

/* A leaf's 32 bytes or a node's 64 become its digest (RFC 6962, 2.1): a message of 33 or 65 bytes. */
static SHA void hash_tree_places(const uint8_t *from, size_t size, uint8_t *to, int lanes) {
  State states[2];
  __m128i words[2][4];
  uint8_t blocks[2][2 * BLOCK] = {{0}};
  for (int lane = 0; lane < lanes; lane++) {
    blocks[lane][0] = size == 2 * DIGEST;
    memcpy(blocks[lane] + 1, from + lane * size, size);
    blocks[lane][1 + size] = 0x80;
    uint8_t *length = blocks[lane] + (size == DIGEST ? BLOCK : 2 * BLOCK) - 2;
    length[0] = (uint8_t)((1 + size) >> 5);
    length[1] = (uint8_t)((1 + size) << 3);
    states[lane] = initial;
    load_block(words[lane], blocks[lane]);
  }
  compress(states, words, lanes);
  if (size == 2 * DIGEST) {
    for (int lane = 0; lane < lanes; lane++) load_block(words[lane], blocks[lane] + BLOCK);
    compress(states, words, lanes);
  }
  for (int lane = 0; lane < lanes; lane++) store_digest(states[lane], to + lane * DIGEST);
}

/* Each pair is checked when its turn comes: a digest may have been written over what is read next. */
static SHA bool run(uint8_t *memory, size_t size, size_t slots_at, size_t hashes_at, size_t count) {
  Share shares[2];
  for (size_t at = 0; at < count; at++) {
    const Slot *slot = (const Slot *)(memory + slots_at + at * SLOT_SIZE);
    const Job *job = job_of(slot, memory, size);
    if (job == NULL) return false;
    shares[at & 1] = (Share){slot, job, memory + hashes_at + at * DIGEST};
    if (at & 1) hash_two(shares);
  }
  if (count & 1) hash_one(shares);
  return true;
}

static SHA void prepare(void) {
  initial = state_of(IV);
  uint32_t words[64] = {[0] = 0x80000000, [15] = 512};
  for (int at = 16; at < 64; at++) {
    uint32_t early = words[at - 15], late = words[at - 2];
    uint32_t sigma0 = (early >> 7 | early << 25) ^ (early >> 18 | early << 14) ^ early >> 3;
    uint32_t sigma1 = (late >> 17 | late << 15) ^ (late >> 19 | late << 13) ^ late >> 10;
    words[at] = words[at - 16] + sigma0 + words[at - 7] + sigma1;
  }
  for (int at = 0; at < 64; at++) node_padding[at] = words[at] + K[at];
}

/* Arguments of a call: the memory, then numbers. False where they are not, or have thrown. */
static bool arguments(napi_env env, napi_callback_info info, size_t count, uint8_t **memory, size_t *size,
                      uint32_t numbers[]) {
  napi_value values[4];
  size_t given = count + 1;
  napi_typedarray_type type;
  if (napi_get_cb_info(env, info, &given, values, NULL, NULL) != napi_ok || given != count + 1) return false;
  if (napi_get_typedarray_info(env, values[0], &type, size, (void **)memory, NULL, NULL) != napi_ok) return false;
  if (type != napi_uint8_array) return false;
  for (size_t at = 0; at < count; at++)
    if (napi_get_value_uint32(env, values[at + 1], &numbers[at]) != napi_ok) return false;
  return true;
}

static bool fits(size_t at, size_t count, size_t each, size_t size) {
  return at <= size && count <= (size - at) / each;
}

static napi_value answer(napi_env env, bool is_so) {
  napi_value value;
  return napi_get_boolean(env, is_so, &value) == napi_ok ? value : NULL;
}

/* run(memory, slotsAt, hashesAt, count): false where a slot names no job. */
static napi_value call_run(napi_env env, napi_callback_info info) {
  uint8_t *memory;
  size_t size;
  uint32_t numbers[3];
  if (!arguments(env, info, 3, &memory, &size, numbers)) return answer(env, false);
  if (numbers[0] % 16 != 0 || !fits(numbers[0], numbers[2], SLOT_SIZE, size)) return answer(env, false);
  if (!fits(numbers[1], numbers[2], DIGEST, size) || (uintptr_t)memory % 16 != 0) return answer(env, false);
  return answer(env, run(memory, size, numbers[0], numbers[1], numbers[2]));
}

/* hashTree(memory, at, count, size): in place, a digest behind the other. */
static napi_value call_hash_tree(napi_env env, napi_callback_info info) {
  uint8_t *memory;
  size_t bytes;
  uint32_t numbers[3];
  if (!arguments(env, info, 3, &memory, &bytes, numbers)) return answer(env, false);
  size_t at = numbers[0], count = numbers[1], size = numbers[2];
  if ((size != DIGEST && size != 2 * DIGEST) || !fits(at, count, size, bytes)) return answer(env, false);
  uint8_t *places = memory + at;
  size_t place = 0;
  for (; place + 2 <= count; place += 2) hash_tree_places(places + place * size, size, places + place * DIGEST, 2);
  if (place < count) hash_tree_places(places + place * size, size, places + place * DIGEST, 1);
  return answer(env, true);
}

static napi_value call_is_supported(napi_env env, napi_callback_info info) {
  (void)info;
  unsigned int a = 7, b = 0, c = 0, d = 0;
  __asm__("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
  bool has_sha = (b >> 29 & 1) != 0 && __builtin_cpu_supports("sse4.1") && __builtin_cpu_supports("ssse3");
  if (has_sha) prepare();
  return answer(env, has_sha);
}

NAPI_MODULE_INIT() {
  napi_property_descriptor functions[] = {
      {"run", NULL, call_run, NULL, NULL, NULL, napi_enumerable, NULL},
      {"hashTree", NULL, call_hash_tree, NULL, NULL, NULL, napi_enumerable, NULL},
      {"isSupported", NULL, call_is_supported, NULL, NULL, NULL, napi_enumerable, NULL},
  };
  napi_define_properties(env, exports, sizeof functions / sizeof functions[0], functions);
  return exports;
}
