import { CodedError } from '../base/errors.ts';
import { isRecord } from '../base/json.ts';
import { amountText, satsOfBtc } from './amounts.ts';
import { RPC_METHOD_NOT_FOUND, RPC_NOT_FOUND } from './rpc-client.ts';

/** An object of a node's answer. Each of these throws `chain_rpc` with the field's name for anything else. */
export function readRecord(value: unknown, field: string): Record<string, unknown> {
  if (!isRecord(value)) throw new CodedError('chain_rpc', `${field} is not an object`);
  return value;
}

/** A list of the answer. */
export function readList(value: unknown, field: string): readonly unknown[] {
  if (!Array.isArray(value)) throw new CodedError('chain_rpc', `${field} is not a list`);
  return value;
}

/** A string of the answer. */
export function readText(value: unknown, field: string): string {
  if (typeof value !== 'string') throw new CodedError('chain_rpc', `${field} is not a string`);
  return value;
}

/** A number of the answer. */
export function readInteger(value: unknown, field: string): number {
  if (typeof value !== 'number') throw new CodedError('chain_rpc', `${field} is not an integer`);
  return value;
}

/** An amount in BTC, as sats. */
export function readSats(value: unknown, field: string): bigint {
  return satsOfBtc(amountText(value, field));
}

/** A fee rate in BTC per kvB as sat per kvB, rounded up: estimates may be finer than a satoshi. */
export function readSatPerKvb(value: unknown, field: string): number {
  const rate = Math.ceil(Number((Number(amountText(value, field)) * 1e8).toFixed(3)));
  if (!Number.isSafeInteger(rate) || rate < 0) throw new CodedError('chain_rpc', `${field} is not a rate`);
  return rate;
}

/** The node's error number, when the node answered with an error. */
export function rpcCodeOf(error: unknown): number | undefined {
  if (!(error instanceof CodedError) || error.code !== 'chain_rpc') return undefined;
  const { rpcCode } = error.meta;
  return typeof rpcCode === 'number' ? rpcCode : undefined;
}

/** The answer, or undefined where the node says that it does not know the thing. */
export async function orNotFound(call: Promise<unknown>): Promise<unknown> {
  return orUndefined(call, [RPC_NOT_FOUND]);
}

/** The answer, or undefined where the node does not have the method. */
export async function orNotOffered(call: Promise<unknown>): Promise<unknown> {
  return orUndefined(call, [RPC_METHOD_NOT_FOUND]);
}

/** The answer, or undefined where the node answers with one of these error codes. */
export async function orUndefined(call: Promise<unknown>, codes: readonly number[]): Promise<unknown> {
  try {
    return await call;
  } catch (error) {
    const code = rpcCodeOf(error);
    if (code === undefined || !codes.includes(code)) throw error;
    return undefined;
  }
}
