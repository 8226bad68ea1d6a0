import type { Transaction } from 'bitcoinjs-lib';
import { assert } from '../../base/assert.ts';
import { concat, equal, fromHex, isHex, toHex, u32le } from '../../base/bytes.ts';
import type { Clock } from '../../base/clock.ts';
import { CodedError } from '../../base/errors.ts';
import {
  displayHash,
  type Header,
  headerHash,
  parseHeader,
  serializeHeader,
} from '../../bitcoin/header.ts';
import { subsidySat } from '../../bitcoin/network.ts';
import { hashToNumber, targetOfCompact } from '../../bitcoin/target.ts';
import type { ChainHeader, ChainTip, Utxo } from '../../chain/source.ts';
import { Grinder } from '../hashing/grinder.ts';
import {
  type BlockRecord,
  type BlockTemplate,
  type BlockVerdict,
  blockMerkleRoot,
  checkCoinbaseShape,
  checkWitnessCommitment,
  coinsOf,
  decodeTransaction,
  parseCoinbase,
  REGTEST_GENESIS,
  witnessCommitmentScript,
} from './block.ts';
import {
  type Coin,
  checkInputs,
  checkShape,
  outpointOf,
  RPC_VERIFY_ALREADY_IN_CHAIN,
  type RuleContext,
  refusal,
} from './chain-rules.ts';
import { requireInterpreter, verifyScripts } from './interpreter.ts';
import { Mempool } from './mempool.ts';
import type { MempoolEntry } from './mempool-graph.ts';
import { buildWork, type HashedSolution, hashSolution, submitSolved } from './work.ts';

export type PremineOutput = { readonly scriptHex: string; readonly valueSat: bigint };

export type DevnetChainOptions = {
  /** nBits of the blocks; there is no retarget. Default 207fffff: every other hash is a block. */
  readonly bits?: number;
  /**
   * Blocks up to this height have nBits 207fffff all the same, so that a chain begins at once. Default
   * 1, the premine.
   */
  readonly easyBlocks?: number;
  /** Outputs of block 1, spendable at once and beyond the subsidy. */
  readonly premine?: readonly PremineOutput[];
  /**
   * Coins in the premine that anyone can spend, from which `fillMempool` makes a block's other
   * transactions. Default 10.
   */
  readonly fillerCoins?: number;
  /** Paid by blocks the chain mines itself. Default: P2WSH of OP_TRUE, which anyone can spend. */
  readonly minerScriptHex?: string;
  readonly coinbaseMaturity?: number;
  readonly minRelaySatPerKvb?: bigint;
  /** Blocks whose transactions are kept, for reorgs and look-ups by txid. */
  readonly keptBlocks?: number;
};

/** `OP_0 sha256(OP_TRUE)`: spent by a witness of one item, the script `51`. */
export const ANYONE_SCRIPT_HEX = '00204ae81572f06e1b88fd5ced7a1a000945432e83e1551e6f721ee9c00b8cc33260';

const FILLER_VALUE_SAT = 100_000_000n;
const MAX_FUTURE_SECONDS = 7200;
const MAX_VERIFIED = 10_000;
const MAX_BLOCK_WEIGHT = 3_990_000;
const BLOCK_VERSION = 0x20000000;

/**
 * A bitcoin chain in this process, with the rules of regtest that matter here: real proof of work, heights,
 * median time, UTXO set, maturity, locks (BIP65, 68, 112, 113), scripts, witness commitment, mempool. One
 * branch at a time: a block must build on the tip, and a reorg is made with `invalidateTip`.
 */
export class DevnetChain {
  readonly bits: number;
  readonly stats = { blocksAccepted: 0, blocksRefused: 0, transactionsRefused: 0, reorgs: 0 };
  readonly #options: Required<DevnetChainOptions>;
  readonly #premine: readonly PremineOutput[];
  readonly #clock: Clock;
  readonly #mempool: Mempool;
  readonly #grinder = new Grinder();
  readonly #best: BlockRecord[] = [];
  readonly #byHash = new Map<string, BlockRecord>();
  readonly #coins = new Map<string, Coin>();
  readonly #transactions = new Map<string, { transaction: Transaction; block: BlockRecord }>();
  readonly #listeners = new Set<(tip: ChainTip) => void>();
  /** Scripts already verified when the transaction entered the mempool, by txid and witness. */
  readonly #verified = new Set<string>();
  #templates = 0;
  #extra = 0;

  /** Throws `package_missing` where scripts cannot be run. */
  constructor(options: DevnetChainOptions, deps: { readonly clock: Clock }) {
    requireInterpreter();
    this.#options = {
      bits: REGTEST_GENESIS.bits,
      easyBlocks: 1,
      premine: [],
      fillerCoins: 10,
      minerScriptHex: ANYONE_SCRIPT_HEX,
      coinbaseMaturity: 100,
      minRelaySatPerKvb: 100n,
      keptBlocks: 2016,
      ...options,
    };
    this.bits = this.#options.bits;
    const filler = { scriptHex: ANYONE_SCRIPT_HEX, valueSat: FILLER_VALUE_SAT };
    this.#premine = [
      ...this.#options.premine,
      ...Array.from({ length: this.#options.fillerCoins }, () => filler),
    ];
    this.#clock = deps.clock;
    this.#mempool = new Mempool(this.#options);
    this.#append({
      height: 0,
      hash: displayHash(headerHash(REGTEST_GENESIS)),
      header: REGTEST_GENESIS,
      transactions: [],
      spent: [],
    });
    this.generate(1);
  }

  tip(): ChainTip {
    const { height, hash, header } = this.#tip();
    return { height, hash, timeSeconds: header.time };
  }

  get height(): number {
    return this.#best.length - 1;
  }

  /** nBits a block at this height must carry. */
  bitsAt(height: number): number {
    return height <= this.#options.easyBlocks ? REGTEST_GENESIS.bits : this.bits;
  }

  block(hash: string): BlockRecord | undefined {
    return this.#byHash.get(hash);
  }

  /** The block of the best chain at a height. */
  blockAt(height: number): BlockRecord | undefined {
    return this.#best[height];
  }

  header(hash: string): ChainHeader | undefined {
    const block = this.#byHash.get(hash);
    if (block === undefined) return undefined;
    const onBest = this.#best[block.height] === block;
    const next = onBest ? this.#best[block.height + 1] : undefined;
    return {
      height: block.height,
      hash,
      previousHash: displayHash(block.header.prevHash),
      timeSeconds: block.header.time,
      bits: block.header.bits,
      confirmations: onBest ? this.height - block.height + 1 : -1,
      ...(next === undefined ? {} : { nextHash: next.hash }),
      headerHex: toHex(serializeHeader(block.header)),
    };
  }

  /** Median of the times of the eleven blocks up to a height (BIP113), seconds. */
  medianTime(height: number = this.height): number {
    const times = this.#best.slice(Math.max(height - 10, 0), height + 1).map((block) => block.header.time);
    return times.sort((a, b) => a - b)[times.length >> 1]!;
  }

  /** An unspent output; with the mempool counted, its outputs exist and what it spends is gone. */
  coin(txid: string, vout: number, withMempool = true): Coin | undefined {
    const outpoint = `${txid}:${vout}`;
    if (!withMempool) return this.#coins.get(outpoint);
    if (this.#mempool.spenderOf(outpoint) !== undefined) return undefined;
    return this.#coins.get(outpoint) ?? this.#mempool.output(outpoint, this.height + 1);
  }

  /** A transaction in the mempool or in one of the kept blocks of the best chain. */
  transaction(txid: string): { transaction: Transaction; block?: BlockRecord } | undefined {
    const entry = this.#mempool.get(txid);
    return entry === undefined ? this.#transactions.get(txid) : { transaction: entry.transaction };
  }

  /** The txid in the mempool that spends an output, if one does. */
  mempoolSpender(txid: string, vout: number): string | undefined {
    return this.#mempool.spenderOf(`${txid}:${vout}`);
  }

  get mempoolSize(): number {
    return this.#mempool.size;
  }

  mempoolEntries(): MempoolEntry[] {
    return this.#mempool.entries();
  }

  /** Confirmed unspent outputs of a script. */
  utxos(scriptHex: string): Utxo[] {
    const found: Utxo[] = [];
    const script = fromHex(scriptHex);
    for (const [outpoint, coin] of this.#coins) {
      if (!equal(coin.script, script)) continue;
      const [txid, vout] = outpoint.split(':') as [string, string];
      found.push({ txid, vout: Number(vout), valueSat: coin.valueSat, height: coin.height });
    }
    return found;
  }

  /**
   * Adds a transaction to the mempool; one that is there already is fine. Throws `tx_refused` with
   * bitcoind's reason.
   */
  broadcast(transactionHex: string): string {
    const transaction = decodeTransaction(hexBytes(transactionHex));
    const txid = transaction.getId();
    if (this.#mempool.get(txid) !== undefined) return txid;
    if (this.#transactions.has(txid)) {
      throw refusal('Transaction outputs already in utxo set', RPC_VERIFY_ALREADY_IN_CHAIN, { txid });
    }
    return this.#enter(transaction).txid;
  }

  /** A parent and its child; one the mempool has already is fine. Throws `tx_refused`. */
  broadcastPackage([parentHex, childHex]: readonly [string, string]): void {
    const [parent, child] = [decodeTransaction(hexBytes(parentHex)), decodeTransaction(hexBytes(childHex))];
    if (this.#mempool.get(parent.getId()) !== undefined) this.broadcast(childHex);
    else this.#mempool.addPackage(parent, child, this.#mempoolContext());
  }

  /** What `broadcast` would say, without doing it. Throws `tx_refused`. */
  check(transactionHex: string): { txid: string; vsize: number; feeSat: bigint } {
    const transaction = decodeTransaction(hexBytes(transactionHex));
    const txid = transaction.getId();
    if (this.#mempool.get(txid) !== undefined) throw refusal('txn-already-in-mempool');
    if (this.#transactions.has(txid)) throw refusal('txn-already-known');
    const { vsize, feeSat } = this.#mempool.check(transaction, this.#mempoolContext());
    return { txid, vsize, feeSat };
  }

  /** Work on top of the tip with all of the mempool that fits a block. */
  template(): BlockTemplate {
    const transactions: Transaction[] = [];
    let feesSat = 0n;
    let weight = 4_000;
    for (const entry of this.#mempool.entries()) {
      weight += entry.transaction.weight();
      if (weight > MAX_BLOCK_WEIGHT) break;
      transactions.push(entry.transaction);
      feesSat += entry.feeSat;
    }
    this.#templates += 1;
    const minTime = this.medianTime() + 1;
    return {
      id: this.#templates,
      height: this.height + 1,
      previousHash: this.#tip().hash,
      version: BLOCK_VERSION,
      bits: this.bitsAt(this.height + 1),
      time: Math.max(minTime, this.#nowSeconds()),
      minTime,
      transactions,
      coinbaseValueSat: subsidySat('regtest', this.height + 1) + feesSat,
      witnessCommitmentScript: witnessCommitmentScript(transactions),
    };
  }

  /**
   * Checks a block by every rule and makes it the tip.
   * @param header 80 bytes
   * @param coinbase serialised without witness, as miners build it
   * @param transactions the template's, in its order
   */
  submitBlock(
    header: Uint8Array,
    coinbase: Uint8Array,
    transactions: readonly Transaction[],
  ): BlockVerdict {
    try {
      const block = this.#checkBlock(parseHeader(header), [parseCoinbase(coinbase), ...transactions]);
      this.#connect(block);
      return { accepted: true, hash: block.hash, height: block.height };
    } catch (error) {
      if (error instanceof CodedError || error instanceof RangeError) {
        this.stats.blocksRefused += 1;
        const reason =
          error instanceof CodedError ? (error.meta['reason'] ?? error.message) : error.message;
        return { accepted: false, reason: String(reason) };
      }
      throw error;
    }
  }

  /** Why a block on the tip would be refused, its proof of work apart; undefined if it would not (BIP23). */
  proposalFault(header: Uint8Array, transactions: readonly Transaction[]): string | undefined {
    try {
      this.#checkBlock(parseHeader(header), transactions, { isProposal: true });
      return undefined;
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      return String(error.meta['reason'] ?? error.message);
    }
  }

  /**
   * Mines blocks now, with real proof of work, on the calling thread: for easy `bits`. Returns their
   * hashes.
   */
  generate(count: number, scriptHex: string = this.#options.minerScriptHex): string[] {
    return Array.from({ length: count }, () => {
      const candidate = this.candidate(scriptHex);
      this.#grinder.setHeader(candidate.header, targetOfCompact(this.bitsAt(this.height + 1)));
      const nonce = this.#grinder.search(0, 2 ** 32);
      if (nonce === undefined) throw new CodedError('malformed', 'no nonce solves the block');
      const verdict = candidate.submit(nonce);
      assert(verdict.accepted, 'own_block_valid', verdict);
      return verdict.hash;
    });
  }

  /** A block paying a script, complete but for its nonce. */
  candidate(scriptHex: string = this.#options.minerScriptHex): {
    readonly header: Uint8Array;
    readonly submit: (nonce: number) => BlockVerdict;
  } {
    const template = this.template();
    const premine = template.height === 1 ? this.#premine : [];
    this.#extra += 1;
    const work = buildWork(template, {
      jobId: '',
      poolScript: fromHex(scriptHex),
      extranonceSize: 0,
      tag: concat(u32le(this.#extra), u32le(0)),
      extraOutputs: premine.map((output) => ({
        script: fromHex(output.scriptHex),
        valueSat: output.valueSat,
      })),
    });
    const { time: ntime, version } = template;
    const solve = (nonce: number): HashedSolution =>
      hashSolution(work, { extranonce: new Uint8Array(0), ntime, nonce, version });
    return {
      header: solve(0).header,
      submit: (nonce) => submitSolved(this, work, solve(nonce)),
    };
  }

  /** Undoes the last blocks; their transactions go back to the mempool where they still fit. */
  invalidateTip(count = 1): void {
    if (count < 1 || count >= this.height) throw new RangeError(`cannot undo ${count} blocks`);
    const returned: Transaction[] = [];
    for (let left = count; left > 0; left -= 1) {
      const block = this.#best.pop()!;
      if (block.transactions.length === 0) throw new RangeError('block too deep to undo');
      for (const transaction of block.transactions) {
        this.#transactions.delete(transaction.getId());
        for (const vout of transaction.outs.keys()) this.#coins.delete(`${transaction.getId()}:${vout}`);
      }
      for (const [outpoint, coin] of block.spent) this.#coins.set(outpoint, coin);
      returned.unshift(...block.transactions.slice(1));
    }
    this.stats.reorgs += 1;
    const waiting = [...returned, ...this.#mempool.entries().map((entry) => entry.transaction)];
    this.#mempool.clear();
    for (const transaction of waiting) this.#tryEnter(transaction);
    this.#announce();
  }

  /** Calls back after each change of the tip, until the returned function is called. */
  onTip(listener: (tip: ChainTip) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #tip(): BlockRecord {
    return this.#best[this.#best.length - 1]!;
  }

  #nowSeconds(): number {
    return Math.floor(this.#clock.nowMs() / 1000);
  }

  #enter(transaction: Transaction): MempoolEntry {
    try {
      const entry = this.#mempool.add(transaction, this.#mempoolContext());
      // Forgetting costs a second run of the scripts, no more.
      if (this.#verified.size >= MAX_VERIFIED) this.#verified.clear();
      this.#verified.add(toHex(transaction.getHash(true)));
      return entry;
    } catch (error) {
      this.stats.transactionsRefused += 1;
      throw error;
    }
  }

  #tryEnter(transaction: Transaction): void {
    try {
      this.#enter(transaction);
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
    }
  }

  #mempoolContext(): RuleContext {
    const height = this.height + 1;
    return this.#context((outpoint) => this.#coins.get(outpoint) ?? this.#mempool.output(outpoint, height));
  }

  #context(coin: RuleContext['coin']): RuleContext {
    return {
      height: this.height + 1,
      medianTime: this.medianTime(),
      medianTimeAt: (height) => this.medianTime(height),
      coinbaseMaturity: this.#options.coinbaseMaturity,
      coin,
    };
  }

  #checkBlock(
    header: Header,
    transactions: readonly Transaction[],
    { isProposal }: { readonly isProposal: boolean } = { isProposal: false },
  ): BlockRecord {
    const tip = this.#tip();
    const hash = headerHash(header);
    if (displayHash(header.prevHash) !== tip.hash) {
      throw refusal(this.#byHash.has(displayHash(hash)) ? 'duplicate' : 'inconclusive-not-best-prevblk');
    }
    if (header.bits !== this.bitsAt(this.height + 1)) throw refusal('bad-diffbits');
    if (!isProposal && hashToNumber(hash) > targetOfCompact(header.bits)) throw refusal('high-hash');
    if (header.time <= this.medianTime()) throw refusal('time-too-old');
    if (header.time > this.#nowSeconds() + MAX_FUTURE_SECONDS) throw refusal('time-too-new');
    const height = this.height + 1;
    checkCoinbaseShape(transactions[0]!, height);
    if (!equal(blockMerkleRoot(transactions), header.merkleRoot)) throw refusal('bad-txnmrklroot');
    checkWitnessCommitment(transactions);
    const { spent, feesSat } = this.#checkBlockInputs(transactions.slice(1), height);
    const paidSat = transactions[0]!.outs.reduce((sum, output) => sum + output.value, 0n);
    const premineSat = this.#premine.reduce((sum, output) => sum + output.valueSat, 0n);
    const allowedSat = subsidySat('regtest', height) + feesSat + (height === 1 ? premineSat : 0n);
    if (paidSat > allowedSat) throw refusal('bad-cb-amount');
    return { height, hash: displayHash(hash), header, transactions, spent };
  }

  #checkBlockInputs(
    transactions: readonly Transaction[],
    height: number,
  ): { readonly spent: [string, Coin][]; readonly feesSat: bigint } {
    const created = new Map<string, Coin>();
    const removed = new Set<string>();
    const spent: [string, Coin][] = [];
    const context = this.#context((outpoint) =>
      removed.has(outpoint) ? undefined : (created.get(outpoint) ?? this.#coins.get(outpoint)),
    );
    let feesSat = 0n;
    for (const transaction of transactions) {
      checkShape(transaction);
      const { feeSat, coins } = checkInputs(transaction, context);
      if (!this.#verified.has(toHex(transaction.getHash(true)))) {
        const error = verifyScripts(transaction, coins);
        if (error !== undefined) throw refusal(`block-script-verify-flag-failed (${error})`);
      }
      feesSat += feeSat;
      for (const [index, input] of transaction.ins.entries()) {
        const outpoint = outpointOf(input);
        removed.add(outpoint);
        if (this.#coins.has(outpoint)) spent.push([outpoint, coins[index]!]);
      }
      for (const [outpoint, coin] of coinsOf(transaction, height, false)) created.set(outpoint, coin);
    }
    return { spent, feesSat };
  }

  #connect(block: BlockRecord): void {
    const inBlock = new Set<string>();
    for (const [index, transaction] of block.transactions.entries()) {
      for (const input of transaction.ins) this.#coins.delete(outpointOf(input));
      // The premine pays its owners at once; all other coinbases mature.
      const immature = index === 0 && block.height > 1;
      for (const [outpoint, coin] of coinsOf(transaction, block.height, immature)) {
        this.#coins.set(outpoint, coin);
      }
      this.#transactions.set(transaction.getId(), { transaction, block });
      this.#verified.delete(toHex(transaction.getHash(true)));
      inBlock.add(transaction.getId());
    }
    this.#mempool.removeForBlock(block.transactions.slice(1));
    this.#append(block);
    this.stats.blocksAccepted += 1;
    this.#forget(this.#best[block.height - this.#options.keptBlocks]);
    this.#announce();
  }

  #append(block: BlockRecord): void {
    this.#best.push(block);
    this.#byHash.set(block.hash, block);
  }

  #forget(block: BlockRecord | undefined): void {
    if (block === undefined) return;
    for (const transaction of block.transactions) this.#transactions.delete(transaction.getId());
    block.transactions = [];
    block.spent = [];
  }

  #announce(): void {
    const tip = this.tip();
    for (const listener of [...this.#listeners]) listener(tip);
  }
}

function hexBytes(transactionHex: string): Uint8Array {
  return isHex(transactionHex) ? fromHex(transactionHex) : new Uint8Array(0);
}
