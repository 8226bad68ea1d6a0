import { z } from 'zod';

/** A whole number that may be larger than JSON's: amounts and work, as decimal digits. */
export const decimal = z
  .string()
  .regex(/^-?\d{1,60}$/)
  .describe('a whole number in decimal digits');
export const count = z.int().min(0);
export const whole = z.int();
export const height = z.int().min(0).max(500_000_000);
/** Wall time. */
export const timeMs = z.number().min(0).describe('Unix time in milliseconds');
export const hashesPerSecond = z.number().min(0);
export const text = z.string();
export const id = z.string().regex(/^[0-9a-f]{64}$/);
/** Counts by words of a closed set that is ours: never by what a stranger calls himself. */
export const counts = z.record(z.string(), count);
export const coded = z.object({ code: text, detail: text });

export const outcomes = z.object({ accepted: count, refused: count, timeout: count, lost: count });

export const hashrate = z.object({ text, hashes_per_second: hashesPerSecond });

export const luck = z.object({
  solutions: count,
  expected: z.number().min(0),
  fewer: z.number().describe('probability of so few solutions or fewer'),
  more: z.number().describe('probability of so many solutions or more'),
  least: z.number().describe('of the band that is not unlikely'),
  most: z.number().describe('of the band that is not unlikely'),
});
