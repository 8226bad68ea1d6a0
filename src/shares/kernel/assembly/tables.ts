/*
 * Fixed addresses in the module's memory: constants and scratch. "Eight abreast" is a word of each of eight
 * lanes: two v128 side by side.
 */

/** Round constants, FIPS 180-4, 4.2.2. */
export const ROUND_CONSTANTS = memory.data<u32>([
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1,
  0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3,
  0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
  0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
  0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
  0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
  0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
  0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
  0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
  0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
  0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
], 16);

/** Initial value, FIPS 180-4, 5.3.3. */
const INITIAL = memory.data<u32>([
  0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
], 16);

/** ROUND_CONSTANTS eight abreast. */
export const K = memory.data(2048, 32);
/** INITIAL eight abreast. */
export const IV = memory.data(256, 32);
/** Words 8 to 15 of a padded 32-byte message with their round constants, eight abreast. */
export const DIGEST_ROUNDS = memory.data(256, 32);
/** Schedule with round constants of the block that pads a 64-byte message, eight abreast. */
export const NODE_PADDING = memory.data(2048, 32);
/** The 16 words of the block to be compressed, eight abreast. */
export const WORDS = memory.data(512, 32);
/** A block's schedule with round constants, eight abreast. */
export const SCHEDULE = memory.data(2048, 32);
/** The new state where only some lanes take it, eight abreast. */
export const BLEND = memory.data(256, 32);
/** Lanes of which a variable block, or a fixed one, is at hand. */
export const IS_VARIABLE = memory.data(32, 32);
export const IS_FIXED = memory.data(32, 32);
/** Lanes whose job has the branch at hand. */
export const HAS_BRANCH = memory.data(32, 32);
/** Where the schedules of eight lanes are. */
export const SCHEDULES = memory.data(32, 32);
/** The raw blocks of eight lanes. */
export const LANES = memory.data(512, 32);
/** One raw block given by the host. */
export const STAGE = memory.data(64, 16);
/** A block's schedule with round constants, one message. */
export const SINGLE = memory.data(256, 16);

/** Computes the tables; once, before anything else. */
export function fillTables(): void {
  splat(ROUND_CONSTANTS, K, 64);
  splat(INITIAL, IV, 8);
  for (let word: usize = 8; word < 16; word++) {
    const padding: u32 = word == 8 ? 0x80000000 : word == 15 ? 256 : 0;
    const constant = load<u32>(ROUND_CONSTANTS + (word << 2));
    storeTwice(DIGEST_ROUNDS + ((word - 8) << 5), i32x4.splat(padding + constant));
  }
  memory.fill(STAGE, 0, 64);
  store<u8>(STAGE, 0x80);
  store<u8>(STAGE, 0x02, 62);
  expand(STAGE, SINGLE);
  splat(SINGLE, NODE_PADDING, 64);
}

/** Copies `words` u32 to eight lanes each. */
export function splat(from: usize, to: usize, words: usize): void {
  for (let word: usize = 0; word < words; word++) {
    storeTwice(to + (word << 5), v128.load32_splat(from + (word << 2)));
  }
}

function storeTwice(to: usize, words: v128): void {
  v128.store(to, words);
  v128.store(to, words, 16);
}

/** Message schedule of one raw block, with round constants added: 64 u32. */
export function expand(block: usize, to: usize): void {
  for (let at: usize = 0; at < 64; at += 4) store<u32>(to + at, bswap(load<u32>(block + at)));
  for (let at = to + 64; at < to + 256; at += 4) {
    const early = load<u32>(at - 60);
    const late = load<u32>(at - 8);
    const sigma0 = rotr(early, 7) ^ rotr(early, 18) ^ (early >> 3);
    const sigma1 = rotr(late, 17) ^ rotr(late, 19) ^ (late >> 10);
    store<u32>(at, load<u32>(at - 64) + sigma0 + load<u32>(at - 28) + sigma1);
  }
  for (let at: usize = 0; at < 256; at += 4) {
    store<u32>(to + at, load<u32>(to + at) + load<u32>(ROUND_CONSTANTS + at));
  }
}

/** Compresses one raw block into a state of eight u32. */
export function absorb(state: usize, block: usize): void {
  expand(block, SINGLE);
  let a = load<u32>(state), b = load<u32>(state, 4), c = load<u32>(state, 8), d = load<u32>(state, 12);
  let e = load<u32>(state, 16), f = load<u32>(state, 20), g = load<u32>(state, 24), h = load<u32>(state, 28);
  for (let at: usize = 0; at < 256; at += 4) {
    const sum1 = rotr(e, 6) ^ rotr(e, 11) ^ rotr(e, 25);
    const first = h + sum1 + (g ^ (e & (f ^ g))) + load<u32>(SINGLE + at);
    const sum0 = rotr(a, 2) ^ rotr(a, 13) ^ rotr(a, 22);
    const second = sum0 + ((a & b) | (c & (a | b)));
    h = g; g = f; f = e; e = d + first;
    d = c; c = b; b = a; a = first + second;
  }
  store<u32>(state, load<u32>(state) + a);
  store<u32>(state, load<u32>(state, 4) + b, 4);
  store<u32>(state, load<u32>(state, 8) + c, 8);
  store<u32>(state, load<u32>(state, 12) + d, 12);
  store<u32>(state, load<u32>(state, 16) + e, 16);
  store<u32>(state, load<u32>(state, 20) + f, 20);
  store<u32>(state, load<u32>(state, 24) + g, 24);
  store<u32>(state, load<u32>(state, 28) + h, 28);
}

/** Copies the initial value to a state of eight u32. */
export function startState(state: usize): void {
  memory.copy(state, INITIAL, 32);
}
