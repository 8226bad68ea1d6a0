import { opcodes, payments, script, Transaction } from 'bitcoinjs-lib';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fromHex, reversed, toHex } from '../../src/base/bytes.ts';
import { CodedError } from '../../src/base/errors.ts';
import { sha256d } from '../../src/base/hash.ts';
import { serializeHeader } from '../../src/bitcoin/header.ts';
import { NETWORKS } from '../../src/bitcoin/network.ts';
import { hashToNumber, targetOfCompact } from '../../src/bitcoin/target.ts';
import { parseCoinbase } from '../../src/devnet/chain/block.ts';
import { DevnetChain, type DevnetChainOptions } from '../../src/devnet/chain/chain.ts';
import { Grinder } from '../../src/devnet/hashing/grinder.ts';
import { ManualClock } from '../base/manual-clock.ts';
import { type Coins, pay, testKey } from './wallets.ts';

const alice = testKey(1);
const bob = testKey(2);

function setUp(options: DevnetChainOptions = {}, premineSats: readonly bigint[] = [100_000_000n]) {
  const clock = new ManualClock();
  const premine = premineSats.map((valueSat) => ({ scriptHex: alice.scriptHex, valueSat }));
  const chain = new DevnetChain({ premine, coinbaseMaturity: 10, ...options }, { clock });
  const coins: Coins[] = chain.utxos(alice.scriptHex).sort((a, b) => a.vout - b.vout);
  return { chain, clock, coins };
}

function reasonOf(run: () => unknown): { reason: unknown; rpcCode: unknown } | undefined {
  try {
    run();
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    return { reason: error.meta['reason'], rpcCode: error.meta['rpcCode'] };
  }
  return undefined;
}

function payTo(scriptHex: string, from: readonly Coins[], feeSat: bigint, extra: object = {}): Transaction {
  const total = from.reduce((sum, coin) => sum + coin.valueSat, 0n);
  return pay({ from, key: alice, to: [{ scriptHex, valueSat: total - feeSat }], ...extra });
}

describe('blocks', () => {
  it('starts with the real regtest genesis and a spendable premine', () => {
    const { chain, coins } = setUp();
    expect(chain.blockAt(0)!.hash).toBe(NETWORKS.regtest.genesisHash);
    expect(coins).toHaveLength(1);
    expect(chain.height).toBe(1);
  });

  it('links real proof of work over a merkle root of its transactions', () => {
    const { chain, coins } = setUp({ bits: 0x1f7fffff });
    chain.broadcast(payTo(bob.scriptHex, coins, 1_000n).toHex());
    chain.generate(3);
    for (let height = 1; height <= chain.height; height += 1) {
      const block = chain.blockAt(height)!;
      const hash = sha256d(serializeHeader(block.header));
      expect(toHex(reversed(hash))).toBe(block.hash);
      expect(hashToNumber(hash) <= targetOfCompact(height === 1 ? 0x207fffff : 0x1f7fffff)).toBe(true);
      expect(toHex(reversed(block.header.prevHash))).toBe(chain.blockAt(height - 1)!.hash);
      let level = block.transactions.map((transaction) => transaction.getHash());
      while (level.length > 1) {
        if (level.length % 2 === 1) level.push(level[level.length - 1]!);
        level = level.flatMap((node, at) =>
          at % 2 === 0 ? [sha256d(Uint8Array.from([...node, ...level[at + 1]!]))] : [],
        );
      }
      expect(toHex(level[0]!)).toBe(toHex(block.header.merkleRoot));
    }
    expect(chain.blockAt(2)!.transactions).toHaveLength(2);
  });

  it('refuses a block without work, on another parent, too rich, or with another merkle root', () => {
    const { chain } = setUp({ bits: 0x1f00ffff });
    const candidate = chain.candidate();
    const grinder = new Grinder();
    grinder.setHeader(candidate.header, targetOfCompact(0x1f00ffff));
    const good = grinder.search(0, 2 ** 28)!;
    expect(candidate.submit((good + 1) >>> 0)).toEqual({ accepted: false, reason: 'high-hash' });
    expect(candidate.submit(good).accepted).toBe(true);
    expect(candidate.submit(good)).toEqual({ accepted: false, reason: 'duplicate' });
    const late = chain.candidate();
    chain.generate(1);
    expect(late.submit(0)).toEqual({ accepted: false, reason: 'inconclusive-not-best-prevblk' });
    expect(chain.stats.blocksRefused).toBe(3);
  });

  it('refuses a coinbase that takes too much, or that commits to another height', () => {
    const { chain } = setUp();
    const template = chain.template();
    const submitWith = (change: (coinbase: Transaction) => void): unknown => {
      const source = chain.blockAt(1)!.transactions[0]!;
      const coinbase = source.clone();
      coinbase.stripWitnesses();
      coinbase.ins[0]!.script = Uint8Array.of(0x50 + template.height, 0, 0);
      coinbase.outs = [
        { script: fromHex(bob.scriptHex), value: template.coinbaseValueSat },
        { script: template.witnessCommitmentScript, value: 0n },
      ];
      change(coinbase);
      const header = {
        version: template.version,
        prevHash: reversed(fromHex(template.previousHash)),
        merkleRoot: parseCoinbase(coinbase.toBuffer()).getHash(),
        time: template.time,
        bits: template.bits,
        nonce: 0,
      };
      const grinder = new Grinder();
      grinder.setHeader(serializeHeader(header), targetOfCompact(template.bits));
      return chain.submitBlock(grinder.header(grinder.search(0, 1024)!), coinbase.toBuffer(), []);
    };
    const more = (coinbase: Transaction): void => {
      coinbase.outs[0]!.value += 1n;
    };
    expect(submitWith(more)).toEqual({ accepted: false, reason: 'bad-cb-amount' });
    const height = (coinbase: Transaction): void => {
      coinbase.ins[0]!.script = Uint8Array.of(0x53, 0, 0);
    };
    expect(submitWith(height)).toEqual({ accepted: false, reason: 'bad-cb-height' });
    const commitment = (coinbase: Transaction): void => {
      coinbase.outs[1]!.script = Uint8Array.from([...coinbase.outs[1]!.script.subarray(0, 37), 1]);
    };
    expect(submitWith(commitment)).toEqual({ accepted: false, reason: 'bad-witness-merkle-match' });
    expect(submitWith(() => {})).toMatchObject({ accepted: true, height: 2 });
  });

  it('keeps the median time of eleven blocks, and times above it', () => {
    const { chain, clock } = setUp();
    chain.generate(30);
    const times = chain.blockAt(30)!.header.time;
    expect(times).toBeGreaterThan(chain.medianTime(29));
    clock.advance(3_600_000);
    chain.generate(6);
    expect(chain.medianTime()).toBe(Math.floor(clock.nowMs() / 1000));
  });
});

describe('transactions', () => {
  it('enter the mempool, confirm, and move the coins', () => {
    const { chain, coins } = setUp();
    const transaction = payTo(bob.scriptHex, coins, 1_000n);
    const txid = chain.broadcast(transaction.toHex());
    expect(chain.broadcast(transaction.toHex())).toBe(txid);
    expect(chain.coin(txid, 0)).toMatchObject({ confirmed: false, valueSat: 99_999_000n });
    expect(chain.coin(coins[0]!.txid, coins[0]!.vout)).toBeUndefined();
    chain.generate(1);
    expect(chain.coin(txid, 0)).toMatchObject({ confirmed: true, height: 2 });
    expect(chain.mempoolEntries()).toEqual([]);
    expect(reasonOf(() => chain.broadcast(transaction.toHex()))).toMatchObject({ rpcCode: -27 });
    const subsidyAndFee = chain.blockAt(2)!.transactions[0]!.outs[0]!.value;
    expect(subsidyAndFee).toBe(5_000_000_000n + 1_000n);
  });

  it('are refused when they spend what is gone, create value, or pay too little', () => {
    const { chain, coins } = setUp({}, [50_000n, 60_000n]);
    const inflating = payTo(bob.scriptHex, [coins[0]!], -1n);
    expect(reasonOf(() => chain.broadcast(inflating.toHex()))?.reason).toBe('bad-txns-in-belowout');
    const free = payTo(bob.scriptHex, [coins[0]!], 0n);
    expect(reasonOf(() => chain.broadcast(free.toHex()))?.reason).toMatch(/min relay fee not met/);
    const vsize = BigInt(free.virtualSize());
    const atMinimum = payTo(bob.scriptHex, [coins[0]!], (vsize * 100n + 999n) / 1000n);
    chain.broadcast(atMinimum.toHex());
    chain.generate(1);
    const again = payTo(alice.scriptHex, [coins[0]!], 5_000n);
    expect(reasonOf(() => chain.broadcast(again.toHex()))).toEqual({
      reason: 'bad-txns-inputs-missingorspent',
      rpcCode: -25,
    });
    const dust = pay({ from: [coins[1]!], key: alice, to: [{ scriptHex: bob.scriptHex, valueSat: 293n }] });
    expect(reasonOf(() => chain.broadcast(dust.toHex()))?.reason).toBe('dust');
  });

  it('need a signature by the owner over exactly this transaction', () => {
    const { chain, coins } = setUp();
    const stolen = pay({
      from: coins,
      key: { ...bob, publicKey: alice.publicKey },
      to: [{ scriptHex: bob.scriptHex, valueSat: 99_000_000n }],
    });
    expect(reasonOf(() => chain.broadcast(stolen.toHex()))).toMatchObject({ rpcCode: -26 });
    expect(reasonOf(() => chain.broadcast(stolen.toHex()))?.reason).toMatch(/SCRIPT_ERR/);
    const altered = payTo(bob.scriptHex, coins, 1_000n);
    altered.outs[0]!.value -= 1n;
    expect(reasonOf(() => chain.broadcast(altered.toHex()))?.reason).toMatch(/SCRIPT_ERR/);
    expect(reasonOf(() => chain.broadcast('00'))).toMatchObject({ rpcCode: -22 });
  });

  it('replace a conflict only for a higher fee, and take its descendants along', () => {
    const { chain, coins } = setUp();
    const first = payTo(alice.scriptHex, coins, 1_000n);
    chain.broadcast(first.toHex());
    const child = payTo(bob.scriptHex, [{ txid: first.getId(), vout: 0, valueSat: 99_999_000n }], 500n);
    chain.broadcast(child.toHex());
    const cheap = payTo(bob.scriptHex, coins, 1_400n);
    expect(reasonOf(() => chain.broadcast(cheap.toHex()))?.reason).toBe('insufficient fee');
    const dear = payTo(bob.scriptHex, coins, 1_600n);
    chain.broadcast(dear.toHex());
    expect(chain.mempoolEntries().map((entry) => entry.txid)).toEqual([dear.getId()]);
  });

  it('of version 3 have one small child at most', () => {
    const { chain, coins } = setUp();
    const to = [
      { scriptHex: alice.scriptHex, valueSat: 40_000_000n },
      { scriptHex: alice.scriptHex, valueSat: 59_000_000n },
    ];
    const parent = pay({ from: coins, key: alice, to, version: 3 });
    chain.broadcast(parent.toHex());
    const [left, right] = to.map((output, vout) => ({ ...output, txid: parent.getId(), vout }));
    const mixed = payTo(bob.scriptHex, [left!], 1_000n);
    expect(reasonOf(() => chain.broadcast(mixed.toHex()))?.reason).toMatch(/^TRUC-violation/);
    chain.broadcast(payTo(bob.scriptHex, [left!], 1_000n, { version: 3 }).toHex());
    const sibling = payTo(bob.scriptHex, [right!], 1_000n, { version: 3 });
    expect(reasonOf(() => chain.broadcast(sibling.toHex()))?.reason).toBe('insufficient fee');
    const dearer = payTo(bob.scriptHex, [right!], 2_000n, { version: 3 });
    chain.broadcast(dearer.toHex());
    expect(chain.mempoolEntries().map((entry) => entry.txid)).toEqual([parent.getId(), dearer.getId()]);
    chain.generate(1);
    chain.broadcast(payTo(bob.scriptHex, [left!], 1_000n, { version: 3 }).toHex());
  });

  it('never make money, whatever is paid in whatever order', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(3), fc.integer({ min: -50, max: 3_000 }))), (payments) => {
        const { chain } = setUp({}, [100_000n, 200_000n, 300_000n, 400_000n]);
        for (const [index, fee] of payments) {
          const coin = chain.utxos(alice.scriptHex)[index];
          if (coin === undefined) continue;
          reasonOf(() => chain.broadcast(payTo(bob.scriptHex, [coin], BigInt(fee)).toHex()));
        }
        chain.generate(1);
        const total = [alice, bob]
          .flatMap((owner) => chain.utxos(owner.scriptHex))
          .reduce((sum, coin) => sum + coin.valueSat, 0n);
        const fees = chain.blockAt(2)!.transactions[0]!.outs[0]!.value - 5_000_000_000n;
        expect(total + fees).toBe(1_000_000n);
      }),
      { numRuns: 10 },
    );
  });
});

describe('locks', () => {
  it('hold a transaction until its height and not one block longer', () => {
    const { chain, coins } = setUp();
    const locked = payTo(bob.scriptHex, coins, 1_000n, { locktime: 5 });
    while (chain.height < 4) chain.generate(1);
    expect(reasonOf(() => chain.broadcast(locked.toHex()))?.reason).toBe('non-final');
    chain.generate(1);
    chain.broadcast(locked.toHex());
    chain.generate(1);
    expect(chain.transaction(locked.getId())?.block?.height).toBe(6);
  });

  it('ignore the locktime when every sequence is final', () => {
    const { chain, coins } = setUp();
    const extra = { locktime: 1_000, sequence: 0xffffffff };
    const final = payTo(bob.scriptHex, coins, 1_000n, extra);
    expect(chain.broadcast(final.toHex())).toBe(final.getId());
  });

  it('compare times with the median time', () => {
    const { chain, clock, coins } = setUp();
    chain.generate(12);
    const locktime = Math.floor(clock.nowMs() / 1000) + 600;
    const locked = payTo(bob.scriptHex, coins, 1_000n, { locktime });
    clock.advance(601_000);
    expect(reasonOf(() => chain.broadcast(locked.toHex()))?.reason).toBe('non-final');
    chain.generate(6);
    chain.broadcast(locked.toHex());
  });

  it('run CHECKLOCKTIMEVERIFY and CHECKSEQUENCEVERIFY and the relative lock of the input', () => {
    const { chain, coins } = setUp();
    const delayed = payments.p2wsh({
      redeem: {
        output: script.compile([script.number.encode(5), opcodes['OP_CHECKSEQUENCEVERIFY']!]),
      },
    });
    const funding = payTo(toHex(delayed.output!), coins, 1_000n);
    chain.broadcast(funding.toHex());
    chain.generate(1);
    const spend = (sequence: number): string => {
      const transaction = new Transaction();
      transaction.version = 2;
      transaction.addInput(funding.getHash(), 0, sequence);
      transaction.addOutput(fromHex(bob.scriptHex), 90_000_000n);
      transaction.setWitness(0, [delayed.redeem!.output!]);
      return transaction.toHex();
    };
    expect(reasonOf(() => chain.broadcast(spend(4)))?.reason).toBe('non-BIP68-final');
    chain.generate(3);
    expect(reasonOf(() => chain.broadcast(spend(4)))?.reason).toMatch(/UNSATISFIED_LOCKTIME/);
    expect(reasonOf(() => chain.broadcast(spend(5)))?.reason).toBe('non-BIP68-final');
    chain.generate(1);
    chain.broadcast(spend(5));
  });

  it('count relative time from the median time before the coin, in units of 512 seconds', () => {
    const { chain, clock, coins } = setUp();
    chain.generate(12);
    const moved = payTo(alice.scriptHex, coins, 1_000n);
    chain.broadcast(moved.toHex());
    chain.generate(1);
    const coin = { txid: moved.getId(), vout: 0, valueSat: 99_999_000n };
    const spend = payTo(bob.scriptHex, [coin], 1_000n, { sequence: 0x00400001 });
    clock.advance(500_000);
    chain.generate(12);
    expect(reasonOf(() => chain.broadcast(spend.toHex()))?.reason).toBe('non-BIP68-final');
    clock.advance(20_000);
    chain.generate(6);
    chain.broadcast(spend.toHex());
  });

  it('keep a coinbase until it is mature', () => {
    const { chain } = setUp();
    chain.generate(1, alice.scriptHex);
    const [coinbase] = chain.utxos(alice.scriptHex).filter((coin) => coin.height === 2);
    const spend = payTo(bob.scriptHex, [coinbase!], 1_000n);
    chain.generate(8);
    expect(chain.height).toBe(10);
    expect(reasonOf(() => chain.broadcast(spend.toHex()))?.reason).toBe(
      'bad-txns-premature-spend-of-coinbase',
    );
    chain.generate(1);
    chain.broadcast(spend.toHex());
  });
});

describe('reorgs', () => {
  it('give the coins back and the transactions to the mempool', () => {
    const { chain, coins } = setUp();
    const seen: number[] = [];
    chain.onTip((tip) => seen.push(tip.height));
    const transaction = payTo(bob.scriptHex, coins, 1_000n);
    chain.broadcast(transaction.toHex());
    const [lost] = chain.generate(2);
    chain.invalidateTip(2);
    expect(chain.height).toBe(1);
    expect(chain.header(lost!)?.confirmations).toBe(-1);
    expect(chain.utxos(alice.scriptHex)).toEqual(coins);
    expect(chain.mempoolEntries().map((entry) => entry.txid)).toEqual([transaction.getId()]);
    const rival = payTo(alice.scriptHex, coins, 5_000n);
    chain.broadcast(rival.toHex());
    chain.generate(1);
    expect(chain.coin(transaction.getId(), 0)).toBeUndefined();
    expect(chain.coin(rival.getId(), 0)).toMatchObject({ confirmed: true });
    expect(seen).toEqual([2, 3, 1, 2]);
  });

  it('undo a chain of transactions inside one block', () => {
    const { chain, coins } = setUp();
    const first = payTo(alice.scriptHex, coins, 1_000n);
    const second = payTo(bob.scriptHex, [{ txid: first.getId(), vout: 0, valueSat: 99_999_000n }], 1_000n);
    chain.broadcast(first.toHex());
    chain.broadcast(second.toHex());
    chain.generate(1);
    expect(chain.blockAt(2)!.transactions).toHaveLength(3);
    chain.invalidateTip();
    expect(chain.utxos(alice.scriptHex)).toEqual(coins);
    expect(chain.utxos(bob.scriptHex)).toEqual([]);
    chain.generate(1);
    expect(chain.utxos(bob.scriptHex)).toHaveLength(1);
  });
});

describe('grinder', () => {
  it('finds exactly the nonces whose double SHA-256 meets the target', () => {
    const random = fc.uint8Array({ minLength: 80, maxLength: 80 });
    fc.assert(
      fc.property(random, fc.integer({ min: 1, max: 7 }), fc.nat(), (header, shift, start) => {
        const target = ((1n << 256n) - 1n) >> BigInt(shift);
        const grinder = new Grinder();
        grinder.setHeader(header, target);
        const wanted = Array.from({ length: 256 }, (_, index) => (start + index) >>> 0).find(
          (nonce) => hashToNumber(sha256d(grinder.header(nonce))) <= target,
        );
        expect(grinder.search(start, 256)).toBe(wanted);
      }),
      { numRuns: 30 },
    );
  });
});
