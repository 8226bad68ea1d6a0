/*
 * Hashes shares eight abreast: coinbase from its job's midstate, merkle path, header. Every stage runs
 * over all groups of eight before the next begins, so that one loop of rounds at a time is in the
 * instruction cache. What is done for four lanes at a time goes by `half`: 0 or 16 bytes into the eight.
 * `./rounds` is written by `../rounds-source.ts`; to read it, print `roundsSource()`.
 */

import { compressDigest, compressSchedule, compressWords } from './rounds';
import { BLEND, DIGEST_ROUNDS, HAS_BRANCH, IS_FIXED, IS_VARIABLE, IV, K, LANES } from './tables';
import { NODE_PADDING, SCHEDULE, SCHEDULES, STAGE, WORDS } from './tables';
import { absorb as absorbBlock, expand as expandBlock, fillTables, splat, startState } from './tables';

/** Slot: job u32, version u32, ntime u32, nonce u32, extranonce 32 bytes. */
export const SLOT_SIZE: usize = 64;
const SLOT_VERSION: usize = 4;
const SLOT_NTIME: usize = 8;
const SLOT_NONCE: usize = 12;
export const SLOT_EXTRANONCE: usize = 16;

/** Job record, u32 fields. Blocks are counted from the end of the midstate. */
export const JOB_BLOCKS: usize = 0;
/** Blocks of them that hold extranonce bytes: one or two, the first. */
export const JOB_VARIABLE_BLOCKS: usize = 4;
export const JOB_BRANCHES: usize = 8;
/** Where the extranonce begins in the first block. */
export const JOB_EXTRANONCE_AT: usize = 12;
export const JOB_EXTRANONCE_SIZE: usize = 16;
export const JOB_BITS: usize = 20;
export const JOB_MAGIC: usize = 24;
export const JOB_MIDSTATE: usize = 32;
/** Eight words, as in the header's message schedule. */
export const JOB_PREV_HASH: usize = 64;
/** Used while shares are grouped. */
const JOB_COUNT: usize = 96;
const JOB_NEXT: usize = 100;
const JOB_POSITION: usize = 104;
/** Raw bytes of the variable blocks, extranonce left out. */
export const JOB_TEMPLATE: usize = 128;
/** 32 bytes each, raw; then the schedules of the blocks behind the variable ones, 256 bytes each. */
export const JOB_TAIL: usize = 256;

/** In JOB_MAGIC while the job may be used. */
export const MAGIC: u32 = 0x6a6f6221;

/** A group's digest, and behind it a working state: eight words each, eight abreast. */
const GROUP_SIZE: usize = 512;
const WORKING: usize = 256;
/** Of the order: a pointer for each lane. */
const POINTERS: usize = 32;

/** Tables for the rounds, by variable addresses: see `roundsSource`. */
let words: usize = 0;
let constants: usize = 0;
let initial: usize = 0;
let digestRounds: usize = 0;
let slots: usize = 0;
let hashes: usize = 0;
let order: usize = 0;
let groups: usize = 0;
/** Inputs of `hashTree`, and eight more places. */
let tree: usize = 0;
let groupCount: usize = 0;
let mostBlocks: u32 = 0;
let mostBranches: u32 = 0;
/** What SCHEDULE holds, when all its lanes are the same. */
let expanded: usize = 0;

/** Lays out memory. @returns where the host's job records may begin */
export function configure(capacity: usize): usize {
  fillTables();
  words = WORDS; constants = K; initial = IV; digestRounds = DIGEST_ROUNDS;
  slots = (__heap_base + 63) & ~63;
  hashes = slots + capacity * SLOT_SIZE;
  order = hashes + capacity * 32;
  groups = (order + capacity * 4 + POINTERS + 63) & ~63;
  tree = groups + ((capacity + 7) >> 3) * GROUP_SIZE;
  return tree + (capacity + 8) * 64;
}

export function slotsAt(): usize { return slots; }
export function hashesAt(): usize { return hashes; }
export function treeAt(): usize { return tree; }
/** 64 bytes that the host fills for `absorb` and `expand`. */
export function stageAt(): usize { return STAGE; }

export function start(state: usize): void { startState(state); }
/** Compresses the staged block into a state of eight u32. */
export function absorb(state: usize): void { absorbBlock(state, STAGE); }
/** Writes the schedule of the staged block, round constants added, 256 bytes. */
export function expand(to: usize): void { expandBlock(STAGE, to); }

/** Hashes slots 0 to count-1. @returns false when a slot names no job */
export function run(count: usize): bool {
  if (!group(count)) return false;
  expanded = 0;
  for (let block: u32 = 0; block < mostBlocks; block++) hashCoinbaseBlock(block);
  const end = groups + groupCount * GROUP_SIZE;
  for (let at = groups; at < end; at += GROUP_SIZE) compressDigest(at, at, initial, constants, digestRounds);
  for (let branch: u32 = 0; branch < mostBranches; branch++) foldBranch(branch);
  hashHeaders();
  return true;
}

/**
 * Digests of `count` leaves (32 bytes) or nodes (64 bytes) of a tree of RFC 6962, 32 bytes each, in the place
 * of what they are of.
 */
export function hashTree(count: usize, size: usize): void {
  const groupSize = size << 3;
  for (let at = tree, to = tree, end = tree + count * size; at < end; at += groupSize, to += 256) {
    for (let lane: usize = 0; lane < 8; lane++) {
      const block = LANES + (lane << 6), from = at + lane * size;
      v128.store(block, v128.load(from), 1);
      v128.store(block, v128.load(from, 16), 17);
      if (size == 32) {
        clear(block + 33, block + 48);
        store<u8>(block, 0);
        store<u8>(block, 0x80, 33);
        store<u16>(block, 0x0801, 62);
      } else {
        store<u8>(block, 1);
        v128.store(block, v128.load(from, 32), 33);
        v128.store(block, v128.load(from, 47), 48);
      }
    }
    compressLanes(initial);
    if (size == 64) {
      for (let lane: usize = 0; lane < 8; lane++) {
        const block = LANES + (lane << 6);
        clear(block, block + 16);
        clear(block + 32, block + 48);
        store<u8>(block, load<u8>(at + (lane << 6), 63));
        store<u8>(block, 0x80, 1);
        store<u16>(block, 0x0802, 62);
      }
      compressLanes(groups);
    }
    for (let half: usize = 0; half < 32; half += 16) {
      columnsSwapped(groups + half, LANES);
      columnsSwapped(groups + half + 128, LANES + 64);
      for (let lane: usize = 0; lane < 4; lane++) {
        const digest = to + ((lane + (half >> 2)) << 5);
        v128.store(digest, v128.load(LANES + (lane << 4)));
        v128.store(digest, v128.load(LANES + 64 + (lane << 4)), 16);
      }
    }
  }
}

/** Zeros of 16 bytes in two places. */
@inline function clear(one: usize, other: usize): void {
  v128.store(one, i32x4.splat(0));
  v128.store(other, i32x4.splat(0));
}

/** Compresses the raw blocks of LANES into the first group's digests. */
function compressLanes(from: usize): void {
  lanesToWords();
  compressWords(from, groups, words, constants);
}

/** Brings the raw blocks of LANES to WORDS. */
function lanesToWords(): void {
  for (let part: usize = 0; part < 64; part += 16) {
    const low = LANES + part, high = LANES + 256 + part, to = WORDS + (part << 3);
    transposeSwapped(low, low + 64, low + 128, low + 192, to);
    transposeSwapped(high, high + 64, high + 128, high + 192, to + 16);
  }
}

/** Orders the slots by job, so that lanes seldom differ; the last group is filled up with the last slot. */
function group(count: usize): bool {
  let jobs: usize = 0;
  for (let slot = slots, end = slots + count * SLOT_SIZE; slot < end; slot += SLOT_SIZE) {
    const job = pointer(slot);
    if (job == 0 || load<u32>(job, JOB_MAGIC) != MAGIC) return abandon(jobs);
    const sofar = load<u32>(job, JOB_COUNT);
    if (sofar == 0) {
      store<usize>(job, jobs, JOB_NEXT);
      jobs = job;
    }
    store<u32>(job, sofar + 1, JOB_COUNT);
  }
  mostBlocks = 0;
  mostBranches = 0;
  let position = order;
  for (let job = jobs; job != 0; job = pointer(job + JOB_NEXT)) {
    store<usize>(job, position, JOB_POSITION);
    position += <usize>load<u32>(job, JOB_COUNT) << 2;
    store<u32>(job, 0, JOB_COUNT);
    mostBlocks = max(mostBlocks, load<u32>(job, JOB_BLOCKS));
    mostBranches = max(mostBranches, load<u32>(job, JOB_BRANCHES));
  }
  for (let slot = slots, end = slots + count * SLOT_SIZE; slot < end; slot += SLOT_SIZE) {
    const job = pointer(slot);
    const at = pointer(job + JOB_POSITION);
    store<usize>(at, slot);
    store<usize>(job, at + 4, JOB_POSITION);
  }
  if (count > 0) {
    const last = pointer(position - 4);
    for (let filler: usize = 0; filler < 7; filler++) store<usize>(position + (filler << 2), last);
  }
  groupCount = (count + 7) >> 3;
  return true;
}

function abandon(jobs: usize): bool {
  for (let job = jobs; job != 0; job = pointer(job + JOB_NEXT)) store<u32>(job, 0, JOB_COUNT);
  return false;
}

function hashCoinbaseBlock(block: u32): void {
  const end = groups + groupCount * GROUP_SIZE;
  for (let at = groups, lanes = order; at < end; at += GROUP_SIZE, lanes += POINTERS) {
    for (let half: usize = 0; half < 32; half += 16) sortLanes(block, lanes + half, at + half, half);
    if (any(IS_VARIABLE)) {
      for (let lane: usize = 0; lane < 8; lane++) {
        composeBlock(pointer(lanes + (lane << 2)), block, LANES + (lane << 6));
      }
      lanesToWords();
      if (all(IS_VARIABLE)) compressWords(at, at, words, constants);
      else {
        compressWords(at, BLEND, words, constants);
        blend(at, IS_VARIABLE);
      }
    }
    if (any(IS_FIXED)) {
      prepareSchedule(block, lanes);
      if (all(IS_FIXED)) compressSchedule(at, at, SCHEDULE);
      else {
        compressSchedule(at, BLEND, SCHEDULE);
        blend(at, IS_FIXED);
      }
    }
  }
}

/** Which of four lanes have a variable or a fixed block; before the first, their midstates. */
function sortLanes(block: u32, lanes: usize, at: usize, half: usize): void {
  if (block == 0) transposeJobs(lanes, JOB_MIDSTATE, at);
  const isVariable = i32x4.gt_u(gatherJobs(lanes, JOB_VARIABLE_BLOCKS), i32x4.splat(block));
  const isBlock = i32x4.gt_u(gatherJobs(lanes, JOB_BLOCKS), i32x4.splat(block));
  v128.store(IS_VARIABLE + half, isVariable);
  v128.store(IS_FIXED + half, v128.andnot(isBlock, isVariable));
}

/**
 * A variable block of a slot's coinbase, extranonce in place; of no meaning when the job has no such
 * block.
 */
function composeBlock(slot: usize, block: u32, to: usize): void {
  const job = pointer(slot);
  const template = job + JOB_TEMPLATE + ((block & 1) << 6);
  v128.store(to, v128.load(template));
  v128.store(to, v128.load(template, 16), 16);
  v128.store(to, v128.load(template, 32), 32);
  v128.store(to, v128.load(template, 48), 48);
  const offset = <i32>load<u32>(job, JOB_EXTRANONCE_AT) - <i32>((block & 1) << 6);
  const first = max(0, -offset);
  const end = min(<i32>load<u32>(job, JOB_EXTRANONCE_SIZE), 64 - offset);
  for (let byte = first; byte < end; byte++) {
    store<u8>(to + offset + byte, load<u8>(slot + byte, SLOT_EXTRANONCE));
  }
}

/** The schedule of a fixed block; any schedule when the job has no such block or it is a variable one. */
function scheduleOf(job: usize, block: u32): usize {
  const variable = load<u32>(job, JOB_VARIABLE_BLOCKS);
  if (block < variable || block >= load<u32>(job, JOB_BLOCKS)) return K;
  return job + JOB_TAIL + (<usize>load<u32>(job, JOB_BRANCHES) << 5) + (<usize>(block - variable) << 8);
}

/** Brings eight schedules to SCHEDULE. */
function prepareSchedule(block: u32, lanes: usize): void {
  let isOne = true;
  for (let lane: usize = 0; lane < POINTERS; lane += 4) {
    store<usize>(SCHEDULES + lane, scheduleOf(pointer(pointer(lanes + lane)), block));
    if (pointer(SCHEDULES + lane) != pointer(SCHEDULES)) isOne = false;
  }
  const first = pointer(SCHEDULES);
  if (isOne) {
    if (first != expanded) splat(first, SCHEDULE, 64);
    expanded = first;
    return;
  }
  for (let half: usize = 0; half < 32; half += 16) {
    const p0 = pointer(SCHEDULES + half), p1 = pointer(SCHEDULES + half + 4);
    const p2 = pointer(SCHEDULES + half + 8), p3 = pointer(SCHEDULES + half + 12);
    for (let at: usize = 0; at < 256; at += 16) {
      transpose(p0 + at, p1 + at, p2 + at, p3 + at, SCHEDULE + half + (at << 3));
    }
  }
  expanded = 0;
}

/** `root = sha256d(root || branch)`; a job with fewer branches keeps its root. */
function foldBranch(branch: u32): void {
  const end = groups + groupCount * GROUP_SIZE;
  for (let at = groups, lanes = order; at < end; at += GROUP_SIZE, lanes += POINTERS) {
    memory.copy(WORDS, at, 256);
    for (let half: usize = 0; half < 32; half += 16) {
      const four = lanes + half;
      const b0 = branchOf(pointer(four), branch), b1 = branchOf(pointer(four + 4), branch);
      const b2 = branchOf(pointer(four + 8), branch), b3 = branchOf(pointer(four + 12), branch);
      transposeSwapped(b0, b1, b2, b3, WORDS + 256 + half);
      transposeSwapped(b0 + 16, b1 + 16, b2 + 16, b3 + 16, WORDS + 384 + half);
    }
    compressWords(initial, at + WORKING, words, constants);
  }
  for (let at = groups + WORKING; at < end; at += GROUP_SIZE) compressSchedule(at, at, NODE_PADDING);
  for (let at = groups, lanes = order; at < end; at += GROUP_SIZE, lanes += POINTERS) {
    for (let half: usize = 0; half < 32; half += 16) {
      const branches = gatherJobs(lanes + half, JOB_BRANCHES);
      v128.store(HAS_BRANCH + half, i32x4.gt_u(branches, i32x4.splat(branch)));
    }
    if (all(HAS_BRANCH)) compressDigest(at + WORKING, at, initial, constants, digestRounds);
    else {
      compressDigest(at + WORKING, BLEND, initial, constants, digestRounds);
      blend(at, HAS_BRANCH);
    }
  }
}

/** A branch of a slot's job; any 32 bytes when it has fewer. */
function branchOf(slot: usize, branch: u32): usize {
  const job = pointer(slot);
  return branch < load<u32>(job, JOB_BRANCHES) ? job + JOB_TAIL + (<usize>branch << 5) : job;
}

function hashHeaders(): void {
  const end = groups + groupCount * GROUP_SIZE;
  for (let at = groups, lanes = order; at < end; at += GROUP_SIZE, lanes += POINTERS) headerStart(at, lanes);
  for (let at = groups, lanes = order; at < end; at += GROUP_SIZE, lanes += POINTERS) headerEnd(at, lanes);
  for (let at = groups; at < end; at += GROUP_SIZE) {
    compressDigest(at + WORKING, at, initial, constants, digestRounds);
  }
  for (let at = groups, lanes = order; at < end; at += GROUP_SIZE, lanes += POINTERS) emit(at, lanes);
}

/** Bytes 0 to 63: version, prevHash, 28 bytes of the root. */
function headerStart(at: usize, lanes: usize): void {
  for (let half: usize = 0; half < 32; half += 16) {
    v128.store(WORDS + half, swapBytes(gatherSlots(lanes + half, SLOT_VERSION)));
    transposeJobs(lanes + half, JOB_PREV_HASH, WORDS + 32 + half);
  }
  memory.copy(WORDS + 288, at, 224);
  compressWords(initial, at + WORKING, words, constants);
}

/** Bytes 64 to 79, and the padding of an 80-byte message. */
function headerEnd(at: usize, lanes: usize): void {
  memory.copy(WORDS, at + 224, 32);
  memory.fill(WORDS + 160, 0, 352);
  for (let half: usize = 0; half < 32; half += 16) {
    v128.store(WORDS + half, swapBytes(gatherSlots(lanes + half, SLOT_NTIME)), 32);
    v128.store(WORDS + half, swapBytes(gatherJobs(lanes + half, JOB_BITS)), 64);
    v128.store(WORDS + half, swapBytes(gatherSlots(lanes + half, SLOT_NONCE)), 96);
    v128.store(WORDS + half, i32x4.splat(0x80000000), 128);
    v128.store(WORDS + half, i32x4.splat(640), 480);
  }
  compressWords(at + WORKING, at + WORKING, words, constants);
}

/** Writes the digests to where the slots' hashes belong. */
function emit(at: usize, lanes: usize): void {
  for (let half: usize = 0; half < 32; half += 16) {
    const low = at + half, high = low + 128;
    columnsSwapped(low, LANES);
    columnsSwapped(high, LANES + 64);
    for (let lane: usize = 0; lane < 4; lane++) {
      const to = hashes + ((pointer(lanes + half + (lane << 2)) - slots) >> 1);
      v128.store(to, v128.load(LANES + (lane << 4)));
      v128.store(to, v128.load(LANES + 64 + (lane << 4)), 16);
    }
  }
}

/** Takes BLEND in the lanes of the mask. */
function blend(at: usize, mask: usize): void {
  for (let word: usize = 0; word < 256; word += 16) {
    const taken = v128.load(mask + (word & 16));
    v128.store(at + word, v128.bitselect(v128.load(BLEND + word), v128.load(at + word), taken));
  }
}

@inline function any(mask: usize): bool {
  return v128.any_true(v128.or(v128.load(mask), v128.load(mask, 16)));
}
@inline function all(mask: usize): bool {
  return i32x4.all_true(v128.and(v128.load(mask), v128.load(mask, 16)));
}

@inline function pointer(at: usize): usize { return load<usize>(at); }

/** One u32 of the slots of four lanes. */
@inline function gatherSlots(lanes: usize, field: usize): v128 {
  return gather(pointer(lanes), pointer(lanes + 4), pointer(lanes + 8), pointer(lanes + 12), field);
}

/** One u32 of the jobs of four lanes. */
@inline function gatherJobs(lanes: usize, field: usize): v128 {
  return gather(
    pointer(pointer(lanes)), pointer(pointer(lanes + 4)),
    pointer(pointer(lanes + 8)), pointer(pointer(lanes + 12)), field,
  );
}

/** One u32 of each of four records. */
@inline function gather(p0: usize, p1: usize, p2: usize, p3: usize, field: usize): v128 {
  let words = v128.load32_splat(p0 + field);
  words = v128.load_lane<u32>(p1 + field, words, 1);
  words = v128.load_lane<u32>(p2 + field, words, 2);
  return v128.load_lane<u32>(p3 + field, words, 3);
}

/** Reverses the bytes of every u32. */
@inline function swapBytes(words: v128): v128 {
  return i8x16.swizzle(words, i8x16(3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12));
}

/** Eight words of the jobs of four lanes. */
function transposeJobs(lanes: usize, field: usize, to: usize): void {
  const p0 = pointer(pointer(lanes)) + field, p1 = pointer(pointer(lanes + 4)) + field;
  const p2 = pointer(pointer(lanes + 8)) + field, p3 = pointer(pointer(lanes + 12)) + field;
  transpose(p0, p1, p2, p3, to);
  transpose(p0 + 16, p1 + 16, p2 + 16, p3 + 16, to + 128);
}

/** Four rows of four u32 to four columns, of four lanes of the words at `to`. */
function transpose(p0: usize, p1: usize, p2: usize, p3: usize, to: usize): void {
  storeColumns(v128.load(p0), v128.load(p1), v128.load(p2), v128.load(p3), to, 32);
}

/** The same, with the bytes of every word reversed. */
function transposeSwapped(p0: usize, p1: usize, p2: usize, p3: usize, to: usize): void {
  storeColumns(
    swapBytes(v128.load(p0)), swapBytes(v128.load(p1)),
    swapBytes(v128.load(p2)), swapBytes(v128.load(p3)), to, 32,
  );
}

/** Back: four words of four lanes to four rows of bytes, one behind the other. */
function columnsSwapped(from: usize, to: usize): void {
  storeColumns(
    swapBytes(v128.load(from)), swapBytes(v128.load(from, 32)),
    swapBytes(v128.load(from, 64)), swapBytes(v128.load(from, 96)), to, 16,
  );
}

@inline function storeColumns(r0: v128, r1: v128, r2: v128, r3: v128, to: usize, apart: usize): void {
  const low01 = v128.shuffle<u32>(r0, r1, 0, 4, 1, 5);
  const low23 = v128.shuffle<u32>(r2, r3, 0, 4, 1, 5);
  const high01 = v128.shuffle<u32>(r0, r1, 2, 6, 3, 7);
  const high23 = v128.shuffle<u32>(r2, r3, 2, 6, 3, 7);
  v128.store(to, v128.shuffle<u64>(low01, low23, 0, 2));
  v128.store(to + apart, v128.shuffle<u64>(low01, low23, 1, 3));
  v128.store(to + 2 * apart, v128.shuffle<u64>(high01, high23, 0, 2));
  v128.store(to + 3 * apart, v128.shuffle<u64>(high01, high23, 1, 3));
}
