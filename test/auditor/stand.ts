import { Auditor } from '../../src/auditor/auditor.ts';
import { fromHex, toHex } from '../../src/base/bytes.ts';
import { systemRandom } from '../../src/base/random.ts';
import { bondCoins } from '../../src/channel/bonds.ts';
import { signCommitment } from '../../src/channel/commitment.ts';
import type { ChannelParams } from '../../src/channel/params.ts';
import { exportPsbt } from '../../src/channel/psbt.ts';
import { ShareTree } from '../../src/channel/share-tree.ts';
import { nodeIdBytes, type SeedSigner } from '../../src/channel/signer.ts';
import { bondSpendRequest } from '../../src/channel/signing-requests.ts';
import { type SignedState, signState } from '../../src/channel/states.ts';
import {
  firstHead,
  headAfter,
  headDigest,
  type MinuteReport,
  type MinuteRole,
  type MinuteSays,
} from '../../src/contract/minutes.ts';
import type { ContractTerms, TermsV3 } from '../../src/contract/terms.ts';
import { silentLogger } from '../../src/log/logger.ts';
import type { CommitmentRecord } from '../../src/peer/commitment-codecs.ts';
import { AuditorLink, type AuditorLinkDeps } from '../../src/settlement/auditor-link.ts';
import { commitmentEntry } from '../../src/settlement/commitments.ts';
import type { WaitingRequest } from '../../src/settlement/external-signing.ts';
import { minuteEntries } from '../../src/settlement/minute-records.ts';
import { signTerms } from '../../src/settlement/opening.ts';
import { VirtualTime } from '../base/virtual-time.ts';
import { auditorSigner, EH, keysOf, makeParams, makerSigner, minerSigner } from '../channel/fixtures.ts';
import { makeTermsV3 } from '../contract/terms-v3-fixtures.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';
import { MemoryServer } from './memory-links.ts';

export const RATE = 2000;
export const SIDES = ['miner', 'maker'] as const;
const SHARE = 2n ** 32n;
const TARGET = `00000000${'f'.repeat(56)}`;
const FIRST_HEIGHT = 918_600;
/** Two days before the clock of a test begins. */
const FIRST_MINUTE = 1_800_000_000_000 / 60_000 - 2880;

/** Twelve shares a minute are due, and six blocks are the cure. */
export function auditedTerms(changes: Partial<TermsV3> = {}): TermsV3 {
  const committed = (SHARE * 12n) / 60n;
  return makeTermsV3({
    target: { easiestHex: TARGET, hardestHex: TARGET },
    rate: { committed, min: committed, max: 2n * committed },
    durationBlocks: 1008,
    delivery: {
      ...{ windowMinutes: 1440, tolerancePpm: 20_000, curtailmentBlocks: 60 },
      ...{ cureBlocks: 6, falseDefaultAlphaPpm: 1000 },
    },
    bonds: {
      ...{ bondMode: 'auditor', bondCsvBlocks: 2016, collateralSat: 87_300n, makerBondSat: 48_500n },
      size: { collateralPpm: 0, worstCaseSat: 87_300n, makerBondPpm: 0, makerBondFloorSat: 48_500n },
      auditorKeyHex: toHex(auditorSigner.publicKey('auditor')),
    },
    ...changes,
  });
}

export type Minute = {
  readonly shares: bigint;
  readonly miner?: MinuteSays;
  readonly maker?: MinuteSays;
};

/** One side of a contract: what is on its disk, its requests, and its link to the auditor. */
export class AuditedSide {
  readonly role: MinuteRole;
  readonly ledger = new MemoryLedger();
  readonly requests: WaitingRequest[] = [];
  readonly answers = new Map<string, string>();
  link!: AuditorLink;
  /** What it shows the auditor as its channel. */
  params: ChannelParams;
  readonly #stand: Stand;

  constructor(role: MinuteRole, stand: Stand) {
    this.role = role;
    this.#stand = stand;
    this.params = stand.params;
    this.restart();
  }

  get signer(): SeedSigner {
    return this.role === 'miner' ? minerSigner : makerSigner;
  }

  restart(): void {
    const { terms, contractId, contract, state, time, server } = this.#stand;
    const deps: AuditorLinkDeps = {
      ...{ network: 'regtest', ledger: this.ledger, signer: this.signer, log: silentLogger },
      ...{ clock: time.clock, timers: time.timers, random: systemRandom, connect: server.connect },
      requests: {
        waiting: (prefix) =>
          this.requests.filter(({ name }) => name.startsWith(prefix) && !this.answers.has(name)),
        answer: (name, _rate, signed) => void this.answers.set(name, signed),
      },
    };
    const nodeId = toHex(nodeIdBytes(auditorSigner));
    this.link = new AuditorLink({ host: 'memory', port: 1, nodeId }, deps);
    const assembled = { params: this.params, funding: undefined as never };
    const store = {
      contractId,
      terms,
      contract,
      assembled,
      last: state,
      channel: { status: 'open' as const },
    };
    this.link.follow({ role: this.role, store });
  }

  /** Asks for a ruling on both bonds, as the settlement does once the state is in a block. */
  ask(): void {
    const { params, state, contractId } = this.#stand;
    for (const coin of bondCoins(params, state.workHashes, 0)) {
      const spend = { coin, payee: this.role, feeRateSatPerKvb: RATE };
      const name = `${contractId}.ruling-${coin.owner}-${coin.txid.slice(0, 8)}`;
      this.requests.push({ name, satPerKvb: RATE, psbt: exportPsbt(bondSpendRequest(params, spend), []) });
    }
  }
}

/** Both sides of a contract, and its auditor, in virtual time. */
export class Stand {
  readonly time = new VirtualTime();
  readonly server = new MemoryServer();
  readonly terms: ContractTerms;
  readonly params: ChannelParams;
  readonly contractId: string;
  readonly contract;
  readonly state: SignedState;
  readonly auditorLedger = new MemoryLedger();
  auditor!: Auditor;
  readonly sides: Readonly<Record<MinuteRole, AuditedSide>>;
  /** Both logs as they were signed. */
  readonly logs: Record<MinuteRole, MinuteReport[]> = { miner: [], maker: [] };
  #work = 0n;

  constructor(terms: ContractTerms = auditedTerms()) {
    this.terms = terms;
    this.params = makeParams({ keys: keysOf(terms) }, terms);
    this.contractId = this.params.contractId;
    this.contract = {
      terms,
      minerSignature: signTerms(terms, minerSigner),
      makerSignature: signTerms(terms, makerSigner),
    };
    this.state = signState(this.params, 3, 3n * EH, makerSigner);
    this.sides = { miner: new AuditedSide('miner', this), maker: new AuditedSide('maker', this) };
  }

  async start(): Promise<void> {
    const { clock, timers } = this.time;
    const allowedNodeIds = new Set(SIDES.map((role) => toHex(nodeIdBytes(this.sides[role].signer))));
    this.auditor = new Auditor(
      { network: 'regtest', host: 'memory', port: 0, allowedNodeIds },
      {
        ...{ ledger: this.auditorLedger, signer: auditorSigner, clock, timers },
        ...{ random: systemRandom, log: silentLogger },
        openServer: (_options, deps) => this.server.open(deps),
      },
    );
    await this.auditor.start();
  }

  /** The auditor is killed, and starts anew from its disk. */
  async restart(): Promise<void> {
    this.server.kill();
    await this.start();
  }

  /** So many minutes have passed. */
  run(count: number, { shares, miner = 'delivering', maker = 'taking' }: Minute): void {
    const first = (this.logs.miner.at(-1)?.minute ?? FIRST_MINUTE - 1) + 1;
    for (let at = 0; at < count; at += 1) {
      this.#work += shares * SHARE;
      const minute = first + at;
      const height = FIRST_HEIGHT + Math.floor(this.logs.miner.length / 10);
      const report = { minute, height, workHashes: this.#work, paidHashes: 0n, heard: minute - 1 };
      this.logs.miner.push({ ...report, says: miner });
      this.logs.maker.push({ ...report, says: maker });
    }
  }

  /** Both logs are on the disks of both. */
  async write(): Promise<void> {
    for (const teller of SIDES) for (const role of SIDES) await this.store(teller, role, this.logs[role]);
  }

  /** A side has this log of a side on its disk, signed by that side. */
  async store(teller: MinuteRole, role: MinuteRole, reports: readonly MinuteReport[]): Promise<void> {
    let head = firstHead(this.contractId, role);
    const hours = Map.groupBy(reports, ({ minute }) => Math.floor(minute / 60));
    for (const hour of hours.values()) {
      for (const report of hour) head = headAfter(head, report);
      const signature = toHex(this.sides[role].signer.signSchnorr('node', headDigest(head)));
      await this.sides[teller].ledger.append(minuteEntries(this.contractId, role, hour, signature));
    }
  }

  /** Both have signed a commitment, which proves the channel; it is on the disk of a side. */
  async commit(role: MinuteRole): Promise<void> {
    const tree = new ShareTree();
    tree.append(fromHex('11'.repeat(32)));
    const content = {
      ...{ n: 3, workHashes: 3n * EH, shareRoot: tree.root(), jobSetRoot: fromHex('22'.repeat(32)) },
      ...{ faultLogHead: fromHex('33'.repeat(32)), nextSeq: 1 },
    };
    const record: CommitmentRecord = {
      ...{ ...content, version: 1, baseN: 0, logSeq: 1, creditedHashes: 3n * EH, tree, refused: [] },
      makerSignature: signCommitment(this.params, content, makerSigner),
      minerSignature: signCommitment(this.params, content, minerSigner),
    };
    await this.sides[role].ledger.append([commitmentEntry(this.contractId, record)]);
  }

  /** Both links tell what they have. */
  async tell(roles: readonly MinuteRole[] = SIDES): Promise<void> {
    for (const role of roles) this.sides[role].link.look();
    await this.time.settle();
  }

  get verdict(): string | undefined {
    return this.auditor.status[0]?.verdict;
  }

  async stop(): Promise<void> {
    for (const role of SIDES) await this.sides[role].link.close();
    await this.auditor.close();
  }
}
