import type { Transaction } from 'bitcoinjs-lib';
import { witnessCommitmentScript } from '../../src/devnet/chain/block.ts';
import { DevnetChain } from '../../src/devnet/chain/chain.ts';
import type { MempoolEntry } from '../../src/devnet/chain/mempool-graph.ts';

/** A chain whose blocks are full: they hold what pays the market's rate, alone or with what pays for it. */
export class MarketChain extends DevnetChain {
  /** Sat per kvB; what pays less waits. */
  marketSatPerKvb: number | undefined;

  override template(): ReturnType<DevnetChain['template']> {
    const whole = super.template();
    const market = this.marketSatPerKvb ?? 0;
    if (market === 0) return whole;
    const entries = new Map(this.mempoolEntries().map((entry) => [entry.txid, entry]));
    const chosen = paying(entries, market);
    const transactions: Transaction[] = [];
    let { coinbaseValueSat } = whole;
    for (const transaction of whole.transactions) {
      const txid = transaction.getId();
      if (chosen.has(txid)) transactions.push(transaction);
      else coinbaseValueSat -= entries.get(txid)!.feeSat;
    }
    return {
      ...whole,
      ...{ transactions, coinbaseValueSat },
      witnessCommitmentScript: witnessCommitmentScript(transactions),
    };
  }
}

/** Every transaction that has the rate together with all that it spends from and that is not chosen yet. */
function paying(entries: ReadonlyMap<string, MempoolEntry>, market: number): ReadonlySet<string> {
  const chosen = new Set<string>();
  for (let isChanged = true; isChanged; ) {
    isChanged = false;
    for (const entry of entries.values()) {
      if (chosen.has(entry.txid)) continue;
      const together = withAncestors(entry, entries).filter(({ txid }) => !chosen.has(txid));
      const feeSat = together.reduce((sum, each) => sum + each.feeSat, 0n);
      const vsize = together.reduce((sum, each) => sum + each.vsize, 0);
      if (feeSat * 1000n < BigInt(vsize) * BigInt(market)) continue;
      for (const { txid } of together) chosen.add(txid);
      isChanged = true;
    }
  }
  return chosen;
}

function withAncestors(entry: MempoolEntry, entries: ReadonlyMap<string, MempoolEntry>): MempoolEntry[] {
  const found = new Set([entry]);
  for (const each of found)
    for (const txid of each.parents) {
      // One that a block took meanwhile stays among the parents.
      const parent = entries.get(txid);
      if (parent !== undefined) found.add(parent);
    }
  return [...found];
}
