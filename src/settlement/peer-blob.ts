import * as crypto from 'node:crypto';
import { concat } from '../base/bytes.ts';
import type { Random, Timers } from '../base/clock.ts';
import { CodedError, codeOf } from '../base/errors.ts';
import { taggedHash } from '../base/hash.ts';
import type { ChannelRole } from '../channel/keys.ts';
import type { Signer } from '../channel/signer.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Logger } from '../log/logger.ts';
import { call } from '../peer/calls.ts';
import { type CodecValue, hexUpTo, integer, object, oneOf } from '../peer/codec.ts';
import type { RpcPeer } from '../peer/rpc-peer.ts';
import {
  CONTRACT_KIND,
  contractCodec,
  loadContract,
  openingCodec,
  type StoredContract,
  signedStateCodec,
} from './records.ts';

/**
 * A backup that a side leaves with the other, encrypted. After a loss of the ledger it is enough, with the
 * seed, to close the channel, or to go on from the newest state, which the other side shows
 * (`PROTOCOL.md`).
 */
const blobCodec = object(
  {
    version: ['version', integer(1, 1)],
    role: ['role', oneOf('miner', 'maker')],
    contract: ['contract', contractCodec],
    opening: ['opening', openingCodec],
    state: ['state', signedStateCodec],
  },
  { fundingTx: ['funding_tx', hexUpTo(100_000, 10)] },
);
/** The content of a blob. */
export type PeerBlob = CodecValue<typeof blobCodec>;

const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const CIPHER = 'chacha20-poly1305';

/** The blob of a stored contract; undefined before both halves of the opening are there. */
export function blobOf(stored: StoredContract | undefined): PeerBlob | undefined {
  const { contract, opening, last, fundingTx } = stored ?? {};
  if (contract === undefined || !opening?.accept || last === undefined) return undefined;
  const { role } = contract;
  const funding = fundingTx === undefined ? {} : { fundingTx };
  return { version: 1, role, contract, opening, state: last, ...funding };
}

/**
 * Encrypts a blob by ChaCha20-Poly1305 with a key derived from the seed alone: nonce, ciphertext, tag;
 * base64. Contract and role are authenticated with it, so that it opens for no other.
 */
export function sealBlob(
  contractId: string,
  blob: PeerBlob,
  deps: { signer: Signer; random: Random },
): string {
  const nonce = deps.random.bytes(NONCE_BYTES);
  const cipher = crypto.createCipheriv(CIPHER, keyOf(deps.signer), nonce, { authTagLength: TAG_BYTES });
  const text = new TextEncoder().encode(JSON.stringify(blobCodec.print(blob)));
  cipher.setAAD(boundTo(contractId, blob.role), { plaintextLength: text.length });
  const sealed = concat(cipher.update(text), cipher.final());
  return Buffer.from(concat(nonce, sealed, cipher.getAuthTag())).toString('base64');
}

/** Decrypts a blob. Throws `bad_blob` for one that this seed did not seal for this contract and role. */
export function openBlob(contractId: string, role: ChannelRole, sealed: string, signer: Signer): PeerBlob {
  const bytes = Uint8Array.from(Buffer.from(sealed, 'base64'));
  const end = bytes.length - TAG_BYTES;
  if (end < NONCE_BYTES) throw new CodedError('bad_blob', 'too short');
  const text = bytes.subarray(NONCE_BYTES, end);
  const nonce = bytes.subarray(0, NONCE_BYTES);
  try {
    const decipher = crypto.createDecipheriv(CIPHER, keyOf(signer), nonce, { authTagLength: TAG_BYTES });
    decipher.setAAD(boundTo(contractId, role), { plaintextLength: text.length });
    decipher.setAuthTag(bytes.subarray(end));
    const opened = concat(decipher.update(text), decipher.final());
    return blobCodec.parse(JSON.parse(new TextDecoder().decode(opened)));
  } catch (cause) {
    throw new CodedError('bad_blob', 'it does not open', { code: codeOf(cause) }, { cause });
  }
}

/** The key of blobs, the same after every restart. */
function keyOf(signer: Signer): Uint8Array {
  return signer.secretOf(taggedHash('sharestream/blob-key/1', new Uint8Array(0)));
}

function boundTo(contractId: string, role: ChannelRole): Uint8Array {
  return new TextEncoder().encode(`${contractId}:${role}`);
}

export type LeaveBlobDeps = {
  readonly ledger: Ledger;
  readonly signer: Signer;
  readonly random: Random;
  readonly timers: Timers;
  readonly log: Logger;
};

/** Time in ms between two blobs of one contract, as a peer accepts them. */
const LEAVE_AGAIN_MS = 65_000;

/**
 * Leaves the own blob with the other side, against a loss of this ledger. A peer that stores none does not
 * end the connection; one that has just received one is asked again later, if it is still connected. Throws
 * `ledger_corrupt`, and what ended the connection.
 */
export async function leaveBlob(peer: RpcPeer, contractId: string, deps: LeaveBlobDeps): Promise<void> {
  const blob = blobOf(await loadContract(deps.ledger, contractId));
  if (blob === undefined) return;
  const sealed = sealBlob(contractId, blob, deps);
  await call(peer, 'peer_storage.put', { contractId, blob: sealed }).catch((error: unknown) => {
    if (!(error instanceof CodedError)) throw error;
    deps.log.info({ contract: contractId, code: error.code }, 'the other side keeps nothing for us');
    if (error.code !== 'too_often') return;
    const again = deps.timers.after(LEAVE_AGAIN_MS, () => {
      leaveBlob(peer, contractId, deps).catch((late: unknown) => {
        if (!(late instanceof CodedError)) throw late;
      });
    });
    // A timer that outlived its connection would keep a daemon that stops from ending.
    void peer.closed.then(() => again.cancel());
  });
}

/** True where the ledger knows nothing of a contract. */
export async function isForgotten(ledger: Ledger, contractId: string): Promise<boolean> {
  return (await ledger.get(CONTRACT_KIND, contractId)) === undefined;
}
