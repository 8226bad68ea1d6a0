import { describe, expect, it } from 'vitest';
import { TipAudit } from '../../src/audit/tip-audit.ts';
import { CodedError } from '../../src/base/errors.ts';
import type { ChainSource } from '../../src/chain/source.ts';
import { DevnetChain } from '../../src/devnet/chain/chain.ts';
import { loadTips, type TipEntry, type TipLogRole } from '../../src/settlement/tip-log.ts';
import { TipLogKeeper } from '../../src/settlement/tip-log-keeper.ts';
import { SHARE_KIND } from '../../src/work/evidence.ts';
import { VirtualTime } from '../base/virtual-time.ts';
import { recorder } from '../chain/log-recorder.ts';
import { makerSigner, makeTerms, minerSigner } from '../channel/fixtures.ts';
import { createDevnetChainSource } from '../devnet/chain-source.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';

const CONTRACT = 'ab'.repeat(32);
const GRACE = 60;

/** A side whose shares, blocks and starts are the test's. */
class Stand {
  readonly time = new VirtualTime();
  readonly chain = new DevnetChain({}, { clock: this.time.clock });
  readonly ledger = new MemoryLedger();
  readonly log = recorder();
  readonly role: TipLogRole;
  readonly source: ChainSource = createDevnetChainSource(this.chain);
  isOpen = true;
  /** What the node answers a question for a header with. */
  header: ChainSource['header'] = this.source.header;
  keeper: TipLogKeeper | undefined;
  #shares = 0;

  constructor(role: TipLogRole) {
    this.role = role;
  }

  async start(): Promise<void> {
    const { role, ledger, time, log } = this;
    const chain = { ...this.source, header: (hash: string) => this.header(hash) };
    const signer = role === 'miner' ? minerSigner : makerSigner;
    const contracts = () => (this.isOpen ? [{ contractId: CONTRACT, graceSeconds: GRACE }] : []);
    const deps = { ledger, chain, signer, clock: time.clock, timers: time.timers, log: log.log };
    this.keeper = new TipLogKeeper({ role, contracts }, deps);
    this.keeper.start();
    await this.settle();
  }

  async stop(): Promise<void> {
    const stopped = this.keeper!.stop();
    await this.settle();
    await stopped;
  }

  async settle(): Promise<void> {
    for (let turn = 0; turn < 5; turn += 1) await this.time.settle();
  }

  async pass(seconds: number): Promise<void> {
    await this.time.advance(seconds * 1_000);
    await this.settle();
  }

  async block(count = 1): Promise<string> {
    this.chain.generate(count);
    await this.settle();
    return this.chain.tip().hash;
  }

  async share(count: number): Promise<void> {
    const first = this.#shares;
    this.#shares += count;
    const body = new Uint8Array(1);
    await this.ledger.append([{ type: 'log', kind: SHARE_KIND, stream: CONTRACT, first, count, body }]);
  }

  async entries(): Promise<TipEntry[]> {
    return (await loadTips(this.ledger, CONTRACT)).flatMap(({ entries }) => entries);
  }

  /** Type and shares of each entry. */
  async said(): Promise<string[]> {
    return (await this.entries()).map(({ type, seq, headers }) => `${type} ${seq} ${headers.length}`);
  }

  /** The log as an auditor reads it. */
  async audit(): Promise<TipAudit> {
    const terms = makeTerms();
    const audit = new TipAudit(CONTRACT, terms, this.role);
    for (const tips of await loadTips(this.ledger, CONTRACT)) audit.take(tips);
    audit.end(this.#shares);
    return audit;
  }
}

describe('a tip log', () => {
  it('of the maker says how far its shares were with each block, and shortly before its grace was over', async () => {
    const stand = new Stand('maker');
    await stand.start();
    await stand.share(3);
    await stand.pass(31);
    await stand.share(2);
    const before = stand.chain.tip().hash;
    await stand.block();
    await stand.share(4);
    await stand.pass(57);
    await stand.share(1);
    await stand.pass(2);
    await stand.share(7);
    await stand.pass(10);
    expect(await stand.said()).toEqual([
      'start 0 2',
      'settled 3 0',
      'tip 5 1',
      'settled 9 0',
      'grace 10 0',
    ]);
    const audit = await stand.audit();
    expect(audit.flaw).toBe(undefined);
    expect(audit.of(before)).toMatchObject({ settledSeq: 3, graceSeq: 10, lateSeq: 10 });
  });

  it('of the miner says so shortly after it was over', async () => {
    const stand = new Stand('miner');
    await stand.start();
    await stand.block();
    await stand.share(4);
    await stand.pass(61);
    await stand.share(2);
    await stand.pass(2);
    expect(await stand.said()).toEqual(['start 0 2', 'tip 0 1', 'grace 6 0']);
  });

  it('goes on after a start, with the blocks that came meanwhile, and knows no grace of theirs', async () => {
    const stand = new Stand('maker');
    await stand.block(10);
    await stand.start();
    await stand.block();
    await stand.stop();
    await stand.block(20);
    await stand.start();
    await stand.block();
    await stand.pass(100);
    expect(await stand.said()).toEqual([
      'start 0 6',
      'tip 0 1',
      'start 0 20',
      'tip 0 1',
      'settled 0 0',
      'grace 0 0',
    ]);
    expect((await stand.audit()).flaw).toBe(undefined);
  });

  it('hangs together over a reorganisation, and ends no grace of a block that is the best again', async () => {
    const stand = new Stand('miner');
    await stand.block(5);
    await stand.start();
    const first = await stand.block();
    stand.chain.invalidateTip();
    await stand.settle();
    await stand.pass(70);
    await stand.block(2);
    await stand.pass(70);
    const audit = await stand.audit();
    expect(audit.flaw).toBe(undefined);
    expect(audit.of(first)?.lateSeq).toBe(0);
    const graces = (await stand.entries()).filter(({ type }) => type === 'grace');
    expect(graces.map(({ hash }) => hash)).toContain(first);
  });

  it('of many blocks is many documents, the newest signed', async () => {
    const stand = new Stand('miner');
    await stand.start();
    for (let time = 0; time < 40; time += 1) {
      await stand.block();
      await stand.pass(70);
    }
    const documents = await loadTips(stand.ledger, CONTRACT);
    expect(documents.map(({ entries }) => entries.length)).toEqual([16, 16, 16, 16, 16, 1]);
    expect((await stand.audit()).flaw).toBe(undefined);
  });

  it('begins when its contract opens, and tries again what the node or the disk did not take', async () => {
    const stand = new Stand('maker');
    stand.isOpen = false;
    await stand.start();
    await stand.pass(100);
    expect(await stand.said()).toEqual([]);
    stand.isOpen = true;
    stand.header = () => Promise.reject(new CodedError('chain_unreachable'));
    await stand.pass(10);
    expect(await stand.said()).toEqual([]);
    expect(stand.log.lines.some(([level]) => level === 'warn')).toBe(true);
    stand.header = stand.source.header;
    await stand.pass(10);
    expect(await stand.said()).toEqual(['start 0 2']);
  });

  it('is not written by a node that tells no whole headers', async () => {
    const stand = new Stand('maker');
    stand.header = async (hash) => {
      const { headerHex: _none, ...header } = (await stand.source.header(hash))!;
      return header;
    };
    await stand.start();
    await stand.pass(100);
    expect(await stand.said()).toEqual([]);
  });

  it('is signed by its own side alone', async () => {
    const stand = new Stand('maker');
    await stand.start();
    const audit = new TipAudit(CONTRACT, makeTerms(), 'miner');
    for (const tips of await loadTips(stand.ledger, CONTRACT)) audit.take(tips);
    expect(() => audit.end(0)).toThrow(CodedError);
  });
});
