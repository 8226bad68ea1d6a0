import { CodedError } from '../base/errors.ts';
import { MAX_SATS } from '../base/units.ts';

const DECIMAL = /^([0-9]{1,16})(?:\.([0-9]{1,24}))?(?:[eE]([+-]?[0-9]{1,2}))?$/;

/**
 * Bitcoin amounts as nodes print them ("0.00001000", "1e-8", "3") to satoshis, exactly; no float in between.
 * Throws `chain_rpc` for anything else: negative, finer than a satoshi, above 21 million.
 */
export function satsOfBtc(text: string): bigint {
  const match = DECIMAL.exec(text);
  if (match === null)
    throw new CodedError('chain_rpc', `not an amount: ${JSON.stringify(text.slice(0, 60))}`);
  const [, whole = '', fraction = '', exponent = '0'] = match;
  const shift = Number(exponent) + 8 - fraction.length;
  const digits = BigInt(whole + fraction);
  const scale = 10n ** BigInt(Math.abs(shift));
  if (shift < 0 && digits % scale !== 0n) {
    throw new CodedError('chain_rpc', `amount finer than a satoshi: ${text}`);
  }
  const sats = shift < 0 ? digits / scale : digits * scale;
  if (sats > MAX_SATS) throw new CodedError('chain_rpc', `amount above 21 million: ${text}`);
  return sats;
}

type Reviver = (key: string, value: unknown, context: { readonly source?: string }) => unknown;

/**
 * JSON with every number that is not a safe integer kept as its source text, so that amounts lose nothing.
 * An amount that happens to be whole stays a number; `amountText` takes both.
 */
export function parseExactJson(text: string): unknown {
  const reviver: Reviver = (_key, value, context) =>
    typeof value === 'number' && !isPlainInteger(context.source ?? '') ? context.source : value;
  return (JSON.parse as (text: string, reviver: Reviver) => unknown)(text, reviver);
}

function isPlainInteger(source: string): boolean {
  return /^-?[0-9]{1,15}$/.test(source);
}

/** An amount out of `parseExactJson`, as text. Throws `chain_rpc` when it is none. */
export function amountText(value: unknown, field: string): string {
  if (typeof value === 'string') return value;
  if (typeof value === 'number') return value.toString();
  throw new CodedError('chain_rpc', `${field} is not an amount`);
}
