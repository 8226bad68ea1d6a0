import { createReadStream, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { type AuditReport, auditFiles, type FileReport } from '../audit/audit.ts';
import type { Finding } from '../audit/finding.ts';
import { hashingHere, hashingInThreads, spareThreads } from '../audit/hashing.ts';
import { type Ruling, rulingsAgainst } from '../audit/ruling.ts';
import { CodedError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { writePrivateFile } from '../base/private-file.ts';
import { formatGrouped } from '../base/units.ts';
import { FALLBACK_SAT_PER_KVB } from '../chain/source.ts';
import { isMetered } from '../channel/commitment.ts';
import type { LogRuling } from '../contract/minute-ruling.ts';
import { silentLogger } from '../log/logger.ts';
import { chooseKernelKind, KERNEL_CACHE } from '../shares/kernel/choose-kernel.ts';
import { createKernel } from '../shares/kernel/create-kernel.ts';
import { print } from './channel-access.ts';
import { type Command, type CommandIo, numberOption, type ParsedOptions } from './command.ts';
import { ProgressBar } from './progress.ts';

/** Exit codes beside 0, 1 and 2. */
const EXIT = { wrong: 3, undecided: 4 } as const;

export const auditCommand: Command = {
  name: 'audit',
  summary: 'recompute every share, sat and signature of a contract, and say who is wrong',
  usage: 'FILE [FILE] [--ruling DIR]',
  words: 2,
  help: [
    'Takes what `sharestream evidence export` wrote, of one side or of both. Needs no keys, no node and no network.',
    'Says `agreed`, or the first disagreement and who is wrong by what they signed; `undecided` where that does not say.',
    'Where the terms say what is a default, the minute logs tell whose fault each minute was, and who is in default.',
    'With --ruling, writes the bonds of the newest state as PSBTs to the side that is right, for the auditor of the terms',
    'to sign: those of the rung that is in a block. Its daemon takes DATA_DIR/requests/NAME.signed.psbt.',
    '',
    'Exit codes: 0 agreed, 1 a file cannot be audited or lacks what was signed, 2 wrong usage, 3 a side is wrong,',
    '4 undecided.',
  ],
  options: {
    ruling: { type: 'string', value: 'DIR', help: 'folder for the PSBTs of the ruling' },
    'fee-rate': {
      type: 'string',
      value: 'SAT_PER_KVB',
      help: `fee rate of the ruling (default ${FALLBACK_SAT_PER_KVB}); that of the request it answers`,
    },
  },
  run: async (options, io) => {
    const paths = options.positionals.map((path) => resolve(path));
    if (paths.length === 0) throw new CodedError('usage', 'name one export or two');
    const rate = numberOption(options, 'fee-rate', FALLBACK_SAT_PER_KVB);
    const kind = await chooseKernelKind(join(tmpdir(), KERNEL_CACHE), { log: silentLogger });
    const kernel = createKernel(LIMITS.peerBatchShares, kind);
    const total = paths.reduce((sum, path) => sum + statSync(path).size, 0);
    const progress = new Progress(io.stderr, total);
    const sources = paths.map((name) => ({
      name,
      chunks: createReadStream(name, { highWaterMark: 1 << 20 }),
    }));
    const threads = spareThreads();
    const hashing = threads === 0 ? hashingHere(kernel) : hashingInThreads(threads, kind, kernel);
    let report: AuditReport;
    try {
      report = await auditFiles(sources, kernel, hashing, (bytes, shares) => progress.add(bytes, shares));
    } finally {
      progress.end();
      await hashing.close();
    }
    const rulings = await writeRulings(report, options, rate);
    print(options, io, jsonOf(report, rulings), textOf(report, rulings));
    return exitCode(report);
  },
};

function exitCode({ verdict }: AuditReport): number {
  if (verdict === 'agreed') return 0;
  if (verdict === 'file') return 1;
  return verdict === 'undecided' ? EXIT.undecided : EXIT.wrong;
}

/** Writes the rulings against the side that is wrong. Throws `output_refused`. */
async function writeRulings(
  { verdict, newest }: AuditReport,
  options: ParsedOptions,
  rate: number,
): Promise<readonly Ruling[]> {
  const folder = options.text('ruling');
  const { last, params } = newest;
  if (
    folder === undefined ||
    isMetered(params) ||
    last === undefined ||
    (verdict !== 'miner' && verdict !== 'maker')
  )
    return [];
  const rulings = rulingsAgainst(verdict, params, last, rate);
  for (const { fileName, psbt } of rulings) writePrivateFile(join(resolve(folder), fileName), `${psbt}\n`);
  return rulings;
}

function jsonOf(report: AuditReport, rulings: readonly Ruling[]): object {
  const { contractId, verdict, finding, files, delivery } = report;
  return {
    contract: contractId,
    verdict,
    finding: finding ?? null,
    files: files.map((file) => ({
      ...{ file: file.name, role: file.role, ...file.counts },
      ...{ state_number: file.stateNumber ?? null, work_hashes: file.workHashes, paid_sat: file.paidSat },
      ...{
        unsigned_hashes: file.unsignedHashes,
        has_forgotten: file.hasForgotten,
        recomputed_prices: file.recomputedPrices,
        tips_flaw: file.tipsFlaw ?? null,
        findings: file.findings,
      },
    })),
    delivery: delivery === undefined ? null : deliveryJson(delivery),
    rulings: rulings.map(({ fileName, owner, payee, valueSat }) => {
      return { file: fileName, bond_of: owner, payee, value_sat: valueSat };
    }),
  };
}

function deliveryJson({ verdict, words, minutes, delivery, from, to, forks }: LogRuling): object {
  return {
    ...{ verdict, words, status: delivery.status, missing_hashes: delivery.missingHashes },
    ...{ cure_by_height: delivery.cureByHeight ?? null, curtailed_blocks: delivery.curtailedBlocks },
    ...{ from_minute: from ?? null, to_minute: to ?? null, minutes, forks },
  };
}

/** Whose fault how many minutes were. */
function deliveryText({ words, minutes, delivery, forks }: LogRuling): string {
  const counts = Object.entries(minutes).map(
    ([owner, count]) => `${owner} ${formatGrouped(BigInt(count))}`,
  );
  const parts = [
    `delivery ${delivery.status}: ${words}`,
    ...(counts.length === 0 ? [] : [`minutes ${counts.join(', ')}`]),
    ...(delivery.curtailedBlocks > 0 ? [`curtailed by ${delivery.curtailedBlocks} blocks`] : []),
    ...Object.entries(forks).map(
      ([role, minute]) => `the ${role} signed two logs from minute ${minute} on`,
    ),
  ];
  return parts.join('; ');
}

const VERDICTS: Readonly<Record<AuditReport['verdict'], string>> = {
  agreed: 'Agreed: everything follows from what both signed.',
  maker: 'The market maker is wrong.',
  miner: 'The miner is wrong.',
  undecided: 'Undecided: what was signed does not say who is wrong.',
  file: 'A file lacks what was signed: nothing follows from it.',
};

function textOf(report: AuditReport, rulings: readonly Ruling[]): string {
  const { contractId, verdict, finding, files, delivery } = report;
  return [
    `contract ${contractId}`,
    ...files.map(fileText),
    ...(delivery === undefined ? [] : [deliveryText(delivery)]),
    VERDICTS[verdict],
    ...(finding === undefined ? [] : [`first disagreement, ${findingText(finding)}`]),
    ...rulings.map(({ fileName, owner, payee, valueSat }) => {
      return `${fileName}: ${formatGrouped(valueSat)} sat, the bond of the ${owner}, to the ${payee}`;
    }),
  ].join('\n');
}

function fileText(file: FileReport): string {
  const { counts } = file;
  const parts = [
    counts.states === 0
      ? `total ${file.stateNumber ?? 'none'} is of ${formatGrouped(file.workHashes)} hashes`
      : `state ${file.stateNumber ?? 'none'} pays ${formatGrouped(file.paidSat)} sat for ${formatGrouped(file.workHashes)} hashes`,
    `${formatGrouped(counts.shares)} shares, ${formatGrouped(counts.committed)} of them in ${counts.commitments} commitments`,
    `both signed ${counts.countersigned}`,
    ...(counts.refused > 0 ? [`${formatGrouped(counts.refused)} refused`] : []),
    ...(file.recomputedPrices > 0 ? [`${file.recomputedPrices} prices follow from its blocks`] : []),
    ...(file.unsignedHashes > 0n ? [`${formatGrouped(file.unsignedHashes)} hashes not signed for`] : []),
    ...(file.tipsFlaw === undefined ? [] : [`its tip log is left out: ${file.tipsFlaw}`]),
    ...(file.hasForgotten ? ['duplicates were looked for among the newest shares only'] : []),
  ];
  return `${file.role} (${file.name}): ${parts.join('; ')}`;
}

function findingText({ code, words, n, seq }: Finding): string {
  const where = [n === undefined ? '' : ` at state ${n}`, seq === undefined ? '' : `, share ${seq}`];
  return `${code}${where.join('')}: ${words}`;
}

/** How far an audit is. */
class Progress {
  readonly #bar: ProgressBar;
  readonly #total: number;
  readonly #begin = performance.now();
  #bytes = 0;

  constructor(out: CommandIo['stderr'], total: number) {
    this.#bar = new ProgressBar(out);
    this.#total = total;
  }

  add(bytes: number, shares: number): void {
    this.#bytes += bytes;
    this.#bar.show(this.#total === 0 ? 1 : this.#bytes / this.#total, () => {
      const perSecond = Math.round((shares * 1000) / Math.max(1, performance.now() - this.#begin));
      return `${formatGrouped(shares)} shares, ${formatGrouped(perSecond)}/s`;
    });
  }

  end(): void {
    this.#bar.end();
  }
}
