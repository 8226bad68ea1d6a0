import { toHex } from '../base/bytes.ts';
import type { Clock, Random, Timers } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import { countHit, LIMITS, type LimitHits } from '../base/limits.ts';
import { SerialQueue } from '../base/serial-queue.ts';
import { NETWORKS, type NetworkName } from '../bitcoin/network.ts';
import type { BondSpend } from '../channel/bonds.ts';
import { channelFacts } from '../channel/params.ts';
import { psbtCoin, signPsbt } from '../channel/psbt.ts';
import type { Signer } from '../channel/signer.ts';
import { bondSpendRequest } from '../channel/signing-requests.ts';
import { otherSide } from '../contract/sides.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Logger } from '../log/logger.ts';
import { handler } from '../peer/calls.ts';
import { createTlsIdentity } from '../peer/certificate.ts';
import { AUDITOR_FEATURES } from '../peer/features.ts';
import { authenticate } from '../peer/handshake.ts';
import type { Params, Result } from '../peer/messages.ts';
import { Overruns, PeerBudget } from '../peer/overruns.ts';
import { DEFAULT_RPC, type RpcHandlers, RpcPeer } from '../peer/rpc-peer.ts';
import {
  DEFAULT_TRANSPORT,
  type PeerLink,
  type PeerListener,
  PeerServer,
  type PeerServerDeps,
  type PeerServerOptions,
} from '../peer/transport.ts';
import { firstOfHour } from '../settlement/minute-records.ts';
import { identityOfSigner } from '../settlement/opening.ts';
import { AuditorCase, type ChannelStanding, checkAuditedContract, roleIn } from './auditor-case.ts';
import { channelEntry, contractEntry, loadCases, ruledEntry, toldEntries } from './auditor-records.ts';
import {
  type AuditedContract,
  type AuditedMinute,
  auditedContract,
  auditedMinutes,
  rulingOf,
} from './auditor-view.ts';

export type AuditorOptions = {
  readonly network: NetworkName;
  readonly host: string;
  /** TCP port; 0 lets the system choose. */
  readonly port: number;
  /** Node ids that may connect. */
  readonly allowedNodeIds: ReadonlySet<string>;
};

export type AuditorDeps = {
  readonly ledger: Ledger;
  /** Holds the key `auditor` of the terms. */
  readonly signer: Signer;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Logger;
  /** Default: TLS on the host and port. */
  readonly openServer?: (options: PeerServerOptions, deps: PeerServerDeps) => PeerListener;
};

const MINUTE_MS = 60_000;
const CONNECTIONS = 256;

/**
 * An auditor: takes the signed minute logs of contracts from both sides as they come, keeps them in its own
 * ledger, rules by the published rule (`contract/minute-ruling.ts`), and signs the spend of a bond to the
 * side that is right. It holds no money, and cannot move any alone.
 */
export class Auditor {
  readonly stats = { connections: 0, minutes: 0, signed: 0, refused: 0, limitHits: {} as LimitHits };
  readonly #options: AuditorOptions;
  readonly #deps: AuditorDeps;
  readonly #cases = new Map<string, AuditorCase>();
  readonly #serial = new SerialQueue();
  readonly #budgets = new Map<string, PeerBudget>();
  /** Connections, by the node id that was proved. */
  readonly #peers = new Map<RpcPeer, string>();
  #server: PeerListener | undefined;

  constructor(options: AuditorOptions, deps: AuditorDeps) {
    this.#options = options;
    this.#deps = deps;
  }

  /** The key that terms name, compressed, in hex. */
  get auditorKeyHex(): string {
    return toHex(this.#deps.signer.publicKey('auditor'));
  }

  get nodeId(): string {
    return identityOfSigner(this.#deps.signer).nodeId;
  }

  get status(): readonly AuditedContract[] {
    return [...this.#cases.values()].map(auditedContract);
  }

  /** The minutes of a contract from one on; undefined for one that is not known. */
  minutesOf(contractId: string, since: number): readonly AuditedMinute[] | undefined {
    const audited = this.#cases.get(contractId);
    return audited && auditedMinutes(audited, since);
  }

  /** Loads what is known, and listens; resolves with the port. Throws `ledger_corrupt`, and as `listen`. */
  async start(): Promise<number> {
    const { ledger, timers, log } = this.#deps;
    for (const loaded of await loadCases(ledger)) this.#cases.set(loaded.contract.contractId, loaded);
    const { host, port } = this.#options;
    const options = {
      ...DEFAULT_TRANSPORT,
      ...{
        host,
        port,
        maxConnections: CONNECTIONS,
        newcomerBytes: LIMITS.peerNewcomerBytes,
        tls: createTlsIdentity({ random: this.#deps.random, nowMs: this.#deps.clock.nowMs() }),
      },
    };
    const open = this.#deps.openServer ?? ((given, deps) => new PeerServer(given, deps));
    this.#server = open(options, {
      ...{ log, timers, limitHits: this.stats.limitHits },
      onConnection: (connection) => {
        this.#serve(connection).catch((error: unknown) => {
          if (!(error instanceof CodedError)) throw error;
          log.info({ peer: connection.remoteAddress, code: error.code }, 'connection refused');
        });
      },
    });
    return this.#server.listen();
  }

  async close(): Promise<void> {
    await this.#server?.close();
    await this.#serial.run(async () => {});
  }

  /** Ends connections of those that may not connect any more. */
  dropUnlisted(): void {
    for (const [peer, nodeId] of this.#peers)
      if (!this.#options.allowedNodeIds.has(nodeId)) peer.close(new CodedError('unknown_peer'));
  }

  async #serve(connection: PeerLink): Promise<void> {
    const { signer, random, timers, log } = this.#deps;
    const peer = new RpcPeer(connection, DEFAULT_RPC, this.#deps);
    const nodeId = await authenticate(peer, 'server', {
      identity: identityOfSigner(signer),
      genesisHash: NETWORKS[this.#options.network].genesisHash,
      features: AUDITOR_FEATURES,
      isKnown: (id) => this.#options.allowedNodeIds.has(id),
      ...{ random, timers, timeoutMs: 10_000 },
    });
    connection.keepPlace();
    const overruns = new Overruns(peer, this.stats.limitHits, this.#deps);
    const budget =
      this.#budgets.get(nodeId) ?? new PeerBudget({ ...this.#deps, limitHits: this.stats.limitHits });
    this.#budgets.set(nodeId, budget);
    connection.paceReads(budget.read);
    peer.serve(budget.guard(this.handlers(nodeId), overruns), 'unknown_method');
    this.stats.connections += 1;
    this.#peers.set(peer, nodeId);
    const reason = await peer.closed;
    this.#peers.delete(peer);
    log.debug({ nodeId, code: reason.code }, 'a side disconnected');
  }

  /** What a node that proved its key may ask. */
  handlers(nodeId: string): RpcHandlers {
    return {
      ping: async () => ({}),
      'auditor.about': handler('auditor.about', async () => ({ auditorKeyHex: this.auditorKeyHex })),
      'auditor.contract': handler('auditor.contract', (p) => this.#inTurn(() => this.#contract(nodeId, p))),
      'auditor.minutes': handler('auditor.minutes', (p) => this.#inTurn(() => this.#minutes(nodeId, p))),
      'auditor.ruling': handler('auditor.ruling', (p) => this.#inTurn(() => this.#ruling(nodeId, p))),
      'auditor.sign': handler('auditor.sign', (p) => this.#inTurn(() => this.#sign(nodeId, p))),
    };
  }

  #inTurn<T>(task: () => Promise<T>): Promise<T> {
    return this.#serial.run(task);
  }

  /** Throws `unknown_channel` for a contract that is not known, or of others. */
  #caseOf(contractId: string): AuditorCase {
    const known = this.#cases.get(contractId);
    if (known === undefined) throw new CodedError('unknown_channel');
    return known;
  }

  async #contract(
    nodeId: string,
    { channel, commitment, ...contract }: Params<'auditor.contract'>,
  ): Promise<Result<'auditor.contract'>> {
    const role = roleIn(contract.terms, nodeId);
    let audited = this.#cases.get(contract.contractId);
    if (audited === undefined) {
      if (contract.terms.network !== this.#options.network) throw new CodedError('wrong_chain');
      checkAuditedContract(contract, this.auditorKeyHex);
      this.#checkRoom(nodeId);
      audited = new AuditorCase(contract);
    }
    const shown = audited.judgeChannel(role, channel, commitment);
    const isNew = !this.#cases.has(contract.contractId);
    const entries = shown.map((as) => channelEntry(as, channel));
    if (isNew || entries.length > 0)
      await this.#deps.ledger.appendNow([...(isNew ? [contractEntry(contract)] : []), ...entries]);
    for (const as of shown) audited.setChannel(as, channel);
    this.#cases.set(contract.contractId, audited);
    const standing: ChannelStanding = audited.standingOf(channel);
    if (standing === 'differs')
      this.#deps.log.warn({ contract: contract.contractId, nodeId }, 'the sides show different channels');
    return {
      channel: standing,
      minerNext: audited.log(role, 'miner').lastMinute + 1,
      makerNext: audited.log(role, 'maker').lastMinute + 1,
    };
  }

  /** Throws `overload` where a node shows more contracts than it may. */
  #checkRoom(nodeId: string): void {
    const own = [...this.#cases.values()].filter(({ contract: { terms } }) =>
      [terms.minerNodeId, terms.makerNodeId].includes(nodeId),
    );
    if (own.length < LIMITS.auditorContracts) return;
    countHit(this.stats.limitHits, 'auditorContracts');
    throw new CodedError('overload', 'contracts of one node', { limit: 'auditorContracts' });
  }

  async #minutes(
    nodeId: string,
    { contractId, role, reports, signature }: Params<'auditor.minutes'>,
  ): Promise<Result<'auditor.minutes'>> {
    const audited = this.#caseOf(contractId);
    const teller = roleIn(audited.contract.terms, nodeId);
    const log = audited.log(teller, role);
    const fresh = reports.filter(({ minute }) => minute > log.lastMinute);
    const newest = fresh.at(-1);
    if (newest === undefined) return { next: log.lastMinute + 1 };
    if (newest.minute > Math.floor(this.#deps.clock.nowMs() / MINUTE_MS) + LIMITS.minutesAhead)
      throw new CodedError('protocol', `minute ${newest.minute} is still to come`);
    log.check(fresh);
    const before = log.from(firstOfHour(fresh[0]!.minute));
    const entries = toldEntries(contractId, { teller, role }, [...before, ...fresh], signature);
    await this.#deps.ledger.appendNow(entries);
    const ruledBefore = rulingOf(audited).verdict;
    audited.take(teller, role, { reports: fresh, signature });
    this.stats.minutes += fresh.length;
    const { verdict, words } = rulingOf(audited);
    if (verdict !== ruledBefore) this.#deps.log.warn({ contract: contractId, verdict, words }, 'ruling');
    return { next: log.lastMinute + 1 };
  }

  async #ruling(
    nodeId: string,
    { contractId }: Params<'auditor.ruling'>,
  ): Promise<Result<'auditor.ruling'>> {
    const audited = this.#caseOf(contractId);
    roleIn(audited.contract.terms, nodeId);
    const { verdict, words, to } = rulingOf(audited);
    return { verdict, words, to };
  }

  /** Signs the spend of a bond to the side that asks, where the other one is in default. */
  async #sign(
    nodeId: string,
    { contractId, owner, feeRateSatPerKvb, psbt }: Params<'auditor.sign'>,
  ): Promise<Result<'auditor.sign'>> {
    const { ledger, clock, signer, log } = this.#deps;
    const audited = this.#caseOf(contractId);
    const payee = roleIn(audited.contract.terms, nodeId);
    const { channel } = audited;
    const bonds = channel === undefined ? undefined : channelFacts(channel).bonds;
    const { verdict, words } = rulingOf(audited);
    const loser = otherSide(payee);
    if (verdict !== loser) this.#refuse(words);
    if (channel === undefined || bonds === undefined) this.#refuse('the sides do not show one channel');
    if (audited.givenTo !== undefined && audited.givenTo !== payee)
      this.#refuse('the bonds were given to the other side');
    const coin = { owner, ...psbtCoin(psbt), script: bonds[owner].script };
    const spend: BondSpend = { coin, payee, feeRateSatPerKvb };
    const signed = signPsbt(bondSpendRequest(channel, spend), psbt, signer);
    if (audited.givenTo === undefined) {
      await ledger.appendNow([ruledEntry(contractId, payee, clock.nowMs())]);
      audited.givenTo = payee;
    }
    this.stats.signed += 1;
    log.warn({ contract: contractId, owner, payee, txid: coin.txid, words }, 'signed a bond away');
    return { psbt: signed };
  }

  #refuse(words: string): never {
    this.stats.refused += 1;
    throw new CodedError('not_ruled', words);
  }
}
