import { fromHex, isHex } from '../../base/bytes.ts';

/** The parameters of `mining.submit`, parsed. */
export type SubmitFields = {
  readonly worker: string;
  readonly jobId: string;
  readonly extranonce2: Uint8Array;
  readonly ntime: number;
  readonly nonce: number;
  readonly versionBits: number | undefined;
};

const U32 = /^[0-9a-fA-F]{1,8}$/;

/**
 * Undefined for anything but five or six strings of the right sizes.
 * @param options.unpadded takes ntime and nonce without their leading zeros
 */
export function parseSubmitFields(
  params: readonly unknown[],
  extranonce2Size: number,
  options: { readonly unpadded: boolean } = { unpadded: false },
): SubmitFields | undefined {
  const [worker, jobId, extranonce2, ntime, nonce, versionBits] = params;
  const isU32 = (text: unknown): text is string =>
    options.unpadded ? typeof text === 'string' && U32.test(text) : isHex(text, 4);
  if (typeof worker !== 'string' || typeof jobId !== 'string') return undefined;
  if (!isHex(extranonce2, extranonce2Size) || !isU32(ntime) || !isU32(nonce)) return undefined;
  if (versionBits !== undefined && !isHex(versionBits, 4)) return undefined;
  return {
    worker,
    jobId,
    extranonce2: fromHex(extranonce2),
    ntime: Number.parseInt(ntime, 16),
    nonce: Number.parseInt(nonce, 16),
    versionBits: versionBits === undefined ? undefined : Number.parseInt(versionBits, 16),
  };
}

/** BIP310: the bits inside the mask come from the miner, the rest from the job. */
export function rolledVersion(jobVersion: number, mask: number, bits: number): number {
  return ((jobVersion & ~mask) | (bits & mask)) >>> 0;
}
