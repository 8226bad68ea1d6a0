import { CodedError, codeOf } from '../base/errors.ts';
import type { ChainSource } from '../chain/source.ts';
import type { Signer } from '../channel/signer.ts';
import { leaseEntry } from '../ledger/lease.ts';
import type { Ledger, LedgerEntry } from '../ledger/ledger.ts';
import type { LadderFileAccess } from '../settlement/ladder-writer.ts';
import type { SignerTree } from '../settlement/opening.ts';
import type { Hold } from './owner.ts';

/**
 * Blocks before the expiry at which one who was the owner last, and knows of no other, closes with what he
 * has: half of those in which a close is due, so that another had the first half to close with a newer
 * state. An older state pays less than a newer one, and a refund nothing.
 */
export const LAST_RESORT_BLOCKS = 72;

/** What those who act for a channel ask before each act. */
export class Fence {
  readonly #hold: Hold;
  readonly #blocksLeft: () => number | undefined;

  /** @param blocksLeft to the expiry of the channel; undefined where there is none, or nobody knows */
  constructor(hold: Hold, blocksLeft: () => number | undefined) {
    this.#hold = hold;
    this.#blocksLeft = blocksLeft;
  }

  /** Nobody else can have it now. */
  get isFresh(): boolean {
    return this.#hold.fresh !== undefined;
  }

  /** An append, under the lease as it is now. Throws `lease_lost`, and as `append`. */
  async append(
    append: (entries: readonly LedgerEntry[]) => Promise<void>,
    entries: readonly LedgerEntry[],
  ): Promise<void> {
    const lease = this.#hold.fresh;
    if (lease === undefined) throw notFresh('written');
    try {
      await append([leaseEntry(lease), ...entries]);
    } catch (error) {
      if (codeOf(error) === 'lease_lost') this.#hold.lost(lease);
      throw error;
    }
  }

  /** Throws `lease_lost` where another owns it, or may: but for the last resort, where nobody is known to. */
  assert(what: string): void {
    if (this.#hold.fresh !== undefined) return;
    const left = this.#blocksLeft();
    const isLastResort = this.#hold.isOwned && left !== undefined && left <= LAST_RESORT_BLOCKS;
    if (!isLastResort) throw notFresh(what);
  }
}

function notFresh(what: string): CodedError {
  return new CodedError('lease_lost', `nothing is ${what} without a fresh lease`);
}

/** A ledger whose every append is under the lease: the database refuses it where another has taken it. */
export function fencedLedger(ledger: Ledger, fence: Fence): Ledger {
  return {
    engine: ledger.engine,
    stats: ledger.stats,
    append: (entries) => fence.append((all) => ledger.append(all), entries),
    appendNow: (entries) => fence.append((all) => ledger.appendNow(all), entries),
    get: (kind, id) => ledger.get(kind, id),
    list: (kind, prefix) => ledger.list(kind, prefix),
    readLog: (kind, stream, fromItem, maxRows) => ledger.readLog(kind, stream, fromItem, maxRows),
    recentLog: (kind, bounds) => ledger.recentLog(kind, bounds),
    logRange: (kind, stream) => ledger.logRange(kind, stream),
    readLogSince: (kind, sinceMs, page) => ledger.readLogSince(kind, sinceMs, page),
    close: () => ledger.close(),
  };
}

/** Looks at the chain as ever; broadcasts only for its owner. */
export function fencedChain(chain: ChainSource, fence: Fence): ChainSource {
  return {
    genesisHash: () => chain.genesisHash(),
    tip: () => chain.tip(),
    header: (hash) => chain.header(hash),
    txOut: (txid, vout, withMempool) => chain.txOut(txid, vout, withMempool),
    confirmations: (txid) => chain.confirmations(txid),
    spender: (txid, vout, blocks) => chain.spender(txid, vout, blocks),
    broadcast: async (hex) => {
      fence.assert('broadcast');
      return await chain.broadcast(hex);
    },
    broadcastPackage: async (hexes) => {
      fence.assert('broadcast');
      await chain.broadcastPackage(hexes);
    },
    utxos: (scriptHex) => chain.utxos(scriptHex),
    feeRateSatPerKvb: (blocks, fallback) => chain.feeRateSatPerKvb(blocks, fallback),
    ...(chain.blockRewardSat === undefined
      ? {}
      : { blockRewardSat: (hash: string) => chain.blockRewardSat!(hash) }),
    ...(chain.blocks === undefined ? {} : { blocks: chain.blocks }),
    watchTip: (onTip) => chain.watchTip(onTip),
    close: () => chain.close(),
  };
}

/** Signs for a channel only for its owner. What is signed leaves behind its write, which is fenced again. */
export function fencedSigner(signer: Signer, fence: Fence): Signer {
  return {
    publicKey: (role) => signer.publicKey(role),
    signEcdsa: (role, digest) => {
      fence.assert('signed');
      return signer.signEcdsa(role, digest);
    },
    signSchnorr: (role, digest) => {
      fence.assert('signed');
      return signer.signSchnorr(role, digest);
    },
    secretOf: (label) => signer.secretOf(label),
    ...(signer.origin === undefined ? {} : { origin: (role) => signer.origin!(role) }),
  };
}

/** The same for a tree of keys, each of which is fenced. */
export function fencedTree(tree: SignerTree, fence: Fence): SignerTree {
  return {
    ...fencedSigner(tree, fence),
    forChannel: (channelIndex) => fencedSigner(tree.forChannel(channelIndex), fence),
  };
}

/** Ladder files, where several instances share a folder: only the owner replaces or removes one. */
export function fencedLadders(files: LadderFileAccess, fence: Fence): LadderFileAccess {
  return {
    read: (path) => files.read(path),
    replace: async (path, text) => {
      fence.assert('kept as a ladder');
      await files.replace(path, text);
    },
    remove: async (path) => {
      fence.assert('removed');
      await files.remove(path);
    },
  };
}
