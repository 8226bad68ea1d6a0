import { bigFromLe, bigToBe, bigToLe, toHex } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';

/** Target of difficulty 1 ("bdiff"), what Stratum's `set_difficulty` counts in: `0xffff * 2^208`. */
export const DIFFICULTY_1_TARGET = 0xffffn << 208n;

/** The easiest target a share can be assigned: one hash in two. */
export const MAX_TARGET = (1n << 255n) - 1n;

/** The easiest difficulty that is a power of two and whose target is no easier than `MAX_TARGET`. */
export const MIN_DIFFICULTY = 2 ** -31;

const TWO_256 = 1n << 256n;

/**
 * Expected hashes of one share at the assigned target T: `floor(2^256 / (T + 1))`, Bitcoin's chainwork rule.
 * At difficulty 1 this is 4,295,032,833.
 */
export function workOfTarget(target: bigint): bigint {
  return TWO_256 / (target + 1n);
}

/**
 * The target of a Stratum difficulty: `floor(DIFFICULTY_1_TARGET / difficulty)`, exact for the decimal that
 * travels in `set_difficulty`: 0.1 is one tenth, not the double nearest to it.
 * @param difficulty a positive finite number; fractions are allowed
 * @returns at most MAX_TARGET
 */
export function targetOfDifficulty(difficulty: number): bigint {
  if (!Number.isFinite(difficulty) || difficulty <= 0) {
    throw new CodedError('malformed', `difficulty must be a positive number, got ${difficulty}`);
  }
  const [digits, exponent] = decimalParts(difficulty);
  const target =
    exponent >= 0
      ? DIFFICULTY_1_TARGET / (digits * 10n ** BigInt(exponent))
      : (DIFFICULTY_1_TARGET * 10n ** BigInt(-exponent)) / digits;
  return target > MAX_TARGET ? MAX_TARGET : target;
}

/**
 * `value = digits * 10^exponent`, from the shortest decimal that reads back as this double: what JSON
 * carries.
 */
function decimalParts(value: number): [digits: bigint, exponent: number] {
  const [mantissa = '', power = '0'] = value.toString().split('e');
  const [whole = '', fraction = ''] = mantissa.split('.');
  return [BigInt(whole + fraction), Number(power) - fraction.length];
}

/**
 * The difficulty of a target: `DIFFICULTY_1_TARGET / target` as a double; display and `set_difficulty`
 * only, never for credit.
 */
export function difficultyOfTarget(target: bigint): number {
  if (target <= 0n) throw new CodedError('malformed', 'target must be positive');
  const scaled = (DIFFICULTY_1_TARGET << 64n) / target;
  return Number(scaled) / 2 ** 64;
}

/** A difficulty with exactly this target, as short a decimal as there is; undefined where none has it. */
export function decimalDifficultyOf(target: bigint): number | undefined {
  // With all bits of a double, also below 1.
  const near = Number((DIFFICULTY_1_TARGET << 192n) / target) / 2 ** 192;
  for (let digits = 1; digits <= 17; digits += 1) {
    const difficulty = Number(near.toPrecision(digits));
    if (difficulty > 0 && targetOfDifficulty(difficulty) === target) return difficulty;
  }
  return undefined;
}

/**
 * The target that `nBits` stands for. Throws `malformed` for a negative, zero or overflowing target, as
 * consensus does.
 * @param bits the u32 of a header
 */
export function targetOfCompact(bits: number): bigint {
  const size = bits >>> 24;
  const word = BigInt(bits & 0x007fffff);
  const target = size <= 3 ? word >> BigInt(8 * (3 - size)) : word << BigInt(8 * (size - 3));
  if ((bits & 0x00800000) !== 0 || target === 0n || target >= TWO_256) {
    throw new CodedError('malformed', `nbits ${(bits >>> 0).toString(16)} is not a target`);
  }
  return target;
}

/** The `nBits` of a target (rounded down to 23 significant bits, as consensus does). */
export function compactOfTarget(target: bigint): number {
  let size = Math.ceil(target.toString(16).length / 2);
  let word = size <= 3 ? target << BigInt(8 * (3 - size)) : target >> BigInt(8 * (size - 3));
  if ((word & 0x800000n) !== 0n) {
    word >>= 8n;
    size += 1;
  }
  return (size * 2 ** 24 + Number(word)) >>> 0;
}

/** The target in 32 little-endian bytes, the order in which a header hash is compared with it. */
export function targetToLe(target: bigint): Uint8Array {
  return bigToLe(target, 32);
}

/** The target in 64 hex digits, big-endian, as targets and hashes are displayed. */
export function targetToHex(target: bigint): string {
  return toHex(bigToBe(target, 32));
}

/** A header hash (internal order) as the number compared with a target. */
export function hashToNumber(hash: Uint8Array): bigint {
  return bigFromLe(hash);
}
