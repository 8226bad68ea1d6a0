/**
 * Writes, byte by byte, a WebAssembly module that hashes block headers four abreast. It exists so that
 * simulated ASICs and the chain's own miner really hash without taking the machine, and is built at run
 * time: no binary, no build step.
 *
 * Exports `memory` and `scan(nonce: i32, groups: i32) -> i32`. Memory (byte offsets): 0 midstate of the
 * first 64 header bytes, eight native u32; 32 the next three header words as SHA-256 reads them; 44 the
 * most significant u32 of the target. `scan` hashes nonces `nonce + 4g + {0..3}` and returns the first
 * group g in which a hash's most significant u32 is at most the target's, or `groups`.
 */
export const MIDSTATE_OFFSET = 0;
export const TAIL_OFFSET = 32;
export const TARGET_TOP_OFFSET = 44;

/** First 32 bits of the fractional parts of the square and cube roots of the first primes (FIPS 180-4). */
const PRIMES = firstPrimes(64);
export const SHA256_INITIAL: readonly number[] = PRIMES.slice(0, 8).map((prime) => rootFraction(prime, 2n));
export const SHA256_ROUND: readonly number[] = PRIMES.map((prime) => rootFraction(prime, 3n));

function firstPrimes(count: number): bigint[] {
  const primes: bigint[] = [];
  for (let candidate = 2n; primes.length < count; candidate += 1n) {
    if (primes.every((prime) => candidate % prime !== 0n)) primes.push(candidate);
  }
  return primes;
}

/** `frac(value^(1/power)) * 2^32`, by bisection over integers. */
function rootFraction(value: bigint, power: bigint): number {
  const scaled = value << (32n * power);
  let low = 0n;
  let high = 1n << 37n;
  while (high - low > 1n) {
    const middle = (low + high) >> 1n;
    if (middle ** power <= scaled) low = middle;
    else high = middle;
  }
  return Number(low & 0xffffffffn);
}

type Code = number[];

const LOCAL_NONCE = 0;
const LOCAL_GROUPS = 1;
const LOCAL_INDEX = 2;
const LOCAL_WORDS = 3;
const LOCAL_STATE = LOCAL_WORDS + 16;
const LOCAL_TEMP = LOCAL_STATE + 8;
const VECTOR_LOCALS = 16 + 8 + 1;

const leb = (value: number): Code => {
  const out: Code = [];
  let rest = value >>> 0;
  do {
    out.push((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0));
    rest >>>= 7;
  } while (rest !== 0);
  return out;
};

const signedLeb = (value: number): Code => {
  const out: Code = [];
  let rest = value | 0;
  for (;;) {
    const byte = rest & 0x7f;
    rest >>= 7;
    const last = (rest === 0 && (byte & 0x40) === 0) || (rest === -1 && (byte & 0x40) !== 0);
    out.push(last ? byte : byte | 0x80);
    if (last) return out;
  }
};

const get = (local: number): Code => [0x20, ...leb(local)];
const set = (local: number): Code => [0x21, ...leb(local)];
const tee = (local: number): Code => [0x22, ...leb(local)];
const i32 = (value: number): Code => [0x41, ...signedLeb(value)];
const simd = (opcode: number): Code => [0xfd, ...leb(opcode)];

const SPLAT = simd(0x11);
const XOR = simd(0x51);
const OR = simd(0x50);
const BITSELECT = simd(0x52);
const ANY_TRUE = simd(0x53);
const LE_U = simd(0x3e);
const SHL = simd(0xab);
const SHR_U = simd(0xad);
const ADD = simd(0xae);
const loadSplat = (offset: number): Code => [...i32(0), ...simd(0x09), 2, ...leb(offset)];
const lanes = (values: readonly number[]): Code => [
  ...simd(0x0c),
  ...values.flatMap((value) => [value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, value >>> 24]),
];
const constant = (value: number): Code => lanes([value, value, value, value]);

/** Reverses the bytes of each lane of the vector on the stack, by way of `local`. */
const swapBytes = (local: number): Code => [
  ...tee(local),
  ...get(local),
  ...simd(0x0d),
  ...[3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12],
];

const rotateRight = (local: number, bits: number): Code => [
  ...[...get(local), ...i32(bits), ...SHR_U],
  ...[...get(local), ...i32(32 - bits), ...SHL],
  ...OR,
];

const bigSigma = (local: number, [a, b, c]: readonly [number, number, number]): Code => [
  ...rotateRight(local, a),
  ...rotateRight(local, b),
  ...XOR,
  ...rotateRight(local, c),
  ...XOR,
];

const smallSigma = (local: number, [a, b, shift]: readonly [number, number, number]): Code => [
  ...rotateRight(local, a),
  ...rotateRight(local, b),
  ...XOR,
  ...[...get(local), ...i32(shift), ...SHR_U],
  ...XOR,
];

const word = (index: number): number => LOCAL_WORDS + (index & 15);

/** Extends the message schedule in place: `w[t] += s0(w[t+1]) + w[t+9] + s1(w[t+14])`, indices modulo 16. */
const schedule = (round: number): Code => [
  ...get(word(round)),
  ...smallSigma(word(round + 1), [7, 18, 3]),
  ...ADD,
  ...[...get(word(round + 9)), ...ADD],
  ...smallSigma(word(round + 14), [17, 19, 10]),
  ...[...ADD, ...set(word(round))],
];

/**
 * The 64 rounds over the word locals; the registers are renamed instead of moved, and end where they
 * began.
 */
function rounds(): Code {
  const code: Code = [];
  let registers = Array.from({ length: 8 }, (_, index) => LOCAL_STATE + index);
  for (let round = 0; round < 64; round += 1) {
    const [a, b, c, d, e, f, g, h] = registers as [
      number,
      number,
      number,
      number,
      number,
      number,
      number,
      number,
    ];
    if (round >= 16) code.push(...schedule(round));
    code.push(
      ...[...get(h), ...bigSigma(e, [6, 11, 25]), ...ADD],
      ...[...get(f), ...get(g), ...get(e), ...BITSELECT, ...ADD],
      ...[...constant(SHA256_ROUND[round]!), ...ADD],
      ...[...get(word(round)), ...ADD, ...tee(LOCAL_TEMP)],
      ...[...get(d), ...ADD, ...set(d)],
      ...[...get(LOCAL_TEMP), ...bigSigma(a, [2, 13, 22]), ...ADD],
      ...[...get(c), ...get(a), ...get(a), ...get(b), ...XOR, ...BITSELECT, ...ADD, ...set(h)],
    );
    registers = [h, a, b, c, d, e, f, g];
  }
  return code;
}

/**
 * Both SHA-256 passes for one group of four nonces; leaves the most significant words of the hashes on
 * the stack.
 */
function hashGroup(): Code {
  const code: Code = [];
  for (let index = 0; index < 3; index += 1)
    code.push(...loadSplat(TAIL_OFFSET + index * 4), ...set(word(index)));
  code.push(
    ...[...get(LOCAL_NONCE), ...get(LOCAL_INDEX), ...i32(2), 0x74, 0x6a, ...SPLAT],
    ...[...lanes([0, 1, 2, 3]), ...ADD, ...swapBytes(LOCAL_TEMP), ...set(word(3))],
    ...[...constant(0x80000000), ...set(word(4))],
  );
  for (let index = 5; index < 15; index += 1) code.push(...constant(0), ...set(word(index)));
  code.push(...constant(80 * 8), ...set(word(15)));
  for (let index = 0; index < 8; index += 1)
    code.push(...loadSplat(index * 4), ...set(LOCAL_STATE + index));
  code.push(...rounds());
  for (let index = 0; index < 8; index += 1) {
    code.push(...loadSplat(index * 4), ...get(LOCAL_STATE + index), ...ADD, ...set(word(index)));
  }
  code.push(...constant(0x80000000), ...set(word(8)));
  for (let index = 9; index < 15; index += 1) code.push(...constant(0), ...set(word(index)));
  code.push(...constant(32 * 8), ...set(word(15)));
  for (const [index, value] of SHA256_INITIAL.entries())
    code.push(...constant(value), ...set(LOCAL_STATE + index));
  code.push(...rounds());
  code.push(...constant(SHA256_INITIAL[7]!), ...get(LOCAL_STATE + 7), ...ADD, ...swapBytes(LOCAL_TEMP));
  return code;
}

function scanBody(): Code {
  const instructions = [
    ...[0x03, 0x40],
    ...[...get(LOCAL_INDEX), ...get(LOCAL_GROUPS), 0x49, 0x04, 0x40],
    ...hashGroup(),
    ...[...loadSplat(TARGET_TOP_OFFSET), ...LE_U, ...ANY_TRUE, 0x45, 0x04, 0x40],
    ...[...get(LOCAL_INDEX), ...i32(1), 0x6a, ...set(LOCAL_INDEX), 0x0c, 0x02],
    ...[0x0b, 0x0b, 0x0b],
    ...get(LOCAL_INDEX),
    0x0b,
  ];
  const locals = [2, 1, 0x7f, VECTOR_LOCALS, 0x7b];
  return [...leb(locals.length + instructions.length), ...locals, ...instructions];
}

const section = (id: number, content: Code): Code => [id, ...leb(content.length), ...content];
const text = (value: string): Code => [value.length, ...new TextEncoder().encode(value)];

/** The module's bytes: a fixed function of this file. */
export function sha256ModuleBytes(): Uint8Array<ArrayBuffer> {
  const bytes: Code = [
    ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
    ...section(1, [1, 0x60, 2, 0x7f, 0x7f, 1, 0x7f]),
    ...section(3, [1, 0]),
    ...section(5, [1, 0, 1]),
    ...section(7, [2, ...text('memory'), 2, 0, ...text('scan'), 0, 0]),
    ...section(10, [1, ...scanBody()]),
  ];
  return Uint8Array.from(bytes);
}
